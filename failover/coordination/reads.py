"""Several znodes of a ``Store`` at once.

A store that can ask for many in one round trip (``KazooStore.read_many``) does; any other is
asked one by one. Never a snapshot: each znode is as it was at some moment of the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Protocol, TypeGuard, runtime_checkable

from failover.coordination.store import Store
from failover.znode import Znode


@runtime_checkable
class ReadsMany(Protocol):
    """What a store offers that reads several znodes in one round trip."""

    def read_many(self, paths: Iterable[str]) -> dict[str, Znode | None]:
        """Each path's znode, None where there is none. StoreUnavailable without an answer."""


def read_all(store: Store, paths: Iterable[str]) -> dict[str, Znode | None]:
    """Each path's znode, None where there is none. StoreUnavailable without an answer."""
    wanted = tuple(dict.fromkeys(paths))
    if _reads_many(store):
        return store.read_many(wanted)
    return {path: store.read(path) for path in wanted}


def _reads_many(store: Store) -> TypeGuard[ReadsMany]:
    return _kind_reads_many(type(store))


@cache  # the check of a protocol looks at every attribute
def _kind_reads_many(kind: type[Store]) -> bool:
    return issubclass(kind, ReadsMany)
