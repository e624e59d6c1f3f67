"""One site's controller: the real ``failover/controller.py``, fed by simulated probes.

The prober and the controller are two processes on one host, as the service's two loops are. A
crash can be planted before or after any store operation; what is started again is a new process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from failover.controller import Controller, TickResult
from failover.executor import CommandEnded, CommandStarted
from failover.health.inputs import Glanced
from failover.health.observation import (
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    Round,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
)
from failover.model import HostName, Lsn, SiteName, TimelineId
from failover.planning.plan import Plan
from failover.planning.turn import TICK_INTERVAL_S, asked_once_more
from failover.policy import DatabaseHost, Policy
from failover.simulation.client import Client
from failover.simulation.ensemble import Ensemble, Server
from failover.simulation.guard import Guard
from failover.simulation.kernel import Kernel, Process
from failover.simulation.network import Host, Network
from failover.simulation.patroni import Patroni
from failover.simulation.postgres import Hang, Postgres, Run
from failover.timing import lease_timing

ROUND_S = 0.5
PROBE_LIMIT_S = 1.0
UNIX_EPOCH_S = 1_900_000_000.0
ZOOKEEPER_RESTART_S = 1.0
GLANCE_S = 0.02

_TIMED_OUT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer within 1 s")
_REFUSED = NoAnswer(NoAnswerKind.REFUSED, "connection refused")
_STARTING = NoAnswer(NoAnswerKind.REJECTED, "the database system is starting up")


class Stack:
    """Everything on one database host."""

    def __init__(
        self, config: DatabaseHost, server: Postgres, patroni: Patroni, guard: Guard
    ) -> None:
        self.config = config
        self.host = server.host
        self.server = server
        self.patroni = patroni
        self.guard = guard


class RestartCommand:
    """The operator's command that restarts a ZooKeeper server."""

    def __init__(self, kernel: Kernel, network: Network) -> None:
        self.kernel = kernel
        self.network = network
        self._running: tuple[str, float] | None = None

    def start(self, command: str, boottime_s: float) -> None:
        self._running = (command, boottime_s)
        host = self.network.hosts[command.split()[-1]]
        if host.answers:
            host.kill()
            self.kernel.after(ZOOKEEPER_RESTART_S, host.boot)

    def ended(self, boottime_s: float) -> CommandEnded | None:
        if self._running is None or boottime_s - self._running[1] < ZOOKEEPER_RESTART_S:
            return None
        command, self._running = self._running[0], None
        return CommandEnded(command, 0, "")


class SiteController:
    """See the module."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        ensemble: Ensemble,
        policy: Policy,
        site: SiteName,
        host: Host,
        stacks: dict[str, Stack],
        lost_answers: Callable[[], bool],
        round_s: float,
    ) -> None:
        self.kernel = kernel
        self.network = network
        self.ensemble = ensemble
        self.policy = policy
        self.site = site
        self.host = host
        self.stacks = stacks
        self.clock_skew_s = kernel.random.uniform(-0.5, 0.5)
        self.result: TickResult | None = None
        self.client: Client | None = None
        self.steps: list[str] = []  # every plan that was acted on
        self.enabled = True
        self.on_connect: Callable[[Client], None] = lambda _: None  # to plant a crash
        self.on_turn: Callable[[TickResult], None] = lambda _: None
        self.round_s = round_s
        self._lost_answers = lost_answers
        self._process: Process | None = None
        self._local: Round | None = None
        self._sequence = 0

    # ------------------------------------------------------------------ the process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def launch(self) -> None:
        self._local = None
        self._process = self.host.adopt(
            self.kernel.spawn(f"controller {self.site}", self._run, self.kernel.random.random())
        )
        prober = self.kernel.spawn(f"prober {self.site}", self._probe)
        self._process.children.append(self.host.adopt(prober))
        timing = lease_timing(self.policy.lease_s)
        self.client = Client(
            self.ensemble,
            self.host,
            self.ensemble.servers,
            session_s=timing.controller_session_ms / 1000,
            limit_s=timing.answer_limit_s,
            owner=self._process,
            lost_answers=self._lost_answers,
        )
        self.on_connect(self.client)

    def kill(self) -> None:
        client = self.client
        if client is not None:
            client.drop()
        if self._process is not None:
            self._process.kill()

    def crash_after(self, operations: int, *, after_it: bool = False) -> None:
        """Die right before (or after) the n-th store operation from now on."""
        client = self.client
        if client is None:
            return
        at = client.operations + operations

        def crash() -> None:
            if client.operations >= at:
                self.kernel.note(f"controller {self.site} crashes")
                self.kill()

        if after_it:
            client.after_operation = crash
        else:
            client.before_operation = crash

    def freeze(self) -> None:
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        if self._process is not None:
            self._process.thaw()

    def _run(self) -> None:
        client = self.client
        assert client is not None
        controller = Controller(
            self.policy,
            self.site,
            client,
            commands=RestartCommand(self.kernel, self.network),
            boottime=lambda: self.kernel.now,
        )
        watched: set[str] = set()
        while True:
            for path in controller.watched_paths:
                if path not in watched:
                    watched.add(path)
                    client.wake_on(path, lambda path=path: self._woken(watched, path))  # type: ignore[misc]
            now_unix_s = UNIX_EPOCH_S + self.kernel.now + self.clock_skew_s
            glances = self._glances()
            result = controller.tick(now_unix_s, self.kernel.now, self._local, glances)
            self._report(result)
            soon = result.look_again_in_s < TICK_INTERVAL_S
            self.kernel.sleep(max(0.02, result.look_again_in_s) if soon else self.round_s)

    def _woken(self, watched: set[str], path: str) -> None:
        watched.discard(path)
        if self._process is not None:
            self._process.wake()

    def _report(self, result: TickResult) -> None:
        before, self.result = self.result, result
        self.on_turn(result)
        if self.kernel.log is not None and (
            before is None or before.verdict.code != result.verdict.code
        ):
            self.kernel.note(f"controller {self.site}: {result.verdict.code}")
        if result.execution is None or isinstance(result.execution, CommandStarted):
            return
        assert isinstance(result.decision, Plan)
        self.steps.append(result.decision.step)
        outcome = type(result.execution).__name__
        self.kernel.note(f"controller {self.site}: {result.decision.step}: {outcome}")

    def _glances(self) -> tuple[Glanced, ...]:
        """The servers of the new site once more, as the service asks them (health/glance.py)."""
        result = self.result
        leads = result is not None and result.leading
        site = asked_once_more(result.view, result.verdict) if leads and result else None
        if site is None:
            return ()
        stacks = [stack for stack in self.stacks.values() if stack.host.site == site]
        found = [(s, self._look_at(s).postgres) for s in stacks]
        self.kernel.sleep(GLANCE_S)
        return tuple(
            Glanced(stack.config.name, seen, GLANCE_S)
            for stack, seen in found
            if isinstance(seen, PostgresSeen)
        )

    # ------------------------------------------------------------------ the probes

    def _probe(self) -> None:
        while True:
            started_s = self.kernel.now
            hosts = tuple(self._look_at(stack) for stack in self.stacks.values())
            zookeeper = tuple(self._ask_zookeeper(server) for server in self.ensemble.servers)
            silent = any(
                part is _TIMED_OUT
                for host in hosts
                for part in (host.postgres, host.patroni, host.guard)
            ) or any(seen.answer is _TIMED_OUT for seen in zookeeper)
            self.kernel.sleep(PROBE_LIMIT_S if silent else 0.03)
            self._sequence += 1
            seen = SiteObservation(
                observer=self.site,
                sequence=self._sequence,
                taken_unix_s=UNIX_EPOCH_S + started_s + self.clock_skew_s,
                round_duration_s=self.kernel.now - started_s,
                hosts=hosts,
                zookeeper=zookeeper,
            )
            self._local = Round(seen, started_s)
            self.kernel.sleep(max(0.0, started_s + self.round_s - self.kernel.now))

    def _look_at(self, stack: Stack) -> HostObservation:
        if not self.network.talks(self.host, stack.host):
            return HostObservation(stack.config.name, _TIMED_OUT, _TIMED_OUT, _TIMED_OUT)
        return HostObservation(
            host=stack.config.name,
            postgres=_postgres(stack.server),
            patroni=_patroni(stack),
            guard=stack.guard.status() if stack.guard.answers else _silent(stack.guard.minder),
        )

    def _ask_zookeeper(self, server: Server) -> ZooKeeperObservation:
        name = self.policy.zookeeper_servers[server.myid - 1].name
        if not self.network.passes(self.host, server.host) or server.host.frozen:
            return _zookeeper_silent(name, _TIMED_OUT)
        if not self.network.passes(server.host, self.host):
            return _zookeeper_silent(name, _TIMED_OUT)
        if not server.host.up:
            return _zookeeper_silent(name, _REFUSED)
        mode = ZooKeeperMode.NO_QUORUM
        if server.joined:
            mode = ZooKeeperMode.LEADER if server.leads else ZooKeeperMode.FOLLOWER
        return _zookeeper_seen(name, mode, server.epoch)


# Few values, seen again and again: each is made once.


@lru_cache(maxsize=256)
def _zookeeper_silent(name: HostName, why: NoAnswer) -> ZooKeeperObservation:
    return ZooKeeperObservation(name, why)


@lru_cache(maxsize=256)
def _zookeeper_seen(name: HostName, mode: ZooKeeperMode, epoch: int) -> ZooKeeperObservation:
    return ZooKeeperObservation(name, ZooKeeperSeen(mode, epoch))


@lru_cache(maxsize=256)
def _patroni_seen(role: str, state: str, timeline: TimelineId, paused: bool) -> PatroniSeen:
    return PatroniSeen(role=role, state=state, timeline=timeline, paused=paused)


def _postgres(server: Postgres) -> PostgresSeen | NoAnswer:
    if server.run is Run.STARTING:
        return _STARTING
    if server.run is not Run.RUNNING:
        return _REFUSED
    if server.hang is not Hang.NO:
        return _TIMED_OUT
    lsn, recovery = Lsn(server.lsn), server.in_recovery
    up = server.upstream
    return PostgresSeen(
        in_recovery=recovery,
        timeline=TimelineId(server.branch.number),
        current_lsn=None if recovery else lsn,
        received_lsn=lsn if recovery else None,
        replayed_lsn=lsn if recovery else None,
        receiver_streaming=server.streaming if recovery else None,
        receiver_host=up.name if recovery and up is not None else None,
        system_identifier=server.cluster,
        sync_names=server.sync.shown,
        walsenders=() if recovery else server.sync.rows(),
        checkpointer_idle=server.sync.taken_in == server.sync.shown,
        started=str(server.run_id),
    )


def _patroni(stack: Stack) -> PatroniSeen | NoAnswer:
    patroni = stack.patroni
    if not patroni.alive:
        return _REFUSED
    if not patroni.answers:
        return _TIMED_OUT
    timeline = TimelineId(stack.server.branch.number)
    return _patroni_seen(patroni.role, stack.server.run, timeline, patroni.paused)


def _silent(minder: Process | None) -> NoAnswer:
    return _TIMED_OUT if minder is not None and minder.alive else _REFUSED
