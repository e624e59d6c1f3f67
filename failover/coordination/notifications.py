"""How far each target has been told, and what stands behind that in the history.

Invariant: a place only moves after what stands before it was delivered, on condition of the place
that was read. One that cannot be understood is as good as none at all: told twice rather than not
at all (``Place.problem`` says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as strict

from failover.coordination.recent_history import stored
from failover.coordination.store import Store
from failover.fields import NotExactly, read_exactly
from failover.history_check import Stored
from failover.notifications.due import Window, window
from failover.znode import Create, GroupPaths, Outcome, OutcomeUnknown, Set, Znode


@strict(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class _Record:
    """The znode's bytes."""

    entry: Annotated[str, Field(pattern=r"^(e-[0-9]{10})?$")]
    schema: Literal[1] = 1


_ADAPTER: TypeAdapter[_Record] = TypeAdapter(_Record)


@dataclass(frozen=True, slots=True)
class Place:
    """``entry``: the newest that is done with; empty: none. ``version`` None: not on record yet."""

    entry: str
    version: int | None
    problem: str = ""


def read_place(store: Store, paths: GroupPaths, target: str) -> Place:
    """Where this target is. StoreUnavailable without an answer."""
    found = store.read(paths.notified(target))
    if found is None:
        return Place("", None)
    return _understood(found)


def _understood(found: Znode) -> Place:
    try:
        record = read_exactly(_ADAPTER, found.data)
    except NotExactly as error:
        problem = f"{found.path}: cannot be understood: {error}"
        return Place("", found.version, problem)
    return Place(record.entry, found.version)


def write_place(store: Store, paths: GroupPaths, target: str, before: Place, entry: str) -> Outcome:
    """Move it from where it was read. A conflict: another controller has moved it."""
    data = _ADAPTER.dump_json(_Record(entry))
    path = paths.notified(target)
    if before.version is not None:
        return store.commit((Set(path, data, before.version),))
    if store.read(paths.notifications) is None:  # of a group that is older than notifications
        made = store.commit((Create(paths.notifications, b""),))
        if isinstance(made, OutcomeUnknown):
            return made
    return store.commit((Create(path, data),))


def names(store: Store, paths: GroupPaths) -> tuple[str, ...]:
    """The entries of the history, oldest first. StoreUnavailable without an answer."""
    return store.children(paths.history)


def behind(store: Store, paths: GroupPaths, after: str) -> tuple[Window, tuple[Stored, ...]]:
    """What stands behind a place. StoreUnavailable without an answer."""
    found = window(names(store, paths), after)
    return found, stored(store, paths, found.names)
