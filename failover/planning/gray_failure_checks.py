"""The checks of a takeover from a site that holds its claims: its beginning and its commit. Pure.

Its other end, where everything could be shut down, is checked as a planned move's commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from failover.health.cluster_view import ClusterView
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.health.sightings import HostView
from failover.planning.linting import Problem, Problems, Reading
from failover.planning.request_checks import begun_or_made, request_after
from failover.planning.switchover_checks import (
    claims_count,
    leader_keys_untouched,
    new_scope_untouched,
    no_proof_is_left,
    nothing_else,
    old_scope_follows_new,
    own_request,
    plan_added,
    proof_of_plan,
    request_ended,
)
from failover.planning.takeover_checks import hosts_in_country, whole_group
from failover.planning.whole_checks import has_everything
from failover.state import PlanKind, RequestPhase, StopKind, StoppedProof
from failover.znode import Delete, Set

SILENT = (NoAnswerKind.TIMED_OUT, NoAnswerKind.REFUSED)
SILENT_TO_ITS_GUARD_S = 7.0  # a question every 5 s that waits for 1 s, and one more


# --------------------------------------------------------------------------- the beginning


def only_a_takeover_is_added(reading: Reading) -> Problems:
    """A takeover with a deadline, the moment at which it was begun, and nothing else."""
    now_unix_s = reading.view.now_unix_s
    wanted = replace(reading.before, takeover_begun_unix_s=now_unix_s)
    yield from plan_added(reading, PlanKind.TAKEOVER, wanted)
    plan = reading.after.plan if reading.after is not None else None
    request = request_after(reading)
    if plan is not None and request is not None and request.id != plan.id:
        yield Problem("only_a_plan_is_added", "the plan is not the one that was asked for")


def useless_under_claims(reading: Reading) -> Problems:
    """Every claim is held at the active site, and some database there works for nobody."""
    name = "useless_under_claims"
    for cluster in reading.clusters:
        if cluster.holder is None:
            yield Problem(name, f"{cluster.name}: no claim is held at the active site")
    if all(cluster.primary is not None for cluster in reading.clusters):
        yield Problem(name, "every cluster has a working primary: nothing is to be stopped")


def agreed_by_observers(reading: Reading) -> Problems:
    """By itself only where all who look get silence, two of them at least, one of them outside."""
    name, living = "agreed_by_observers", set(reading.view.living_observers)
    if reading.find(Set, reading.request_path) is not None:
        return  # a human answers for it
    if len(living) < 2 or not living - {reading.before.active_site}:
        yield Problem(name, f"only {', '.join(sorted(living)) or 'nobody'} is looking")
    for cluster in reading.clusters:
        if cluster.primary is not None or cluster.holder is None:
            continue
        if set(_met_with_silence(cluster.holder)) != living:
            yield Problem(name, f"{cluster.name}: not every living observer gets silence")


def _met_with_silence(host: HostView) -> list[str]:
    """The observers that it gives no answer, while its guard tells them that it has none either."""
    return [
        sighting.observer
        for sighting in host.sightings
        if isinstance(sighting.seen.postgres, NoAnswer)
        and sighting.seen.postgres.kind in SILENT
        and not isinstance(sighting.seen.guard, NoAnswer)
        and sighting.seen.guard.granted
        and sighting.seen.guard.answered_s_ago is not None
        and sighting.seen.guard.answered_s_ago >= SILENT_TO_ITS_GUARD_S
    ]


BEGIN_TAKEOVER: tuple[Callable[[Reading], Problems], ...] = (
    whole_group,
    claims_count,
    only_a_takeover_is_added,
    useless_under_claims,
    agreed_by_observers,
    begun_or_made(RequestPhase.RUNNING),
    hosts_in_country,
    old_scope_follows_new,
    no_proof_is_left,
    new_scope_untouched,
    leader_keys_untouched,
    nothing_else(
        lambda reading, cluster: (
            (Set, reading.scope(cluster, cluster.active).config),
            *(((Delete, reading.paths.stopped(cluster.name)),) if cluster.stopped else ()),
        )
    ),
)


# --------------------------------------------------------------------------- the commit


def stopped_by_its_guards(reading: Reading) -> Problems:
    """Where a plan stands it is a takeover's, and every cluster has its proof; else nothing."""
    name, plan = "stopped_by_its_guards", reading.before.plan
    if plan is None:
        return
    yield from claims_count(reading)
    if plan.kind is not PlanKind.TAKEOVER or plan.to_site != reading.plan.to_site:
        yield Problem(name, f"the plan that stands is a {plan.kind} to {plan.to_site}")
    for cluster in reading.view.clusters:
        if proof_of_plan(reading, cluster) is None:
            yield Problem(name, f"{cluster.name}: no stopped-proof of this plan")


def lost_is_accepted(reading: Reading) -> Problems:
    """By the proofs: nothing, or in bytes within the budget, or an operator accepts it."""
    request = own_request(reading)
    accepted = request is not None and request.accept_data_loss
    for cluster in reading.view.clusters:
        proof = proof_of_plan(reading, cluster)
        if proof is not None and not _has_enough(reading, cluster, proof, accepted=accepted):
            detail = f"{cluster.name}: too much is missing of the WAL up to {proof.end_of_wal}"
            yield Problem("lost_is_accepted", detail)


def _has_enough(
    reading: Reading, cluster: ClusterView, proof: StoppedProof, *, accepted: bool
) -> bool:
    leader = cluster.standby.standby_leader
    if leader is None:
        return False
    seen = leader.postgres
    if proof.kind is StopKind.SHUT_DOWN:
        replayed = seen.replayed_lsn is not None and seen.replayed_lsn >= proof.end_of_wal
        return replayed and seen.timeline == proof.timeline
    ends = [lsn for lsn in (seen.received_lsn, seen.replayed_lsn) if lsn is not None]
    if not ends:
        return False
    in_sync = reading.before.in_sync and has_everything(reading, cluster)
    lost_bytes = proof.end_of_wal - max(ends)
    little = lost_bytes <= reading.view.policy.loss_budget.bytes and seen.timeline == proof.timeline
    return little or in_sync or accepted


def request_of_plan_ended(reading: Reading) -> Problems:
    """Whoever asked for the plan that is carried out is told so."""
    if reading.before.plan is not None:
        yield from request_ended(RequestPhase.DONE)(reading)


STOPPED_BY_GUARDS: tuple[Callable[[Reading], Problems], ...] = (
    stopped_by_its_guards,
    lost_is_accepted,
    request_of_plan_ended,
)
