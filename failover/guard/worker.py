"""The worker: everything of the guard that needs ZooKeeper, in a process of its own.

It renews the session (``session_keeper``), gives permits and gives claims back (``desk``),
salvages (``salvager``), keeps an idle primary writing (``heartbeat``) and looks at its host for
`failover check` (``host_report``); this module is its main thread: the link to the minder.
Invariant: when the minder is silent the worker stops renewing; when it is silent until the deadline
or dead, the worker enforces the deadline itself, until a new minder has taken over. For a dead one
it renews on for a while (``stand_in``). It never closes its session.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import structlog

from failover.access import Role
from failover.clock import boottime_s
from failover.coordination.keys import ring_of
from failover.coordination.session import SavedSession, Server
from failover.guard import server
from failover.guard.acknowledgement import Barrier
from failover.guard.announcer import Announcer
from failover.guard.catch_up import CatchUp
from failover.guard.desk import Desk
from failover.guard.heartbeat import Heartbeat
from failover.guard.host_report import HostReporter
from failover.guard.link import Link
from failover.guard.local_connection import SOCKET_DIR
from failover.guard.logic import Limits
from failover.guard.messages import (
    HostAsk,
    MinderStatus,
    PermitAsk,
    PermitWithdrawn,
    SalvageAsk,
    ServerAnswered,
    WorkerAlive,
    decode_from_minder,
)
from failover.guard.permits import Member
from failover.guard.records import (
    GuardRecord,
    LeaseRecord,
    Places,
    StandInRecord,
    boot_id,
    default_places,
    read_lease,
    read_record,
    read_stand_in,
    write_stand_in,
)
from failover.guard.salvager import Salvager
from failover.guard.session_keeper import SessionKeeper
from failover.guard.stand_in import StandIn, heard
from failover.logs import configure
from failover.model import HostName
from failover.policy import Policy
from failover.timing import lease_timing
from failover.znode import GroupPaths, ScopePaths

ALIVE_EVERY_S = 0.2
MINDER_SILENCE_LIMIT_S = 1.0
KILL_BEFORE_DEADLINE_S = 0.2
LAST_RELEASE_S = 1.5  # for the desk's last transaction, before the process ends

log = structlog.get_logger(__name__)


class Worker:
    """The main thread. ``run`` returns when there is nothing left to watch over."""

    def __init__(
        self,
        link: Link,
        places: Places,
        boot: str,
        minder_pid: int,
        keeper: SessionKeeper,
        desk: Desk,
        salvager: Salvager,
        reporter: HostReporter,
        status: MinderStatus | None,
        host: HostName,
        limits: Limits,
    ) -> None:
        """``status``: what its minder began with, until it says more itself."""
        self._link = link
        self._places = places
        self._boot = boot
        self._keeper = keeper
        self._desk = desk
        self._salvager = salvager
        self._reporter = reporter
        self._status = status
        self._minder_pid = minder_pid
        self._host = host
        self._limits = limits

    def run(self) -> None:
        self._stand_in(lost=self._serve())

    def _serve(self) -> bool:
        """While the minder speaks. True: it is dead; False: its silence has used up the lease."""
        heard_s = time.monotonic()
        told_s = 0.0
        while (lines := self._link.lines(0.05)) is not None:
            now_s = time.monotonic()
            if lines:
                heard_s = now_s
                self._keeper.paused.clear()
            for line in lines:
                self._take(line)
            if now_s - told_s >= ALIVE_EVERY_S:
                self._link.send(WorkerAlive())
                told_s = now_s
            if now_s - heard_s > MINDER_SILENCE_LIMIT_S:
                self._keeper.paused.set()  # nobody enforces the deadline: let it come
                if self._deadline_is_near():
                    return False
        return True

    def _take(self, line: bytes) -> None:
        message = decode_from_minder(line)
        match message:
            case MinderStatus():
                self._status = message
                self._desk.status(message)
            case PermitAsk():
                self._desk.ask(message)
            case PermitWithdrawn(request):
                self._desk.withdraw(request)
            case SalvageAsk(request):
                self._salvager.ask(request)
            case HostAsk():
                self._reporter.ask(message)

    def _granted(self) -> bool:
        return self._status is not None and self._status.granted

    def _deadline_is_near(self) -> bool:
        deadline_s = self._status.deadline_s if self._status is not None else None
        if not self._granted():
            return False
        return deadline_s is None or boottime_s() >= deadline_s - KILL_BEFORE_DEADLINE_S

    def _stand_in(self, *, lost: bool) -> None:
        """Enforce the deadline in the minder's place, unless a new one is there."""
        self._keeper.paused.set()
        standing = self._standing() if lost else None
        renews_s = 0.0 if standing is None else max(0.0, standing.until_s - boottime_s())
        log.error("minder_lost", granted=self._granted(), renews_s=round(renews_s, 1))
        while self._granted() and not self._successor():
            standing = self._go_on(standing) if standing is not None else None
            if standing is not None and standing.server_gone:
                return self._give_back()
            if not self._deadline_is_near():
                time.sleep(0.05)
                continue
            self._keeper.paused.set()
            log.error("killing_server", reason="deadline, in the minder's place")
            while self._kill_once():
                if self._successor():
                    return None  # it has the grant and its deadline; what starts has its permit
                time.sleep(0.02)
            self._give_back()
        return None

    def _kill_once(self) -> bool:
        """Whether anything may live still. An error ends nothing: nobody else would kill."""
        try:
            return server.kill_once(self._places) > 0 or server.lives(self._places)
        except OSError:
            return True

    def _standing(self) -> StandIn | None:
        """None: there is nothing to go on with, and the deadline comes."""
        status, before = self._status, read_stand_in(self._places, self._boot)
        if status is None or not status.granted:
            return None
        standing = StandIn.begun(
            *(status.session_id, status.deadline_s, self._limits, boottime_s()),
            before_until_s=None if before is None else before.until_s,
        )
        if standing is not None:
            self._leave(standing)
        return standing

    def _go_on(self, before: StandIn) -> StandIn:
        """Renew in a dead minder's place, or let the deadline come."""
        standing = before.server_seen(alive=server.lives(self._places))
        for message in self._link.unheard():
            standing = heard(standing, message, self._host)
        if standing.renews(boottime_s()):
            self._keeper.paused.clear()
        elif not self._keeper.paused.is_set():
            self._keeper.paused.set()
            log.warning("renewals_over", reason=standing.ended or "no new minder in time")
        if standing.left != before.left:
            self._leave(standing)
        return standing

    def _leave(self, standing: StandIn) -> None:
        """What a successor goes on with, and until when this one waits for it."""
        assert self._status is not None
        self._status = replace(self._status, deadline_s=standing.deadline_s)
        record = StandInRecord(self._boot, standing.until_s, standing.left)
        try:
            write_stand_in(self._places, record)
        except OSError as error:  # a successor finds a lease that has passed; nothing worse
            log.error("lease_not_written", error=str(error))

    def _give_back(self) -> None:
        """Nothing lives any more: let the desk release the claim, so that others need not wait."""
        assert self._status is not None
        self._status = replace(self._status, granted=False, server_alive=False)
        self._desk.status(self._status)
        time.sleep(LAST_RELEASE_S)

    def _successor(self) -> bool:
        """A new minder has written its lease file, and with it has read the grant."""
        lease = read_lease(self._places, self._boot)
        return lease is not None and lease.minder_pid != self._minder_pid


def inherited(
    record: GuardRecord, lease: LeaseRecord | None, limits: Limits
) -> MinderStatus | None:
    """The grant with which our minder began; None without one.

    The minder may be lost before its first word, when the worker before this one has already stood
    down for it.
    """
    if record.grant is None:
        return None
    renewals = lease.renewals if lease is not None else None
    return MinderStatus(
        granted=True,
        permits_seen=0,
        session_id=record.grant.session_id,
        deadline_s=None if renewals is None else renewals.deadline_s(limits),
        server_alive=True,
        in_production=True,
        demoted=False,
    )


Threads = tuple[Callable[[], None], ...]


def build(
    policy: Policy, config: Path, host_name: HostName, link: Link, minder_pid: int
) -> tuple[Worker, Threads]:
    """The worker and what runs in threads beside it."""
    host = policy.host(host_name)
    places, boot = default_places(host.cluster), boot_id()
    me = Member(host.name, host.site, host.cluster, GroupPaths(policy.group))
    record = read_record(places, boot)
    saved = None
    if record.session_id is not None:
        saved = SavedSession(record.session_id, bytes.fromhex(record.password))
    servers = tuple(
        Server(str(s.address), s.client_port, s.identity)
        for s in policy.patroni_zookeeper(host.site)
    )
    timing = lease_timing(policy.lease_s)
    announcer = Announcer(Barrier(host.cluster, host.client_ports), timing.deadline_s)
    keys = ring_of(policy, Role.GUARD)
    keeper = SessionKeeper(me, servers, timing, saved, link.send, announcer.announce, keys)
    salvager = Salvager(me, policy, places, keeper.store, link.send)
    scope = ScopePaths(policy.patroni_namespace, policy.cluster(host.cluster).scope(host.site))
    cluster = policy.cluster(host.cluster)
    catch_up = CatchUp(me, cluster, keeper.store, host.postgres_port, places.run_dir)
    heartbeat = Heartbeat(
        SOCKET_DIR,
        host.postgres_port,
        lambda: desk.serves,
        lambda: link.send(ServerAnswered()),
    )
    desk = Desk(
        me,
        host,
        scope,
        places,
        boot,
        keeper.store,
        link.send,
        salvager.state_seen,
        catch_up.before_promotion,
        heartbeat.hurry,
        armed=record.armed,
    )
    begun = inherited(record, read_lease(places, boot), Limits.of(timing))
    reporter = HostReporter(places, timing, config, link.send, tls=policy.tls)
    worker = Worker(
        *(link, places, boot, minder_pid, keeper, desk, salvager, reporter, begun),
        *(host.name, Limits.of(timing)),
    )
    return worker, (keeper.run, desk.run, salvager.run, heartbeat.run, reporter.run)


@click.command()
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--host", required=True)
@click.option("--fd", required=True, type=int, help="The socket to the minder.")
@click.option("--minder", required=True, type=int, help="The minder's process id.")
@click.option("--spare", is_flag=True, help="Wait for the minder's first word.")
def main(config: Path, host: str, fd: int, minder: int, spare: bool) -> None:
    from failover.config import load

    configure()
    policy, connection = load(config), socket.socket(fileno=fd)
    if spare:
        _call_myself("guard-spare")
        if not connection.recv(1, socket.MSG_PEEK):
            return  # the minder is gone, and this one has never been its worker
    _call_myself("guard-worker")
    link = Link(connection)
    link.send(WorkerAlive())
    worker, threads = build(policy, config, HostName(host), link, minder)
    for run in threads:
        threading.Thread(target=_or_die, args=(run,), daemon=True).start()
    _or_die(worker.run)
    # Not through Python's exit: nothing may stop the client, which would close the session.
    sys.stdout.flush()
    os._exit(0)


def _call_myself(name: str) -> None:
    """For whoever looks at the processes of a host (at most 15 characters)."""
    Path("/proc/self/comm").write_text(name, encoding="ascii")


def _or_die(run: Callable[[], None]) -> None:
    """A thread that fails ends the worker; the minder starts another."""
    try:
        run()
    except BaseException:
        log.exception("worker_thread_failed")
        os._exit(1)


if __name__ == "__main__":
    main()
