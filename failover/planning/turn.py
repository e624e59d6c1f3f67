"""The leading controller's next turn: how soon, and whom it asks once more right before. Pure.

Both the service and the forecast (``what_if``) go by it, so that what is foreseen waits for what
the controllers wait for and for nothing else.
"""

from __future__ import annotations

from failover.health.verdict import Consequence, Verdict
from failover.health.view import View
from failover.model import SiteName
from failover.planning.plan import Hold, Plan
from failover.planning.switchover_gates import stopped_under

TICK_INTERVAL_S = 0.5
SOON_S = 0.02  # as soon as that where only a look is missing


def next_turn_in_s(decision: Plan | Hold) -> float:
    """Until the turn after one that committed nothing, unless something wakes it up."""
    if isinstance(decision, Plan):
        return TICK_INTERVAL_S
    opens = [gate.opens_in_s for gate in decision.blocking if gate.opens_in_s is not None]
    return max(SOON_S, min([TICK_INTERVAL_S, *opens]))


def asked_once_more(view: View, verdict: Verdict) -> SiteName | None:
    """The new site of the plan or takeover that is judged: what its servers said in the last round
    of probes may be from before what the decision waits for. None: nobody."""
    if verdict.consequence is Consequence.TAKEOVER:
        return view.standby_site
    plan = view.state.plan if view.state is not None else None
    return plan.to_site if plan is not None else None


def awaits_a_stop(view: View) -> bool:
    """Under a plan of which no cluster has been proven to have stopped: nothing turns on what its
    new site says, and asking it would hold up the turn that sees the proof."""
    plan = view.state.plan if view.state is not None else None
    return plan is not None and all(stopped_under(each, plan) is None for each in view.clusters)
