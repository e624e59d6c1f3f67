"""What the desk reads of ZooKeeper in one round, and what wakes it for the next.

Invariant: a read may be of before and decides nothing: whatever follows from it is written on its
versions, or read again after a sync.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog

from failover.coordination.kazoo_store import KazooStore
from failover.foreign import json_object
from failover.guard.permits import Member
from failover.state import GroupState, StateError, decode_state
from failover.znode import ScopePaths, Znode

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """One round's reads."""

    state: Znode | None
    claim: Znode | None
    last_writer: Znode | None
    proof: Znode | None
    leader: Znode | None
    config: Znode | None


class Reads:
    """Of one desk: ``wake`` is set when something it read has changed."""

    def __init__(
        self, me: Member, scope: ScopePaths, store: KazooStore, wake: threading.Event
    ) -> None:
        self._me = me
        self._scope = scope
        self._store = store
        self._wake = wake
        self._watched: set[str] = set()

    def read(self) -> Seen:
        paths, cluster = self._me.paths, self._me.cluster
        wanted = (
            paths.state,
            paths.writer(cluster),
            paths.last_writer(cluster),
            paths.stopped(cluster),
            self._scope.leader,
            self._scope.config,
        )
        for path in (wanted[0], wanted[1], wanted[4], wanted[5]):
            self._watch(path)
        found = self._store.read_many(wanted)
        return Seen(*(found[path] for path in wanted))

    def _watch(self, path: str) -> None:
        if path in self._watched:
            return
        self._watched.add(path)

        def changed() -> None:
            self._watched.discard(path)
            self._wake.set()

        self._store.wake_on(path, changed)


def decoded(znode: Znode | None) -> GroupState | None:
    """The group's state; None where there is none, or none that is understood."""
    try:
        return None if znode is None else decode_state(znode.data, path=znode.path)
    except StateError as error:
        log.error("state_unreadable", error=str(error))
        return None


def text(znode: Znode | None) -> str | None:
    return None if znode is None else znode.data.decode(errors="replace")


def is_paused(config: Znode | None) -> bool:
    """Whether Patroni's key may be absent. Also where it cannot be read: a doubt stops no server,
    which its lease bounds in any case."""
    if config is None:
        return False
    try:
        return bool(json_object(config.data).get("pause"))
    except ValueError:
        return True
