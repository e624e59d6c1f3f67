"""Why the controller does, or does not do, something: values for ``failover explain``. Pure.

Inaction is explained as carefully as action: every gate with its evidence, the first that blocks,
and what happens next and when if nothing changes. Renders nothing and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.verdict import Verdict
from failover.health.view import View
from failover.model import ClusterName
from failover.planning.gates import takeover_gates
from failover.planning.plan import Gate, Hold, Plan, StepName
from failover.replication.loss import Loss, cluster_loss


@dataclass(frozen=True, slots=True)
class Next:
    """What would happen next. ``in_s`` None: not before something changes."""

    sentence: str
    step: StepName | None
    in_s: float | None


@dataclass(frozen=True, slots=True)
class ClusterLoss:
    """What would be lost of one cluster if its active site vanished now."""

    cluster: ClusterName
    loss: Loss


@dataclass(frozen=True, slots=True)
class Explanation:
    """``gates`` are those of the step under consideration (``step``): a takeover's, where the
    verdict asks for no other. ``blocking``: the first that does not pass."""

    verdict: Verdict
    decision: Plan | Hold
    step: StepName
    gates: tuple[Gate, ...]
    blocking: Gate | None
    next: Next
    losses: tuple[ClusterLoss, ...]
    missing: tuple[str, ...]


def explain(view: View, verdict: Verdict, decision: Plan | Hold) -> Explanation:
    """The explanation of one decision about one view."""
    step = decision.step if isinstance(decision, Plan) else decision.wanted
    gates = decision.gates if step is not None else takeover_gates(view)
    considered = step or StepName.TAKEOVER
    return Explanation(
        verdict=verdict,
        decision=decision,
        step=considered,
        gates=gates,
        blocking=next((gate for gate in gates if gate.passes is not True), None),
        next=_next(decision, considered, gates),
        losses=tuple(ClusterLoss(c.name, cluster_loss(view, c)) for c in view.clusters),
        missing=view.missing,
    )


def _next(decision: Plan | Hold, step: StepName, gates: tuple[Gate, ...]) -> Next:
    if isinstance(decision, Plan):
        return Next(decision.sentence, decision.step, 0.0)
    blocking = [gate for gate in gates if gate.passes is not True]
    words = step.replace("_", " ")
    waits = [gate.opens_in_s for gate in blocking if gate.opens_in_s is not None]
    if blocking and len(waits) == len(blocking):
        in_s = max(waits)
        return Next(f"{words} in at most {in_s:.0f} s if nothing changes", step, in_s)
    timeless = next((gate for gate in blocking if gate.opens_in_s is None), None)
    if timeless is None:
        return Next("judged again at the next look", None, None)
    return Next(f"no {words} before {timeless.name} passes: {timeless.evidence}", None, None)
