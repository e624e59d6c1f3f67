"""Patroni's side of ZooKeeper: what a cycle reads, the leader key, status and history.

Follows dcs/zookeeper.py and dcs/kazoo of Patroni 4.1. The hole is there on purpose:
``_update_leader`` compares sessions and deletes a leader key without a version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from failover.coordination.store import StoreUnavailable
from failover.simulation.client import Client
from failover.simulation.documents import loaded
from failover.simulation.wal import Branch
from failover.znode import Conflict, Create, Delete, Op, OutcomeUnknown, ScopePaths, Set, Znode

T = TypeVar("T")


class DcsFailed(Exception):
    """ZooKeeper did not answer for ``retry_timeout``."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cycle read at its start, and acts on to its end."""

    leader: Znode | None
    config: Mapping[str, Any]
    optime: int
    candidate: str = ""  # of a manual failover

    @property
    def leader_name(self) -> str | None:
        return None if self.leader is None else self.leader.data.decode()

    @property
    def paused(self) -> bool:
        return bool(self.config.get("pause"))

    @property
    def sync_names(self) -> str:
        parameters = self.config.get("postgresql", {}).get("parameters", {})
        return str(parameters.get("synchronous_standby_names", ""))

    @property
    def standby_cluster(self) -> dict[str, Any] | None:
        return self.config.get("standby_cluster") or None


class Dcs:
    """One Patroni process's connection."""

    def __init__(self, store: Client, paths: ScopePaths, name: str, retry_timeout_s: float) -> None:
        self.store = store
        self.paths = paths
        self.name = name
        self._retry_timeout_s = retry_timeout_s
        self._history_of: Branch | None = None

    def read_cluster(self, changed: Callable[[], None]) -> Seen:
        """``get_cluster``, with watches on configuration and leader key."""
        paths = self.paths
        found = self._retry(
            lambda: self.store.read_many((paths.config, paths.leader, paths.status, paths.failover))
        )
        for path in (paths.config, paths.leader):
            self.store.wake_on(path, changed)
        config, status, failover = (found[paths.config], found[paths.status], found[paths.failover])
        return Seen(
            leader=found[paths.leader],
            config=loaded(config.data) if config is not None else {},
            optime=int(loaded(status.data)["optime"]) if status is not None else 0,
            candidate=loaded(failover.data).get("member", "") if failover is not None else "",
        )

    def acquire_lock(self) -> bool:
        create = Create(self.paths.leader, self.name.encode(), ephemeral=True)
        return self._write(create) is None

    def update_lock(self, seen: Seen, lsn: int | None) -> bool:
        """``_update_leader``: compares the session that was read with its own; on a mismatch it
        deletes whatever is there, without a version, and makes it anew."""
        assert seen.leader is not None
        if seen.leader.ephemeral_owner != self.store.session_id:
            refusal = self._write(Delete(self.paths.leader))
            if refusal is not None and refusal.reason != "does not exist":
                return False  # NotEmptyError: a fence with its child
            if not self.acquire_lock():
                return False
        if lsn is not None and lsn != seen.optime:
            self._put(self.paths.status, {"optime": lsn})
        return True

    def release_lock(self) -> None:
        """Deletes the key where it names this member."""
        znode = self._retry(lambda: self.store.read(self.paths.leader))
        if znode is not None and znode.data.decode() == self.name:
            self._write(Delete(self.paths.leader, znode.version))

    def forget_candidate(self) -> None:
        """``manual_failover("", "")``: whatever is there by now, without a version."""
        self._put(self.paths.failover, {})

    def write_history(self, branch: Branch) -> None:
        """The switches of timeline that led to this primary."""
        if self._history_of is not branch:
            lines = [[b.parent.number, b.start] for b in branch.lineage if b.parent is not None]
            self._put(self.paths.history, lines[::-1])
            self._history_of = branch

    def _put(self, path: str, document: Any) -> None:
        data = json.dumps(document).encode()
        znode = self._retry(lambda: self.store.read(path))
        self._write(Create(path, data) if znode is None else Set(path, data, znode.version))

    def _retry(self, ask: Callable[[], T]) -> T:
        """kazoo's retries, up to ``retry_timeout``."""
        kernel = self.store.kernel
        until_s = kernel.now + self._retry_timeout_s
        while True:
            try:
                return ask()
            except StoreUnavailable:
                if kernel.now >= until_s:
                    raise DcsFailed from None
                kernel.sleep(0.1)

    def _write(self, op: Op) -> Conflict | None:
        """One write; None: it happened. After a lost connection it is tried again (kazoo does)."""

        def attempt() -> Conflict | None:
            outcome = self.store.commit((op,))
            if isinstance(outcome, OutcomeUnknown):
                raise StoreUnavailable(outcome.reason)
            return outcome if isinstance(outcome, Conflict) else None

        return self._retry(attempt)
