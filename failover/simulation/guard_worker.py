"""The guard's worker: renewals, permits, claim and salvage, around ``failover/guard/permits.py``.

Mirrors guard/session_keeper.py and guard/desk.py: threads on one ZooKeeper session, the third is
in guard_salvage.py. What is decided, and every transaction, is the product's own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from failover.coordination.store import StoreUnavailable
from failover.guard.messages import Purpose
from failover.guard.permits import (
    ClaimInputs,
    PermitInputs,
    RefusalReason,
    Refuse,
    Stopped,
    Unarmed,
    WalEnd,
    decide_claim,
    decide_permit,
    needs_wal_end,
    open_session,
    plan_here,
    renewal,
    stop_here,
)
from failover.guard.stand_in import StandIn
from failover.model import Epoch, Lsn, TimelineId
from failover.simulation.documents import loaded
from failover.simulation.guard_salvage import Salvager
from failover.simulation.kernel import Process
from failover.simulation.postgres import Control, Postgres
from failover.state import (
    GroupState,
    StateError,
    StopKind,
    decode_state,
)
from failover.znode import Committed, Znode

if TYPE_CHECKING:
    from failover.simulation.guard import Guard
    from failover.simulation.guard_words import Question

ROUND_S = 0.5
WAITING_ROUND_S = 0.1
COMMIT_TRIES = 3
MINDER_SILENCE_S = 1.0
KILL_BEFORE_DEADLINE_S = 0.2


@dataclass(frozen=True, slots=True)
class _Seen:
    """One round's reads."""

    state: Znode | None
    claim: Znode | None
    last_writer: Znode | None
    proof: Znode | None
    leader: Znode | None
    config: Znode | None


class Worker:
    """One worker process of one guard; a new one for every start."""

    def __init__(self, guard: Guard, start_s: float) -> None:
        self.guard = guard
        self.kernel = guard.kernel
        self.me = guard.me
        self._waiting: list[Question] = []
        self._last_yes = 0
        self._token_of: int | None = None
        self._paths = (
            self.me.paths.state,
            self.me.paths.writer(self.me.cluster),
            self.me.paths.last_writer(self.me.cluster),
            self.me.paths.stopped(self.me.cluster),
            guard.scope.leader,
            guard.scope.config,
        )
        self._watched: set[str] = set()
        self._minder = guard.minder
        self._minder_heard_s = self.kernel.now + start_s
        self._salvage = Salvager(guard)
        self._wanted_awake = False
        self._holds_lock = False
        self._standing: StandIn | None = None  # since the minder is dead
        self._desk = self._thread("desk", self._run_desk, start_s)
        self._renewals = self._thread("renewals", self._run_renewals, start_s)
        self._salvager = self._thread("salvager", lambda: self._salvage.run(self.store), start_s)
        self.store = guard.connect(self._renewals, guard.files.session_id)

    @property
    def processes(self) -> tuple[Process, ...]:
        return (self._desk, self._renewals, self._salvager)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
        self.store.drop()
        if self._holds_lock:
            self.guard.lock_held = False

    @property
    def stopped(self) -> bool:
        """Frozen or dead itself, not only the host."""
        renewals = self._renewals
        return not renewals.alive or "worker" in renewals.stops

    def freeze(self) -> None:
        for process in self.processes:
            process.freeze("worker")

    def thaw(self) -> None:
        for process in self.processes:
            process.thaw("worker")

    def wake(self) -> None:
        self._wanted_awake = True
        self._desk.wake()

    def ask(self, question: Question) -> None:
        """A permit is wanted; answered within its patience."""
        if question not in self._waiting:
            self._waiting.append(question)
        self.wake()

    def _thread(self, name: str, body: Callable[[], None], start_s: float) -> Process:
        def run() -> None:
            self.kernel.sleep(start_s)
            body()

        host = self.guard.server.host
        return host.adopt(self.kernel.spawn(f"worker {name} {host.name}", run))

    # ------------------------------------------------------------------ renewals

    def _run_renewals(self) -> None:
        guard = self.guard
        while True:
            if not self._renews():
                self._stand_in()
                self.kernel.sleep(0.05)
                continue
            sent_s = self.kernel.now
            with suppress(StoreUnavailable):
                self._renew(sent_s)
            guard.tell(guard.heard)
            if self._standing is not None:
                self._stand_in()
            left_s = sent_s + guard.timing.renewal_interval_s - self.kernel.now
            self.kernel.sleep(max(0.02, left_s))

    def _renews(self) -> bool:
        """Not for a silent minder, who enforces no deadline; for a dead one for a while
        (guard/worker.py)."""
        guard = self.guard
        if guard.answers and guard.minder is self._minder:
            self._minder_heard_s = self.kernel.now
        if self._minder is not None and not self._minder.alive and self._standing is None:
            self._begin_to_stand_in()
        if self._standing is not None:
            alive = guard.server.alive or guard.lock_held
            self._standing = self._standing.server_seen(alive=alive)
            guard.files.stood_in = self._standing.left
            return self._standing.renews(self.kernel.now)
        return self.kernel.now - self._minder_heard_s <= MINDER_SILENCE_S

    def _begin_to_stand_in(self) -> None:
        guard, status = self.guard, self.guard.status_sent
        self._minder_heard_s = -math.inf
        if status is not None and status.granted and guard.server.alive:
            now_s = self.kernel.now
            self._standing = StandIn.begun(
                *(status.session_id, status.deadline_s, guard.limits, now_s),
                before_until_s=guard.files.stood_until_s,
            )
        if self._standing is not None:
            guard.files.stood_until_s = self._standing.until_s

    def _stand_in(self) -> None:
        """Enforce the deadline in the minder's place, unless a new one is there."""
        guard, status = self.guard, self.guard.status_sent
        if guard.minder is not self._minder or status is None or not status.granted:
            return
        near_s = (status.deadline_s or 0.0) - KILL_BEFORE_DEADLINE_S
        if self.kernel.now >= near_s and guard.server.alive:
            self.kernel.note(f"{self.me.host}: guard's worker kills in the minder's place")
            guard.server.kill()
        gone = self._standing is not None and self._standing.server_gone
        if (gone or self.kernel.now >= near_s) and not guard.server.alive:
            guard.status_sent = status._replace(granted=False, server_alive=False)
            self.wake()

    def _stood_in(self, standing: StandIn) -> None:
        """Until when it waits, and what a successor goes on with."""
        self._standing, guard = standing, self.guard
        if guard.status_sent is not None:
            guard.status_sent = guard.status_sent._replace(deadline_s=standing.deadline_s)

    def _renew(self, sent_s: float) -> None:
        session_id = self.store.session_id
        if session_id is None or not self.store.connected:
            return
        if self._token_of != session_id and not self._open(session_id):
            return
        self.guard.door.announce(sent_s)
        outcome = self.store.commit((renewal(self.me, session_id),))
        if self.store.session_id != session_id:
            return
        if isinstance(outcome, Committed):
            if self._standing is not None:
                self._stood_in(self._standing.renewed(session_id, sent_s))
            self.guard.tell(lambda: self.guard.renewed(session_id, sent_s))
        else:
            self._token_of = None

    def _open(self, session_id: int) -> bool:
        outcome = self.store.commit(open_session(self.me, session_id))
        if not isinstance(outcome, Committed):
            token = self.store.read(self.me.paths.session(session_id))
            if token is None or token.ephemeral_owner != session_id:
                return False
        self._token_of = session_id
        if self._standing is not None:
            self._standing = self._standing.session_opened(session_id)
        self.guard.tell(lambda: self.guard.session_opened(session_id))
        return True

    # ------------------------------------------------------------------ the desk

    def _run_desk(self) -> None:
        while True:
            try:
                self._wanted_awake = False
                self._round()
            except StoreUnavailable:
                self._refuse_late()
                self.kernel.sleep(0.05)
            if not self._wanted_awake:
                self.kernel.sleep(WAITING_ROUND_S if self._waiting else ROUND_S)

    def _round(self) -> None:
        seen = self._read()
        self._report(seen)
        status = self.guard.status_sent
        waiting = self._waiting = [q for q in self._waiting if not q.withdrawn and q.yes is None]
        for question in list(waiting):
            self._try_permit(question, seen)
        if status is None:
            return
        if status.granted:
            self._check_claim(seen)
        elif not waiting and self._last_yes <= status.permits_seen:
            self._give_back(seen)

    def _read(self) -> _Seen:
        for path in (self._paths[0], self._paths[1], self._paths[4]):
            if path not in self._watched:
                self._watched.add(path)
                self.store.wake_on(path, lambda path=path: self._changed(path))  # type: ignore[misc]
        found = self.store.read_many(self._paths)
        return _Seen(*(found[path] for path in self._paths))

    def _changed(self, path: str) -> None:
        self._watched.discard(path)
        self.wake()

    def _report(self, seen: _Seen) -> None:
        state = self._salvage.state = _decoded(seen.state)
        guard, exists, status = self.guard, seen.state is not None, self.guard.status_sent
        if status is not None and status.granted and stop_here(self.me, state):
            self.store.sync()
            state = _decoded(self.store.read(self.me.paths.state))
        epoch = None if state is None else state.epoch
        stop = stop_here(self.me, state)
        guard.tell(lambda: guard.state_read(exists=exists, epoch=epoch, stop_here=stop))
        name, synced = _text(seen.leader), False
        if status is not None and status.granted and name != self.me.host:
            self.store.sync()
            name, synced = _text(self.store.read(guard.scope.leader)), True
        paused = _is_paused(seen.config)
        if self._standing is not None:
            plan = stop or plan_here(self.me, state) is not None
            standing = self._standing.state_seen(exists=exists, plan_here=plan)
            self._standing = standing.leader_seen(name, self.me.host, paused=paused)
        guard.tell(lambda: guard.leader_read(name, paused=paused, synced=synced))

    def _try_permit(self, question: Question, seen: _Seen) -> None:
        synced = False
        for _ in range(COMMIT_TRIES):
            session_id = self.store.session_id
            if session_id is None:
                return None
            decision = decide_permit(self.me, self._permit_inputs(question, seen, session_id))
            if isinstance(decision, Unarmed):
                return self._answer(question, "unarmed", yes=True)
            if isinstance(decision, Refuse):
                if decision.passes_by_itself and self.kernel.now < question.until_s:
                    return None
                if synced:
                    return self._answer(question, decision.reason, yes=False)
                self.store.sync()  # never refused because of a follower that lags behind
                synced = True
            else:
                outcome = self.store.commit(decision.transaction)
                if isinstance(outcome, Committed):
                    self._last_yes = max(self._last_yes, question.number)
                    return self._answer(
                        question,
                        "granted",
                        yes=True,
                        epoch=decision.epoch,
                        timeline=decision.timeline,
                    )
            seen = self._read()  # it happened or it did not: read and decide again
        return None

    def _permit_inputs(self, question: Question, seen: _Seen, session_id: int) -> PermitInputs:
        needed = needs_wal_end(self.me, seen.state, seen.claim, session_id)
        status = self.guard.status_sent
        return PermitInputs(
            session_id=session_id,
            state=seen.state,
            claim=seen.claim,
            last_writer=seen.last_writer,
            wal_end=self._wal_end(question.purpose) if needed else None,
            known_timeline=TimelineId(self.guard.server.known_timeline),
            promotion=question.purpose.is_promotion,
            lease_holds=(
                status is not None
                and status.session_id == session_id
                and status.deadline_s is not None
                and self.kernel.now < status.deadline_s
            ),
            armed=self.guard.files.armed or seen.state is not None,
        )

    def _wal_end(self, purpose: Purpose) -> WalEnd | None:
        server = self.guard.server
        if purpose is not Purpose.START and not server.answers:
            return None
        return _wal_end(server)

    def _answer(
        self,
        question: Question,
        reason: str,
        *,
        yes: bool,
        epoch: Epoch | None = None,
        timeline: TimelineId | None = None,
    ) -> None:
        if question in self._waiting:
            self._waiting.remove(question)
        session_id = self.store.session_id or 0
        self.guard.tell(
            lambda: self.guard.permit_answered(
                question,
                yes=yes,
                reason=reason,
                session_id=session_id,
                epoch=epoch,
                timeline=timeline,
            )
        )

    def _refuse_late(self) -> None:
        for question in list(self._waiting):
            if self.kernel.now >= question.until_s:
                self._answer(question, RefusalReason.NO_ANSWER, yes=False)

    # ------------------------------------------------------------------ the claim

    def _check_claim(self, seen: _Seen) -> None:
        guard, session_id = self.guard, self.store.session_id
        if session_id is None:
            return
        own = seen.claim is not None and seen.claim.ephemeral_owner == session_id
        if not own:
            self.store.sync()
            claim = self.store.read(self._paths[1])
            own = claim is not None and claim.ephemeral_owner == session_id
            if self.store.session_id != session_id:
                return
        if self._standing is not None:
            self._standing = self._standing.claim_seen(own=own)
        guard.tell(lambda: guard.claim_read(own=own))

    def _give_back(self, seen: _Seen) -> None:
        guard, status = self.guard, self.guard.status_sent
        session_id = self.store.session_id
        if session_id is None or status is None:
            return
        if not status.server_alive:
            if guard.server.alive or guard.lock_held:
                return
            guard.lock_held = self._holds_lock = True
            try:
                self._commit_claim(seen, session_id)
            finally:
                guard.lock_held = self._holds_lock = False
        elif status.demoted and not status.in_production:
            self._commit_claim(seen, session_id)

    def _commit_claim(self, seen: _Seen, session_id: int) -> None:
        plan_waits = plan_here(self.me, _decoded(seen.state)) is not None
        inputs = ClaimInputs(
            session_id=session_id,
            state=seen.state,
            claim=seen.claim,
            last_writer=seen.last_writer,
            proof=seen.proof,
            stopped=_stopped(self.guard.server) if plan_waits else None,
            known_timeline=TimelineId(self.guard.server.known_timeline),
        )
        transaction = decide_claim(self.me, inputs)
        if transaction is not None:
            self.store.commit(transaction)
            self._wanted_awake = True


def _wal_end(server: Postgres) -> WalEnd:
    return WalEnd(Lsn(server.lsn), TimelineId(server.branch.number))


def _stopped(server: Postgres) -> Stopped:
    if server.control is Control.SHUT_DOWN:
        return Stopped(StopKind.SHUT_DOWN, _wal_end(server))
    return Stopped(StopKind.KILLED, _wal_end(server), server.idle_s)


def _decoded(znode: Znode | None) -> GroupState | None:
    try:
        return None if znode is None else decode_state(znode.data, path=znode.path)
    except StateError:
        return None


def _text(znode: Znode | None) -> str | None:
    return None if znode is None else znode.data.decode(errors="replace")


def _is_paused(config: Znode | None) -> bool:
    """As guard/reads.py, which imports the ZooKeeper client: a doubt stops no server."""
    try:
        return config is not None and bool(loaded(config.data).get("pause"))
    except ValueError:
        return True
