"""A takeover from a site that holds its claims and is of no use (a gray failure). Pure.

A live claim is never broken: only the guard that holds it can end it. So this is a planned move
whose demotion the guards make: the plan stands in ``state``, each guard there stops what it holds a
claim for, and leaves a stopped-proof. Invariant: nothing is promoted before every cluster has its
proof; without one by the deadline all goes back, and a human is paged.

Where every server could be shut down, the commit is that of a planned move. Where one had to be
killed, it is a takeover's: the old site is fenced and in quarantine, because its WAL may end after
what the new site has, and has to be salvaged.
"""

from __future__ import annotations

from failover.health import predicates as ask
from failover.health.view import View
from failover.planning import switchover, switchover_transactions, transactions
from failover.planning.gray_failure_gates import begin_gates, killed_gates
from failover.planning.plan import Hold, Plan, StepName, held, passing
from failover.planning.steps import group_step
from failover.planning.switchover_gates import stopped_under
from failover.replication.loss import Loss, LossUnknown, loss_at_stop
from failover.state import PlanRecord, StopKind


def seen(view: View) -> bool:
    """Claims are held, a database is of no use, and the guards that could end it answer."""
    working = (c.holder is not None and c.holder.guard_working for c in view.clusters)
    return not ask.all_serving(view) and all(working)


def begin(view: View) -> Plan | Hold:
    """By itself: put the plan before the guards, or say what holds."""
    gates = begin_gates(view, None)
    if not passing(gates):
        return held(StepName.BEGIN_TAKEOVER, gates)
    sentence = f"the guards in {view.active_site} stop PostgreSQL: {view.standby_site} takes over"
    action = switchover_transactions.begin_takeover(view, None)
    return group_step(StepName.BEGIN_TAKEOVER, sentence, view, gates, action)


def go_on(view: View) -> Plan | Hold:
    """Commit the takeover that was begun, give it up where its time is over, or wait."""
    plan = view.state.plan if view.state is not None else None
    if plan is None or not _killed(view, plan):
        return switchover.go_on(view)
    request = view.request_of(plan.id)
    gates = killed_gates(view, plan, request)
    if passing(gates):
        sentence = f"{plan.to_site} takes over from {plan.from_site}, stopped by its guards"
        action = transactions.takeover(view, request, _stopped(view, plan))
        return group_step(StepName.TAKEOVER, sentence, view, gates, action)
    if view.now_unix_s < plan.deadline_unix_s:
        return held(StepName.TAKEOVER, gates)
    return switchover.abandon(view, plan, gates)


def _killed(view: View, plan: PlanRecord) -> bool:
    proofs = [stopped_under(cluster, plan) for cluster in view.clusters]
    return any(proof is not None and proof.kind is StopKind.KILLED for proof in proofs)


def _stopped(view: View, plan: PlanRecord) -> dict[str, str]:
    """What the guards proved, and what that loses: measured, in place of an estimate."""
    found = {"plan": plan.id, "requested_by": plan.requested_by}
    for cluster in view.clusters:
        proof = stopped_under(cluster, plan)
        if proof is None:
            continue
        found[f"{cluster.name}.stopped"] = f"{proof.host} {proof.kind} at {proof.end_of_wal}"
        found |= _lost(cluster.name, loss_at_stop(view, cluster, proof))
    return found


def _lost(name: str, loss: Loss) -> dict[str, str]:
    if isinstance(loss, LossUnknown):
        return {f"{name}.loss": f"unknown: {loss.reason}"}
    return {
        f"{name}.behind_bytes": str(loss.behind_bytes),
        f"{name}.behind_s": f"{loss.behind_s:.1f}",
        f"{name}.isolation_bytes": "0",
    }
