"""`failover bench protection`: what a commit costs in each protection mode, as a client sees it.

Customers of the active site through its HAProxy, each one transaction after the other without a
pause; alone, where the latency is that of the commit, and many at once, where the throughput is
what the machine has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from failover.clock import boottime_s
from failover.lab.bench_result import SCHEMA
from failover.lab.lab import Lab
from failover.lab.mode import protect
from failover.lab.watch import wait_whole
from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.control import Team, Workload
from failover.model import ProtectionMode

WHOLE_LIMIT_S = 120.0
WARM_UP_S = 2.0
CLIENTS = (1, 8)
NO_PAUSE_RATE = 100_000.0  # a pace that nobody keeps


@dataclass(frozen=True, slots=True)
class ProtectionRun:
    """One mode under one load. Latency: from BEGIN to the acknowledgement of COMMIT."""

    protection: str
    clients: int
    seconds: float
    netem: bool
    acked: int
    failed: int
    transactions_s: float
    latency_median_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


class ProtectionBench:
    """All modes one after the other, on a lab that is up, which is left in the mode it had."""

    def __init__(self, lab: Lab, seconds: float, tell: Callable[[str], None]) -> None:
        self._lab = lab
        self._seconds = seconds
        self._tell = tell
        self._name = f"protection-{time.time_ns() // 1_000_000}"

    def runs(self) -> Iterator[ProtectionRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        before = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state.protection
        try:
            for mode in ProtectionMode:
                self._tell(f"protection {mode}")
                protect(self._lab, mode)
                for clients in CLIENTS:
                    yield self._run(mode, clients)
        finally:
            protect(self._lab, before)

    def _run(self, mode: ProtectionMode, clients: int) -> ProtectionRun:
        site = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state.active_site
        workload = Workload(self._lab, f"{self._name}-{mode}-{clients}")
        team = Team(site, "proxy", clients, NO_PAUSE_RATE)
        try:
            workload.setup(site)
            workload.start(team)
            workload.wait_until_served([team])
            time.sleep(WARM_UP_S)
            self._tell(f"protection {mode}: {clients} customers for {self._seconds:g} s")
            from_s = boottime_s()
            time.sleep(self._seconds)
            to_s = boottime_s()
        finally:
            workload.stop()
        return measured(list(workload.attempts()), mode, clients, self._lab.netem, from_s, to_s)


def measured(
    attempts: Sequence[Attempt],
    mode: str,
    clients: int,
    netem: bool,
    from_s: float,
    to_s: float,
) -> ProtectionRun:
    """What ended within these seconds (boot time)."""
    ended = [one for one in attempts if from_s <= one.ended_s < to_s]
    acked = [one for one in ended if one.outcome is Outcome.ACKED]
    took_ms = [1000 * (one.ended_s - one.started_s) for one in acked]
    percent = quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else None
    return ProtectionRun(
        protection=str(mode),
        clients=clients,
        seconds=round(to_s - from_s, 1),
        netem=netem,
        acked=len(acked),
        failed=len(ended) - len(acked),
        transactions_s=round(len(acked) / (to_s - from_s), 1),
        latency_median_ms=round(median(took_ms), 1) if took_ms else None,
        latency_p95_ms=round(percent[94], 1) if percent else None,
        latency_p99_ms=round(percent[98], 1) if percent else None,
    )


def run_line(run: ProtectionRun) -> str:
    """One row of the table in docs/performance.md."""
    return (
        f"| {run.protection} | {run.clients} | {run.transactions_s:g} | {run.latency_median_ms} | "
        f"{run.latency_p95_ms} | {run.latency_p99_ms} |"
    )


TABLE_HEAD = (
    "| mode | customers | transactions/s | latency median, ms | p95 | p99 |",
    "|---|---|---|---|---|---|",
)


def as_json(runs: Sequence[ProtectionRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {"schema": SCHEMA, "runs": [asdict(run) for run in runs]}
