"""A controller's sign of life: its latest observation in an ephemeral znode, rewritten each round.

Invariant: a renewal that was committed on a znode of one's own session is the only proof that the
session lives, and it counts from when the request was *sent*. Two controllers of one site do not
fight: a znode of somebody else's session that still changes is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.coordination.store import Store, StoreUnavailable
from failover.znode import Committed, Create, Delete, Set, Transaction, Znode

ABANDONED_AFTER_S = 2.0  # rounds take 1.2 s at most; a crashed predecessor's znode stays 4 s


@dataclass(frozen=True, slots=True)
class _Foreign:
    """The znode of another session at our place, and since when it has looked like this."""

    owner: int
    version: int
    since_s: float
    was_changed: bool  # while we looked: its owner lives


class Presence:
    """Keeps one ephemeral znode alive and says until when that proved the session."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._session: int | None = None
        self._version: int | None = None  # None: to be found out
        self._foreign: _Foreign | None = None
        self.proven_sent_s: float | None = None  # on the clock of the caller

    @property
    def taken_by_another(self) -> bool:
        """Another living session publishes here: a second controller with our site's name?"""
        return self._foreign is not None and self._foreign.was_changed

    def publish(self, store: Store, data: bytes, boottime_s: float) -> bool:
        """Write once. ``boottime_s`` must have been read before this call. True: committed."""
        session = store.session_id
        if session is None:
            return False
        try:
            transaction = self._transaction(store, session, data, boottime_s)
        except StoreUnavailable:
            return False
        if transaction is None:
            return False
        outcome = store.commit(transaction)
        if not isinstance(outcome, Committed) or store.session_id != session:
            self._version = None
            return False
        last = transaction[-1]
        self._version = last.version + 1 if isinstance(last, Set) else 0
        self._session, self._foreign = session, None
        self.proven_sent_s = boottime_s
        return True

    def _transaction(
        self, store: Store, session: int, data: bytes, boottime_s: float
    ) -> Transaction | None:
        if self._version is not None and self._session == session:
            return (Set(self._path, data, self._version),)
        create = Create(self._path, data, ephemeral=True)
        found = store.read(self._path)
        if found is None:
            return (create,)
        if found.ephemeral_owner == session:
            return (Set(self._path, data, found.version),)
        if self._is_abandoned(found, boottime_s):
            return (Delete(self._path, found.version), create)
        return None

    def _is_abandoned(self, found: Znode, boottime_s: float) -> bool:
        before = self._foreign
        owner, version = found.ephemeral_owner, found.version
        if before is not None and (before.owner, before.version) == (owner, version):
            return boottime_s - before.since_s >= ABANDONED_AFTER_S
        changed = before is not None and before.owner == owner
        self._foreign = _Foreign(owner, version, boottime_s, was_changed=changed)
        return False
