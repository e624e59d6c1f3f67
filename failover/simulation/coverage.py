"""What schedules have seen: verdicts, edges of the transition table, steps, faults, takeovers.

Counted in schedules: ten times in one schedule is once. What is demanded of a campaign: demands.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from failover.controller import TickResult
from failover.executor import CommandStarted
from failover.planning.plan import Plan, StepName
from failover.planning.transitions import Phase, phase
from failover.state import ClusterState, GroupState, StateError, decode_state
from failover.znode import Committed, Set


@dataclass(slots=True)
class Coverage:
    """Of one schedule or of many; ``schedules`` of them."""

    schedules: int = 0
    takeovers: int = 0  # schedules in which one was committed
    verdicts: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def _counters(self) -> tuple[Counter[str], ...]:
        return (self.verdicts, self.edges, self.steps, self.faults)

    def add(self, other: Coverage) -> None:
        self.schedules += other.schedules
        self.takeovers += other.takeovers
        for mine, others in zip(self._counters, other._counters, strict=True):
            mine.update(others)

    # ------------------------------------------------------------------ of one schedule

    def begun(self) -> None:
        """``failover init`` has run."""
        self.schedules = 1
        self.edges[edge_name(None, Phase.PROTECTED, None)] = 1

    def fault(self, name: str) -> None:
        self.faults[name] = 1

    def turn(self, result: TickResult) -> None:
        """One turn of one controller: what it judged, and the step that it saw committed."""
        self.verdicts[result.verdict.code] = 1
        plan, done = result.decision, isinstance(result.execution, Committed | CommandStarted)
        before = result.view.state
        if not isinstance(plan, Plan) or not done or before is None:
            return
        self.steps[plan.step] = 1
        if plan.step is StepName.TAKEOVER:
            self.takeovers = 1
        after = _state_after(plan, before)
        for name in plan.clusters:
            self._moved(before.clusters[name], after.clusters[name], plan.step)

    def _moved(self, before: ClusterState, after: ClusterState, step: StepName) -> None:
        self.edges[edge_name(phase(before), phase(after), step)] = 1


def edge_name(before: Phase | None, after: Phase, step: StepName | None) -> str:
    return f"{before or 'nothing'} -> {after} by {step or 'failover init'}"


def _state_after(plan: Plan, before: GroupState) -> GroupState:
    """What the plan's transaction made of ``state``; as it was where it does not write it."""
    if not isinstance(plan.action, tuple):
        return before
    for op in plan.action:
        if isinstance(op, Set) and op.path.endswith("/state"):
            try:
                return decode_state(op.data, path=op.path)
            except StateError:  # another znode of that name
                continue
    return before
