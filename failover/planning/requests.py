"""The answer to an operator's request: the step that he asks for, or every reason against it. Pure.

Invariant: a request is answered whole, in one look. One that is refused has touched nothing.
"""

from __future__ import annotations

from failover.health.view import View
from failover.model import Invariant
from failover.planning import (
    gray_failure,
    gray_failure_gates,
    switchover_transactions,
    transactions,
)
from failover.planning.gates import group_armed
from failover.planning.manual_takeover import manual_takeover_gates
from failover.planning.plan import Gate, Hold, Plan, StepName, passing, reason
from failover.planning.steps import group_step, step
from failover.planning.switchover_gates import begin_gates
from failover.state import OperatorRequest, PlanKind


def request_gates(view: View, request: OperatorRequest) -> tuple[Gate, ...]:
    """Everything that speaks for or against what is asked for."""
    return (*group_armed(view.state), *_gates_of_its_kind(view, request))


def _gates_of_its_kind(view: View, request: OperatorRequest) -> tuple[Gate, ...]:
    if request.kind is PlanKind.SWITCHOVER:
        return begin_gates(view, request)
    if gray_failure.seen(view):
        return gray_failure_gates.begin_gates(view, request)
    return manual_takeover_gates(view, request)


def role_gates(view: View, request: OperatorRequest) -> tuple[Gate, ...]:
    """What a human answers for takes an approver, where ZooKeeper tells roles apart: by where the
    request stands, which it lets nobody else write."""
    if not view.policy.access.position.closed:
        return ()
    name, invariant = "role_allows", Invariant.NOTHING_LOST_SILENTLY
    if not request.needs_approver:
        return (Gate(name, True, "an operator may ask for that", invariant),)
    if view.request is not None and view.request.by_approver:
        return (Gate(name, True, "an approver asks", invariant),)
    text = "accepting loss, or saying that a site is fenced, takes an approver's key"
    return (Gate(name, False, text, invariant),)


def answer(view: View) -> Plan | Hold:
    """Begin what an operator asks for, or say every reason against it."""
    request = view.waiting_request
    if request is None or view.state is None:
        return Hold("nothing is asked for", None, ())
    gates = (*request_gates(view, request), *role_gates(view, request))
    if not passing(gates):
        return _refuse(view, request, gates)
    if request.kind is PlanKind.TAKEOVER and gray_failure.seen(view):
        sentence = f"the guards in {view.active_site} stop PostgreSQL for {request.by}"
        action = switchover_transactions.begin_takeover(view, request)
        return group_step(StepName.BEGIN_TAKEOVER, sentence, view, gates, action)
    if request.kind is PlanKind.TAKEOVER:
        sentence = f"{view.standby_site} takes over from {view.active_site} for {request.by}"
        action = transactions.takeover(view, request)
        return group_step(StepName.TAKEOVER, sentence, view, gates, action)
    sentence = f"the switchover from {view.active_site} to {view.standby_site} begins"
    action = switchover_transactions.begin(view, request)
    return group_step(StepName.BEGIN_SWITCHOVER, sentence, view, gates, action)


def _refuse(view: View, request: OperatorRequest, gates: tuple[Gate, ...]) -> Plan:
    reasons = tuple(reason(gate) for gate in gates if gate.passes is not True)
    waits = Gate("request_waits", True, f"{request.by} waits", Invariant.DOUBT_MEANS_HOLD)
    sentence = f"the {request.kind} to {request.to_site} is refused: {'; '.join(reasons)}"
    action = switchover_transactions.refuse(view, request, reasons)
    # about no cluster, whatever phase they are in
    return step(StepName.REFUSE_REQUEST, sentence, view, (), (waits,), action)
