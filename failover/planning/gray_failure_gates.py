"""The preconditions of a takeover from a site that holds its claims and is of no use. Pure.

Two sets. Those of its beginning decide whether the guards there shall stop PostgreSQL. Those of its
commit, where one of them had to kill, are a takeover's, with what is lost measured instead of
estimated: the end of WAL stands in the stopped-proof. Where everything could be shut down, the
commit is a planned move's and so are its gates.
"""

from __future__ import annotations

from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView
from failover.health.observation import GuardSeen, HostObservation, NoAnswer, NoAnswerKind
from failover.health.sightings import HostView, Tri, every
from failover.health.view import View
from failover.model import Invariant
from failover.planning.gates import (
    automation_gates,
    claims_prove,
    living_observer,
    new_scope_follows,
    new_scope_unpaused,
    no_working_primary,
    nothing_under_way,
    old_scope_unfenced,
    protection,
    residency,
    seen_since_the_claim,
    standby_leader_ready,
    state_readable,
    unpaused,
    until,
    wal_replayed,
    within_budget,
)
from failover.planning.manual_takeover import reason_given
from failover.planning.plan import Gate
from failover.planning.step_gates import claim_held
from failover.planning.switchover_gates import (
    claim_released,
    guards_work,
    in_time,
    old_scope_follows,
    old_site_in_country,
    replayed_past,
    stopped_under,
    to_the_other_site,
)
from failover.replication.loss import Loss, LossUnknown, cluster_loss, loss_at_stop
from failover.state import GroupState, OperatorRequest, PlanRecord, StopKind

OBSERVERS_MIN = 2  # who must agree that PostgreSQL answers nobody, one of them outside
ANSWERED_LATELY_S = 7.0  # the guard asks every 5 s and waits for one


# --------------------------------------------------------------------------- of its beginning


def begin_gates(view: View, request: OperatorRequest | None) -> tuple[Gate, ...]:
    """Everything that speaks for or against a stop by the guards, the group first.

    ``request``: the operator who asks for it, and answers for what is a matter of judgement.
    """
    if view.store_problem or view.state is None or view.state_version is None:
        return (state_readable(view),)
    group = _by_itself(view, view.state) if request is None else _by_hand(view, view.state, request)
    clusters = (gate for c in view.clusters for gate in _begin_cluster(view, c, request))
    return (*group, _database_useless(view), *clusters)


def _by_itself(view: View, state: GroupState) -> tuple[Gate, ...]:
    return (*automation_gates(view, state), _not_begun_lately(view, state))


def _by_hand(view: View, state: GroupState, request: OperatorRequest) -> tuple[Gate, ...]:
    return (
        state_readable(view),
        in_time(view, request),
        to_the_other_site(view, request),
        nothing_under_way(state),
        living_observer(view),
        reason_given(request),
        claims_prove(state),
    )


def _begin_cluster(
    view: View, cluster: ClusterView, request: OperatorRequest | None
) -> tuple[Gate, ...]:
    loss = cluster_loss(view, cluster, lost_for_s=ask.down_for_s(cluster))
    return (
        claim_held(cluster),
        *((_everybody_agrees(view, cluster),) if request is None else ()),
        old_scope_unfenced(cluster),
        unpaused("old_scope_not_paused", cluster, cluster.active.paused, cluster.active.site),
        new_scope_follows(cluster),
        new_scope_unpaused(cluster),
        residency(view, cluster),
        old_site_in_country(view, cluster),
        standby_leader_ready(cluster),
        wal_replayed(cluster),
        guards_work(cluster),
        *_loss_gates(view, cluster, loss, request),
    )


def _not_begun_lately(view: View, state: GroupState) -> Gate:
    """One that went back is not tried again and again: a human is paged meanwhile."""
    until_unix_s = state.takeover_begun_unix_s + view.policy.cooldown_s
    return until(view, "not_begun_lately", "cooldown since a takeover was last begun", until_unix_s)


def _database_useless(view: View) -> Gate:
    """Of at least one cluster; the others move with it."""
    useless = [str(c.name) for c in view.clusters if not ask.serving(c)]
    text = f"nobody reaches a working primary of {', '.join(useless)}" if useless else "all serve"
    return Gate("database_useless", bool(useless), text, Invariant.ONE_FAULT_NO_HARM)


def _everybody_agrees(view: View, cluster: ClusterView) -> Gate:
    """Every living observer reaches the guard of the claim's holder, and not its PostgreSQL.

    One observer's broken network is no evidence, nor is a server that answers with a refusal of
    its own ("starting up", "too many clients"): that one may be serving others.
    """
    name, invariant = "everybody_agrees", Invariant.DOUBT_MEANS_HOLD
    holder, living = cluster.holder, view.living_observers
    if holder is None or cluster.primary is not None:
        text = tell.host(holder) if holder is not None else tell.claim(cluster)
        return Gate(name, None if holder is None else True, text, invariant, cluster.name)
    seen = {sighting.observer: sighting.seen for sighting in reversed(holder.sightings)}
    agree = every(_useless_to(seen.get(observer)) for observer in living)
    outside = ask.outside_observers(view, cluster.active.site)
    enough = len(living) >= OBSERVERS_MIN and bool(outside)
    text = f"{tell.host(holder)}; {_own_answer(holder)}; {tell.observers(view)}"
    return Gate(name, agree if enough else None, text, invariant, cluster.name)


def _useless_to(seen: HostObservation | None) -> Tri:
    """To this observer: the guard holds a live claim, PostgreSQL gives no answer at all, and for
    longer than it asks at most has given none to its own guard either. A guard that does not say
    leaves that unknown."""
    guard = seen.guard if seen is not None else None
    if seen is None or not isinstance(guard, GuardSeen):
        return None
    held = guard.granted and guard.worker_alive and (guard.deadline_in_s or 0.0) > 0
    silent = isinstance(seen.postgres, NoAnswer) and seen.postgres.kind in (
        NoAnswerKind.TIMED_OUT,
        NoAnswerKind.REFUSED,
    )
    if not (held and silent):
        return False
    return None if guard.answered_s_ago is None else guard.answered_s_ago >= ANSWERED_LATELY_S


def _own_answer(holder: HostView) -> str:
    """What the guard of the holder says itself of its server."""
    ago_s = holder.guard.answered_s_ago if holder.guard is not None else None
    if ago_s is None:
        return "its guard does not say when it last had an answer"
    return f"its guard has had no answer for {ago_s:.0f} s"


def _loss_gates(
    view: View, cluster: ClusterView, loss: Loss, request: OperatorRequest | None
) -> tuple[Gate, ...]:
    """The takeover's rules, unless the operator who asks for it accepts what is lost."""
    if request is None or not request.accept_data_loss:
        return (protection(view, cluster), within_budget(view, cluster, loss))
    text = loss.reason if isinstance(loss, LossUnknown) else f"{loss.bytes} bytes at most"
    invariant = Invariant.NOTHING_LOST_SILENTLY
    return (
        Gate("loss_accepted", True, f"{text}; accepted by {request.by}", invariant, cluster.name),
    )


# --------------------------------------------------------------------------- of its commit


def killed_gates(view: View, plan: PlanRecord, request: OperatorRequest | None) -> tuple[Gate, ...]:
    """What must be known where a server was killed under this plan; ``request``: the plan's own."""
    if view.state is None:
        return (state_readable(view),)
    clusters = (gate for c in view.clusters for gate in _killed_cluster(view, c, plan, request))
    return (state_readable(view), claims_prove(view.state), *clusters)


def _killed_cluster(
    view: View, cluster: ClusterView, plan: PlanRecord, request: OperatorRequest | None
) -> tuple[Gate, ...]:
    return (
        claim_released(cluster),
        no_working_primary(cluster),
        _stopped_by_its_guard(cluster, plan),
        old_scope_follows(cluster),
        unpaused("old_scope_not_paused", cluster, cluster.active.paused, cluster.active.site),
        new_scope_follows(cluster),
        new_scope_unpaused(cluster),
        residency(view, cluster),
        standby_leader_ready(cluster),
        wal_replayed(cluster),
        *seen_since_the_claim(view, cluster),
        *_lost_since_the_stop(view, cluster, plan, request),
    )


def _stopped_by_its_guard(cluster: ClusterView, plan: PlanRecord) -> Gate:
    """Shut down or killed: either way no process of it lives, and the end of its WAL is known."""
    name, invariant = "stopped_under_plan", Invariant.PROOF_BEFORE_PROMOTION
    proof = stopped_under(cluster, plan)
    text = tell.stopped(proof) if proof is not None else f"no stopped-proof of plan {plan.id}"
    return Gate(name, proof is not None, text, invariant, cluster.name)


def _lost_since_the_stop(
    view: View, cluster: ClusterView, plan: PlanRecord, request: OperatorRequest | None
) -> tuple[Gate, ...]:
    proof = stopped_under(cluster, plan)
    if proof is None:
        return ()  # the gate above holds
    if proof.kind is StopKind.SHUT_DOWN:
        return (replayed_past(cluster, plan),)
    return _loss_gates(view, cluster, loss_at_stop(view, cluster, proof), request)
