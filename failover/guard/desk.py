"""The worker's desk: reads ZooKeeper, gives permits, gives the claim back, one thing at a time.

A thread of the worker; ``permits`` decides, this carries it out, with ``reads`` and
``claim_keeper`` as its hands. One thread for all of it, so that a release can never overtake a
permit: without a grant, and with no permit that the minder has yet to take note of, a claim of
this session is given back. Invariant: nothing is written but whole conditional transactions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from failover.clock import boottime_s
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.guard.claim_keeper import ClaimKeeper
from failover.guard.control_file import newest_timeline, read_control
from failover.guard.local_connection import SOCKET_DIR
from failover.guard.messages import (
    Answer,
    FromWorker,
    LeaderRead,
    MinderStatus,
    PermitAnswer,
    PermitAsk,
    Purpose,
    StateRead,
    StoodDown,
)
from failover.guard.permits import (
    AskPermit,
    Member,
    PermitInputs,
    RefusalReason,
    Refuse,
    Unarmed,
    WalEnd,
    decide_permit,
    needs_wal_end,
    plan_here,
    stand_down,
    stop_here,
)
from failover.guard.reads import Reads, Seen, decoded, is_paused, text
from failover.guard.records import Places
from failover.guard.wal_end import ask_server, stopped_at
from failover.model import TimelineId
from failover.policy import DatabaseHost
from failover.state import GroupState
from failover.znode import Check, Committed, ScopePaths, Znode

ROUND_S = 0.5
WAITING_ROUND_S = 0.1  # while a permit waits for something that passes by itself
COMMIT_TRIES = 3
SAME_PROMOTION_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    ask: PermitAsk
    until_s: float


class Desk:
    """Call ``status``, ``ask`` and ``withdraw`` from any thread; ``run`` in its own."""

    def __init__(
        self,
        me: Member,
        host: DatabaseHost,
        scope: ScopePaths,
        places: Places,
        boot: str,
        store: KazooStore,
        send: Callable[[FromWorker], None],
        on_state: Callable[[GroupState], None],
        before_promotion: Callable[[GroupState], None],
        on_config: Callable[[], None],
        *,
        armed: bool,
    ) -> None:
        self._me = me
        self._host = host
        self._scope = scope
        self._places = places
        self._store = store
        self._send = send
        self._on_state = on_state
        self._before_promotion = before_promotion
        self._on_config = on_config
        self._config_version: int | None = None
        self._armed = armed
        self._wake = threading.Event()
        self._reads = Reads(me, scope, store, self._wake)
        self._claim = ClaimKeeper(me, places, boot, store, send, self._wake)
        self._mutex = threading.Lock()
        self._status: MinderStatus | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._last_yes = 0
        self._prepared_for = (-1, False)  # version of ``last_writer``; a promotion was asked for
        self._end_while_running: tuple[WalEnd | None, float] = (None, 0.0)

    # ----------------------------------------------------------------------- from the link

    def status(self, status: MinderStatus) -> None:
        before, self._status = self._status, status
        if before is None or (before.granted, before.server_alive, before.demoted) != (
            status.granted,
            status.server_alive,
            status.demoted,
        ):
            self._wake.set()

    @property
    def serves(self) -> bool:
        """This host's server is the primary, under a grant, as far as the minder last said."""
        status = self._status
        return status is not None and status.granted and status.in_production

    def ask(self, ask: PermitAsk) -> None:
        with self._mutex:
            self._waiting[ask.request] = _Waiting(ask, time.monotonic() + ask.patience_s)
        self._wake.set()

    def withdraw(self, request: int) -> None:
        with self._mutex:
            self._waiting.pop(request, None)

    # ----------------------------------------------------------------------- the thread

    def run(self) -> None:
        failing = True  # until the first connection there is nothing to report
        while True:
            try:
                self._round()
                failing = False
            except StoreUnavailable as error:
                if not failing:
                    log.warning("no_answer", error=str(error))
                failing = True
                self._refuse_late(Refuse(RefusalReason.NO_ANSWER, str(error)))
                time.sleep(0.05)
            self._wake.wait(WAITING_ROUND_S if self._waiting else ROUND_S)
            self._wake.clear()

    def _round(self) -> None:
        seen = self._reads.read()
        self._report(seen)
        if not self._stood_down(seen):
            return
        self._notice_config(seen)
        self._prepare_promotion(seen)
        self._look_ahead(seen)
        status = self._status
        with self._mutex:
            waiting = list(self._waiting.values())
        for permit in waiting:
            self._try_permit(permit, seen)
        if status is None:
            return
        if status.granted:
            self._claim.check(seen)
        elif not waiting and self._last_yes <= status.permits_seen:
            self._claim.give_back(seen, status)

    def _report(self, seen: Seen) -> None:
        state = decoded(seen.state)
        granted = self._status is not None and self._status.granted
        if granted and stop_here(self._me, state):
            # Never for a follower that lags behind: the plan may have gone back.
            self._store.sync()
            state = decoded(self._store.read(self._me.paths.state))
        # What cannot be read arms nobody: a pair that is only looked at would be stopped for it. It
        # gives no permit either, and disarms nobody.
        unreadable = seen.state is not None and state is None
        armed = self._armed if unreadable else state is not None and state.armed
        self._armed = self._armed or armed
        self._send(
            StateRead(
                exists=armed,
                epoch=None if state is None else state.epoch,
                plan_here=plan_here(self._me, state) is not None,
                stop_here=stop_here(self._me, state),
                arming=state is not None and state.arming,
            )
        )
        if state is not None:
            self._on_state(state)
        name = text(seen.leader)
        synced = False
        if granted and name != self._me.host:
            self._store.sync()
            name, synced = text(self._store.read(self._scope.leader)), True
        self._send(LeaderRead(name, is_paused(seen.config), synced))

    def _stood_down(self, seen: Seen) -> bool:
        """Whether this round goes on: not before what an armed guard held is given back."""
        state, session_id = decoded(seen.state), self._store.session_id
        if seen.state is None or state is None or state.armed or not self._armed:
            return True
        if session_id is None:
            return False
        outcome = self._store.commit(stand_down(self._me, seen.state, seen.claim, session_id))
        log.warning("standing_down", outcome=type(outcome).__name__)
        self._wake.set()  # and look again at once, whatever came of it
        if isinstance(outcome, Committed):
            self._armed = False
            self._prepared_for = (-1, False)
            self._send(StoodDown())
        return False

    def _notice_config(self, seen: Seen) -> None:
        """Whom commits wait for stands in there."""
        version = seen.config.version if seen.config is not None else None
        if self._config_version is not None and version != self._config_version:
            self._on_config()
        self._config_version = version

    # ----------------------------------------------------------------------- permits

    def _prepare_promotion(self, seen: Seen) -> None:
        """What only the other site has is fetched when the claim of a lost primary is gone, before
        Patroni's key is; and, because observers may not have seen all of it by then, once more when
        the promotion is asked for."""
        status, state = self._status, decoded(seen.state)
        if state is None or status is None or seen.last_writer is None or seen.claim is not None:
            return
        if not state.armed:
            return
        standby = status.server_alive and not status.in_production and not status.granted
        asked = any(w.ask.purpose is Purpose.PRE_PROMOTE for w in self._waiting.values())
        occasion = (seen.last_writer.version, asked)
        # Not "older than": the znode is made anew where a pair is armed again, from version 0 on.
        done = self._prepared_for in (occasion, (seen.last_writer.version, True))
        if not standby or state.plan is not None or done:
            return
        self._prepared_for = occasion
        self._before_promotion(state)
        self._end_while_running = (None, 0.0)

    def _try_permit(self, waiting: _Waiting, seen: Seen) -> None:
        synced = False
        for _ in range(COMMIT_TRIES):
            session_id = self._store.session_id
            if session_id is None:
                return None
            decision = decide_permit(self._me, self._permit_inputs(waiting, seen, session_id))
            match decision:
                case Unarmed() if self._is_still(seen.state):
                    return self._answer(waiting, Answer.UNARMED, "unarmed", "")
                case Refuse() if decision.passes_by_itself and time.monotonic() < waiting.until_s:
                    return None
                case Refuse() if not synced:
                    # A failed hook bars the host for long: never for a follower that lags behind.
                    self._store.sync()
                    synced, self._end_while_running = True, (None, 0.0)
                case Refuse():
                    return self._answer(waiting, Answer.NO, decision.reason, decision.detail)
                case AskPermit(transaction, epoch, _, timeline):
                    outcome = self._store.commit(transaction)
                    if isinstance(outcome, Committed):
                        self._last_yes = max(self._last_yes, waiting.ask.request)
                        return self._answer(
                            waiting, Answer.YES, "granted", "", epoch, session_id, timeline
                        )
                    log.info("permit_not_committed", outcome=repr(outcome))
            seen = self._reads.read()  # it happened or it did not: read and decide again
        return None

    def _is_still(self, state: Znode | None) -> bool:
        """A follower that lags behind, or a leader cut off from the others, may show the record of
        before the group was armed."""
        if state is None:
            return True
        return isinstance(self._store.commit((Check(state.path, state.version),)), Committed)

    def _permit_inputs(self, waiting: _Waiting, seen: Seen, session_id: int) -> PermitInputs:
        wal_end = None
        if needs_wal_end(self._me, seen.state, seen.claim, session_id):
            wal_end = self._wal_end(waiting.ask.purpose)
        status = self._status
        return PermitInputs(
            session_id=session_id,
            state=seen.state,
            claim=seen.claim,
            last_writer=seen.last_writer,
            wal_end=wal_end,
            known_timeline=newest_timeline(self._places.control_file, self._places.wal),
            promotion=waiting.ask.purpose.is_promotion,
            lease_holds=(
                status is not None
                and status.session_id == session_id
                and status.deadline_s is not None
                and boottime_s() < status.deadline_s
            ),
            armed=self._armed,
        )

    def _look_ahead(self, seen: Seen) -> None:
        """A promotion is about to be asked for: find out now where this host's WAL ends."""
        session_id, status = self._store.session_id, self._status
        if session_id is None or status is None or status.granted or not status.server_alive:
            return
        if text(seen.leader) != self._me.host:
            return
        if self._waiting or not needs_wal_end(self._me, seen.state, seen.claim, session_id):
            return
        self._running_end()

    def _running_end(self) -> WalEnd | None:
        """Of the running server. A moment old is as good: a standby's WAL never gets less while it
        runs, and nobody can rewind it before the epoch's first promotion."""
        end, asked_s = self._end_while_running
        if end is None or boottime_s() - asked_s > SAME_PROMOTION_S:
            asked_s, end = boottime_s(), ask_server(SOCKET_DIR, self._host.postgres_port)
            self._end_while_running = (end, asked_s)
        return end

    def _wal_end(self, purpose: Purpose) -> WalEnd | None:
        if purpose is not Purpose.START:
            return self._running_end()
        raw = read_control(self._places.control_file)
        stopped = None if raw is None else stopped_at(self._places, raw)
        return None if stopped is None else stopped.end

    def _answer(
        self,
        waiting: _Waiting,
        answer: Answer,
        reason: str,
        detail: str,
        epoch: int = 0,
        session_id: int = 0,
        timeline: TimelineId | None = None,
    ) -> None:
        request = waiting.ask.request
        with self._mutex:
            self._waiting.pop(request, None)
        self._send(PermitAnswer(request, answer, reason, detail, session_id, epoch, timeline))

    def _refuse_late(self, refusal: Refuse) -> None:
        """Without ZooKeeper nothing is decided; whose patience is over is told so."""
        with self._mutex:
            late = [w for w in self._waiting.values() if time.monotonic() >= w.until_s]
        for waiting in late:
            self._answer(waiting, Answer.NO, refusal.reason, refusal.detail)
