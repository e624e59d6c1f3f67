"""The newest entries of the history, read again when its head has changed.

For what is shown, never for a decision. Read on a thread of its own, so that no turn waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from failover.coordination.reads import read_all
from failover.coordination.store import Store
from failover.history import NO_HEAD, HeadSeen
from failover.history_check import Stored, understood
from failover.znode import GroupPaths

ENTRIES_MAX = 100


def newest_first(store: Store, paths: GroupPaths, most: int) -> Iterator[Stored]:
    """Read as far back as somebody asks for, and ``most`` at the most. StoreUnavailable."""
    names = sorted(store.children(paths.history), reverse=True)[:most]
    for start in range(0, len(names), ENTRIES_MAX):
        part = [f"{paths.history}/{name}" for name in names[start : start + ENTRIES_MAX]]
        found = read_all(store, part)
        yield from (understood(znode) for path in part if (znode := found[path]) is not None)


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
        found = read_all(self._store, [f"{self._paths.history}/{name}" for name in names])
        self.entries = tuple(understood(znode) for znode in found.values() if znode is not None)
        self._head = head
