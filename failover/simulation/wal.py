"""Write-ahead log as values: branches (timelines) and how far a server is on one.

That two branches have one number is possible here: that they never do, the checker sees to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One timeline, forked from its parent at a position."""

    number: int
    parent: Branch | None = None
    start: int = 0

    @property
    def lineage(self) -> Iterator[Branch]:
        """This one, its parent, and so on."""
        here: Branch | None = self
        while here is not None:
            yield here
            here = here.parent

    def fork(self, at: int, number: int) -> Branch:
        return Branch(number, self, at)


class Position(NamedTuple):
    """Everything on the branch (and its ancestors) up to ``lsn``."""

    branch: Branch
    lsn: int

    def contains(self, other: Position) -> bool:
        """Whether what was written at ``other`` is in this history."""
        return shared(self, other.branch) >= other.lsn


def shared(history: Position, branch: Branch) -> int:
    """Up to where a history holds that branch's own WAL; 0 where the branch is not in it."""
    here: Branch | None = history.branch
    limit = history.lsn
    while here is not None:
        if here is branch:
            return limit
        limit = min(limit, here.start)
        here = here.parent
    return 0


def fork_point(one: Position, other: Position) -> int:
    """Up to where two histories are the same."""
    if one.branch is other.branch:
        return min(one.lsn, other.lsn)
    limits: dict[int, int] = {}
    here: Branch | None = one.branch
    limit = one.lsn
    while here is not None:
        limits[id(here)] = limit
        limit = min(limit, here.start)
        here = here.parent
    here, limit = other.branch, other.lsn
    while here is not None:
        if id(here) in limits:
            return min(limits[id(here)], limit)
        limit = min(limit, here.start)
        here = here.parent
    return 0
