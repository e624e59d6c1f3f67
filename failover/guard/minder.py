"""The minder: looks at the server, enforces the deadline, hears its worker.

It talks to no ZooKeeper (the worker does), judges nothing itself (``logic``) and waits for no disk
on the way to a kill: files are read in a thread, and a look that hangs leaves the last one
standing. What barriers, proxies and `failover check` ask is in ``grant_keeper``,
``proxy_question`` and ``host_question``. Invariant: once the deadline has passed no process of a
granted server is left alone.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from failover.clock import boottime_s
from failover.guard import acknowledgement, logic, server
from failover.guard.door_keeper import DoorKeeper
from failover.guard.grant_keeper import GrantKeeper, Reply
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.host_question import HostQuestion
from failover.guard.memory import Memory
from failover.guard.messages import (
    ClaimRead,
    FromWorker,
    HostAnswer,
    LeaderRead,
    MinderStatus,
    PermitAnswer,
    Purpose,
    Renewed,
    SalvageAnswer,
    SalvageAsk,
    ServerAnswered,
    SessionOpened,
    StateRead,
    StoodDown,
)
from failover.guard.proxy_question import ProxyQuestion
from failover.guard.records import Places
from failover.guard.worker_process import WorkerProcess
from failover.guard.worker_start import StartedWorker
from failover.health.observation import GuardSeen
from failover.model import Epoch, HostName
from failover.sd_notify import notify

TICK_S = 0.05
BUSY_TICK_S = 0.01  # while clients wait for what the next look may show
OWN_LEASE_LIMIT_S = 5.0  # longer than any usual gap; systemd gives a start ten
_STATUS_EVERY_S = 0.2
_WATCHDOG_EVERY_S = 0.4
_LOOK_LIMIT_S = 0.1
_DOOR_LIMIT_S = 1.0

log = structlog.get_logger(__name__)


class Minder:
    """One cluster's guard on this host. ``run`` until cancelled."""

    def __init__(
        self,
        places: Places,
        host: HostName,
        limits: logic.Limits,
        boot: str,
        metrics: GuardMetrics,
        worker_command: tuple[str, ...],
        door: DoorKeeper,
        configuration_sha256: str = "",
        first_worker: StartedWorker | None = None,
    ) -> None:
        self._places = places
        self._host = host
        self._boot = boot
        self._metrics = metrics
        self._door = door
        self._worker = WorkerProcess(
            worker_command, self._on_message, self._worker_ended, first_worker
        )
        self.host_question = HostQuestion(
            self._worker.send, limits.deadline_s, configuration_sha256
        )
        self._memory = Memory(places, boot)
        self.grants = GrantKeeper(
            self._memory.recall(limits),
            self._memory,
            metrics,
            self._worker.send,
            self._settle_door,
            self._send_status,
        )
        self.proxy_question = ProxyQuestion(
            self.writable, self._writable_as_last_seen, lambda: self._tick_s
        )
        self._files = server.FilesSeen()
        self._files_read = False
        self._control_when_down: bytes | None = None
        self.server = logic.ServerSeen(alive=True, in_production=False, note=None)
        self._plan_here = False
        self._salvaged_epoch: int | None = None
        self._salvages_asked = 0
        self._salvages: dict[int, asyncio.Future[SalvageAnswer]] = {}
        self._in_place: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None
        self._server_heard_s = boottime_s()  # before that nobody could have heard it
        self._looking: asyncio.Future[server.FilesSeen] | None = None
        self._looks = ThreadPoolExecutor(1, "look")
        self._status_sent: MinderStatus | None = None
        self._status_at_s = 0.0

    @property
    def guard(self) -> logic.Guard:
        return self.grants.guard

    @guard.setter
    def guard(self, guard: logic.Guard) -> None:
        self.grants.guard = guard

    # ----------------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Never returns. The first look and the saved grant come before anything else."""
        self._memory.write_lease(self.guard.renewals)
        watchdog = asyncio.create_task(self._watchdog())
        worker = asyncio.create_task(self._worker.run())
        try:
            while not (watchdog.done() or worker.done()):
                if self._deadline_passed():
                    self.apply()  # after a freeze not even a look comes first
                await self._look()
                # A grant is watched over by the lock alone where the disk does not answer.
                if self._files_read or self.guard.grant is not None:
                    self.apply()
                self._export()
                await asyncio.sleep(self._tick_s)
            await asyncio.gather(watchdog, worker)
        finally:
            watchdog.cancel()
            worker.cancel()

    @property
    def _tick_s(self) -> float:
        """Under a plan the server is about to stop; with a grant and in recovery it is promoted."""
        if self.guard.grant is None:
            return TICK_S
        return BUSY_TICK_S if self._plan_here or not self.server.in_production else TICK_S

    def _deadline_passed(self) -> bool:
        grant = self.guard.grant
        return grant is not None and not self.guard.lease_holds(grant.session_id, boottime_s())

    async def _watchdog(self) -> None:
        await self._lease_of_its_own()
        notify("READY=1")
        while True:
            notify("WATCHDOG=1")
            await asyncio.sleep(_WATCHDOG_EVERY_S)

    async def _lease_of_its_own(self) -> None:
        """Started under a grant, it is ready when its own renewals carry the lease: one restart
        after another, each waiting for the last, never uses up the time of the first."""
        started_s = boottime_s()
        while boottime_s() < started_s + OWN_LEASE_LIMIT_S:
            renewals = self.guard.renewals
            base_s = None if renewals is None else renewals.base_sent_s
            if self.guard.grant is None or (base_s is not None and base_s >= started_s):
                return
            await asyncio.sleep(TICK_S)

    async def _look(self) -> None:
        """Refresh what the files say; a disk that hangs leaves the last look standing."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().run_in_executor(
                self._looks, server.look_at_files, self._places, self._boot
            )
        looking = self._looking  # several questions may wait for one look
        await asyncio.wait({looking}, timeout=_LOOK_LIMIT_S)
        if looking.done() and looking is self._looking:
            self._files = looking.result()
            self._files_read = True
            self._looking = None

    def apply(self) -> None:
        """Judge and act. Never waits."""
        lock_free = server.lock_is_free(self._places)
        seen = server.server_seen(
            self._places,
            self._files,
            self._control_when_down,
            lock_free=lock_free,
            was_alive=self.server.alive,
        )
        if not seen.alive:
            self._control_when_down = self._files.control
        self.server = seen
        self.guard, decision = logic.decide(self.guard, seen, boottime_s())
        self._want_door()  # before a kill: what is being killed answers nobody any more
        match decision:
            case logic.Kill(reason):
                self._kill(reason)
            case logic.Stop():
                asked = server.ask_to_stop(self._places, self._files.postmaster_pid)
                log.warning("stopping_server", asked=asked, limit_s=self.guard.limits.fast_stop_s)
            case logic.EndGrant():
                log.warning("grant_over", server_alive=seen.alive)
                if self._killing is not None:
                    self._killing.cancel()  # what lives now is another server
                self.grants.over()
            case logic.AskInPlace():
                self._in_place = asyncio.create_task(self._ask_in_place())
            case logic.Nothing():
                pass
        self._send_status()

    def _want_door(self) -> None:
        self._door.want(acknowledgement.wanted(self.guard, self.server, self._door.wanted))

    async def _settle_door(self) -> bool:
        self._want_door()
        return await self._door.settled(_DOOR_LIMIT_S)

    def _kill(self, reason: logic.KillReason) -> None:
        if self._killing is not None and not self._killing.done():
            return
        log.error("killing_server", reason=reason, deadline_s=self.guard.deadline_s)
        self._metrics.killed(reason)
        self._killing = asyncio.create_task(server.kill(self._places))

    async def _ask_in_place(self) -> None:
        reply = await self.grants.permit(Purpose.IN_PLACE, self.guard.limits.in_place_s)
        if not reply.yes:
            self.guard = self.guard.in_place_refused()

    # ----------------------------------------------------------------------- questions

    async def single(self) -> Reply:
        """``postgres --single`` (crash recovery before a rewind): not under a plan."""
        if not self._worker.alive or self.guard.epoch is None:
            return Reply(False, "no_answer: it is not known whether a plan is under way")
        if self._plan_here:
            return Reply(False, "plan_under_way: --single would write behind the plan's back")
        return Reply(True, "no plan is under way")

    async def salvage(self) -> Reply:
        """Before a rewind. Yes when the WAL it would remove is copied; asked again otherwise."""
        self._salvages_asked += 1
        request = self._salvages_asked
        answered: asyncio.Future[SalvageAnswer] = asyncio.get_running_loop().create_future()
        self._salvages[request] = answered
        try:
            while not answered.done():
                self._worker.send(SalvageAsk(request))  # again: the worker may be a new one
                await asyncio.wait({answered}, timeout=5.0)
            return Reply(answered.result().ok, answered.result().detail)
        finally:
            self._salvages.pop(request, None)

    async def writable(self) -> logic.Writable:
        """May this host take writes now? Looked at anew for every question."""
        await self._look()
        if self._files_read:
            self.apply()
        return self._writable_as_last_seen()

    def _writable_as_last_seen(self) -> logic.Writable:
        says = logic.writable(self.guard, self.server, boottime_s())
        if says.yes and self._files.stopping:
            return logic.Writable(False, "the server was told to stop", closes=True)
        return says

    def status(self) -> GuardSeen:
        now_s = boottime_s()
        deadline_s = self.guard.deadline_s
        granted = self.guard.grant is not None
        return GuardSeen(
            armed=self.guard.armed,
            granted=granted,
            writable=logic.writable(self.guard, self.server, now_s).yes,
            worker_alive=self._worker.alive,
            server_alive=self.server.alive,
            epoch=self.guard.epoch,
            deadline_in_s=deadline_s - now_s if granted and deadline_s is not None else None,
            salvaged_epoch=self._salvaged_epoch,
            answered_s_ago=now_s - self._server_silent_since_s,
            barrier=self._door.enforced,
        )

    @property
    def _server_silent_since_s(self) -> float:
        """When the server last answered. Not asked yet is not silent: at the earliest from when
        this guard, its worker and the grant are there, for only then is it asked at all."""
        granted_s = self.guard.grant.since_s if self.guard.grant is not None else 0.0
        return max(self._server_heard_s, granted_s)

    # ----------------------------------------------------------------------- the worker

    def _on_message(self, message: FromWorker) -> None:
        match message:
            case Renewed(session_id, sent_s, announced):
                # Named in the door, it would shut it: rather let the deadline come, and another
                # host write, than customers wait for answers that never leave this one.
                if announced or not self._door.enforced:
                    self.guard = self.guard.renewed(session_id, sent_s)
                    self._metrics.renewed()
                    self._memory.write_lease(self.guard.renewals)
                self._send_status()
            case SessionOpened(session_id, password):
                self._session_opened(session_id, password)
            case StateRead(exists, epoch, plan_here, stop_here, arming):
                self._plan_here = plan_here
                armed_before = self.guard.armed
                self.guard = self.guard.state_seen(
                    exists=exists,
                    epoch=None if epoch is None else Epoch(epoch),
                    stop_wanted=stop_here,
                    arming=arming,
                )
                if self.guard.armed and not armed_before:
                    self.guard = replace(self.guard, adopted=self.server.around)
                    log.warning("armed", epoch=epoch, adopted=self.guard.adopted)
                    self.grants.save()
            case StoodDown():
                log.warning("disarmed", granted=self.guard.grant is not None)
                self.guard = self.guard.stood_down()
                self._want_door()
                self.grants.over()
                self._send_status()
            case ClaimRead(own):
                self.guard = self.guard.claim_seen(own=own)
            case LeaderRead(name, paused, synced):
                self.guard = self.guard.leader_seen(
                    name, self._host, paused=paused, synced=synced, now_s=boottime_s()
                )
            case ServerAnswered():
                self._server_heard_s = boottime_s()
            case PermitAnswer():
                self.grants.answered(message)
            case SalvageAnswer(request, ok, epoch):
                self._salvaged_epoch = epoch if ok else self._salvaged_epoch
                if (waiting := self._salvages.get(request)) and not waiting.done():
                    waiting.set_result(message)
            case HostAnswer():
                self.host_question.answered(message)
            case _:
                pass  # the sign of life has been counted

    def _worker_ended(self) -> None:
        self._metrics.worker_restarted()
        self._server_heard_s = boottime_s()

    def _session_opened(self, session_id: int, password: str) -> None:
        log.info("session", session_id=f"{session_id:016x}")
        self.guard = self.guard.session_opened(session_id)
        if not self._memory.is_session(session_id, password):
            self._memory.set_session(session_id, password)
            self.grants.save()
        self._send_status()
        self.grants.ask_again()

    def _send_status(self) -> None:
        renewals = self.guard.renewals
        note = self.server.note
        status = MinderStatus(
            granted=self.guard.grant is not None,
            permits_seen=self.grants.permits_seen,
            session_id=None if renewals is None else renewals.session_id,
            deadline_s=self.guard.deadline_s,
            server_alive=self.server.alive,
            in_production=self.server.in_production,
            demoted=(
                note is not None
                and note.mode is logic.StartMode.STANDBY
                and note.at_s > self.grants.yes_since_s
            ),
        )
        now_s = time.monotonic()
        if status != self._status_sent or now_s - self._status_at_s >= _STATUS_EVERY_S:
            self._status_sent, self._status_at_s = status, now_s
            self._worker.send(status)

    def _export(self) -> None:
        metrics, seen = self._metrics, self.status()
        metrics.grant.set(seen.granted)
        metrics.writable.set(seen.writable)
        metrics.armed.set(seen.armed)
        metrics.worker_alive.set(seen.worker_alive)
        metrics.server_alive.set(seen.server_alive)
        metrics.barrier(seen.barrier)
        metrics.deadline_left(seen.deadline_in_s)
        metrics.salvaged(seen.salvaged_epoch)
