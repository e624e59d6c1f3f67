"""What else is the matter with the primary of a site that is lost, held against the protocol.

Each trouble is one way in which Patroni alone would not stop a primary in time, as four
moments around the black hole of one run. The plain one does nothing. Only the bench calls this;
whatever lasts is a fault of the lab and is healed with the black hole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from enum import StrEnum

from failover.clock import boottime_s
from failover.lab.errors import LabError
from failover.lab.faults import Kind
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.workload.control import Workload

CLIENTS_OF_ZOOKEEPER = 2  # Patroni and the guard
ATTACHED_LIMIT_S = 20.0
IDLE_LIMIT_S = 30.0
IDLE_FOR_S = 3.0  # some of Patroni's loops: nothing left to write to ZooKeeper
LATE_WRITES_S = 3.0


class Variant(StrEnum):
    PLAIN = "plain"
    PATRONI_DEAD = "patroni-dead"
    BACKEND_STOPPED = "backend-stopped"
    FSYNC_STALLED = "fsync-stalled"
    LOCAL_ZOOKEEPER_IDLE = "local-zookeeper-idle"


class Trouble:
    """None but the black hole itself."""

    def __init__(self, lab: Lab, primary: LabHost, workload: Workload) -> None:
        self._lab = lab
        self._primary = primary
        self._workload = workload

    def prepare(self) -> None:
        """The customers are served; nothing is broken yet."""

    def strike(self) -> None:
        """The black hole comes next, at once."""

    def cut(self) -> None:
        """The black hole is there."""

    def taken_over(self) -> None:
        """The other site acknowledges; the black hole is still there."""


class PatroniDead(Trouble):
    """Nobody is left to demote the primary, and its server lives on."""

    def strike(self) -> None:
        self._lab.faults.kill(self._primary.name, Process.PATRONI, for_good=True)


class BackendStopped(Trouble):
    """A connection of Patroni's hangs, and a customer's: no fast shutdown ever ends."""

    def strike(self) -> None:
        self._lab.faults.stop(self._primary.name, Process.BACKEND)
        self._lab.faults.stop(self._primary.name, Process.PATRONI_BACKEND)


class FsyncStalled(Trouble):
    """Commits wait for their WAL until after the takeover, and would then be acknowledged."""

    def strike(self) -> None:
        self._lab.faults.stall_fsync(self._primary.name)

    def taken_over(self) -> None:
        self._lab.faults.undo(Kind.STALL_FSYNC, self._primary.name)


class LocalZooKeeperIdle(Trouble):
    """Patroni (and the guard) ask the server of the lost site, which answers reads for a while
    although it is cut off; and nothing was written that would have told them."""

    def prepare(self) -> None:
        servers = self._lab.policy.zookeeper_servers
        own = {str(one.address) for one in servers if one.site == self._primary.site}
        peers = self._zookeeper_peers()
        give_up_s = boottime_s() + ATTACHED_LIMIT_S
        while len(peers) < CLIENTS_OF_ZOOKEEPER or not own.issuperset(peers):
            if boottime_s() > give_up_s:
                raise LabError(f"{self._primary.name}: attached to {peers}, wanted {own}")
            for other in set(peers) - own:
                self._lab.shell(
                    self._primary.name, f"ss -K dst {other} dport = :2181 >/dev/null; true"
                )
            time.sleep(0.5)
            peers = self._zookeeper_peers()
        self._workload.pause()
        self._wait_idle()

    def cut(self) -> None:
        time.sleep(random.uniform(0.0, LATE_WRITES_S))
        self._workload.go_on()

    def _zookeeper_peers(self) -> tuple[str, ...]:
        """Per connection of this host to ZooKeeper, the server's address."""
        listed = self._lab.shell(self._primary.name, "ss -Htn state established dport = :2181")
        return tuple(line.split()[3].rsplit(":", 1)[0] for line in listed.splitlines())

    def _wait_idle(self) -> None:
        """Return once nothing was written for a while. LabError when it never stops."""
        query = "psql -h /run/postgresql -d postgres -XAtc 'select pg_current_wal_insert_lsn()'"
        give_up_s = boottime_s() + IDLE_LIMIT_S
        end, since_s = "", boottime_s()
        while boottime_s() - since_s < IDLE_FOR_S:
            if boottime_s() > give_up_s:
                raise LabError(f"{self._primary.name} writes although its customers pause")
            now = self._lab.shell(self._primary.name, f"cd /; {query}", user="postgres")
            if now != end:
                end, since_s = now, boottime_s()
            time.sleep(0.2)


TROUBLES: dict[Variant, Callable[[Lab, LabHost, Workload], Trouble]] = {
    Variant.PLAIN: Trouble,
    Variant.PATRONI_DEAD: PatroniDead,
    Variant.BACKEND_STOPPED: BackendStopped,
    Variant.FSYNC_STALLED: FsyncStalled,
    Variant.LOCAL_ZOOKEEPER_IDLE: LocalZooKeeperIdle,
}
