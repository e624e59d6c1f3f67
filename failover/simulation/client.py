"""One client of ZooKeeper: the ``Store`` protocol, with everything that can go wrong with it.

Behaves as coordination/kazoo_store.py does over kazoo: an operation without an answer is given up
after ``limit_s`` and the next server is dialled in the background; a write whose answer is lost has
happened or not; after an expiry a new session is opened by itself. Invariant: a client alone never
knows whether its session lives; only a committed write proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from failover.coordination.store import StoreUnavailable
from failover.simulation.ensemble import Ensemble, Server, Session
from failover.simulation.kernel import Kernel, Process
from failover.simulation.network import Host
from failover.simulation.tree import Tree
from failover.znode import (
    Committed,
    Outcome,
    OutcomeUnknown,
    Transaction,
    Znode,
)


class Client:
    """See the module. ``owner`` is the process that it lives in: frozen and dead with it."""

    def __init__(
        self,
        ensemble: Ensemble,
        host: Host,
        servers: list[Server],
        *,
        session_s: float,
        limit_s: float = 1.0,
        owner: Process | None = None,
        resume: int | None = None,
        lost_answers: Callable[[], bool] = lambda: False,
    ) -> None:
        self.host = host
        self.owner = owner
        self.closed = False
        self.operations = 0
        self.before_operation: Callable[[], None] | None = None  # for planted crashes
        self.after_operation: Callable[[], None] | None = None
        self.around_commit: Callable[[Transaction, bool], None] | None = None  # (…, done)
        self._ensemble = ensemble
        self.kernel: Kernel = ensemble.kernel
        self._network = ensemble.network
        self._servers = list(servers)
        self.kernel.random.shuffle(self._servers)
        self._next = 0
        self._session_s = session_s
        self._limit_s = limit_s
        self._lost_answers = lost_answers
        self._server: Server | None = None
        self._session: Session | None = None
        self._session_id = resume
        self._seen_zxid = 0
        self._silent_s = 0.0
        self._dial_at = 0.0
        self._watches: list[_Watch] = []
        ensemble.on_beat.append(self._beat)
        self._dial()

    # ------------------------------------------------------------------ Store

    @property
    def session_id(self) -> int | None:
        return self._session_id

    @property
    def connected(self) -> bool:
        return self._server is not None

    def read(self, path: str) -> Znode | None:
        node = self._view(self._limit_s).get(path)
        return None if node is None else node.znode

    def read_many(self, paths: Iterable[str]) -> dict[str, Znode | None]:
        """Several znodes in one round trip."""
        found = self._view(self._limit_s).get
        return {path: None if (node := found(path)) is None else node.znode for path in paths}

    def children(self, path: str) -> tuple[str, ...]:
        node = self._view(self._limit_s).get(path)
        return () if node is None else tuple(sorted(node.children))

    def sync(self) -> None:
        server = self._ask()
        ensemble = self._ensemble
        if server.linked and ensemble.has_quorum:
            self._seen_zxid = ensemble.zxid
            self._answered(server)
            return
        if server.leads:
            self._answered(server)  # an isolated leader answers sync, from its old tree
            return
        self._no_answer()
        raise StoreUnavailable("no answer to sync from ZooKeeper")

    def commit(self, transaction: Transaction) -> Outcome:
        if not transaction:
            return Committed()
        if self.around_commit is not None:
            self.around_commit(transaction, False)
        outcome = self._commit(transaction)
        if self.around_commit is not None:
            self.around_commit(transaction, True)
        return outcome

    def _commit(self, transaction: Transaction) -> Outcome:
        try:
            server = self._ask()
        except StoreUnavailable as error:
            return OutcomeUnknown(str(error))
        session = self._session
        if session is None or not self._attached_to(server):
            self._lose_connection()
            return OutcomeUnknown("ZooKeeper: the session has expired or moved")
        lost = self._lost_answers()
        if lost and self.kernel.random.random() < 0.4:
            self._no_answer()
            return OutcomeUnknown("connection lost")
        outcome = self._ensemble.commit(session, transaction, server)
        if outcome is None or lost:
            self._no_answer()
            return OutcomeUnknown(f"no answer from ZooKeeper within {self._limit_s:g} s")
        self._ensemble.touch(session, server)
        self._seen_zxid = self._ensemble.zxid
        try:
            self._answered(server)
        except StoreUnavailable as error:
            return OutcomeUnknown(str(error))
        return outcome

    def wake_on(self, path: str, callback: Callable[[], None]) -> None:
        """Call back once when the znode is made, changed or deleted (a process may be woken)."""
        watch = _Watch(self, callback)
        self._watches.append(watch)
        self._ensemble.watches.setdefault(path, []).append(watch.fire)

    def close(self) -> None:
        """End the session at once: its ephemerals go."""
        session = self._session
        self.drop()
        if session is not None and session.alive:
            self._ensemble.end_session(session)

    def drop(self) -> None:
        """The process is gone: nothing is closed, the session lives until it expires."""
        if not self.closed:
            self.closed = True
            self._ensemble.on_beat.remove(self._beat)

    # ------------------------------------------------------------------ one request

    def _view(self, limit_s: float) -> Tree:
        server = self._ask()
        tree, self._seen_zxid = self._ensemble.view(server, self._seen_zxid)
        session = self._session
        if session is not None:
            self._ensemble.touch(session, server)
        self._answered(server)
        return tree

    def _ask(self) -> Server:
        """Send a request: the server that has it now. StoreUnavailable where none has."""
        self.operations += 1
        if self.before_operation is not None:
            self.before_operation()
        server = self._server
        if server is None:
            raise StoreUnavailable("no connection to ZooKeeper")
        self.kernel.sleep(self._network.delay_s(self.host, server.host))
        if self._server is not server:
            raise StoreUnavailable("ZooKeeper connection lost")
        if not (server.serves and self._network.passes(self.host, server.host)):
            self._no_answer()
            raise StoreUnavailable(f"no answer from ZooKeeper within {self._limit_s:g} s")
        return server

    def _answered(self, server: Server) -> None:
        """The way back. StoreUnavailable where the answer does not arrive."""
        self.kernel.sleep(self._network.delay_s(self.host, server.host))
        if not self._network.passes(server.host, self.host):
            self._no_answer()
            raise StoreUnavailable(f"no answer from ZooKeeper within {self._limit_s:g} s")
        self._silent_s = 0.0
        if self.after_operation is not None:
            self.after_operation()

    def _no_answer(self) -> None:
        """Wait for the limit, then drop the socket."""
        server = self._server
        self.kernel.sleep(self._limit_s)
        if self._server is server:
            self._lose_connection()

    def _lose_connection(self) -> None:
        self._server = None
        self._dial_at = self.kernel.now
        for watch in self._watches:
            watch.wake()
        self._watches.clear()

    # ------------------------------------------------------------------ in the background

    @property
    def _runs(self) -> bool:
        """Whether kazoo's own threads run now."""
        if not self.host.answers:
            return False
        return self.owner is None or (self.owner.alive and not self.owner.frozen)

    def _beat(self) -> None:
        """kazoo's pings and its reconnecting."""
        if not self._runs:
            return
        server = self._server
        if server is None:
            if self.kernel.now >= self._dial_at:
                self._dial()
        elif not self._network.talks(self.host, server.host):
            self._silent_s += 0.25
            if self._silent_s > self._session_s * 2 / 3:
                self._lose_connection()
        elif not server.joined or (server.linked and not self._attached_to(server)):
            self._lose_connection()  # the server closed it: no quorum, or the session is over
        elif self._session is not None:
            self._ensemble.touch(self._session, server)

    def _attached_to(self, server: Server) -> bool:
        session = self._session
        return session is not None and session.alive and session.server is server

    def _dial(self) -> None:
        """Try the next server; a dead one costs the whole limit."""
        server = self._servers[self._next % len(self._servers)]
        self._next += 1
        reached = self._network.talks(self.host, server.host)
        self._dial_at = self.kernel.now + (0.0 if reached else self._limit_s)
        if not (reached and server.serves):
            return
        if self._session_id is not None:
            resumed = self._ensemble.resume_session(self._session_id, server)
            if resumed is None:
                return
            if isinstance(resumed, Session):
                self._attach(resumed, server)
                return
            self._session_id = None  # expired: kazoo opens a new one by itself
        session = self._ensemble.open_session(self._session_s, server)
        if session is not None:
            self._attach(session, server)

    def _attach(self, session: Session, server: Server) -> None:
        self._session, self._session_id, self._server = session, session.id, server
        self._silent_s = 0.0

    def reaches_quorum(self) -> float | None:
        """How late its server tells it of a change; None where it cannot."""
        server = self._server
        if self.closed or server is None or not server.linked:
            return None
        return server.lag_s + self._network.delay_s(self.host, server.host)

    def forget(self, watch: _Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)


class _Watch:
    """Told once, a little later; lost where the server is cut off (then losing the connection
    tells)."""

    __slots__ = ("_callback", "_client")

    def __init__(self, client: Client, callback: Callable[[], None]) -> None:
        self._client = client
        self._callback: Callable[[], None] | None = callback

    def fire(self) -> None:
        late_s = self._client.reaches_quorum()
        if late_s is not None:
            self._client.forget(self)
            self._client.kernel.after(late_s, self.wake)

    def wake(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None and not self._client.closed:
            callback()
