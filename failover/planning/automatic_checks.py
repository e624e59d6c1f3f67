"""The checks of a takeover that automation makes by itself: what it may not decide. Pure.

Somebody who asks for a takeover answers for what is lost and for what was not waited for, and after
a stop by the guards the proofs say what is lost; both have checks of their own. Shares no code with
the gates and the loss estimate. Its figures are never above the estimate's, so that a plan which
is within the budget is not refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf

from failover.health.cluster_view import ClusterView, SideView
from failover.health.inputs import LsnSample
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.health.sightings import HostView, Sighting
from failover.model import ProtectionMode, TimelineId
from failover.planning.linting import Problem, Problems, Reading, config_before
from failover.planning.plan import StepName
from failover.state import StandbyScope
from failover.znode import Set

Check = Callable[[Reading], Problems]

SAMPLE_BEFORE_LOSS_S_MAX = 5.0
RATE_OVER_S_MIN, RATE_OF_LAST_S = 1.0, 60.0

_GROUP = frozenset(
    (
        "state_readable",
        "nothing_under_way",
        "automation_auto",
        "automation_not_paused",
        "no_cooldown",
        "living_observer",
        "claims_prove",
    )
)
_CLUSTER = frozenset(
    (
        "old_scope_not_fenced",
        "old_scope_not_paused",
        "new_scope_follows",
        "new_scope_not_paused",
        "residency",
        "standby_leader_ready",
        "received_wal_replayed",
        "protection",
        "loss_within_budget",
    )
)
# What automation has to have asked, of the group and of each of its clusters.
REQUIRED_GATES = {
    StepName.TAKEOVER: (
        _GROUP,
        _CLUSTER | {"claim_gone", "local_recovery_over", "no_working_primary"},
    ),
    StepName.BEGIN_TAKEOVER: (
        _GROUP | {"not_begun_lately", "database_useless"},
        _CLUSTER | {"claim_held", "everybody_agrees", "old_site_in_country", "guards_work"},
    ),
}


def _by_itself(reading: Reading) -> bool:
    return reading.find(Set, reading.request_path) is None and reading.before.plan is None


def required_gates_are_there(reading: Reading) -> Problems:
    """Every gate of the step was asked, of every cluster: one that is absent has not passed."""
    required = REQUIRED_GATES.get(reading.plan.step)
    if required is None or not _by_itself(reading):
        return
    of_group, of_cluster = required
    if reading.plan.step is StepName.TAKEOVER and _in_sync(reading):
        of_cluster |= {"seen_since_the_claim"}
    asked = {(gate.name, gate.cluster) for gate in reading.plan.gates}
    for name in sorted(of_group):
        if (name, None) not in asked:
            yield Problem("gates_pass", f"{name} was not asked")
    for cluster in reading.view.policy.clusters:
        for name in sorted(of_cluster):
            if (name, cluster.name) not in asked:
                yield Problem("gates_pass", f"{cluster.name}: {name} was not asked")


def _in_sync(reading: Reading) -> bool:
    """On record: nothing is acknowledged that the other site does not have."""
    state = reading.before
    return state.in_sync and state.protection is not ProtectionMode.MAX_PERFORMANCE


# --------------------------------------------------------------------------- what is lost


def loss_is_bounded(reading: Reading) -> Problems:
    """In sync: a look at the leader after the last acknowledgement. Else in bytes and seconds
    within the budget, by samples from just before the loss; never in a degraded max-protection."""
    if not _by_itself(reading):
        return
    name, state = "loss_is_bounded", reading.before
    if state.protection is ProtectionMode.MAX_PROTECTION and not state.in_sync:
        yield Problem(name, "max-protection, and not in sync on record")
    for cluster in reading.view.clusters:
        problem = _unseen(cluster) if _in_sync(reading) else _too_much(reading, cluster)
        if problem:
            yield Problem(name, f"{cluster.name}: {problem}")


def _unseen(cluster: ClusterView) -> str:
    """Who has everything is another check's; this one is that it was seen late enough."""
    host = _leading(cluster)
    seen = host is not None and host.postgres_after(_gone_for_s(cluster))
    return "" if seen else "its leader was not seen since the claim has gone"


def _too_much(reading: Reading, cluster: ClusterView) -> str:
    budget, lease_s = reading.view.policy.loss_budget, reading.view.policy.lease_s
    samples = sorted(cluster.samples, key=lambda sample: sample.age_s)
    leader = cluster.standby.standby_leader
    ends = (leader.postgres.received_lsn, leader.postgres.replayed_lsn) if leader else ()
    received = max((lsn for lsn in ends if lsn is not None), default=None)
    if not samples or received is None:
        return "nothing says what the primary had, or what was received"
    newest = samples[0]
    if newest.age_s > _gone_for_s(cluster) + lease_s + SAMPLE_BEFORE_LOSS_S_MAX:
        return f"the last sample is {newest.age_s:.1f} s old"
    if leader is not None and _another_branch(cluster, newest, leader.postgres.timeline):
        return "who had the last permit was not seen on the primary's timeline"
    rate = _bytes_per_s(samples)
    if rate is None:
        rate = _bytes_per_s([s for s in samples if s.host != newest.host])
    if rate is None:
        return "how fast the primary writes is not known"
    lost_bytes = max(0, newest.lsn - received) + int(rate * lease_s)
    reached_s = min((s.age_s for s in samples if s.lsn <= received), default=inf)
    lost_s = lease_s + (reached_s - newest.age_s if newest.lsn > received else 0.0)
    if lost_bytes > budget.bytes or lost_s > budget.seconds:
        return f"{lost_bytes} bytes or {lost_s:.1f} s are lost, above the budget"
    return ""


def _another_branch(cluster: ClusterView, newest: LsnSample, standby: TimelineId) -> bool:
    """He may have written since, what nobody saw, and on top of what the primary had left."""
    permit, sampled = cluster.last_writer, newest.timeline
    if permit is not None and permit.host is None:
        return True
    if permit is None or permit.site != cluster.active.site:
        return False
    if permit.promised is None:
        later = permit.host != newest.host
    else:
        later = sampled < permit.promised != standby
    was_on = [h.last_timeline for h in cluster.active.hosts if h.host.name == permit.host]
    return later and (not was_on or was_on[0] is None or was_on[0] < sampled)


def _bytes_per_s(samples: list[LsnSample]) -> float | None:
    """The most of the last minute, between samples a second apart; the newest sample first."""
    apart: list[LsnSample] = []
    for sample in samples:
        late = sample.age_s - samples[0].age_s > RATE_OF_LAST_S
        if not late and (not apart or sample.age_s - apart[-1].age_s >= RATE_OVER_S_MIN):
            apart.append(sample)
    rates = [(new.lsn - old.lsn) / (old.age_s - new.age_s) for new, old in pairwise(apart)]
    return max(0.0, *rates) if rates else None


def _gone_for_s(cluster: ClusterView) -> float:
    """Since when this reader sees no claim; 0: there is one, or nobody knows."""
    seen = cluster.claim
    gone = seen is not None and seen.claim is None and not seen.problem
    return seen.unchanged_for_s if seen is not None and gone else 0.0


def _leading(cluster: ClusterView) -> HostView | None:
    leader = cluster.standby.standby_leader
    hosts = (host for host in cluster.standby.hosts if leader and host.host == leader.host)
    return next(hosts, None)


# --------------------------------------------------------------------------- what is waited for


def scopes_unpaused_and_following(reading: Reading) -> Problems:
    """Nobody works by hand in either scope, the old one is ordinary and the new one follows it."""
    if not _by_itself(reading):
        return
    name = "scopes_unpaused_and_following"
    for cluster in reading.view.clusters:
        for side in cluster.sides:
            config, scope = config_before(side), f"{cluster.name}-{side.site}"
            if config is None:
                yield Problem(name, f"{scope} has no usable configuration")
            elif config.get("pause") or _says_paused(side):
                yield Problem(name, f"{scope} is paused")
            elif bool(config.get("standby_cluster")) is (side is cluster.active):
                yield Problem(name, f"{scope} is not what the record says it is")
            leader = side.scope.leader if side.scope is not None else None
            if leader is not None and leader.value.startswith("fenced by failover"):
                yield Problem(name, f"{scope} is fenced")
        follows = (config_before(cluster.standby) or {}).get("standby_cluster")
        if not (isinstance(follows, dict) and follows.get("host")):
            yield Problem(name, f"{cluster.name}-{cluster.standby.site} follows nobody")
        if reading.before.clusters[cluster.name].standby is not StandbyScope.FOLLOWING:
            yield Problem(name, f"{cluster.name}: in quarantine on record")


def _says_paused(side: SideView) -> bool:
    return any(host.patroni is not None and host.patroni.paused for host in side.hosts)


def local_recovery_over(reading: Reading) -> Problems:
    """Where a host of the old site could lead it has had its time to."""
    if not _by_itself(reading):
        return
    for cluster in reading.view.clusters:
        left_s = reading.view.policy.local_recovery_s - _gone_for_s(cluster)
        able = [h.host.name for h in cluster.active.hosts if _could_lead(reading, cluster, h)]
        if able and left_s > 0:
            detail = f"{cluster.name}: {', '.join(able)} could lead for {left_s:.1f} s more"
            yield Problem("local_recovery_over", detail)


def _could_lead(reading: Reading, cluster: ClusterView, host: HostView) -> bool:
    """Its Patroni answers, and its guard would not refuse it."""
    writer, state = cluster.last_writer, reading.before
    recorded = state.clusters[cluster.name]
    limited = state.protection is not ProtectionMode.MAX_PERFORMANCE and recorded.promoted
    if limited and writer and host.host.name not in (*recorded.have, writer.host):
        return False
    return any(_patroni_may_lead(sighting) for sighting in host.sightings)


def _patroni_may_lead(sighting: Sighting) -> bool:
    patroni, guard = sighting.seen.patroni, sighting.seen.guard
    refused = isinstance(guard, NoAnswer) and guard.kind is NoAnswerKind.REFUSED
    return not isinstance(patroni, NoAnswer) and not patroni.nofailover and not refused


AUTOMATIC: tuple[Check, ...] = (
    loss_is_bounded,
    scopes_unpaused_and_following,
    local_recovery_over,
)
