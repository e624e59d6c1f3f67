"""The preconditions of a planned move of the group to its other data site. Pure.

Two sets. Those of its beginning are an operator's answer: all are judged at once, and one that does
not pass refuses the request before anything is touched. Those of its commit are waited for, and
what they wait for is the proof: the old site's servers are down under this plan, and the new site
has replayed everything that they ever wrote.
"""

from __future__ import annotations

from failover.health import evidence as tell
from failover.health.cluster_view import ClusterView, SideView
from failover.health.sightings import HostView
from failover.health.view import View
from failover.model import Invariant, SiteKind
from failover.planning.gates import (
    claims_prove,
    new_scope_follows,
    nothing_under_way,
    old_scope_unfenced,
    residency,
    standby_leader_ready,
    state_readable,
    unpaused,
)
from failover.planning.plan import Gate
from failover.planning.step_gates import claim_held, primary_works, streams
from failover.residency.allowlist import candidates
from failover.state import OperatorRequest, PlanRecord, StopKind, StoppedProof

# What the standby still has to receive and replay while nobody can write: well under a second.
BEHIND_BYTES_MAX = 16 * 1024 * 1024


def begin_gates(view: View, request: OperatorRequest) -> tuple[Gate, ...]:
    """Everything that speaks for or against beginning now, the group first."""
    if view.state is None:
        return (state_readable(view),)
    group = (
        state_readable(view),
        in_time(view, request),
        to_the_other_site(view, request),
        nothing_under_way(view.state),
        claims_prove(view.state),
    )
    return (*group, *(gate for c in view.clusters for gate in _begin_cluster(view, c)))


def _begin_cluster(view: View, cluster: ClusterView) -> tuple[Gate, ...]:
    return (
        claim_held(cluster),
        primary_works(cluster),
        old_scope_unfenced(cluster),
        unpaused("old_scope_not_paused", cluster, cluster.active.paused, cluster.active.site),
        new_scope_follows(cluster),
        unpaused("new_scope_not_paused", cluster, cluster.standby.paused, cluster.standby.site),
        residency(view, cluster),
        old_site_in_country(view, cluster),
        standby_leader_ready(cluster),
        streams(cluster),
        _caught_up(cluster),
        _one_branch(cluster),
        guards_work(cluster),
    )


def commit_gates(view: View, plan: PlanRecord) -> tuple[Gate, ...]:
    """Everything that must be known before the new site is made active."""
    clusters = (gate for c in view.clusters for gate in _commit_cluster(view, c, plan))
    if view.state is None:
        return (state_readable(view),)
    return (state_readable(view), claims_prove(view.state), *clusters)


def _commit_cluster(view: View, cluster: ClusterView, plan: PlanRecord) -> tuple[Gate, ...]:
    return (
        claim_released(cluster),
        _stopped_under_plan(cluster, plan),
        replayed_past(cluster, plan),
        old_scope_follows(cluster),
        unpaused("old_scope_not_paused", cluster, cluster.active.paused, cluster.active.site),
        new_scope_follows(cluster),
        unpaused("new_scope_not_paused", cluster, cluster.standby.paused, cluster.standby.site),
        residency(view, cluster),
        standby_leader_ready(cluster),
    )


def stopped_under(cluster: ClusterView, plan: PlanRecord) -> StoppedProof | None:
    """The stopped-proof of this plan; None where there is none, or one of another plan."""
    proof = cluster.stopped.proof if cluster.stopped is not None else None
    fits = proof is not None and (proof.plan_id, proof.site) == (plan.id, plan.from_site)
    return proof if fits else None


# --------------------------------------------------------------------------- of the beginning


def in_time(view: View, request: OperatorRequest) -> Gate:
    late_s = view.now_unix_s - request.answer_by_unix_s
    text = f"wanted by now: {-late_s:.0f} s left" if late_s <= 0 else f"{late_s:.0f} s too late"
    return Gate("request_in_time", late_s <= 0, text, Invariant.DOUBT_MEANS_HOLD)


def to_the_other_site(view: View, request: OperatorRequest) -> Gate:
    kinds = {site.name: site.kind for site in view.policy.sites}
    if request.to_site == view.active_site:
        text = f"{request.to_site} is the active site already"
    elif kinds.get(request.to_site) is not SiteKind.DATA:
        text = f"{request.to_site} holds no data"
    else:
        text = f"from {view.active_site} to {request.to_site}"
    passes = request.to_site == view.standby_site
    return Gate("to_the_other_data_site", passes, text, Invariant.PROOF_BEFORE_PROMOTION)


def old_site_in_country(view: View, cluster: ClusterView) -> Gate:
    """The old site's hosts will stream from the new one: they are candidates as well."""
    hosts = [host.host for host in cluster.active.hosts]
    denied = [h for h in hosts if h not in candidates(view.policy, hosts, view.now_unix_s)]
    text = (
        "outside the declared networks: " + ", ".join(f"{h.name} ({h.address})" for h in denied)
        if denied
        else f"every host in {cluster.active.site} stands in a declared network"
    )
    return Gate("old_site_in_country", not denied, text, Invariant.IN_COUNTRY, cluster.name)


def _caught_up(cluster: ClusterView) -> Gate:
    """Little is left to send and to replay, so the pause of writes is short."""
    name, invariant = "standby_caught_up", Invariant.NOTHING_LOST_SILENTLY
    leader, primary = cluster.standby.standby_leader, cluster.primary
    end = primary.postgres.current_lsn if primary and primary.postgres else None
    replayed = leader.postgres.replayed_lsn if leader is not None else None
    if end is None or replayed is None:
        text = f"primary at {end or 'unknown'}, replayed {replayed or 'unknown'}"
        return Gate(name, None, text, invariant, cluster.name)
    behind_bytes = end - replayed
    text = f"{max(0, behind_bytes)} bytes behind, at most {BEHIND_BYTES_MAX} are allowed"
    return Gate(name, behind_bytes <= BEHIND_BYTES_MAX, text, invariant, cluster.name)


def _one_branch(cluster: ClusterView) -> Gate:
    """Whoever of the old site is seen follows its primary. One on an older branch may have more WAL
    of that: had the move to go back, Patroni would elect it, and it would never get the permit."""
    name, invariant = "old_site_on_one_branch", Invariant.RESUMABLE
    primary = cluster.primary
    if primary is None or primary.postgres is None:
        return Gate(name, None, "no working primary", invariant, cluster.name)
    timeline = primary.postgres.timeline
    apart = [h for h in cluster.active.hosts if h.postgres and h.postgres.timeline != timeline]
    text = "; ".join(tell.host(host) for host in apart) or f"timeline {timeline} wherever seen"
    return Gate(name, not apart, text, invariant, cluster.name)


def guards_work(cluster: ClusterView) -> Gate:
    """Of the host that has to give the proof, and of the one that needs the permit."""
    name, invariant = "guards_work", Invariant.PROOF_BEFORE_PROMOTION
    leader = cluster.standby.standby_leader
    wanted = [cluster.holder, _host(cluster.standby, leader.host.name if leader else "")]
    known = [host for host in wanted if host is not None]
    if len(known) < len(wanted):
        text = "it is not known whose guards are needed"
        return Gate(name, None, text, invariant, cluster.name)
    silent = [str(host.host.name) for host in known if host.guard_working is not True]
    names = ", ".join(str(host.host.name) for host in known)
    text = f"no working guard: {', '.join(silent)}" if silent else f"working on {names}"
    return Gate(name, not silent, text, invariant, cluster.name)


def _host(side: SideView, name: str) -> HostView | None:
    return next((host for host in side.hosts if host.host.name == name), None)


# --------------------------------------------------------------------------- of the commit


def claim_released(cluster: ClusterView) -> Gate:
    """Seen to be gone; the transaction proves it again."""
    held = cluster.claim_held
    passes = None if held is None else not held
    text = tell.claim(cluster)
    return Gate("claim_released", passes, text, Invariant.SINGLE_WRITER, cluster.name)


def _stopped_under_plan(cluster: ClusterView, plan: PlanRecord) -> Gate:
    """Shut down, not killed: only then is the end of its WAL known for certain."""
    name, invariant = "stopped_under_plan", Invariant.PROOF_BEFORE_PROMOTION
    proof = stopped_under(cluster, plan)
    if proof is None:
        text = f"no stopped-proof of plan {plan.id} from {plan.from_site}"
        return Gate(name, False, text, invariant, cluster.name)
    text = tell.stopped(proof)
    return Gate(name, proof.kind is StopKind.SHUT_DOWN, text, invariant, cluster.name)


def replayed_past(cluster: ClusterView, plan: PlanRecord) -> Gate:
    name, invariant = "replayed_past_the_stop", Invariant.NOTHING_LOST_SILENTLY
    proof, leader = stopped_under(cluster, plan), cluster.standby.standby_leader
    replayed = leader.postgres.replayed_lsn if leader is not None else None
    if proof is None or leader is None or replayed is None:
        text = f"replayed {replayed or 'unknown'}"
        return Gate(name, None, text, invariant, cluster.name)
    text = f"{leader.host.name} has replayed {replayed}, timeline {leader.postgres.timeline}"
    passes = replayed >= proof.end_of_wal and leader.postgres.timeline == proof.timeline
    opens_in_s = None if passes else 0.0  # any moment now: it only has to be asked again
    return Gate(name, passes, text, invariant, cluster.name, opens_in_s)


def old_scope_follows(cluster: ClusterView) -> Gate:
    """Still told to stream from the new site: nobody has changed it back meanwhile."""
    name, invariant = "old_scope_follows", Invariant.PROOF_BEFORE_PROMOTION
    scope, config = f"{cluster.name}-{cluster.active.site}", cluster.active.config
    if config is None:
        return Gate(name, None, f"{scope} could not be read", invariant, cluster.name)
    hosts = {str(host.host.address) for host in cluster.standby.hosts}
    passes = config.upstream is not None and config.upstream.host in hosts
    text = f"{scope} {'is' if passes else 'is not'} a standby cluster of {cluster.standby.site}"
    return Gate(name, passes, text, invariant, cluster.name)
