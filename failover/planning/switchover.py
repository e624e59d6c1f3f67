"""A planned move of the group: what is the next step of it. Pure.

Stands in ``state`` as a plan with a deadline, so any controller goes on with it (I6). Invariant:
while it stands the old site gets no permit; it ends in one of two transactions, and each of them
takes the plan away.
"""

from __future__ import annotations

from failover.health.view import View
from failover.model import Invariant
from failover.planning import switchover_transactions as transactions
from failover.planning.plan import Gate, Hold, Plan, StepName, held, passing
from failover.planning.switchover_gates import begin_gates, commit_gates, stopped_under
from failover.state import PlanRecord, StopKind
from failover.znode import Transaction


def answer(view: View) -> Plan | Hold:
    """Begin what an operator asks for, or say every reason against it."""
    request = view.waiting_request
    if request is None or view.state is None:
        return Hold("nothing is asked for", None, ())
    gates = begin_gates(view, request)
    if passing(gates):
        sentence = f"the switchover from {view.active_site} to {view.standby_site} begins"
        action = transactions.begin(view, request)
        return _step(view, StepName.BEGIN_SWITCHOVER, sentence, gates, action)
    reasons = tuple(_reason(gate) for gate in gates if gate.passes is not True)
    sentence = f"the {request.kind} to {request.to_site} is refused: {'; '.join(reasons)}"
    waits = Gate("request_waits", True, f"{request.by} waits", Invariant.DOUBT_MEANS_HOLD)
    return Plan(
        step=StepName.REFUSE_REQUEST,
        sentence=sentence,
        clusters=(),  # it is about none of them, whatever phase they are in
        from_site=view.active_site,
        to_site=view.standby_site,
        gates=(waits,),
        action=transactions.refuse(view, request, reasons),
    )


def go_on(view: View) -> Plan | Hold:
    """Commit the plan that stands, give it up where its time is over, or wait."""
    plan = view.state.plan if view.state is not None else None
    if plan is None:
        return Hold("no plan stands", None, ())
    gates = commit_gates(view, plan)
    if passing(gates):
        sentence = f"{plan.to_site} becomes the active site"
        action = transactions.commit(view, plan)
        return _step(view, StepName.SWITCHOVER, sentence, gates, action)
    if view.now_unix_s < plan.deadline_unix_s and not _killed(view, plan):
        return held(StepName.SWITCHOVER, gates)
    return _abandon(view, plan, gates)


def _killed(view: View, plan: PlanRecord) -> bool:
    """A server that had to be killed gives no certain end of its WAL: waiting would be in vain."""
    proofs = [stopped_under(cluster, plan) for cluster in view.clusters]
    return any(proof is not None and proof.kind is StopKind.KILLED for proof in proofs)


def _abandon(view: View, plan: PlanRecord, gates: tuple[Gate, ...]) -> Plan | Hold:
    over = (_no_way_on(view, plan), *(_scope_readable(view)))
    if not passing(over):
        return held(StepName.ABANDON_SWITCHOVER, over)
    reasons = tuple(_reason(gate) for gate in gates if gate.passes is not True)
    sentence = f"the switchover to {plan.to_site} is abandoned: {'; '.join(reasons)}"
    action = transactions.abandon(view, plan, reasons)
    return _step(view, StepName.ABANDON_SWITCHOVER, sentence, over, action)


def _no_way_on(view: View, plan: PlanRecord) -> Gate:
    text = f"the plan's deadline passed {view.now_unix_s - plan.deadline_unix_s:.0f} s ago"
    if _killed(view, plan):
        text = "a server was killed under the plan, so the end of its WAL is not certain"
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


def _reason(gate: Gate) -> str:
    of = f"{gate.cluster}: " if gate.cluster is not None else ""
    unknown = " (unknown)" if gate.passes is None else ""
    return f"{of}{gate.name}{unknown}: {gate.evidence}"


def _step(
    view: View, step: StepName, sentence: str, gates: tuple[Gate, ...], action: Transaction
) -> Plan:
    return Plan(
        step=step,
        sentence=sentence,
        clusters=tuple(cluster.name for cluster in view.clusters),
        from_site=view.active_site,
        to_site=view.standby_site,
        gates=gates,
        action=action,
    )
