"""`failover bench barrier`: when does a primary fall silent that nobody can stop in time?

Many sessions write straight to the primary, opened before the fault and kept through it. Its
Patroni is killed or stopped, or its host stands still for half a minute and goes on, with and
without its guard. What is measured is the host's last acknowledgement against the end of its
lease, as ZooKeeper has it, and every one until it may have another lease (I1).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence

from failover.clock import boottime_s
from failover.lab.bench_barrier_result import BarrierRun, Case, Fault
from failover.lab.errors import LabError
from failover.lab.faults import Faults, Kind
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.mode import protect
from failover.lab.processes import Process
from failover.lab.stages import ask_guard
from failover.lab.watch import ClaimWatch, NotWhole, Span, wait_whole, watch_claim
from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.checker import judge
from failover.lab.workload.control import Team, Workload
from failover.model import ProtectionMode, SiteName

SESSIONS = 16
RATE = (
    400.0  # transactions a second of all of them: every session has one under way most of the time
)
WHOLE_LIMIT_S = 180.0
STEADY_S = 2.0
PHASE_JITTER_S = 1.5  # longer than a renewal's interval and Patroni's loop
FROZEN_S = 30.0
LEASE_END_LIMIT_S = 60.0
DONE_LIMIT_S = 30.0
LINGER_S = 3.0  # a late answer would come now
POLL_S = 0.1


def cases(modes: Sequence[str], faults: Sequence[Fault], runs: int) -> list[Case]:
    """Every fault by turns, so that a campaign that was stopped has some of each."""
    return [
        Case(mode, fault, number)
        for mode in modes
        for number in range(1, runs + 1)
        for fault in faults
    ]


class BarrierBench:
    """Cases one after the other on a lab that is up."""

    def __init__(
        self, lab: Lab, todo: Sequence[Case], seed: int | None, tell: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._todo = todo
        self._tell = tell
        self._chance = random.Random(seed)
        self._name = f"barrier-{time.time_ns() // 1_000_000}"
        self._attempts: list[Attempt] = []
        self._lost: set[str] = set()

    def runs(self) -> Iterator[BarrierRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        for case in self._todo:
            yield self._run(case)

    def _run(self, case: Case) -> BarrierRun:
        self._tell("waiting until the group is whole")
        protect(self._lab, ProtectionMode(case.protection))
        active = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state.active_site
        primary = self._lab.writable_host()
        if primary is None or primary.site != active:
            raise NotWhole("no host takes writes in the active site")
        name = f"{self._name}-{case.protection}-{case.fault}-{case.number}"
        workload = Workload(self._lab, name)
        team = Team(active, f"direct:{primary.name}", SESSIONS, RATE)
        try:
            workload.setup(active)
            workload.start(team)
            workload.wait_until_served([team])
            time.sleep(STEADY_S + self._chance.uniform(0.0, PHASE_JITTER_S))
            return self._strike(case, primary, workload)
        finally:
            self._lab.faults.heal()
            workload.stop()

    def _strike(self, case: Case, primary: LabHost, workload: Workload) -> BarrierRun:
        policy = self._lab.policy
        barrier = '"barrier":true' in self._guard(primary)
        with watch_claim(policy, policy.clusters[0].name, primary.site, primary.name) as watch:
            self._tell(f"{case.fault} on {primary.name}")
            struck_s = boottime_s()
            problems = list(self._suffer(case.fault, primary, watch))
            held_back = self._held_back(primary)
            self._tell("healed; waiting until all is whole")
            self._lab.faults.heal()
            state = wait_whole(policy, WHOLE_LIMIT_S).state
            workload.stop()
        attempts = list(workload.attempts())
        self._attempts.extend(attempts)
        report = judge(self._attempts, workload.export(state.active_site))
        lost = {one.id for one in report.lost} - self._lost
        self._lost |= lost
        by_host = [one for one in attempts if _by(one, primary)]
        before, late = told_apart([one.ended_s for one in by_host], watch.without)
        return BarrierRun(
            case=case,
            host=primary.name,
            site=primary.site,
            active_after=SiteName(state.active_site),
            barrier=barrier,
            sessions=len({one.client for one in by_host if one.ended_s < struck_s}),
            lease_end_s=_after(struck_s, watch.ended_s),
            last_ack_s=_after(struck_s, max((*before, *late), default=None)),
            acked_late=len(late),
            answers_held_back=held_back,
            acked=sum(one.outcome is Outcome.ACKED for one in attempts),
            lost=len(lost),
            problems=(*problems, *report.problems),
        )

    def _suffer(self, fault: Fault, primary: LabHost, watch: ClaimWatch) -> Iterator[str]:
        """The fault, until a late acknowledgement could come no more."""
        faults, began_s = self._lab.faults, boottime_s()
        _BEGIN[fault](faults, primary)
        while watch.ended_s is None and boottime_s() < began_s + LEASE_END_LIMIT_S:
            time.sleep(POLL_S)
        if fault in (Fault.HOST_FROZEN, Fault.GUARD_FROZEN):
            time.sleep(max(0.0, began_s + FROZEN_S - boottime_s()))
            self._tell(f"{primary.name} goes on")
            faults.undo(Kind.FREEZE, primary.name)
        until_s = boottime_s() + DONE_LIMIT_S
        while '"granted":false' not in self._guard(primary):
            if boottime_s() > until_s:
                yield f"{primary.name}: the grant was not over {DONE_LIMIT_S:g} s after all that"
                return
            time.sleep(POLL_S)
        time.sleep(LINGER_S)

    def _guard(self, host: LabHost) -> str:
        """What its guard says of itself; empty where it does not."""
        return ask_guard(self._lab.policy.host(host.name), "/status")[1]

    def _held_back(self, host: LabHost) -> int:
        """Packets counted by its kernel and not let out, since the last run that asked."""
        cluster = self._lab.policy.host(host.name).cluster
        try:
            said = self._lab.shell(
                host.name, f"nft reset counter inet failover-{cluster} unanswered"
            )
        except LabError:
            return 0
        words = said.split()
        return int(words[words.index("packets") + 1]) if "packets" in words else 0


def _freeze_with_guard(faults: Faults, primary: LabHost) -> None:
    """The guard first, at any point of what it does: frozen alone, it decided before and calls
    after the thaw."""
    faults.stop(primary.name, Process.GUARD)
    faults.freeze(primary.name)


_BEGIN: dict[Fault, Callable[[Faults, LabHost], None]] = {
    Fault.PATRONI_KILLED: lambda f, h: f.kill(h.name, Process.PATRONI, for_good=True),
    Fault.PATRONI_STOPPED: lambda f, h: f.stop(h.name, Process.PATRONI),
    Fault.HOST_FROZEN: lambda f, h: f.freeze(h.name),
    Fault.GUARD_FROZEN: _freeze_with_guard,
}


def told_apart(
    acked_s: Sequence[float], without: Sequence[Span]
) -> tuple[list[float], list[float]]:
    """Of one host's acknowledgements: those before its lease ended, and those while it had none.

    Once healed it may be the one that gets the next lease; what it acknowledges then is neither.
    """
    ended_s = without[0].from_s if without else math.inf
    late = [at_s for at_s in acked_s if any(span.has(at_s) for span in without)]
    return [at_s for at_s in acked_s if at_s <= ended_s], late


def _by(attempt: Attempt, host: LabHost) -> bool:
    return attempt.outcome is Outcome.ACKED and attempt.server == str(host.address)


def _after(struck_s: float, at_s: float | None) -> float | None:
    return None if at_s is None else round(at_s - struck_s, 3)
