"""One deliberate breakage of the protocol: what is replaced at run time, and what should see it.

Nothing of the product is changed on disk. ``planted`` puts every replacement in its place and takes
it out again. The plan checks would refuse much of what is planted in a transaction; they are made
blind meanwhile, and what they would have said is noted: the simulation has to see it without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from failover.planning import decision

Story = Callable[[], None]  # AssertionError (a Violation is one): it sees that something is broken


@dataclass(frozen=True)
class Replacement:
    """``owner.name`` is ``value`` while the mutation is planted."""

    owner: Any
    name: str
    value: Any


@dataclass(frozen=True)
class Mutation:
    """``seeds``: random schedules where no story sees it; ``unseen``: why the simulation cannot."""

    name: str
    sentence: str
    replacements: tuple[Replacement, ...]
    stories: tuple[Story, ...]
    seeds: int = 60
    unseen: str = ""


@dataclass
class Planted:
    """What the plan checks refused while it was."""

    refused: set[str] = field(default_factory=set)


@contextmanager
def planted(mutation: Mutation) -> Iterator[Planted]:
    """The protocol is broken in here."""
    found, lint = Planted(), decision.lint

    def blind(plan: object, view: object) -> tuple[object, ...]:
        found.refused |= {problem.check for problem in lint(plan, view)}  # type: ignore[arg-type]
        return ()

    before = [(r.owner, r.name, r.owner.__dict__[r.name]) for r in mutation.replacements]
    decision.lint = blind  # type: ignore[assignment]
    try:
        for replacement in mutation.replacements:
            setattr(replacement.owner, replacement.name, replacement.value)
        yield found
    finally:
        decision.lint = lint
        for owner, name, value in before:
            setattr(owner, name, value)
