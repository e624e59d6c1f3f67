"""A ``Store`` in memory for tests of what is built on it: several sessions on one tree."""

from __future__ import annotations

import threading

from failover.coordination.store import FORBIDDEN, StoreForbidden, StoreUnavailable
from failover.simulation.tree import EMPTY, Tree, apply, without_session
from failover.znode import Committed, Conflict, Outcome, OutcomeUnknown, Transaction, Znode


class World:
    """One tree, shared by its sessions."""

    def __init__(self) -> None:
        self.tree: Tree = EMPTY
        self._sessions = 0
        self.committing = threading.Lock()

    def session(self) -> MemoryStore:
        self._sessions += 1
        return MemoryStore(self, 0x1000 + self._sessions)


class MemoryStore:
    """One session. ``silent``: nothing is answered; ``lose_answers``: done, but not told;
    ``forbidden``: its key is refused."""

    def __init__(self, world: World, session_id: int) -> None:
        self._world = world
        self._session_id: int | None = session_id
        self.silent = False
        self.lose_answers = False
        self.forbidden = False
        self.committed: list[Transaction] = []

    @property
    def session_id(self) -> int | None:
        return None if self.silent else self._session_id

    def read(self, path: str) -> Znode | None:
        self._answer()
        node = self._world.tree.get(path)
        return None if node is None else node.znode

    def children(self, path: str) -> tuple[str, ...]:
        self._answer()
        node = self._world.tree.get(path)
        return () if node is None else tuple(sorted(node.children))

    def sync(self) -> None:
        self._answer()

    def commit(self, transaction: Transaction) -> Outcome:
        if self.silent or self._session_id is None:
            return OutcomeUnknown("silent")
        if self.forbidden:
            return Conflict(0, transaction[0], FORBIDDEN)
        with self._world.committing:
            outcome = apply(self._world.tree, transaction, self._session_id)
            if isinstance(outcome, Conflict):
                return outcome
            self._world.tree, created = outcome
        self.committed.append(transaction)
        return OutcomeUnknown("answer lost") if self.lose_answers else Committed(tuple(created))

    def expire(self) -> None:
        """The session ends; a new one with another id begins."""
        assert self._session_id is not None
        self._world.tree, _ = without_session(self._world.tree, self._session_id)
        self._session_id += 0x100000

    def _answer(self) -> None:
        if self.silent:
            raise StoreUnavailable("silent")
        if self.forbidden:
            raise StoreForbidden(f"/state {FORBIDDEN}")
