"""Renewals: one write on the session's own token, twice a second.

A thread of the worker. Invariant: what is reported as renewed was committed, in the session that
is named, and was sent no earlier than said. An answer that takes longer than the limit ends the
connection, never the session. Silent while ``paused``: then the lease runs out by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from failover.clock import boottime_s
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.keys import KeyRing
from failover.coordination.session import SavedSession, Server, SessionClient, renew
from failover.coordination.store import StoreUnavailable
from failover.guard.messages import FromWorker, Renewed, SessionOpened
from failover.guard.permits import Member, open_session, renewal
from failover.timing import LeaseTiming
from failover.znode import Committed

log = structlog.get_logger(__name__)


class SessionKeeper:
    """Owns the client. ``store`` is for everybody in this process."""

    def __init__(
        self,
        me: Member,
        servers: tuple[Server, ...],
        timing: LeaseTiming,
        saved: SavedSession | None,
        send: Callable[[FromWorker], None],
        announce: Callable[[float], bool],
        keys: KeyRing | None = None,
    ) -> None:
        """``announce``: told of every renewal before it is sent, with its time; False: in vain."""
        self._me = me
        self._timing = timing
        self._send = send
        self._announce = announce
        self._token_of: int | None = None
        self._connected = threading.Event()
        self.paused = threading.Event()
        self._client = SessionClient(
            servers,
            session_ms=timing.session_ms,
            answer_limit_s=timing.answer_limit_s,
            saved=saved,
            on_session=self._session_seen,
            on_suspended=self._connected.clear,
            keys=keys,
        )
        self.store = KazooStore(
            self._client,
            servers=", ".join(str(server) for server in servers),
            limit_s=timing.answer_limit_s,
            drop_socket=self._client.drop_socket,
            keys=keys,
        )

    def _session_seen(self, session_id: int) -> None:
        log.info("connected", session_id=f"{session_id:016x}", server=self.store.connected_to)
        self._connected.set()

    def run(self) -> None:
        """For ever. RuntimeError, which ends the worker, where only another one connects again."""
        self._client.start_async()
        sent_s, failing = 0.0, False
        while True:
            wait_s = sent_s + self._timing.renewal_interval_s - boottime_s()
            if wait_s > 0:
                time.sleep(wait_s)
            self._connected.wait(self._timing.renewal_interval_s)
            if self._client.has_ended:
                raise RuntimeError("the connection to ZooKeeper has ended for good")
            saved = self._client.saved_session
            if saved is None or self.paused.is_set():
                time.sleep(0.02)
                continue
            sent_s = boottime_s()
            try:
                self._renew(saved, sent_s)
            except StoreUnavailable as error:
                if not failing:
                    log.warning("renewal_failed", error=str(error))
                failing = True
            else:
                failing = False

    def _renew(self, saved: SavedSession, sent_s: float) -> None:
        if self._token_of != saved.session_id and not self._open(saved):
            return
        if self._client.negotiated_ms < self._timing.session_ms:
            # It would end before the deadline: no lease can be had of this ensemble.
            log.error("session_too_short", given_ms=self._client.negotiated_ms)
            return
        announced = self._announce(sent_s)
        if renew(self._client, renewal(self._me, saved.session_id)):
            self._send(Renewed(saved.session_id, sent_s, announced))
        else:
            log.error("token_gone", session_id=f"{saved.session_id:016x}")
            self._token_of = None

    def _open(self, saved: SavedSession) -> bool:
        """Make sure of the token; one that is there already is our own, by its name."""
        path = self._me.paths.session(saved.session_id)
        outcome = self.store.commit(open_session(self._me, saved.session_id))
        if not isinstance(outcome, Committed):
            token = self.store.read(path)
            if token is None or token.ephemeral_owner != saved.session_id:
                return False  # before `failover init` there is no place for it
        self._token_of = saved.session_id
        self._send(SessionOpened(saved.session_id, saved.password.hex()))
        return True
