"""The guard on one host: the minder around the real ``failover/guard/logic.py``.

Mirrors guard/minder.py step by step, with its files, doors and systemd's care for it; the worker
is in guard_worker.py. Nothing is decided here: every decision is the product's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from failover.guard import logic
from failover.guard.messages import Purpose
from failover.guard.permits import Member
from failover.guard.stand_in import latest
from failover.health.observation import GuardSeen
from failover.model import Epoch, TimelineId
from failover.simulation.client import Client
from failover.simulation.guard_door import HostDoor
from failover.simulation.guard_words import Files, Question, Status
from failover.simulation.guard_worker import Worker
from failover.simulation.kernel import Kernel, Process
from failover.simulation.postgres import Postgres, Run
from failover.timing import LeaseTiming
from failover.znode import ScopePaths

TICK_S = 0.05
WATCHDOG_S = 1.5
WORKER_SILENT_S = 1.0
WORKER_START_S = 0.4
HEARTBEAT_S = 5.0  # from one question to its server to the next
START_LIMIT_S = 1.8
PROMOTE_LIMIT_S = 3.0


class Guard:
    """One host's guard. ``connect`` opens a ZooKeeper session for the worker's process."""

    def __init__(
        self,
        kernel: Kernel,
        server: Postgres,
        me: Member,
        timing: LeaseTiming,
        scope: ScopePaths,
        connect: Callable[[Process, int | None], Client],
    ) -> None:
        self.kernel = kernel
        self.server = server
        self.me = me
        self.timing = timing
        self.scope = scope
        self.connect = connect
        self.files = Files()
        self.limits = logic.Limits.of(timing)
        self.logic = logic.Guard(self.limits)
        self.door = HostDoor(kernel, self.limits.deadline_s)
        self.worker: Worker | None = None
        self.enabled = True  # systemd starts it again
        self.starts_from_s = 0.0  # until then a new minder loads its libraries
        self.kills = 0
        self.lock_held = False  # by the barrier or the worker; a living server holds it too
        self.status_sent: Status | None = None
        self.questions = 0
        self.salvage_wanted = False  # a rewind waits at its barrier
        self._permits_seen = 0
        self._pending: list[Question] = []
        self._seen: logic.ServerSeen | None = None  # as long as nothing has changed
        # From what ``status_sent`` was made: nearly always it is still that.
        self._status_of: tuple[logic.Guard, logic.ServerSeen, int, Status] | None = None
        self._told = False  # somebody heard a yes and may act on it
        self._minder: Process | None = None
        self._inbox: list[Callable[[], None]] = []
        self._worker_heard_s = 0.0
        self._server_asked_s = self._server_heard_s = 0.0
        self._pinged_s = 0.0  # systemd, which counts also while the host is frozen

    # ------------------------------------------------------------------ systemd

    def launch(self) -> None:
        """Start minder and worker (at boot, or after they died)."""
        files = self.files
        if files.boot_id != self.server.host.boot_id:
            files.boot_id = self.server.host.boot_id
            files.grant = files.renewals = None
            files.stood_in = files.stood_until_s = None
            self.door.booted()
        if files.noted_in_boot != files.boot_id:
            files.note = None
        self.logic = logic.Guard(
            self.limits,
            armed=files.armed,
            grant=files.grant,
            epoch=files.epoch,
            renewals=latest(files.renewals, files.stood_in),
        )
        files.renewals = self.logic.renewals
        self._inbox.clear()
        self.status_sent = None
        self._permits_seen = 0
        self._pending.clear()
        self._told = files.grant is not None
        self._minder = self._spawn("minder", self._run)
        self._start_worker()

    def _spawn(self, name: str, body: Callable[[], None]) -> Process:
        process = self.kernel.spawn(f"{name} {self.server.name}", body)
        return self.server.host.adopt(process)

    def _start_worker(self) -> None:
        self._stop_worker()
        self.worker = Worker(self, WORKER_START_S)
        self._worker_heard_s = self.kernel.now + WORKER_START_S
        self._server_asked_s = self._server_heard_s = self.kernel.now

    def _stop_worker(self) -> None:
        if self.worker is not None:
            self.worker.kill()

    def kill(self) -> None:
        """SIGKILL to the whole guard; systemd starts it again, or it is over with the server."""
        if self._minder is not None:
            self._minder.kill()
        self._stop_worker()

    def freeze(self) -> None:
        """SIGSTOP to the whole guard."""
        self.freeze_minder()
        if self.worker is not None:
            self.worker.freeze()

    def freeze_minder(self) -> None:
        if self._minder is not None and self._minder.alive:
            self._minder.freeze()

    @property
    def stopped(self) -> bool:
        """Its minder itself is frozen or dead, not only the host."""
        minder = self._minder
        return minder is None or not minder.alive or "process" in minder.stops

    def thaw(self) -> None:
        if self._minder is not None:
            self._minder.thaw()
        if self.worker is not None:
            self.worker.thaw()

    def supervise(self) -> None:
        """systemd, every now and then: watchdog and restart."""
        host = self.server.host
        if not host.answers or not self.enabled:
            return
        minder = self._minder
        if minder is None or not minder.alive:
            if self.kernel.now >= self.starts_from_s:
                self.launch()
        elif minder.frozen and self.kernel.now - self._pinged_s > WATCHDOG_S:
            self.kill()

    def give_up(self) -> None:
        """It died for good: systemd's OnFailure kills the server with it."""
        self.enabled = False
        self.kill()
        self.server.kill()

    @property
    def minder(self) -> Process | None:
        return self._minder

    @property
    def watches(self) -> bool:
        """One of its processes runs, and so enforces a deadline; else the kernel alone does."""
        worker = self.worker
        return not self.stopped or (worker is not None and not worker.stopped)

    @property
    def answers(self) -> bool:
        minder = self._minder
        return minder is not None and minder.alive and not minder.frozen

    # ------------------------------------------------------------------ the minder

    def _run(self) -> None:
        while True:
            self._pinged_s = self.kernel.now
            self._read_inbox()
            self._apply()
            self._ask_server()
            if self.kernel.now - self._worker_heard_s > WORKER_SILENT_S:
                self._start_worker()
            self.kernel.sleep(TICK_S if self._busy else TICK_S * 4)

    @property
    def _server_silent_since_s(self) -> float:
        granted_s = self.logic.grant.since_s if self.logic.grant is not None else 0.0
        return max(self._server_heard_s, granted_s)

    def _ask_server(self) -> None:
        """The worker's heartbeat: is the primary of any use to its own guard?"""
        if self.kernel.now - self._server_asked_s < HEARTBEAT_S:
            return
        self._server_asked_s = self.kernel.now
        if self.logic.grant is not None and self.server.answers:
            self._server_heard_s = self.kernel.now

    @property
    def _busy(self) -> bool:
        """Near a deadline, a stop or a kill every tick counts; else the looks can be rarer."""
        deadline_s = self.logic.deadline_s
        near = deadline_s is not None and deadline_s - self.kernel.now < 1.0
        ending = self.logic.killing is not None or self.logic.stop_wanted
        return ending or (near and self.logic.grant is not None)

    def _read_inbox(self) -> None:
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            message()

    def tell(self, message: Callable[[], None]) -> None:
        """A message from the worker; it waits where the minder is frozen."""
        if self.answers and not self._inbox:
            message()
            self._send_status()
        else:
            self._inbox.append(message)

    def heard(self) -> None:
        self._worker_heard_s = max(self._worker_heard_s, self.kernel.now)

    @property
    def server_seen(self) -> logic.ServerSeen:
        server, run = self.server, self.server.run
        up = run is Run.RUNNING or run is Run.STOPPING
        alive = run is not Run.DOWN or self.lock_held
        in_production, note = up and not server.in_recovery, self.files.note
        seen = self._seen
        if (
            seen is None
            or seen.alive is not alive
            or seen.in_production is not in_production
            or seen.note is not note
        ):
            seen = self._seen = logic.ServerSeen(alive, in_production, note)
        return seen

    def _apply(self) -> None:
        self.logic, decision = logic.decide(self.logic, self.server_seen, self.kernel.now)
        if isinstance(decision, logic.Kill):
            self._kill_server(decision.reason)
        elif isinstance(decision, logic.Stop):
            self.kernel.note(f"{self.server.name}: guard asks for a fast stop")
            self.server.ask_to_stop()
        elif isinstance(decision, logic.EndGrant):
            self.kernel.note(f"{self.server.name}: guard: grant over")
            self._told = False
            self.save()
        elif isinstance(decision, logic.AskInPlace):
            self._ask_in_place()
        self.door.move(self.logic, self.server_seen)
        self._send_status()

    def _send_status(self) -> None:
        seen, renewals, made = self.server_seen, self.logic.renewals, self._status_of
        if (
            made is not None
            and made[0] is self.logic
            and made[1] is seen
            and made[2] == self._permits_seen
            and made[3] is self.status_sent
        ):
            return
        status = Status(
            granted=self.logic.grant is not None,
            permits_seen=self._permits_seen,
            session_id=None if renewals is None else renewals.session_id,
            deadline_s=self.logic.deadline_s,
            server_alive=seen.alive,
            in_production=seen.in_production,
            demoted=seen.note is not None and seen.note.mode is logic.StartMode.STANDBY,
        )
        before, self.status_sent = self.status_sent, status
        self._status_of = (self.logic, seen, self._permits_seen, status)
        changed = before is None or (before.granted, before.server_alive) != (
            status.granted,
            status.server_alive,
        )
        if changed and self.worker is not None:
            self.worker.wake()

    def _kill_server(self, reason: logic.KillReason) -> None:
        if self.server.run not in (Run.DOWN, Run.KILLED):
            self.kills += 1
            self.kernel.note(f"{self.server.name}: guard kills: {reason}")
            self.server.kill()

    def _ask_in_place(self) -> None:
        question = self._question(Purpose.IN_PLACE, self.limits.in_place_s, self._minder)

        def ask() -> None:
            self._wait_for(question)
            if not question.yes:
                self.logic = self.logic.in_place_refused()

        process = self._spawn("in place", ask)
        if self._minder is not None:
            self._minder.children.append(process)

    def save(self) -> None:
        files, guard = self.files, self.logic
        files.armed, files.grant, files.epoch = guard.armed, guard.grant, guard.epoch

    # ------------------------------------------------------------------ messages of the worker

    def renewed(self, session_id: int, sent_s: float) -> None:
        self.logic = self.logic.renewed(session_id, sent_s)
        self.files.renewals = self.logic.renewals

    def session_opened(self, session_id: int) -> None:
        self.logic = self.logic.session_opened(session_id)
        self.files.session_id = session_id
        for question in self._pending:  # the worker may be a new one
            self._ask_worker(question)

    def state_read(self, *, exists: bool, epoch: Epoch | None, stop_here: bool) -> None:
        armed_before = self.logic.armed
        self.logic = self.logic.state_seen(exists=exists, epoch=epoch, stop_wanted=stop_here)
        if self.logic.armed and not armed_before:
            self.save()

    def claim_read(self, *, own: bool) -> None:
        self.logic = self.logic.claim_seen(own=own)

    def leader_read(self, name: str | None, *, paused: bool, synced: bool) -> None:
        self.logic = self.logic.leader_seen(
            name, self.server.name, paused=paused, synced=synced, now_s=self.kernel.now
        )

    def permit_answered(
        self,
        question: Question,
        *,
        yes: bool,
        reason: str,
        session_id: int,
        epoch: Epoch | None,
        timeline: TimelineId | None,
    ) -> None:
        """Take the grant the moment the yes is known; from here on the deadline binds it."""
        if yes:
            self._permits_seen = max(self._permits_seen, question.number)
        if question.yes is not None or question.withdrawn:
            return
        if yes and epoch is not None:  # None: unarmed, everything passes and nothing is granted
            granted = self.logic.permitted(
                session_id,
                epoch,
                self.kernel.now,
                promotion=question.purpose.is_promotion,
                timeline=timeline,
            )
            if granted is None:
                yes, reason = False, "no_lease: the permit came too late"
            else:
                self.logic = granted
                if question.asker is not None and question.asker.alive:
                    self._told = True
                elif not self._told:  # nobody hears the yes, so nobody acts on it
                    self.logic = replace(self.logic, grant=None)
                self.save()
                self.door.move(self.logic, self.server_seen)  # before anybody hears it
        question.yes, question.reason, question.timeline = yes, reason, timeline
        if question.asker is not None:
            question.asker.wake()

    # ------------------------------------------------------------------ the barriers

    def start(self, *, standby: bool) -> bool:
        """bin_name.postgres: lock, note, permit where it would be writable."""
        until_s = self.kernel.now + START_LIMIT_S
        while self.server.alive or self.lock_held:
            if self.kernel.now >= until_s:
                return False
            self.kernel.sleep(0.05)
        self.lock_held = True
        try:
            mode = logic.StartMode.STANDBY if standby else logic.StartMode.WRITABLE
            self.files.note = logic.Note(mode, self.kernel.now)
            self.files.noted_in_boot = self.server.host.boot_id
            self.server.reserved_below = 0
            patience_s = max(0.1, until_s - self.kernel.now - 0.3)
            return standby or self._permit(Purpose.START, patience_s) is not None
        finally:
            self.lock_held = False  # the server that starts now has it

    def pre_promote(self) -> bool:
        return self._permit(Purpose.PRE_PROMOTE, self.timing.hook_limit_s - 0.5) is not None

    def pg_ctl_promote(self) -> bool:
        """The numbers below the promised one are taken; the next one must be it."""
        given = self._permit(Purpose.PROMOTE, PROMOTE_LIMIT_S - 0.3)
        if given is None or given.timeline is None:
            return given is not None
        self.server.reserved_below = given.timeline
        return self.server.known_timeline + 1 == given.timeline

    def rewind(self, source: Postgres) -> None:
        """Waits until the WAL that the rewind would remove is copied."""
        self.salvage_wanted = True
        while self.salvage_wanted:
            self.kernel.sleep(0.3)

    def _permit(self, purpose: Purpose, patience_s: float) -> Question | None:
        """Its question with the yes; None: it is a no."""
        if self._minder is None or not self._minder.alive:
            return None
        question = self._question(purpose, patience_s, self.kernel.process)
        self._wait_for(question)
        self.kernel.note(
            f"{self.server.name}: permit {purpose}: {'yes' if question.yes else question.reason}"
        )
        return question if question.yes else None

    def _question(self, purpose: Purpose, patience_s: float, asker: Process | None) -> Question:
        self.questions += 1
        return Question(self.questions, purpose, self.kernel.now + patience_s, asker)

    def _wait_for(self, question: Question) -> None:
        self.tell(lambda: self._take(question))
        while question.yes is None and self.kernel.now < question.until_s + 0.2:
            self.kernel.sleep(min(0.2, max(0.01, question.until_s + 0.2 - self.kernel.now)))
        if question.yes is None:
            question.withdrawn = True
            question.reason = "no_answer"
        if question in self._pending:
            self._pending.remove(question)

    def _take(self, question: Question) -> None:
        self._pending.append(question)
        self._ask_worker(question)

    def _ask_worker(self, question: Question) -> None:
        if self.worker is not None:
            self.worker.ask(question)

    # ------------------------------------------------------------------ HTTP

    def writable(self) -> bool:
        """GET /writable."""
        if not self.answers or not self.server.host.answers:
            return False
        return logic.writable(self.logic, self.server_seen, self.kernel.now).yes

    def status(self) -> GuardSeen:
        """GET /status."""
        guard, now_s = self.logic, self.kernel.now
        granted = guard.grant is not None
        deadline_s = guard.deadline_s
        return GuardSeen(
            armed=guard.armed,
            granted=granted,
            writable=logic.writable(guard, self.server_seen, now_s).yes,
            worker_alive=now_s - self._worker_heard_s < WORKER_SILENT_S,
            server_alive=self.server.alive,
            epoch=guard.epoch,
            deadline_in_s=deadline_s - now_s if granted and deadline_s is not None else None,
            salvaged_epoch=self.files.salvaged_epoch,
            answered_s_ago=now_s - self._server_silent_since_s,
        )


__all__ = ["Guard", "Question", "Status"]
