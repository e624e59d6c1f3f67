"""verdict → the one next step, or a hold with its reasons. Pure.

Every tick plans from scratch: what is under way stands in ``state``, so another controller goes on
where this one died (I6). A step is planned only where all its gates pass; unknown holds (I5).
"""

from __future__ import annotations

from typing import assert_never

from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView
from failover.health.verdict import Consequence, Verdict
from failover.health.view import View
from failover.planning import gray_failure, protection, requests, switchover, transactions
from failover.planning.candidate import name_candidates
from failover.planning.gates import takeover_gates
from failover.planning.plan import Gate, Hold, Plan, RestartZooKeeper, StepName, held, passing
from failover.planning.step_gates import (
    follow_gates,
    record_gates,
    reinstate_gates,
    restart_gates,
)
from failover.planning.steps import group_step, step


def plan(view: View, verdict: Verdict) -> Plan | Hold:
    """The next step from here. A verdict that asks for nothing is a hold that wants nothing."""
    match verdict.consequence:
        case Consequence.NOTHING:
            return Hold("nothing to do", None, ())
        case Consequence.HOLD:
            return Hold(verdict.sentence, None, ())
        case Consequence.TAKEOVER:
            return _takeover(view)
        case Consequence.RECORD_PROMOTION:
            return _record_promotion(view)
        case Consequence.REINSTATE:
            return _reinstate(view)
        case Consequence.FOLLOW:
            return _follow(view)
        case Consequence.RESTART_ZOOKEEPER:
            return _restart_zookeeper(view)
        case Consequence.ANSWER_REQUEST:
            return requests.answer(view)
        case Consequence.SWITCHOVER:
            return switchover.go_on(view)
        case Consequence.BEGIN_TAKEOVER:
            return gray_failure.begin(view)
        case Consequence.END_TAKEOVER:
            return gray_failure.go_on(view)
        case Consequence.PROTECT:
            return protection.next_step(view)
        case Consequence.NAME_CANDIDATE:
            return name_candidates(view)
        case _:
            assert_never(verdict.consequence)


def _takeover(view: View) -> Plan | Hold:
    gates = takeover_gates(view)
    if not passing(gates):
        return held(StepName.TAKEOVER, gates)
    sentence = f"{view.standby_site} takes over from {view.active_site}"
    return group_step(StepName.TAKEOVER, sentence, view, gates, transactions.takeover(view))


def _record_promotion(view: View) -> Plan | Hold:
    """Each cluster by itself, as soon as it is done."""
    waiting = [c for c in view.clusters if c.recorded is not None and not c.recorded.promoted]
    ready, gates = _ready(waiting, {c.name: record_gates(c) for c in waiting})
    if not ready:
        return held(StepName.RECORD_PROMOTION, gates)
    sentence = f"the promotion in {view.active_site} is put on record"
    action = transactions.record_promotion(view, ready)
    return step(StepName.RECORD_PROMOTION, sentence, view, ready, gates, action)


def _reinstate(view: View) -> Plan | Hold:
    """One cluster at a time."""
    waiting = [c for c in view.clusters if not ask.recorded_following(c)]
    ready, gates = _ready(waiting, {c.name: reinstate_gates(view, c) for c in waiting})
    if not ready:
        return held(StepName.REINSTATE, gates)
    first = ready[0]
    sentence = f"{view.standby_site} comes back as standby of {view.active_site}"
    action = transactions.reinstate(view, first)
    return step(StepName.REINSTATE, sentence, view, (first,), gates, action)


def _follow(view: View) -> Plan | Hold:
    outdated = [c for c in view.clusters if ask.upstream_outdated(c)]
    ready, gates = _ready(outdated, {c.name: follow_gates(view, c) for c in outdated})
    if not ready:
        return held(StepName.FOLLOW, gates)
    sentence = f"{view.standby_site} follows the present primary"
    action = transactions.follow(view, ready)
    return step(StepName.FOLLOW, sentence, view, ready, gates, action)


def _restart_zookeeper(view: View) -> Plan | Hold:
    gates = restart_gates(view)
    leader = view.zookeeper_leader
    if leader is None or not passing(gates):
        return held(StepName.RESTART_ZOOKEEPER, gates)
    sentence = f"ZooKeeper's leader {leader.name} is restarted so that the witness leads"
    action = RestartZooKeeper(leader.name)
    return step(StepName.RESTART_ZOOKEEPER, sentence, view, (), gates, action)


def _ready(
    wanted: list[ClusterView], gates: dict[str, tuple[Gate, ...]]
) -> tuple[tuple[ClusterView, ...], tuple[Gate, ...]]:
    """The clusters whose gates all pass, with their gates; none: nobody, with all the gates."""
    ready = tuple(cluster for cluster in wanted if passing(gates[cluster.name]))
    shown = ready or wanted
    return ready, tuple(dict.fromkeys(gate for c in shown for gate in gates[c.name]))
