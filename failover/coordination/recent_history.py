"""Entries of the history: those of these names, the newest, or the newest again when its head has
changed.

For what is shown, never for a decision. A controller reads them on a thread of its own, so that no
turn waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from failover.coordination.reads import read_all
from failover.coordination.store import Store
from failover.history import NO_HEAD, HeadSeen
from failover.history_check import Stored, understood
from failover.znode import GroupPaths

ENTRIES_MAX = 100
READ_AT_ONCE = 200  # all of a call has to be answered within the limit of a read


def stored(store: Store, paths: GroupPaths, names: Iterable[str]) -> tuple[Stored, ...]:
    """These entries, in this order; who is gone meanwhile is left out. StoreUnavailable."""
    return tuple(_stored(store, [f"{paths.history}/{name}" for name in names]))


def _stored(store: Store, wanted: list[str]) -> Iterator[Stored]:
    for start in range(0, len(wanted), READ_AT_ONCE):
        part = wanted[start : start + READ_AT_ONCE]
        found = read_all(store, part)
        yield from (understood(znode) for path in part if (znode := found[path]) is not None)


def newest_first(store: Store, paths: GroupPaths, most: int) -> Iterator[Stored]:
    """Read as far back as somebody asks for, and ``most`` at the most. StoreUnavailable."""
    names = sorted(store.children(paths.history), reverse=True)[:most]
    for start in range(0, len(names), ENTRIES_MAX):
        yield from stored(store, paths, names[start : start + ENTRIES_MAX])


class RecentHistory:
    """``entries``: the newest, oldest first; one that cannot be understood stands there as such."""

    def __init__(self, store: Store, paths: GroupPaths) -> None:
        self._store = store
        self._paths = paths
        self._head = NO_HEAD
        self.entries: tuple[Stored, ...] = ()

    def outdated(self, head: HeadSeen) -> bool:
        return head != self._head

    def read(self, head: HeadSeen) -> None:
        """Read what belongs to this head. StoreUnavailable: what was read before stays."""
        names = sorted(self._store.children(self._paths.history))[-ENTRIES_MAX:]
        self.entries = stored(self._store, self._paths, names)
        self._head = head
