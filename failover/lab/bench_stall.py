"""`failover bench stall`: how long commits wait when the other site vanishes (max-availability).

They wait until it is on record that the other site misses them (decision 0014). Customers of the
active site write through its HAProxy all the while; nothing that was acknowledged may be lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from failover.clock import boottime_s
from failover.lab.bench_result import SCHEMA
from failover.lab.lab import Lab
from failover.lab.mode import protect
from failover.lab.watch import wait_whole
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import acks_of, judge, longest_gap
from failover.lab.workload.control import Team, Workload
from failover.model import ProtectionMode, SiteName
from failover.state import GroupState

STALL_S_MAX = 6.0  # docs/decisions/0014: what a dead other site costs
STALL_S_MIN = 1.0  # the looks that find it dead take longer: with less, nobody has waited for it
WHOLE_LIMIT_S = 180.0
SERVED_LIMIT_S = 30.0
STEADY_S = 2.0
PHASE_JITTER_S = 1.0  # every interval in the system is shorter
CLIENTS = 8
RATE = 50.0  # transactions a second
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class StallRun:
    """One loss of the standby site. Seconds; None where it never came to that."""

    run: int
    lost_site: SiteName
    netem: bool
    stall_s: float | None  # without an acknowledgement, around the loss
    in_sync_again_s: float  # from the heal until it is on record
    acked: int
    lost: int
    problems: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        waited = self.stall_s is not None and STALL_S_MIN <= self.stall_s <= STALL_S_MAX
        return waited and self.lost == 0 and not self.problems


class StallBench:
    """Runs one after the other on a lab that is up, which is left in the mode it had."""

    def __init__(self, lab: Lab, runs: int, seed: int | None, tell: Callable[[str], None]) -> None:
        self._lab = lab
        self._runs = runs
        self._tell = tell
        self._chance = random.Random(seed)
        self._name = f"stall-{time.time_ns() // 1_000_000}"
        self._attempts: list[Attempt] = []

    def runs(self) -> Iterator[StallRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        before = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state.protection
        try:
            protect(self._lab, ProtectionMode.MAX_AVAILABILITY)
            for number in range(1, self._runs + 1):
                yield self._run(number)
        finally:
            self._lab.faults.heal()
            protect(self._lab, before)

    def _run(self, number: int) -> StallRun:
        self._tell("waiting until the group is in sync")
        state = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state
        workload = Workload(self._lab, f"{self._name}-{number:03d}")
        team = Team(state.active_site, "proxy", CLIENTS, RATE)
        try:
            workload.setup(state.active_site)
            workload.start(team)
            workload.wait_until_served([team])
            time.sleep(STEADY_S + self._chance.uniform(0.0, PHASE_JITTER_S))
            return self._lose_and_heal(number, state, workload)
        finally:
            workload.stop()

    def _lose_and_heal(self, number: int, state: GroupState, workload: Workload) -> StallRun:
        active = state.active_site
        standby = self._lab.policy.other_data_site(active).name
        self._tell(f"{standby} is lost")
        lost_s = boottime_s()
        self._lab.faults.unplug(standby)
        problems = _served_again(workload, active, lost_s)
        self._lab.faults.heal()
        healed_s = boottime_s()
        whole = wait_whole(self._lab.policy, WHOLE_LIMIT_S)
        workload.stop()
        attempts = list(workload.attempts())
        self._attempts.extend(attempts)  # the database has those of the runs before, too
        report = judge(self._attempts, workload.export(active))
        gap = longest_gap(attempts, site=active, since_s=lost_s)
        return StallRun(
            run=number,
            lost_site=standby,
            netem=self._lab.netem,
            stall_s=None if gap is None else round(gap.length_s, 3),
            in_sync_again_s=round(max(0.0, whole.since_s - healed_s), 3),
            acked=sum(one.outcome is Outcome.ACKED for one in attempts),
            lost=len({one.id for one in report.lost} & {one.id for one in attempts}),
            problems=(*problems, *report.problems),
        )


def _served_again(workload: Workload, site: SiteName, lost_s: float) -> tuple[str, ...]:
    """Again after the time that a stall may take; what went wrong where they are not."""
    from_s = lost_s + STALL_S_MAX
    until_s = lost_s + SERVED_LIMIT_S
    while boottime_s() < until_s:
        acks = acks_of(workload.attempts(), site=site, via=Via.PROXY)
        if acks and acks[-1] > from_s:
            return ()
        time.sleep(POLL_S)
    return (f"customers of {site} were not served {SERVED_LIMIT_S:g} s after the loss",)


def run_line(run: StallRun) -> str:
    """One line for people."""
    stall = "no acknowledgement again" if run.stall_s is None else f"stall {run.stall_s:.3f} s"
    parts = [
        f"run {run.run}: {run.lost_site} lost",
        stall,
        f"in sync again {run.in_sync_again_s:.3f} s after the heal",
        f"acked {run.acked}",
        f"lost {run.lost}",
        "netem" if run.netem else "no netem",
    ]
    return ", ".join(parts) + "".join(f"\n    problem: {problem}" for problem in run.problems)


def summary_lines(runs: Sequence[StallRun]) -> list[str]:
    """What the runs show together."""
    stalls = [run.stall_s for run in runs if run.stall_s is not None]
    if not stalls:
        return ["nothing measured"]
    return [
        f"{len(runs)} losses of the standby site: commits waited for {median(stalls):.3f} s in the "
        f"median, {max(stalls):.3f} s at worst (bound {STALL_S_MAX:g} s); "
        f"{sum(run.lost for run in runs)} of {sum(run.acked for run in runs)} lost"
    ]


def as_json(runs: Sequence[StallRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {"schema": SCHEMA, "runs": [asdict(run) for run in runs]}
