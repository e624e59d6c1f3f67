"""Patroni's loop on one host, as far as it matters here: what it reads, when it acts, its holes.

Follows ha.py of Patroni 4.1; patroni_dcs.py follows dcs/zookeeper.py. The holes
are there on purpose: one cycle acts on the configuration that was read at its start; a primary that
keeps its key is restarted in place without ``pre_promote``; paused, it demotes nobody. The barriers
on its way are the guard's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from failover.simulation.client import Client
from failover.simulation.kernel import Kernel, Process
from failover.simulation.network import Network
from failover.simulation.patroni_dcs import Dcs, DcsFailed, Seen
from failover.simulation.postgres import Control, Hang, Postgres, Run
from failover.timing import LeaseTiming
from failover.znode import ScopePaths

BAR_AFTER_FAILED_HOOK_S = 20.0
MAXIMUM_LAG_ON_FAILOVER = 1048576
WAIT_FOR_CANDIDATE_S = 2.0
DEMOTION_CALLBACK_S = 2.0  # a demotion through the config keeps the key that long


class Barriers(Protocol):
    """The guard's commands on this host, as Patroni runs them."""

    def start(self, *, standby: bool) -> bool: ...
    def pre_promote(self) -> bool: ...
    def pg_ctl_promote(self) -> bool: ...
    def rewind(self, source: Postgres) -> None: ...


class Patroni:
    """One Patroni process beside one server."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        server: Postgres,
        paths: ScopePaths,
        timing: LeaseTiming,
        connect: Callable[[Process], Client],
        barriers: Barriers,
        peers: Callable[[], tuple[Patroni, ...]],
        upstream: Callable[[str], Postgres | None],
    ) -> None:
        self.kernel = kernel
        self.network = network
        self.server = server
        self.paths = paths
        self.timing = timing
        self.barriers = barriers
        self.stuck = False  # a backend it waits for is stopped: the loop hangs, kazoo pings on
        self.role = "replica"
        self.enabled = True  # systemd starts it again
        self.paused = False
        self._connect = connect
        self._peers = peers
        self._upstream = upstream
        self._dcs: Dcs | None = None
        self._process: Process | None = None
        self._promoting = False
        self._demoting = False
        self._barred_until_s = 0.0

    # ------------------------------------------------------------------ the process

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def dcs(self) -> Dcs:
        """Its view of ZooKeeper; a new one for every start of the process."""
        assert self._dcs is not None
        return self._dcs

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def answers(self) -> bool:
        """Its REST interface does."""
        works = self.server.host.answers and self.server.hang is Hang.NO and not self.stuck
        return self.alive and not self._frozen and works

    @property
    def _frozen(self) -> bool:
        return self._process is not None and self._process.frozen

    def launch(self) -> None:
        """Start the process (systemd, at boot or after it died)."""
        process = self.kernel.spawn(f"patroni {self.name}", self._run)
        self._process = self.server.host.adopt(process)
        self._promoting = self._demoting = False
        self._dcs = Dcs(
            self._connect(process), self.paths, self.name, self.timing.patroni_retry_timeout_s
        )

    def kill(self) -> None:
        """SIGKILL; the server it started lives on (KillMode=process)."""
        if self._process is not None:
            self._process.kill()
        if self._dcs is not None:
            self._dcs.store.drop()

    def freeze(self) -> None:
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        if self._process is not None:
            self._process.thaw()

    def _wake(self) -> None:
        if self._process is not None:
            self._process.wake()

    def _run(self) -> None:
        self.kernel.sleep(self.kernel.random.uniform(0.0, 1.0))
        while True:
            try:
                self._cycle()
            except DcsFailed:
                self._without_dcs()
            self.kernel.sleep(self.timing.patroni_loop_wait_s)

    # ------------------------------------------------------------------ one cycle

    def _cycle(self) -> None:
        seen = self.dcs.read_cluster(self._wake)
        self.paused = seen.paused
        # The query for the server's state never returns.
        while self.stuck or (self.server.alive and self.server.hang is not Hang.NO):
            self.kernel.sleep(0.5)
        self.server.sync.told(seen.sync_names, running=self.server.alive)
        if self._promoting or self._demoting or self.server.run is Run.STOPPING:
            if seen.leader_name == self.name:
                self.dcs.update_lock(seen, self._lsn)
            return
        if not self.server.alive:
            self._recover(seen)
        elif self.server.run is Run.RUNNING:
            if seen.leader is None:
                self._unlocked(seen)
            elif seen.leader_name == self.name:
                self._with_lock(seen)
            else:
                self._without_lock(seen)

    def _recover(self, seen: Seen) -> None:
        """The server is down: start it, in place as a primary where the key is still ours."""
        if seen.paused:
            return
        crashed_primary = self.server.control in (Control.IN_PRODUCTION, Control.SHUT_DOWN)
        if seen.leader_name == self.name and not seen.standby_cluster and crashed_primary:
            if not self.dcs.update_lock(seen, self._lsn):
                return
            if not self._start(standby=False):
                self.dcs.release_lock()  # "after trying and failing to start postgres"
            return
        if seen.leader_name == self.name and not self.dcs.update_lock(seen, self._lsn):
            return
        source = self._rewind_source(seen)
        if source is not None and self.server.diverged(source) and self._can_rewind(source):
            self._rewind(source)
            return
        self._start_replica(self._follow_source(seen))

    def _unlocked(self, seen: Seen) -> None:
        if seen.paused and self.server.in_recovery:
            return
        if self._is_healthiest(seen):
            if self.dcs.acquire_lock():
                if seen.candidate:
                    self.dcs.forget_candidate()
                self._with_lock(seen)  # on the configuration of this cycle, stale or not
            elif not self.server.in_recovery:
                self._demote("lost the race for the key")
            return
        if not self.server.in_recovery and not seen.paused:
            self._demote("not the healthiest")
            return
        self._follow(seen)

    def _with_lock(self, seen: Seen) -> None:
        if seen.leader_name == self.name and not self.dcs.update_lock(seen, self._lsn):
            if not self.server.in_recovery and not seen.paused:
                self._demote("failed to update the leader lock")
            return
        if seen.leader_name == self.name and self._manual_failover_from_leader(seen):
            return
        if seen.standby_cluster:
            if not self.server.in_recovery:
                self._demote_to_standby_cluster()
                return
            self.role = "standby_leader"
            self._follow(seen)
            return
        if not self.server.in_recovery:
            self.role = "primary"
            self.dcs.write_history(self.server.branch)
        elif not seen.paused:
            self._promote()

    def _without_lock(self, seen: Seen) -> None:
        if not self.server.in_recovery:
            if not seen.paused:
                self._demote("does not have the lock")
            return
        self._follow(seen)

    def _without_dcs(self) -> None:
        """ "demoting self because DCS is not accessible and I was a leader"; paused it does not."""
        if self.paused or self.stuck or self.server.in_recovery:
            return
        if self.server.run is Run.RUNNING:
            self._demote("DCS is not accessible", offline=True)

    @property
    def _lsn(self) -> int | None:
        """What it writes to ``status``; None while the server does not run."""
        return self.server.lsn if self.server.run is Run.RUNNING else None

    # ------------------------------------------------------------------ the race for the key

    def _is_healthiest(self, seen: Seen) -> bool:
        if self.kernel.now < self._barred_until_s:
            return False
        if seen.candidate and self.server.in_recovery:
            return self._is_candidate(seen)
        if seen.optime - self.server.lsn > MAXIMUM_LAG_ON_FAILOVER:
            return False
        return self._is_ahead()

    def _is_candidate(self, seen: Seen) -> bool:
        """``manual_failover_process_no_leader``: all step back before a candidate that answers."""
        if seen.candidate == self.name:
            return True
        if self._reaches(seen.candidate):
            self.kernel.sleep(WAIT_FOR_CANDIDATE_S)
            return False
        return self._is_ahead()

    def _reaches(self, name: str) -> bool:
        """That member's REST interface answers here."""
        for peer in self._peers():
            if peer.name == name:
                self.kernel.sleep(self.network.delay_s(self.server.host, peer.server.host) * 2)
                return peer.answers and self.network.talks(self.server.host, peer.server.host)
        return False

    def _is_ahead(self) -> bool:
        for peer in self._peers():
            if peer is self:
                continue
            self.kernel.sleep(self.network.delay_s(self.server.host, peer.server.host) * 2)
            if not (peer.answers and self.network.talks(self.server.host, peer.server.host)):
                continue
            if peer.server.run is not Run.RUNNING:
                continue
            if not peer.server.in_recovery and self.server.in_recovery:
                return False  # "Primary is still alive"
            if peer.server.lsn > self.server.lsn and peer.server.in_recovery:
                return False
        return True

    def _manual_failover_from_leader(self, seen: Seen) -> bool:
        """A leader steps down for another candidate that answers; else the name is taken away."""
        if not seen.candidate or (seen.paused and self.server.in_recovery):
            return False
        if seen.candidate != self.name and self._reaches(seen.candidate):
            self.kernel.note(f"{self.name}: patroni steps down for {seen.candidate}")
            self._demoting = True
            self._beside("manual failover", self._step_down)
            return True
        self.dcs.forget_candidate()
        return False

    def _step_down(self) -> None:
        self.role = "replica"
        self.server.stop()
        with suppress(DcsFailed):
            self.dcs.release_lock()
        self.kernel.sleep(WAIT_FOR_CANDIDATE_S)
        if not self.server.alive:
            self._start_replica(None)
        self._demoting = False

    # ------------------------------------------------------------------ the server

    def _promote(self) -> None:
        """pre_promote, then pg_ctl promote, beside the loop: the key is kept up meanwhile."""
        self._promoting = True
        self._beside("promotion", self._promotion)

    def _promotion(self) -> None:
        if self.barriers.pre_promote():
            if self.barriers.pg_ctl_promote():
                self.server.promote()
                self.kernel.sleep(0.1)
            self._promoting = False
            return
        self._barred_until_s = self.kernel.now + BAR_AFTER_FAILED_HOOK_S
        with suppress(DcsFailed):
            self.dcs.release_lock()
        self._promoting = False

    def _demote(self, why: str, *, offline: bool = False) -> None:
        """Stop, and come up again as a standby."""
        self.kernel.note(f"{self.name}: patroni demotes: {why}")
        self.role = "replica"
        self._demoting = True
        self._beside("demotion", lambda: self._demotion(offline=offline))

    def _demotion(self, *, offline: bool) -> None:
        if offline:
            self.server.stop()
        else:
            self.server.stop_immediately()
        if not self.server.alive:
            self._start_replica(None)
        self._demoting = False

    def _demote_to_standby_cluster(self) -> None:
        self.kernel.note(f"{self.name}: patroni demotes: now a standby cluster")
        self.role = "replica"
        self._demoting = True

        def demotion() -> None:
            self.server.stop()
            self.kernel.sleep(DEMOTION_CALLBACK_S)
            with suppress(DcsFailed):
                self.dcs.release_lock()
            self._demoting = False

        self._beside("demotion", demotion)

    def _follow(self, seen: Seen) -> None:
        """Stream from whom the cluster says; rewind first where the histories part."""
        if seen.leader_name != self.name:
            self.role = "replica"
        source = self._rewind_source(seen)
        if source is not None and self.server.diverged(source):
            if self._can_rewind(source):
                self.server.stop()
                if not self.server.alive:
                    self._rewind(source)
            return
        self.server.upstream = self._follow_source(seen)

    def _follow_source(self, seen: Seen) -> Postgres | None:
        """A member follows the key's holder, the holder in a standby cluster the other site."""
        if seen.leader_name != self.name:
            for peer in self._peers():
                if peer.name == seen.leader_name:
                    return peer.server
            return None  # a fence names no member
        return self._remote(seen)

    def _rewind_source(self, seen: Seen) -> Postgres | None:
        return self._remote(seen) if seen.standby_cluster else self._follow_source(seen)

    def _remote(self, seen: Seen) -> Postgres | None:
        standby = seen.standby_cluster
        return self._upstream(standby["host"]) if standby and standby.get("host") else None

    def _can_rewind(self, source: Postgres) -> bool:
        """The source must be a running primary that is reached."""
        reached = self.network.talks(self.server.host, source.host) and source.answers
        return reached and not source.in_recovery

    def _rewind(self, source: Postgres) -> None:
        """pg_rewind, through its barrier."""
        self.barriers.rewind(source)
        if not self.server.alive and self.server.rewind(source):
            self._start_replica(source)

    def restart_in_place(self) -> None:
        """``POST /restart``: down and up again in the same role, past ``pre_promote``."""
        standby = self.server.in_recovery

        def restart() -> None:
            self.server.stop()
            if not self.server.alive:
                self._start(standby=standby)
            self._demoting = False

        if self._process is not None and not (self._demoting or self._promoting):
            self._demoting = True  # the loop keeps its hands off meanwhile
            self._beside("restart", restart)

    def _start_replica(self, source: Postgres | None) -> None:
        self.server.upstream = source
        self._start(standby=True)

    def _start(self, *, standby: bool) -> bool:
        """bin_name.postgres: the start barrier, then the server."""
        if self.server.alive or not self.barriers.start(standby=standby):
            return False
        return not self.server.alive and self.server.start(standby=standby)

    def _beside(self, what: str, body: Callable[[], None]) -> None:
        """A thread of Patroni: it dies and freezes with it."""
        owner = self._process
        assert owner is not None
        thread = self.server.host.adopt(self.kernel.spawn(f"{what} {self.name}", body))
        owner.children = [child for child in owner.children if child.alive]
        owner.children.append(thread)
        for reason in owner.stops:
            thread.freeze(reason)
