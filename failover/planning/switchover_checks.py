"""The checks of a planned move: its beginning, its commit, its way back. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from failover.health.cluster_view import ClusterView, SideView
from failover.planning.linting import (
    Problem,
    Problems,
    Reading,
    config_before,
    declared,
    document,
    other_keys,
    slots_with,
    sync_names,
    without_list,
)
from failover.planning.request_checks import request_after, request_answered
from failover.planning.takeover_checks import (
    epoch_is_next,
    hosts_in_country,
    moves_to_other_data_site,
    new_site_released,
    no_claim_is_proved,
    nothing_proven_yet,
    whole_group,
)
from failover.state import (
    ClusterState,
    GroupState,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    StandbyScope,
    StopKind,
    StoppedProof,
)
from failover.znode import Check, Create, Delete, Op, Set

LIMIT_S_MAX = 300.0  # writes may have to wait that long


# --------------------------------------------------------------------------- shared


def _config_after(reading: Reading, cluster: ClusterView, side: SideView) -> Problems:
    """A scope that is written has the version that was judged, and keeps its other settings."""
    op = reading.find(Set, reading.scope(cluster, side).config)
    before, after = config_before(side), document(op.data) if op is not None else None
    scope = side.scope
    if op is None or after is None or before is None or scope is None or scope.config is None:
        yield Problem("scope_written", f"{cluster.name}-{side.site} is not written")
        return
    if op.version != scope.config.version:
        yield Problem("scope_written", f"{cluster.name}-{side.site}: another version was judged")
    changed = ("standby_cluster", "slots")
    if other_keys(after, *changed) != other_keys(before, *changed):
        yield Problem("scope_written", f"{cluster.name}-{side.site}: other settings are changed")


def leader_keys_untouched(reading: Reading) -> Problems:
    """Patroni keeps or gives back its keys itself: there is no fence in a planned move."""
    for cluster in reading.clusters:
        for side in cluster.sides:
            paths = reading.scope(cluster, side)
            if any(op.path in (paths.leader, paths.leader_child) for op in reading.ops):
                yield Problem("leader_keys_untouched", f"{paths.leader} is touched")


def new_scope_untouched(reading: Reading) -> Problems:
    """Nothing is promoted by this step."""
    for cluster in reading.clusters:
        path = reading.scope(cluster, cluster.standby).config
        if any(op.path == path for op in reading.ops):
            yield Problem("new_scope_untouched", f"{path} is touched")


def proof_of_plan(reading: Reading, cluster: ClusterView) -> StoppedProof | None:
    """The proof of the plan that stands, as the view has it."""
    seen, plan = cluster.stopped, reading.before.plan
    if seen is None or seen.proof is None or plan is None or seen.proof.plan_id != plan.id:
        return None
    return seen.proof if seen.proof.site == plan.from_site else None


def own_request(reading: Reading) -> OperatorRequest | None:
    """The request of the plan that stands, where it still waits for its end."""
    seen, plan = reading.view.request, reading.before.plan
    request = seen.request if seen is not None else None
    ours = request is not None and plan is not None and request.id == plan.id
    return request if ours and request is not None and not request.ended else None


def request_ended(phase: RequestPhase) -> Callable[[Reading], Problems]:
    """The plan's own request is told of its end; another one's is left alone."""

    def ended(reading: Reading) -> Problems:
        if own_request(reading) is not None:
            yield from request_answered(phase)(reading)
        elif reading.find(Set, reading.request_path) is not None:
            yield Problem("request_ended", "somebody else's request is answered")

    return ended


Allowed = Callable[[Reading, ClusterView], tuple[tuple[type[Op], str], ...]]


def nothing_else(allowed: Allowed) -> Callable[[Reading], Problems]:
    """State, request and history once each, per cluster exactly these operations, and no other."""

    def checked(reading: Reading) -> Problems:
        paths = reading.paths
        wanted: list[tuple[type[Op], str]] = [(Set, paths.state), (Create, paths.history_entry)]
        head = Create if reading.view.history_head.version is None else Set
        wanted.append((head, paths.history_head))
        if reading.find(Set, reading.request_path) is not None:
            wanted.append((Set, reading.request_path))
        for cluster in reading.view.clusters:
            wanted += allowed(reading, cluster)
        found = [(type(op), op.path) for op in reading.ops]
        if sorted(map(str, found)) != sorted(map(str, wanted)):
            odd = [f"{kind.__name__} {path}" for kind, path in found if (kind, path) not in wanted]
            yield Problem("nothing_else", ", ".join(odd) or "something is missing or done twice")

    return checked


def _old_config(reading: Reading, cluster: ClusterView) -> str:
    return reading.scope(cluster, cluster.active).config


# --------------------------------------------------------------------------- the beginning


def only_a_plan_is_added(reading: Reading) -> Problems:
    """The state gets a switchover from the active site to the other one, and nothing else."""
    name, plan = "only_a_plan_is_added", reading.after.plan if reading.after is not None else None
    yield from plan_added(reading, PlanKind.SWITCHOVER, reading.before)
    request = request_after(reading)
    if plan is None or request is None or (request.id, request.to_site) != (plan.id, plan.to_site):
        yield Problem(name, "the plan is not the one that was asked for")


def plan_added(reading: Reading, kind: PlanKind, wanted_else: GroupState) -> Problems:
    """A plan of this kind, with a deadline; without it the state is ``wanted_else``."""
    name, after, before = "only_a_plan_is_added", reading.after, reading.before
    plan = after.plan if after is not None else None
    if after is None or plan is None or before.plan is not None:
        yield Problem(name, "no plan is added, or one stands already")
        return
    if plan.kind is not kind or replace(after, plan=None) != wanted_else:
        yield Problem(name, "the state changes otherwise than by such a plan")
    wanted = (before.active_site, reading.view.standby_site)
    if (plan.from_site, plan.to_site) != wanted:
        yield Problem(name, f"the plan goes from {plan.from_site} to {plan.to_site}")
    left_s = plan.deadline_unix_s - reading.view.now_unix_s
    if not 0 < left_s <= LIMIT_S_MAX:
        yield Problem(name, f"writes could have to wait for {left_s:.0f} s")


def claims_count(reading: Reading) -> Problems:
    """Not where the quorum was rebuilt without the active site: it may have moved on elsewhere."""
    if reading.before.unproven_site == reading.before.active_site:
        yield Problem("claims_count", f"nothing proves what {reading.before.active_site} does")


def somebody_serves(reading: Reading) -> Problems:
    """What is given up by a planned move works: else it is no planned move."""
    for cluster in reading.clusters:
        if cluster.primary is None or not cluster.claim_held:
            yield Problem("somebody_serves", f"{cluster.name}: no working primary under a claim")


def old_scope_follows_new(reading: Reading) -> Problems:
    """The old scope streams from the new site's leader, in the country, and nobody else."""
    name = "old_scope_follows_new"
    site = reading.view.policy.site(reading.view.standby_site)
    for cluster in reading.clusters:
        yield from _config_after(reading, cluster, cluster.active)
        op = reading.find(Set, reading.scope(cluster, cluster.active).config)
        after = document(op.data) if op is not None else None
        before = config_before(cluster.active)
        leader = cluster.standby.standby_leader
        if leader is None or after is None or before is None:
            yield Problem(name, f"{cluster.name}: no new leader, or no configuration")
            continue
        if not declared(reading, site, leader.host.address):
            yield Problem(name, f"{cluster.name}: {leader.host.address} is not declared")
        wanted = {
            "host": str(leader.host.address),
            "port": leader.host.postgres_port,
            "primary_slot_name": "failover_" + cluster.active.site.replace("-", "_"),
            "create_replica_methods": ["basebackup"],
        }
        if after.get("standby_cluster") != wanted:
            yield Problem(name, f"{cluster.name}: it would follow {after.get('standby_cluster')}")
        if after.get("slots") != before.get("slots"):
            yield Problem(name, f"{cluster.name}: its slots are changed")


def no_proof_is_left(reading: Reading) -> Problems:
    """One of an earlier plan must not be taken for one of this."""
    for cluster in reading.clusters:
        seen = cluster.stopped
        removed = reading.find(Delete, reading.paths.stopped(cluster.name))
        if seen is not None and (removed is None or removed.version != seen.version):
            yield Problem("no_proof_is_left", f"{cluster.name}: a stopped-proof stays")


BEGIN_SWITCHOVER: tuple[Callable[[Reading], Problems], ...] = (
    whole_group,
    claims_count,
    only_a_plan_is_added,
    somebody_serves,
    hosts_in_country,
    old_scope_follows_new,
    no_proof_is_left,
    new_scope_untouched,
    leader_keys_untouched,
    request_answered(RequestPhase.RUNNING),
    nothing_else(
        lambda reading, cluster: (
            (Set, _old_config(reading, cluster)),
            *(((Delete, reading.paths.stopped(cluster.name)),) if cluster.stopped else ()),
        )
    ),
)


# --------------------------------------------------------------------------- the commit


def plan_is_carried_out(reading: Reading) -> Problems:
    """The plan that stands, and it is taken out of the state."""
    name, plan, after = "plan_is_carried_out", reading.before.plan, reading.after
    if plan is None or after is None or after.plan is not None:
        yield Problem(name, "no plan stands, or it outlives its commit")
        return
    if (plan.from_site, plan.to_site) != (reading.plan.from_site, reading.plan.to_site):
        yield Problem(name, f"the plan goes from {plan.from_site} to {plan.to_site}")


def everything_is_replayed(reading: Reading) -> Problems:
    """Shut down under this plan, and the new site has all of it; the proof is used up."""
    name = "everything_is_replayed"
    for cluster in reading.view.clusters:
        proof, seen = proof_of_plan(reading, cluster), cluster.stopped
        if proof is None or seen is None or proof.kind is not StopKind.SHUT_DOWN:
            yield Problem(name, f"{cluster.name}: no proof of a shutdown under this plan")
            continue
        removed = reading.find(Delete, reading.paths.stopped(cluster.name))
        if removed is None or removed.version != seen.version:
            yield Problem(name, f"{cluster.name}: the proof outlives the plan")
        leader = cluster.standby.standby_leader
        replayed = leader.postgres.replayed_lsn if leader is not None else None
        if replayed is None or replayed < proof.end_of_wal:
            yield Problem(name, f"{cluster.name}: replayed {replayed} of {proof.end_of_wal}")
        if leader is None or leader.postgres.timeline != proof.timeline:
            yield Problem(name, f"{cluster.name}: not on timeline {proof.timeline}")


def old_scope_is_checked(reading: Reading) -> Problems:
    """An operator who has changed it meanwhile is noticed."""
    for cluster in reading.view.clusters:
        scope = cluster.active.scope
        path, before = _old_config(reading, cluster), config_before(cluster.active)
        found = reading.find(Check, path) or reading.find(Set, path)
        if scope is None or scope.config is None or found is None or before is None:
            yield Problem("old_scope_is_checked", f"{cluster.name}: it is not")
        elif found.version != scope.config.version:
            yield Problem("old_scope_is_checked", f"{cluster.name}: another version was judged")
        elif isinstance(found, Check) and sync_names(before):
            yield Problem("old_scope_is_checked", f"{cluster.name}: its list outlives the record")
        elif isinstance(found, Set) and document(found.data) != without_list(before):
            yield Problem("old_scope_is_checked", f"{cluster.name}: more than its list is changed")


def moved_state(reading: Reading) -> Problems:
    """Not promoted yet, the old site follows, whoever is promoted has the old site's end."""
    name, after = "moved_state", reading.after
    for cluster in reading.view.clusters:
        moved = after.clusters.get(cluster.name) if after is not None else None
        proof = proof_of_plan(reading, cluster)
        if moved is None or proof is None:
            yield Problem(name, f"{cluster.name}: no record of it")
            continue
        if moved.promoted or moved.standby is not StandbyScope.FOLLOWING:
            yield Problem(name, f"{cluster.name}: promoted already, or not followed")
        if moved.min_lsn < proof.end_of_wal or moved.timeline != proof.timeline:
            yield Problem(name, f"{cluster.name}: a host without the end could be promoted")
    before = reading.before
    if after is not None and (
        after.in_sync
        or any(cluster.have for cluster in after.clusters.values())
        or (after.automation, after.protection) != (before.automation, before.protection)
    ):
        yield Problem(name, "in_sync, automation or protection outlives the move or is changed")


def _old_list_op(cluster: ClusterView) -> type[Op]:
    """Written where there is a list to be taken out, checked otherwise."""
    before = config_before(cluster.active)
    return Set if before is not None and sync_names(before) else Check


SWITCHOVER: tuple[Callable[[Reading], Problems], ...] = (
    whole_group,
    claims_count,
    plan_is_carried_out,
    epoch_is_next,
    moves_to_other_data_site,
    hosts_in_country,
    no_claim_is_proved,
    everything_is_replayed,
    old_scope_is_checked,
    new_site_released,
    moved_state,
    nothing_proven_yet,
    leader_keys_untouched,
    request_ended(RequestPhase.DONE),
    nothing_else(
        lambda reading, cluster: (
            (Create, reading.paths.writer(cluster.name)),
            (Delete, reading.paths.writer(cluster.name)),
            (Delete, reading.paths.stopped(cluster.name)),
            (_old_list_op(cluster), _old_config(reading, cluster)),
            (Set, reading.scope(cluster, cluster.standby).config),
        )
    ),
)


# --------------------------------------------------------------------------- the way back


def back_where_it_was(reading: Reading) -> Problems:
    """Same site, same epoch, no plan; and where a proof stood, its end of WAL binds."""
    name, after, before = "back_where_it_was", reading.after, reading.before
    if before.plan is None or after is None:
        yield Problem(name, "no plan stands, or no state is written")
        return
    proofs = [proof_of_plan(reading, cluster) for cluster in reading.view.clusters]
    # A takeover goes on with one that was killed; a planned move has to go back.
    killed = before.plan.kind is PlanKind.SWITCHOVER and any(
        proof is not None and proof.kind is StopKind.KILLED for proof in proofs
    )
    if reading.view.now_unix_s < before.plan.deadline_unix_s and not killed:
        yield Problem(name, "its time is not over")
    wanted = replace(before, plan=None)
    if any(
        _binds(before.clusters[cluster.name], before.plan, proof)
        for cluster, proof in zip(reading.view.clusters, proofs, strict=True)
    ):
        wanted = replace(wanted, epoch_started_unix_s=reading.view.now_unix_s)
    for cluster in reading.view.clusters:
        recorded = before.clusters[cluster.name]
        wanted = wanted.with_cluster(
            cluster.name, _bound(recorded, before.plan, proof_of_plan(reading, cluster))
        )
    wanted = replace(wanted, in_sync=after.in_sync)  # that it is true every step is asked
    if after != wanted:
        yield Problem(name, "the state is not as before the plan, bound by its proofs")


def _binds(recorded: ClusterState, plan: PlanRecord, proof: StoppedProof | None) -> bool:
    """What a takeover had to kill was of no use: nobody waits for what only that host has. And who
    is on record has all that was acknowledged by a server that was killed."""
    if proof is None or proof.kind is StopKind.SHUT_DOWN:
        return proof is not None
    return plan.kind is PlanKind.SWITCHOVER and not recorded.have


def _bound(recorded: ClusterState, plan: PlanRecord, proof: StoppedProof | None) -> ClusterState:
    if proof is None or not _binds(recorded, plan, proof):
        return recorded
    end, timeline = proof.end_of_wal, proof.timeline
    return replace(recorded, min_lsn=end, timeline=timeline, promoted=False, have=(), runs={})


def no_proof_outlives_it(reading: Reading) -> Problems:
    """Deleted, or proved not to be there: one that comes in this instant would be overlooked."""
    for cluster in reading.view.clusters:
        path, seen = reading.paths.stopped(cluster.name), cluster.stopped
        removed, made = reading.find(Delete, path), reading.find(Create, path)
        if removed is None or (seen is not None and removed.version != seen.version):
            yield Problem("no_proof_outlives_it", f"{cluster.name}: a proof could stay")
        elif seen is None and not 0 <= reading.position(made) < reading.position(removed):
            yield Problem("no_proof_outlives_it", f"{cluster.name}: its absence is not proved")


def old_scope_ordinary_again(reading: Reading) -> Problems:
    for cluster in reading.view.clusters:
        yield from _config_after(reading, cluster, cluster.active)
        op = reading.find(Set, reading.scope(cluster, cluster.active).config)
        after = document(op.data) if op is not None else None
        before, name = config_before(cluster.active), "old_scope_ordinary_again"
        if after is None or before is None or "standby_cluster" in after:
            yield Problem(name, f"{cluster.name}: the old site would go on following")
        elif after.get("slots") != slots_with(before, cluster.standby.site):
            yield Problem(name, f"{cluster.name}: its slots are changed")


ABANDON_SWITCHOVER: tuple[Callable[[Reading], Problems], ...] = (
    whole_group,
    back_where_it_was,
    no_proof_outlives_it,
    old_scope_ordinary_again,
    new_scope_untouched,
    leader_keys_untouched,
    request_ended(RequestPhase.GONE_BACK),
    nothing_else(
        lambda reading, cluster: (
            *(((Create, reading.paths.stopped(cluster.name)),) if not cluster.stopped else ()),
            (Delete, reading.paths.stopped(cluster.name)),
            (Set, _old_config(reading, cluster)),
        )
    ),
)
