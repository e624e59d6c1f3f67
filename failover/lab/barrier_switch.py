"""The acknowledgement barrier of one host: taken away, given back, and looked at.

The guard has no switch for it, and undoes within 2 s what somebody else does to its rules. So it
loses the right to make any: it runs on without CAP_NET_ADMIN, as where a unit does not give it,
and then the rules are removed. A guard that loses it with a grant goes on; it refuses the next
permit. The drop-in lies in memory: a boot of the host forgets it.
"""

from __future__ import annotations

import shlex

from failover.guard.acknowledgement import Barrier
from failover.lab.barrier_seen import Seen, may_admin, metric_of, rules_of
from failover.lab.containers import Containers
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost
from failover.lab.processes import Process, Processes
from failover.lab.stages import ask_guard
from failover.policy import DatabaseHost, Policy

UNIT = "failover-guard.service"
DROP_IN = f"/run/systemd/system/{UNIT}.d/90-lab-no-barrier.conf"
_WITHOUT = "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n"
_RESTART = f"systemctl daemon-reload && systemctl restart {UNIT}"


class BarrierSwitch:
    """Of every database host of a lab."""

    def __init__(self, containers: Containers, policy: Policy) -> None:
        self._containers = containers
        self._policy = policy

    def take_away(self, host: LabHost) -> None:
        """Its guard is restarted, and makes no rules any more. LabError.

        The rules are removed after that, well before the last renewal in them runs out.
        """
        table = _barrier(self._policy.host(host.name)).table
        self._run(
            host,
            f"mkdir -p $(dirname {DROP_IN}) && printf %s {shlex.quote(_WITHOUT)} > {DROP_IN} && "
            f"{_RESTART} && {{ ! nft list table {table} >/dev/null 2>&1 || "
            f"nft delete table {table}; }}",
        )

    def give_back(self, host: LabHost) -> None:
        """Its guard is restarted and makes its rules; nothing of ``take_away`` is left. LabError.

        Where there were none, customers wait for about a second: no renewal is known yet.
        """
        self._run(host, f"rm -f {DROP_IN}; rmdir $(dirname {DROP_IN}) 2>/dev/null; {_RESTART}")

    def restart(self, host: LabHost) -> None:
        """Its guard is restarted, and all stays as it is. LabError."""
        self._run(host, f"systemctl restart {UNIT}")

    def seen(self, host: LabHost) -> Seen:
        """LabError where the kernel's rules or the guard's processes cannot be read."""
        database = self._policy.host(host.name)
        processes = Processes(self._containers)
        minder = processes.pids(host, Process.GUARD_MINDER)
        worker = processes.pids(host, Process.GUARD_WORKER)
        every = " ".join(f"/proc/{pid}/status" for pid in processes.pids(host, Process.GUARD))
        sets = self._run(host, f"grep -h CapEff {every} 2>/dev/null || true").split()[1::2]
        ruleset = self._run(host, "nft -j list ruleset")
        return Seen(
            rules=rules_of(ruleset, _barrier(database)),
            metric=metric_of(ask_guard(database, "/metrics")[1]),
            may=may_admin(sets),
            pids=(*minder, *worker),
            writable=ask_guard(database, "/writable")[0] == 200,
        )

    def _run(self, host: LabHost, script: str) -> str:
        ended = self._containers.exec(host.name, ["sh", "-c", script])
        if ended.code != 0:
            raise LabError(f"{host.name}: {script!r} failed", log=ended.out)
        return ended.out


def _barrier(host: DatabaseHost) -> Barrier:
    return Barrier(host.cluster, host.client_ports)
