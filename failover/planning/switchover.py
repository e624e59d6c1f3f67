"""A planned move of the group: what is the next step of it. Pure.

(And of a takeover that was begun, where the guards could shut everything down: ``gray_failure``.)
Stands in ``state`` as a plan with a deadline, so any controller goes on with it (I6). Invariant:
while it stands the old site gets no permit; it ends in one of two transactions, and each of them
takes the plan away.
"""

from __future__ import annotations

from failover.health.view import View
from failover.model import Invariant
from failover.planning import switchover_transactions as transactions
from failover.planning.plan import Gate, Hold, Plan, StepName, held, passing, reason
from failover.planning.steps import group_step
from failover.planning.switchover_gates import commit_gates, stopped_under
from failover.state import PlanRecord, StopKind


def go_on(view: View) -> Plan | Hold:
    """Commit the plan that stands, give it up where its time is over, or wait."""
    plan = view.state.plan if view.state is not None else None
    if plan is None:
        return Hold("no plan stands", None, ())
    gates = commit_gates(view, plan)
    if passing(gates):
        sentence = f"{plan.to_site} becomes the active site"
        action = transactions.commit(view, plan)
        return group_step(StepName.SWITCHOVER, sentence, view, gates, action)
    if view.now_unix_s < plan.deadline_unix_s and not _killed(view, plan):
        return held(StepName(plan.kind), gates)
    return abandon(view, plan, gates)


def _killed(view: View, plan: PlanRecord) -> bool:
    """Of a server that was killed the last WAL was sent to nobody: waiting would be in vain."""
    proofs = [stopped_under(cluster, plan) for cluster in view.clusters]
    return any(proof is not None and proof.kind is StopKind.KILLED for proof in proofs)


def abandon(view: View, plan: PlanRecord, gates: tuple[Gate, ...]) -> Plan | Hold:
    """All goes back, for the gates of its commit that do not pass; or what that waits for."""
    over = (_no_way_on(view, plan), *(_scope_readable(view)))
    if not passing(over):
        return held(StepName.ABANDON_SWITCHOVER, over)
    reasons = tuple(reason(gate) for gate in gates if gate.passes is not True)
    sentence = f"the {plan.kind} to {plan.to_site} is abandoned: {'; '.join(reasons)}"
    action = transactions.abandon(view, plan, reasons)
    return group_step(StepName.ABANDON_SWITCHOVER, sentence, view, over, action)


def _no_way_on(view: View, plan: PlanRecord) -> Gate:
    overdue_s = view.now_unix_s - plan.deadline_unix_s
    text = f"the plan's deadline passed {overdue_s:.0f} s ago"
    if overdue_s < 0:
        text = "a server was killed under the plan: perhaps its host alone has the end of its WAL"
    return Gate("no_way_on", True, text, Invariant.RESUMABLE)


def _scope_readable(view: View) -> tuple[Gate, ...]:
    """What the old scope is set back from must be known."""
    invariant = Invariant.DOUBT_MEANS_HOLD
    gates = []
    for cluster in view.clusters:
        readable = cluster.active.scope is not None and cluster.active.config is not None
        scope = f"{cluster.name}-{cluster.active.site}"
        text = f"{scope} {'was read' if readable else 'has no usable configuration'}"
        passes = True if readable else None
        gates.append(Gate("old_scope_readable", passes, text, invariant, cluster.name))
    return tuple(gates)
