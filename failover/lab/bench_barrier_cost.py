"""`failover bench barrier-cost`: what the acknowledgement barrier costs customers.

Sessions write to the primary without a pause, and from one window to the next the barrier looks at
their packets or is passed by (a rule before all others; the guard does its part all the same). The
order within a pair of windows is chance, so that a machine that gets slower favours neither.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from failover.clock import boottime_s
from failover.guard.acknowledgement import Barrier
from failover.lab.bench_protection import ProtectionRun, measured
from failover.lab.bench_result import SCHEMA
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.watch import NotWhole, wait_whole
from failover.lab.workload.control import Team, Workload

SESSIONS = 16
NO_PAUSE_RATE = 100_000.0  # a pace that nobody keeps
WHOLE_LIMIT_S = 120.0
WARM_UP_S = 3.0
SETTLES_S = 0.5  # what was under way when the rule changed
ROUNDS_MIN = 4  # with fewer there is no spread to hold a difference against


@dataclass(frozen=True, slots=True)
class Round:
    """A window with the barrier and one without, right after each other."""

    number: int
    barrier: ProtectionRun
    bypassed: ProtectionRun


class BarrierCostBench:
    """On a lab that is up."""

    def __init__(
        self, lab: Lab, rounds: int, seconds: float, seed: int | None, tell: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._rounds = rounds
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._tell = tell

    def runs(self) -> Iterator[Round]:
        """Every round, as it ends. NotWhole when the lab is not ready."""
        state = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state
        primary = self._lab.writable_host()
        if primary is None:
            raise NotWhole("no host takes writes")
        host = self._lab.policy.host(primary.name)
        barrier = Barrier(host.cluster, host.client_ports)
        workload = Workload(self._lab, f"barrier-cost-{time.time_ns() // 1_000_000}")
        team = Team(state.active_site, f"direct:{primary.name}", SESSIONS, NO_PAUSE_RATE)
        try:
            workload.setup(state.active_site)
            workload.start(team)
            workload.wait_until_served([team])
            time.sleep(WARM_UP_S)
            for number in range(1, self._rounds + 1):
                self._tell(f"round {number} of {self._rounds}")
                windows = {
                    bypassed: self._window(primary, barrier, workload, bypassed)
                    for bypassed in self._chance.sample([True, False], 2)
                }
                yield Round(number, barrier=windows[False], bypassed=windows[True])
        finally:
            self._apply(primary, barrier.definition())
            workload.stop()

    def _window(
        self, primary: LabHost, barrier: Barrier, workload: Workload, bypassed: bool
    ) -> ProtectionRun:
        rules = [barrier.definition()]
        if bypassed:
            rules.append(f"insert rule {barrier.table} output accept")
        self._apply(primary, "\n".join(rules))
        time.sleep(SETTLES_S)
        from_s = boottime_s()
        time.sleep(self._seconds)
        to_s = boottime_s()
        mode = "bypassed" if bypassed else "barrier"
        attempts = list(workload.attempts())
        return measured(attempts, mode, SESSIONS, self._lab.netem, from_s, to_s)

    def _apply(self, primary: LabHost, rules: str) -> None:
        self._lab.shell(primary.name, f"nft -f - <<'END'\n{rules}\nEND")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure, over all rounds. ``spread``: between the quartiles of the bypassed windows."""

    name: str
    barrier: float
    bypassed: float
    spread: float

    @property
    def within_noise(self) -> bool:
        return abs(self.barrier - self.bypassed) <= self.spread


def figures(rounds: Sequence[Round]) -> tuple[Figure, ...]:
    """Medians of the windows' figures; none with too few rounds to say anything."""
    if len(rounds) < ROUNDS_MIN:
        return ()
    return (
        _figure("transactions/s", rounds, lambda run: run.transactions_s),
        _figure("latency median, ms", rounds, lambda run: run.latency_median_ms or 0.0),
        _figure("latency p99, ms", rounds, lambda run: run.latency_p99_ms or 0.0),
    )


def _figure(name: str, rounds: Sequence[Round], of: Callable[[ProtectionRun], float]) -> Figure:
    bypassed = [of(one.bypassed) for one in rounds]
    low, _, high = quantiles(bypassed, n=4, method="inclusive")
    held = [of(one.barrier) for one in rounds]
    return Figure(
        name, round(median(held), 2), round(median(bypassed), 2), spread=round(high - low, 2)
    )


def passed(rounds: Sequence[Round]) -> bool:
    found = figures(rounds)
    return bool(found) and all(one.within_noise for one in found)


def run_line(one: Round) -> str:
    """One round in one line."""
    return f"round {one.number}: " + "; ".join(
        f"{name} {run.transactions_s:g}/s, {run.latency_median_ms} ms (p99 {run.latency_p99_ms} ms)"
        for name, run in (("barrier", one.barrier), ("bypassed", one.bypassed))
    )


def table_lines(rounds: Sequence[Round]) -> list[str]:
    """The table of docs/performance.md."""
    return [
        f"| {SESSIONS} sessions | with the barrier | bypassed | quartiles apart | within noise |",
        "|---|---|---|---|---|",
        *(
            f"| {one.name} | {one.barrier:g} | {one.bypassed:g} | {one.spread:g} | "
            f"{'yes' if one.within_noise else 'no'} |"
            for one in figures(rounds)
        ),
    ]


def as_json(rounds: Sequence[Round]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "rounds": [asdict(one) for one in rounds],
        "figures": [asdict(f) | {"within_noise": f.within_noise} for f in figures(rounds)],
        "passed": passed(rounds),
    }
