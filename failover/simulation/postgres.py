"""One PostgreSQL server: what it does when told, and how it fails.

Nothing here decides. Patroni (or a human) starts, stops and promotes it; the guard kills it.
What matters: as long as one process of it lives it may acknowledge, unless that process has been
told SIGKILL (a killed process never answers, even one that is stuck in an fsync and dies later).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from failover.simulation.kernel import Kernel
from failover.simulation.network import Host, Network
from failover.simulation.synchronous import SyncCommits
from failover.simulation.wal import Branch, Position, fork_point

SHUTDOWN_S = (0.05, 0.2)
UNREACHABLE_WALSENDER_S = 5.0  # wal_sender_timeout: a fast shutdown waits for it
START_S = (0.1, 0.4)
PROMOTION_S = 0.03
END_OF_RECOVERY_BYTES = 42  # the record that a promotion begins its timeline with
SLOW_SERVES_P = 0.1


class Run(StrEnum):
    DOWN = "down"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"  # fast shutdown: clients are cut, waiting commits may be answered
    KILLED = "killed"  # SIGKILL sent, but a process hangs in an fsync: it will never answer


class Hang(StrEnum):
    """A gray failure: the server lives, holds its lock, and answers no new question."""

    NO = "no"
    FROZEN = "frozen"  # every process is stopped: nothing moves, a signal waits for the thaw
    SLOW = "slow"  # now and then it still acknowledges; its walsenders and a fast stop work


class Control(StrEnum):
    """``Database cluster state`` of pg_controldata."""

    IN_PRODUCTION = "in production"
    SHUT_DOWN = "shut down"
    IN_RECOVERY = "in archive recovery"
    SHUT_DOWN_IN_RECOVERY = "shut down in recovery"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A client was told that its write is committed."""

    cluster: str
    host: str
    site: str
    run_id: int
    at_s: float
    position: Position


class Postgres:
    """See the module. ``observed`` is told of every moment at which it matters who may write."""

    def __init__(
        self, kernel: Kernel, network: Network, host: Host, cluster: str, branch: Branch
    ) -> None:
        self.kernel = kernel
        self.network = network
        self.host = host
        self.name = host.name
        self.site = host.site
        self.cluster = cluster
        self.run = Run.DOWN
        self.control = Control.SHUT_DOWN_IN_RECOVERY
        self.in_recovery = True
        self.branch = branch
        self.lsn = 0x3000000
        self.reserved_below = 0  # history files of the promotion barrier: no such number is taken
        self.upstream: Postgres | None = None
        self.fsync_stalled = False
        self.hang = Hang.NO
        self.written_at_s = 0.0  # the last write to its WAL
        self.waiting_commits = 0
        self.run_id = 0  # a new one with every start
        self.set_back: list[tuple[float, int]] = []  # when, and what its disk had before
        self.salvaged: list[Position] = []  # copies of its WAL, each from wherever it was needed
        self.acknowledged: list[Acknowledgement] = []
        self.became_writable: Callable[[Postgres], None] = lambda _: None
        self.answers_leave: Callable[[], bool] = lambda: True  # by the kernel's barrier
        self.is_rewound: Callable[[Postgres, Postgres], None] = lambda _, __: None
        self.sync = SyncCommits(kernel, self._acknowledge)
        self.standby_names: frozenset[str] = frozenset()  # who may stream from it
        self.peers: tuple[Postgres, ...] = ()

    # ------------------------------------------------------------------ what is true of it

    @property
    def position(self) -> Position:
        return Position(self.branch, self.lsn)

    @property
    def alive(self) -> bool:
        """A process of it lives (what the lock tells the guard)."""
        return self.run is not Run.DOWN

    @property
    def answers(self) -> bool:
        """It answers queries."""
        return self.run is Run.RUNNING and self.host.answers and self.hang is Hang.NO

    @property
    def writable(self) -> bool:
        """It may acknowledge a write now or when it is thawed."""
        if self.in_recovery:
            return False
        return self.run is Run.RUNNING or (self.run is Run.STOPPING and self.waiting_commits > 0)

    @property
    def streaming(self) -> bool:
        """It receives from its upstream now."""
        return self._connected and self.upstream is not None and self.fits(self.upstream)

    @property
    def _connected(self) -> bool:
        """Its WAL receiver and a walsender of its upstream talk."""
        up = self.upstream
        return (
            up is not None
            and self.answers
            and self.in_recovery
            and up.run in (Run.RUNNING, Run.STOPPING)
            and up.hang is not Hang.FROZEN
            and self.network.talks(self.host, up.host)
        )

    def fits(self, up: Postgres) -> bool:
        """Its whole WAL is in the other's, whose timeline is no older one: it can stream."""
        if self.branch is up.branch:
            return self.lsn <= up.lsn
        older = up.branch.number < self.branch.number
        return not older and fork_point(self.position, up.position) >= self.lsn

    def diverged(self, other: Postgres) -> bool:
        """It has WAL that the other's history will never have, as far as Patroni can tell: it
        compares the timelines' numbers."""
        if self.branch.number == other.branch.number:
            return False
        if other.branch.number < self.branch.number:
            return True
        return fork_point(self.position, Position(other.branch, self.lsn)) < self.lsn

    @property
    def known_timeline(self) -> int:
        """The newest of its history files, or its own."""
        return max(self.branch.number, self.reserved_below - 1)

    # ------------------------------------------------------------------ what is done to it

    def start(self, *, standby: bool) -> bool:
        """Start it, and wait until it is up. False where it died meanwhile."""
        assert not self.alive
        run_id = self._new_run(Run.STARTING)
        self._on_its_own(lambda: self._starting(run_id, standby=standby))
        while self._is(run_id, Run.STARTING):
            self.kernel.sleep(0.05)
        return self._is(run_id, Run.RUNNING)

    def _is(self, run_id: int, run: Run) -> bool:
        return self.run_id == run_id and self.run is run

    def _starting(self, run_id: int, *, standby: bool) -> None:
        self.kernel.sleep(self.kernel.random.uniform(*START_S))
        if self.run_id != run_id:
            return
        self.run = Run.RUNNING
        self.in_recovery = standby
        self.control = Control.IN_RECOVERY if standby else Control.IN_PRODUCTION
        self.kernel.note(f"{self.name}: postgres up, {'standby' if standby else 'WRITABLE'}")
        if not standby:
            self.became_writable(self)

    def promote(self) -> None:
        """``pg_ctl promote``: leave recovery on a new timeline, a moment later."""
        run_id = self.run_id
        self._on_its_own(lambda: self._promoting(run_id))

    def _promoting(self, run_id: int) -> None:
        self.kernel.sleep(PROMOTION_S)
        while self.hang is Hang.FROZEN and self.run_id == run_id:
            self.kernel.sleep(0.2)
        if self.run_id != run_id or self.run is not Run.RUNNING or not self.in_recovery:
            return
        self.branch = self.branch.fork(self.lsn, self.known_timeline + 1)
        self.lsn += END_OF_RECOVERY_BYTES
        self.reserved_below = 0
        self.in_recovery = False
        self.upstream = None
        self.control = Control.IN_PRODUCTION
        self.kernel.note(f"{self.name}: PROMOTED on timeline {self.branch.number}")
        self.became_writable(self)

    def stop(self) -> None:
        """Fast shutdown, and wait until it is down."""
        if self.run is not Run.RUNNING:
            return
        run_id = self.run_id
        self.ask_to_stop()
        while self.run_id == run_id:
            self.kernel.sleep(0.05)

    def ask_to_stop(self) -> None:
        """SIGINT to the postmaster: its clients are cut at once, where it is not frozen."""
        if self.run is Run.RUNNING:
            run_id = self.run_id
            self.run = Run.STOPPING if self.hang is not Hang.FROZEN else self.run
            self._on_its_own(lambda: self._stopping(run_id))

    def _stopping(self, run_id: int) -> None:
        while self.hang is Hang.FROZEN and self.run_id == run_id:
            self.kernel.sleep(0.2)
        if self.run_id != run_id:
            return
        self.run = Run.STOPPING
        self.sync.stop()
        duration_s = self.kernel.random.uniform(*SHUTDOWN_S)
        if not self.in_recovery and self._unreachable_standbys():
            duration_s += UNREACHABLE_WALSENDER_S
        self.kernel.sleep(duration_s)
        while self.fsync_stalled and self.run_id == run_id:
            self.kernel.sleep(0.2)
        if self.run_id == run_id:
            self._shut_down()

    def _on_its_own(self, body: Callable[[], None]) -> None:
        """The server's processes: not children of who gave the command."""
        self.host.adopt(self.kernel.spawn(f"postgres {self.name}", body))

    def stop_immediately(self) -> None:
        """pg_ctl stop -m immediate: no checkpoint, nothing more is answered."""
        while self.hang is Hang.FROZEN:  # it is a signal to the postmaster as well
            self.kernel.sleep(0.2)
        self.kill()
        while self.alive:
            self.kernel.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to every process."""
        if self.run is Run.DOWN:
            return
        self.kernel.note(f"{self.name}: postgres killed")
        self._new_run(Run.KILLED if self.fsync_stalled else Run.DOWN)

    def power_off(self) -> None:
        self._new_run(Run.DOWN)
        self.fsync_stalled = False

    def hangs(self, how: Hang) -> None:
        """Every process that there is now; one that is started later works."""
        if self.run is Run.RUNNING:
            self.hang = how

    def thaw(self) -> None:
        self.hang = Hang.NO
        self._answer_waiting()

    def stall_fsync(self) -> None:
        self.fsync_stalled = True

    def end_stall(self) -> None:
        """The device answers again: waiting commits are answered, if anyone is left to do it."""
        self.fsync_stalled = False
        if self.run is Run.KILLED:
            self._new_run(Run.DOWN)
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        if not self.waiting_commits:  # nearly always
            return
        if self.host.answers and not self.fsync_stalled and self.hang is not Hang.FROZEN:
            for _ in range(self.waiting_commits):
                self.sync.commit(self.position)
            self.waiting_commits = 0

    def rewind(self, source: Postgres) -> bool:
        """pg_rewind: this server's own branch after the fork is gone afterwards."""
        assert not self.alive
        self.kernel.sleep(0.5)
        if not (source.answers and self.network.talks(self.host, source.host)):
            return False
        if self.alive or not self.host.up:
            return False
        self.kernel.note(f"{self.name}: rewound to {source.name}")
        self.is_rewound(self, source)
        self.branch, self.lsn = source.branch, source.lsn
        self.control = Control.SHUT_DOWN_IN_RECOVERY
        return True

    def _new_run(self, run: Run) -> int:
        self.run = run
        self.run_id += 1
        self.hang = Hang.NO
        self.sync.begin()
        if run is not Run.KILLED:
            self.waiting_commits = 0
        return self.run_id

    def _shut_down(self) -> None:
        if self.in_recovery:
            self.control = Control.SHUT_DOWN_IN_RECOVERY
        else:
            self._advance(112)  # the shutdown checkpoint
            self.control = Control.SHUT_DOWN
            for standby in self.peers:  # walsenders end once it has been received
                if standby.upstream is self:
                    standby.stream()
        self._new_run(Run.DOWN)
        self.kernel.note(f"{self.name}: postgres shut down")

    def _unreachable_standbys(self) -> bool:
        return any(
            not self.network.passes(self.host, other) or not other.answers
            for other in self.network.hosts.values()
            if other.name in self.standby_names
        )

    # ------------------------------------------------------------------ time

    def write(self) -> None:
        """A client at this site writes, where the server lets it."""
        self._answer_waiting()
        if not (self.host.answers and self.run is Run.RUNNING and not self.in_recovery):
            return
        if self.hang is not Hang.NO and not self._serves_one():
            return
        self._advance(self.kernel.random.randrange(64, 512))
        if self.fsync_stalled:
            self.waiting_commits += 1
        else:
            self.sync.commit(self.position)

    def _serves_one(self) -> bool:
        return self.hang is Hang.SLOW and self.kernel.random.random() < SLOW_SERVES_P

    def _advance(self, size: int) -> None:
        self.lsn += size
        self.written_at_s = self.kernel.now

    @property
    def idle_s(self) -> float:
        """How long nothing has been written to its WAL."""
        return self.kernel.now - self.written_at_s

    def _acknowledge(self, position: Position) -> None:
        if not self.answers_leave():
            return  # the client waits, and is cut off when the barrier opens again
        self.acknowledged.append(
            Acknowledgement(
                self.cluster, self.name, self.site, self.run_id, self.kernel.now, position
            )
        )

    def come_back_older(self, by_bytes: int) -> None:
        """With the disk of before, or with a copy of a host that had less."""
        self.kill()
        older = max(self.branch.start, self.lsn - by_bytes)
        if older < self.lsn:
            self.set_back.append((self.kernel.now, self.lsn))
        self.lsn = older

    def stream(self) -> None:
        """Receive and replay what the upstream has."""
        up = self.upstream
        if up is None or self.fsync_stalled or not self._connected:
            return
        if self.fits(up):
            self.branch, self.lsn = up.branch, max(self.lsn, up.lsn)
            up.sync.heard(self.name, self.lsn)
        else:
            up.sync.turned_away(self.name, self.lsn)

    def miss_standbys(self) -> None:
        """Walsenders whose standby streams from here no more, once that is noticed."""
        if not self.sync.walsenders:  # three servers of four are standbys
            return
        for standby in self.peers:
            if standby.name not in self.sync.walsenders:
                continue
            if standby.upstream is not self or not standby.streaming:
                reached = self.network.talks(self.host, standby.host)
                self.sync.gone(standby.name, noticed=reached and standby.hang is Hang.NO)
