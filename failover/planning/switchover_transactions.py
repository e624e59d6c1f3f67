"""The transactions of a planned move, as plain operations. Pure.

Three of them, with the world's own time in between, and each conditional on every version that was
judged:

* ``begin``: the plan into ``state`` (from here on the old site gets no permit) and, in the same
  instant, the old scope becomes a standby cluster of the new site, so that Patroni stops its
  primary. The guard there answers with a stopped-proof. (``begin_takeover``: and where the plan is
  a takeover, it stops what it holds a claim for itself.)
* ``commit``: no claim is alive, the proof is taken away, the new scope becomes an ordinary cluster,
  ``state`` goes to the next epoch without a plan.
* ``abandon``: instead of it. The plan and what there is of proofs go, the old scope is an ordinary
  cluster again. Where there was a proof, only a host with all of that WAL gets the next permit.

``refuse`` answers a request and moves nothing.
"""

from __future__ import annotations

from dataclasses import replace

from failover.health import evidence as tell
from failover.health.cluster_view import ClusterView
from failover.health.protection import in_sync
from failover.health.scope import following, ordinary_again, promoted, waiting_for
from failover.health.view import View
from failover.model import Epoch
from failover.planning.switchover_gates import stopped_under
from failover.planning.transactions import (
    answered,
    asked_as,
    by_hand,
    config_version,
    history,
    known,
    scope_paths,
)
from failover.replication.loss import end_of_received
from failover.state import (
    ClusterState,
    GroupState,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    StandbyScope,
    StopKind,
    encode_state,
)
from failover.znode import Check, Create, Delete, GroupPaths, Op, Set, Transaction

# A fast stop has 3 s, pg_waldump 5 s at most; the new site replays meanwhile.
TAKEOVER_LIMIT_S = 15.0

# --------------------------------------------------------------------------- answers to a request


def begin(view: View, request: OperatorRequest) -> Transaction:
    """Call only where every gate of the beginning passes."""
    plan = _plan(view, PlanKind.SWITCHOVER, request.id, request.limit_s, request.by)
    details = {
        "reason": request.reason,
        **{f"{c.name}.primary": str(known(c.primary).host.name) for c in view.clusters},
    }
    return _begun(view, plan, replace(known(view.state), plan=plan), request, details)


def begin_takeover(view: View, request: OperatorRequest | None) -> Transaction:
    """The same for a takeover of a site that holds its claims; ``request`` None: by itself."""
    state = known(view.state)
    name, by = f"t-{state.epoch}-{known(view.state_version)}", "automation"
    if request is not None:
        name, by = request.id, request.by
    plan = _plan(view, PlanKind.TAKEOVER, name, TAKEOVER_LIMIT_S, by)
    frozen = replace(state, plan=plan, takeover_begun_unix_s=view.now_unix_s)
    details = {**by_hand(request), "observers": ", ".join(view.living_observers)}
    for cluster in view.clusters:
        details[f"{cluster.name}.claim"] = tell.claim(cluster)
        details[f"{cluster.name}.holder"] = tell.host(known(cluster.holder))
    return _begun(view, plan, frozen, request, details)


def _plan(view: View, kind: PlanKind, name: str, limit_s: float, by: str) -> PlanRecord:
    return PlanRecord(
        id=name,
        kind=kind,
        from_site=view.active_site,
        to_site=view.standby_site,
        deadline_unix_s=view.now_unix_s + limit_s,
        requested_by=by,
    )


def _begun(
    view: View,
    plan: PlanRecord,
    frozen: GroupState,
    request: OperatorRequest | None,
    details: dict[str, str],
) -> Transaction:
    paths = GroupPaths(view.policy.group)
    if request is not None:
        details = {**asked_as(view), **details}
    limit_s = plan.deadline_unix_s - view.now_unix_s
    summary = f"{plan.kind} from {plan.from_site} to {plan.to_site} begun for {plan.requested_by}"
    details = {"plan": plan.id, "limit_s": f"{limit_s:g}", **details}
    return (
        Set(paths.state, encode_state(frozen), known(view.state_version)),
        *(_old_scope_follows(view, cluster) for cluster in view.clusters),
        *(op for cluster in view.clusters for op in _without_old_proof(paths, cluster)),
        *((answered(view, RequestPhase.RUNNING, ()),) if request is not None else ()),
        *history(view, paths, frozen.epoch, f"{plan.kind}_begun", summary, details),
    )


def refuse(view: View, request: OperatorRequest, reasons: tuple[str, ...]) -> Transaction:
    """Nothing is begun; whoever asked is told every reason."""
    paths, state = GroupPaths(view.policy.group), known(view.state)
    summary = f"{request.kind} to {request.to_site} refused, asked for by {request.by}"
    details = {"request": request.id, "reason": request.reason, **asked_as(view)}
    details |= {f"refused.{number}": text for number, text in enumerate(reasons, start=1)}
    return (
        Check(paths.state, known(view.state_version)),
        answered(view, RequestPhase.REFUSED, reasons),
        *history(view, paths, state.epoch, "request_refused", summary, details),
    )


def _old_scope_follows(view: View, cluster: ClusterView) -> Op:
    leader = known(cluster.standby.standby_leader).host
    data = following(known(cluster.active.config), cluster.active.site, leader)
    paths = scope_paths(view, cluster, cluster.active)
    return Set(paths.config, data, config_version(cluster.active))


def _without_old_proof(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    proof = cluster.stopped
    return () if proof is None else (Delete(paths.stopped(cluster.name), proof.version),)


# --------------------------------------------------------------------------- the end of a plan


def commit(view: View, plan: PlanRecord) -> Transaction:
    """Call only where every gate of the commit passes."""
    paths, state = GroupPaths(view.policy.group), known(view.state)
    epoch, unplanned = Epoch(state.epoch + 1), plan.kind is PlanKind.TAKEOVER
    cooldown_until_unix_s = view.now_unix_s + view.policy.cooldown_s
    moved = replace(
        state,
        cooldown_until_unix_s=cooldown_until_unix_s if unplanned else state.cooldown_until_unix_s,
        epoch=epoch,
        active_site=plan.to_site,
        clusters={c.name: _moved(c, plan) for c in view.clusters},
        in_sync=False,
        plan=None,
        epoch_started_unix_s=view.now_unix_s,
        unproven_site=None,  # its guards have just given their proof in this ensemble
        proving=True,
    )
    summary = f"{plan.to_site} is active after a {plan.kind} from {plan.from_site}, epoch {epoch}"
    return (
        *(op for c in view.clusters for op in _proof_of_no_claim(paths, c)),
        *(op for c in view.clusters for op in _proof_taken(paths, c)),
        *(_old_scope_as_judged(view, c) for c in view.clusters),
        *(_new_scope_released(view, c) for c in view.clusters),
        Set(paths.state, encode_state(moved), known(view.state_version)),
        *_request_ends(view, plan, RequestPhase.DONE, ()),
        *history(view, paths, epoch, plan.kind, summary, _evidence(view, plan)),
    )


def abandon(view: View, plan: PlanRecord, reasons: tuple[str, ...]) -> Transaction:
    """Back to where it was, whatever the reason why it did not come to its commit."""
    paths, state = GroupPaths(view.policy.group), known(view.state)
    clusters = {c.name: _as_before(c, plan) for c in view.clusters}
    back = replace(state, plan=None, clusters=clusters)
    back = replace(back, in_sync=in_sync(view.policy, back))
    if not all(cluster.promoted for cluster in clusters.values()):
        back = replace(back, epoch_started_unix_s=view.now_unix_s)
    summary = f"{plan.kind} to {plan.to_site} abandoned: {plan.from_site} stays active"
    details = {"plan": plan.id, "requested_by": plan.requested_by}
    details |= {f"missing.{number}": text for number, text in enumerate(reasons, start=1)}
    return (
        Set(paths.state, encode_state(back), known(view.state_version)),
        *(op for c in view.clusters for op in _no_proof_left(paths, c)),
        *(_old_scope_ordinary(view, c) for c in view.clusters),
        *_request_ends(view, plan, RequestPhase.GONE_BACK, reasons),
        *history(view, paths, state.epoch, f"{plan.kind}_abandoned", summary, details),
    )


def _moved(cluster: ClusterView, plan: PlanRecord) -> ClusterState:
    """Who is promoted must have what the judged host had, which is past the old site's end."""
    postgres = known(cluster.standby.standby_leader).postgres
    received = known(end_of_received(postgres))
    return ClusterState(
        min_lsn=max(received, known(stopped_under(cluster, plan)).end_of_wal),
        timeline=postgres.timeline,
        promoted=False,
        standby=StandbyScope.FOLLOWING,
    )


def _as_before(cluster: ClusterView, plan: PlanRecord) -> ClusterState:
    """A replica that took over as leader meanwhile may lack the end of what was acknowledged.

    Any host with all of the stopped server's WAL may be promoted, whether that server has the list
    or not: nobody is on record any more. Not so of one that was killed where others are on record:
    they have all that was acknowledged, if not all of its WAL. Nor after a takeover that had to
    kill: that server was of no use, and what only it has may never come back.
    """
    recorded, proof = known(cluster.recorded), stopped_under(cluster, plan)
    if proof is None:
        return recorded
    if proof.kind is StopKind.KILLED and (plan.kind is PlanKind.TAKEOVER or recorded.have):
        return recorded
    return replace(
        recorded,
        min_lsn=proof.end_of_wal,
        timeline=proof.timeline,
        promoted=False,
        have=(),
        runs={},
    )


def _proof_of_no_claim(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    path = paths.writer(cluster.name)
    return (Create(path, b""), Delete(path))


def _proof_taken(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    return (Delete(paths.stopped(cluster.name), known(cluster.stopped).version),)


def _no_proof_left(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    """One that comes in this instant refuses the transaction: its end of WAL has to count."""
    path = paths.stopped(cluster.name)
    if cluster.stopped is None:
        return (Create(path, b""), Delete(path))
    return (Delete(path, cluster.stopped.version),)


def _old_scope_as_judged(view: View, cluster: ClusterView) -> Op:
    """The list stays while the plan may still go back; now nobody is on record any more."""
    paths, config = scope_paths(view, cluster, cluster.active), known(cluster.active.config)
    version = config_version(cluster.active)
    if not config.sync_names:
        return Check(paths.config, version)
    return Set(paths.config, waiting_for(config, ""), version)


def _new_scope_released(view: View, cluster: ClusterView) -> Op:
    paths = scope_paths(view, cluster, cluster.standby)
    data = promoted(known(cluster.standby.config), cluster.active.site)
    return Set(paths.config, data, config_version(cluster.standby))


def _old_scope_ordinary(view: View, cluster: ClusterView) -> Op:
    paths = scope_paths(view, cluster, cluster.active)
    data = ordinary_again(known(cluster.active.config), cluster.standby.site)
    return Set(paths.config, data, config_version(cluster.active))


def _request_ends(
    view: View, plan: PlanRecord, phase: RequestPhase, outcome: tuple[str, ...]
) -> tuple[Op, ...]:
    """Where the request of this plan is still there to be answered."""
    ours = view.request_of(plan.id) is not None
    return (answered(view, phase, outcome),) if ours else ()


def _evidence(view: View, plan: PlanRecord) -> dict[str, str]:
    found = {"plan": plan.id, "requested_by": plan.requested_by}
    for cluster in view.clusters:
        proof = known(stopped_under(cluster, plan))
        leader = known(cluster.standby.standby_leader)
        found[f"{cluster.name}.stopped"] = f"{proof.host} {proof.kind} at {proof.end_of_wal}"
        found[f"{cluster.name}.replayed"] = f"{leader.host.name} {leader.postgres.replayed_lsn}"
        found[f"{cluster.name}.timeline"] = str(leader.postgres.timeline)
    return found
