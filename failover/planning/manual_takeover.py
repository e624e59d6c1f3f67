"""The preconditions of a takeover that an operator asks for, when automation held. Pure.

A human may answer for what is a matter of judgement: whether to wait longer, how much may be lost,
that a site is fenced. Invariant: he cannot answer for I1. The claim must be seen to be gone, the
transaction proves it again, and where that would prove nothing only a site that he says he has
fenced, by name and on record, counts.
"""

from __future__ import annotations

from failover.health.cluster_view import ClusterView
from failover.health.view import View
from failover.model import Invariant
from failover.planning.gates import (
    claim_gone,
    living_observer,
    new_scope_follows,
    new_scope_unpaused,
    no_working_primary,
    old_scope_unfenced,
    residency,
    seen_since_the_claim,
    standby_leader_ready,
    state_readable,
    unproven,
    wal_replayed,
)
from failover.planning.plan import Gate
from failover.planning.switchover_gates import in_time, to_the_other_site
from failover.replication.loss import (
    LossUnknown,
    cluster_loss,
    end_of_received,
)
from failover.state import GroupState, OperatorRequest


def manual_takeover_gates(view: View, request: OperatorRequest) -> tuple[Gate, ...]:
    """Everything that speaks for or against making it now, the group first."""
    if view.store_problem or view.state is None or view.state_version is None:
        return (state_readable(view),)
    group = (
        state_readable(view),
        in_time(view, request),
        to_the_other_site(view, request),
        _no_plan_stands(view.state),
        living_observer(view),
        reason_given(request),
    )
    return (*group, *(gate for c in view.clusters for gate in _cluster_gates(view, c, request)))


def _cluster_gates(view: View, cluster: ClusterView, request: OperatorRequest) -> tuple[Gate, ...]:
    return (
        claim_gone(view, cluster),
        no_working_primary(cluster),
        _old_site_cannot_write(view, cluster, request),
        old_scope_unfenced(cluster),
        new_scope_follows(cluster),
        new_scope_unpaused(cluster),
        residency(view, cluster),
        standby_leader_ready(cluster),
        wal_replayed(cluster),
        _loss_accepted(view, cluster, request),
    )


# --------------------------------------------------------------------------- the group


def _no_plan_stands(state: GroupState) -> Gate:
    """A promotion that is not on record is no obstacle: its site may be what is lost now."""
    name, invariant = "no_plan_stands", Invariant.RESUMABLE
    if state.plan is None:
        return Gate(name, True, "no plan stands", invariant)
    text = f"plan {state.plan.id} ({state.plan.kind}) stands until it ends or goes back"
    return Gate(name, False, text, invariant)


def reason_given(request: OperatorRequest) -> Gate:
    """What a human answers for goes on record with why."""
    answers = request.accept_data_loss or request.fenced_site is not None
    text = request.reason or "no reason is given"
    return Gate("reason_given", bool(request.reason) or not answers, text, Invariant.RESUMABLE)


# --------------------------------------------------------------------------- one cluster


def _old_site_cannot_write(view: View, cluster: ClusterView, request: OperatorRequest) -> Gate:
    """That the claim is gone proves it where that site asks this ensemble, and Patroni obeys; the
    rest is a human's business."""
    name, invariant, site = "old_site_cannot_write", Invariant.SINGLE_WRITER, cluster.active.site
    if request.fenced_site == site:
        text = f"{request.by} says that {site} is fenced: {request.reason}"
        return Gate(name, True, text, invariant, cluster.name)
    if view.state is not None and unproven(view.state):
        text = f"the quorum was rebuilt without {site}: fence the site and say so"
        return Gate(name, False, text, invariant, cluster.name)
    if cluster.active.paused is None:
        text = f"{cluster.name}-{site} has no usable configuration"
        return Gate(name, None, text, invariant, cluster.name)
    if cluster.active.paused:
        text = f"Patroni is paused in {site}: resume it, or fence the site and say so"
        return Gate(name, False, text, invariant, cluster.name)
    text = f"without a claim nothing in {site} may write"
    return Gate(name, True, text, invariant, cluster.name)


def _loss_accepted(view: View, cluster: ClusterView, request: OperatorRequest) -> Gate:
    """Nothing would be lost, or what would be is accepted by the one who asks."""
    name, invariant = "loss_accepted", Invariant.NOTHING_LOST_SILENTLY
    text, nothing = _what_would_be_lost(view, cluster)
    if nothing:
        return Gate(name, True, text, invariant, cluster.name)
    accepted = f"; {'' if request.accept_data_loss else 'not '}accepted"
    return Gate(name, request.accept_data_loss, text + accepted, invariant, cluster.name)


def _what_would_be_lost(view: View, cluster: ClusterView) -> tuple[str, bool]:
    """In words, and whether it is nothing for certain."""
    missing_bytes = _missing_bytes(cluster)
    if missing_bytes:
        text = f"{cluster.standby.site} lacks {missing_bytes} bytes of what the last move needed"
        return text, False
    loss = cluster_loss(view, cluster)
    if isinstance(loss, LossUnknown):
        return f"what would be lost is not known: {loss.reason}", False
    state = view.state
    unseen = [gate for gate in seen_since_the_claim(view, cluster) if gate.passes is not True]
    if unseen:
        return unseen[0].evidence, False
    if state is not None and state.in_sync and state.protection.synchronous:
        return f"nothing would be lost: {state.protection}, in sync on record", True
    text = (
        f"behind {loss.behind_bytes} bytes / {loss.behind_s:.1f} s, isolation window at most "
        f"{loss.isolation_bytes} bytes / {loss.isolation_s:.1f} s"
    )
    return text, loss.bytes == 0


def _missing_bytes(cluster: ClusterView) -> int:
    """How far the other site ends below what a host of the active one must have to be promoted."""
    recorded, leader = cluster.recorded, cluster.standby.standby_leader
    received = end_of_received(leader.postgres) if leader is not None else None
    if recorded is None or recorded.promoted or received is None:
        return 0
    return max(0, recorded.min_lsn - received)
