"""When each named failure scenario matches: one function per row of the verdict table. Pure.

A row may rely on every row above it not matching (``verdict.RULES`` is in order). Rows about the
standby site and below speak of a group that serves, so that a lesser trouble never hides a greater.
"""

from __future__ import annotations

from failover.health import candidate, protection
from failover.health import predicates as ask
from failover.health.view import View
from failover.state import PlanKind

GOES_BACK_S_MAX = 5.0  # after its deadline a plan goes back at the next look
PROMOTION_S_MAX = 30.0  # a promotion takes a second; what takes longer needs a human


def keys_refused(view: View) -> bool:
    return view.store_forbidden


def quorum_lost(view: View) -> bool:
    return bool(view.store_problem)


def state_unreadable(view: View) -> bool:
    claims = (cluster.claim for cluster in view.clusters)
    return bool(view.state_problem) or any(claim and claim.problem for claim in claims)


def not_initialised(view: View) -> bool:
    return view.state is None


def not_armed(view: View) -> bool:
    """A pair that was there before is looked at, and not every guard is known to hold its server:
    that nobody holds a claim proves nothing of who writes."""
    return view.state is not None and not view.state.may_move


def unarmed_move_requested(view: View) -> bool:
    return not_armed(view) and view.waiting_request is not None


def split_brain_suspected(view: View) -> bool:
    return any(
        len(ask.writing_sites(view, cluster)) > 1 or ask.claim_out_of_place(view, cluster)
        for cluster in view.clusters
    )


def primary_without_claim(view: View) -> bool:
    return any(ask.primaries_without_claim(cluster) for cluster in view.clusters)


def switchover_stuck(view: View) -> bool:
    return switchover_in_progress(view) and _overdue(view)


def switchover_in_progress(view: View) -> bool:
    return _plan_stands(view, PlanKind.SWITCHOVER)


def guards_stop_stuck(view: View) -> bool:
    return guards_stop(view) and _overdue(view)


def guards_stop(view: View) -> bool:
    return _plan_stands(view, PlanKind.TAKEOVER)


def _plan_stands(view: View, kind: PlanKind) -> bool:
    plan = view.state.plan if view.state is not None else None
    return plan is not None and plan.kind is kind


def _overdue(view: View) -> bool:
    plan = view.state.plan if view.state is not None else None
    return plan is not None and view.now_unix_s - plan.deadline_unix_s > GOES_BACK_S_MAX


def switchover_requested(view: View) -> bool:
    request = view.waiting_request
    return request is not None and request.kind is PlanKind.SWITCHOVER


def takeover_requested(view: View) -> bool:
    request = view.waiting_request
    return request is not None and request.kind is PlanKind.TAKEOVER


def permitted_host_outrun(view: View) -> bool:
    """Before every row that waits for a primary: without this none comes."""
    return bool(candidate.outrun(view))


def takeover_stuck(view: View) -> bool:
    since_s = view.now_unix_s - (view.state.epoch_started_unix_s if view.state else 0.0)
    return takeover_in_progress(view) and since_s > PROMOTION_S_MAX


def takeover_in_progress(view: View) -> bool:
    return any(c.recorded is not None and not c.recorded.promoted for c in view.clusters)


def protection_outdated(view: View) -> bool:
    """Before every row that only holds or waits: a standby that is lost stops writes until it is
    dropped. Not under a plan, which leaves list and record as they are."""
    due = protection.due(view)
    drops = any(change.kind is protection.ChangeKind.DROP for _, change in due)
    # What is down in another cluster of the group is no reason to leave this one's writes waiting.
    return bool(due) and (drops or ask.all_serving(view))


def protection_degraded(view: View) -> bool:
    state = view.state
    synchronous = state is not None and state.protection.synchronous
    return ask.all_serving(view) and synchronous and state is not None and not state.in_sync


def patroni_paused(view: View) -> bool:
    return any(side.paused for cluster in view.clusters for side in cluster.sides)


def site_isolated(view: View) -> bool:
    return (
        any(cluster.claim_held for cluster in view.clusters)
        and ask.active_reached_from_outside(view) is False
    )


def site_lost(view: View) -> bool:
    return (
        bool(view.living_observers)
        and ask.all_claims_gone(view)
        and not any(cluster.could_take_lease for cluster in view.clusters)
    )


def primary_down_local_recovery(view: View) -> bool:
    """Every cluster that is down may still be taken up in its site, or, where all claims are
    gone, some may: they move together, so the others wait for it."""
    down = [ask.may_recover_locally(view, cluster) for cluster in ask.down_clusters(view)]
    enough = any(down) if ask.all_claims_gone(view) else bool(down) and all(down)
    return bool(view.living_observers) and enough


def local_recovery_failed(view: View) -> bool:
    could = any(cluster.could_take_lease for cluster in view.clusters)
    waiting = any(ask.may_recover_locally(view, cluster) for cluster in view.clusters)
    return could and not waiting and ask.all_claims_gone(view)


def group_partly_down(view: View) -> bool:
    held = {cluster.claim_held for cluster in view.clusters}
    return bool(view.living_observers) and held == {True, False}


def primary_unusable(view: View) -> bool:
    held = all(cluster.claim_held for cluster in view.clusters)
    return bool(view.living_observers) and held and not ask.all_serving(view)


def standby_scope_altered(view: View) -> bool:
    altered = any(ask.standby_scope_altered(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and altered


def standby_upstream_outdated(view: View) -> bool:
    outdated = any(ask.upstream_outdated(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and outdated


def standby_site_lost(view: View) -> bool:
    return ask.all_serving(view) and ask.standby_reached(view) is not True


def link_down(view: View) -> bool:
    return ask.all_serving(view) and ask.link_down(view)


def reinstating(view: View) -> bool:
    quarantined = any(not ask.recorded_following(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and quarantined


def standby_not_streaming(view: View) -> bool:
    told_to = [cluster for cluster in view.clusters if ask.recorded_following(cluster)]
    return ask.all_serving(view) and not all(ask.streaming(cluster) for cluster in told_to)


def site_unproven(view: View) -> bool:
    state = view.state
    unproven = state is not None and state.unproven_site == state.active_site
    return ask.all_serving(view) and unproven


def witness_lost(view: View) -> bool:
    return ask.all_serving(view) and ask.witness_lost(view)


def zookeeper_degraded(view: View) -> bool:
    return ask.all_serving(view) and ask.zookeeper_degraded(view)


def zookeeper_leader_misplaced(view: View) -> bool:
    return ask.all_serving(view) and ask.zookeeper_leader_misplaced(view)


def controller_lost(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.silent_observers(view))


def database_host_lost(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.lost_hosts(view))


def patroni_missing(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.hosts_without_patroni(view))


def guard_missing(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.hosts_without_guard(view))


def replica_not_streaming(view: View) -> bool:
    sides = (side for cluster in view.clusters for side in cluster.sides)
    return ask.all_serving(view) and any(ask.replicas_not_streaming(side) for side in sides)


def way_out_found(view: View) -> bool:
    return ask.all_serving(view) and bool(view.residency.open)


def always(view: View) -> bool:
    return True
