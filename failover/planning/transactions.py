"""Transactions of the controller, as plain operations, and the operations that several share. Pure.

Each is all or nothing and conditional on every version that was judged, so a world that changed
in between refuses it and is read again. The gates have passed before: what they proved to be
known is unwrapped here with ``known``.

Takeover, for all clusters of the group at once, in this order:
1. check the version of ``state``;
2. per cluster create and delete ``writers/<cluster>``: no claim is alive in this instant; and check
   ``last_writer``: none has come and gone since the judgement;
3. per cluster delete the old scope's leader key where there is one, and put the fence there with
   a child under it, which makes it undeletable for Patroni;
4. per cluster quarantine the old scope: a standby cluster of nobody;
5. per cluster make the new scope an ordinary cluster; delete a stopped-proof left behind;
6. set ``state`` to the next epoch and write history: the entry, and the head that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from failover.access import Role
from failover.health.cluster_view import ClusterView, SideView
from failover.health.inputs import ConfigSeen, ScopeSeen
from failover.health.scope import PatroniConfig, fence_value, following, promoted, quarantined
from failover.health.view import View
from failover.history import continued
from failover.model import Epoch
from failover.policy import DatabaseHost
from failover.replication.loss import LossEstimate, cluster_loss, end_of_received
from failover.state import (
    ClusterState,
    GroupState,
    HistoryEntry,
    OperatorRequest,
    RequestPhase,
    StandbyScope,
    encode_record,
    encode_state,
)
from failover.znode import Check, Create, Delete, GroupPaths, Op, ScopePaths, Set, Transaction

T = TypeVar("T")


def known(value: T | None) -> T:
    """What a gate has proved to be known. Without it, building the transaction is a bug."""
    if value is None:
        raise ValueError("a transaction was built although a gate holds")
    return value


# --------------------------------------------------------------------------- takeover


def takeover(
    view: View,
    request: OperatorRequest | None = None,
    stopped: Mapping[str, str] = MappingProxyType({}),
) -> Transaction:
    """Move the whole group to the standby site. Call only where every takeover gate passes.

    ``request``: the operator who asks for it, and is answered in the same instant. ``stopped``:
    what the guards of the old site proved, where they had to end its claims (``gray_failure``).
    """
    paths = GroupPaths(view.policy.group)
    state = known(view.state)
    version = known(view.state_version)
    epoch = Epoch(state.epoch + 1)
    clusters = view.clusters
    role = asked_as(view) if request is not None else {}
    details = {**by_hand(request), **role, **_evidence(view), **stopped}
    return (
        Check(paths.state, version),
        *(op for c in clusters for op in _proof_of_no_claim(paths, c)),
        *(op for c in clusters for op in _no_permit_since(paths, c)),
        *(op for c in clusters for op in _fence(view, c, epoch)),
        *(_quarantine(view, c) for c in clusters),
        *(op for c in clusters for op in _promote(view, paths, c)),
        Set(paths.state, encode_state(_moved(view, state, epoch)), version),
        *((answered(view, RequestPhase.DONE, ()),) if request is not None else ()),
        *history(view, paths, epoch, "takeover", _takeover_summary(view, epoch), details),
    )


def _proof_of_no_claim(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    path = paths.writer(cluster.name)
    return (Create(path, b""), Delete(path))


def _no_permit_since(paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    """A claim that came and went between judgement and commit has left writes that were not judged:
    the loss would be more, and ``min_lsn`` less, than what was seen. Every permit writes this."""
    writer = cluster.last_writer
    return () if writer is None else (Check(paths.last_writer(cluster.name), writer.version),)


def _fence(view: View, cluster: ClusterView, epoch: Epoch) -> tuple[Op, ...]:
    paths = scope_paths(view, cluster, cluster.active)
    leader = known(cluster.active.scope).leader
    delete_old = (Delete(paths.leader, leader.version),) if leader is not None else ()
    return (
        *delete_old,
        Create(paths.leader, fence_value(epoch).encode()),
        Create(paths.leader_child, b""),
    )


def _quarantine(view: View, cluster: ClusterView) -> Op:
    paths = scope_paths(view, cluster, cluster.active)
    data = quarantined(known(cluster.active.config))
    return Set(paths.config, data, config_version(cluster.active))


def _promote(view: View, paths: GroupPaths, cluster: ClusterView) -> tuple[Op, ...]:
    scope = scope_paths(view, cluster, cluster.standby)
    data = promoted(known(cluster.standby.config), cluster.active.site)
    proof = cluster.stopped
    delete_proof = (
        (Delete(paths.stopped(cluster.name), proof.version),) if proof is not None else ()
    )
    return (Set(scope.config, data, config_version(cluster.standby)), *delete_proof)


def _moved(view: View, state: GroupState, epoch: Epoch) -> GroupState:
    """The state after the takeover: nothing promoted yet, nothing in sync, the old site apart."""
    return replace(
        state,
        epoch=epoch,
        active_site=view.standby_site,
        clusters={cluster.name: _judged(cluster) for cluster in view.clusters},
        in_sync=False,
        plan=None,
        cooldown_until_unix_s=view.now_unix_s + view.policy.cooldown_s,
        epoch_started_unix_s=view.now_unix_s,
        unproven_site=None,  # of the new active site this ensemble knows every claim
        proving=True,
    )


def _judged(cluster: ClusterView) -> ClusterState:
    """What the host that is promoted must have at least: all that the judged one had."""
    postgres = known(cluster.standby.standby_leader).postgres
    return ClusterState(
        min_lsn=known(end_of_received(postgres)),
        timeline=postgres.timeline,
        promoted=False,
        standby=StandbyScope.QUARANTINE,
    )


def _takeover_summary(view: View, epoch: Epoch) -> str:
    return f"{view.standby_site} took over from {view.active_site}, epoch {epoch}"


def by_hand(request: OperatorRequest | None) -> dict[str, str]:
    """Who asked for it, why, and what this human answers for."""
    if request is None:
        return {}
    found = {"request": request.id, "requested_by": request.by, "reason": request.reason}
    if request.accept_data_loss:
        found["data_loss"] = f"accepted by {request.by}"
    if request.fenced_site is not None:
        found["fenced_by_hand"] = f"{request.fenced_site}, says {request.by}"
    return found


def asked_as(view: View) -> dict[str, str]:
    """The role that ZooKeeper let ask, where it tells roles apart."""
    if view.request is None or not view.policy.access.position.closed:
        return {}
    return {"role": Role.APPROVER if view.request.by_approver else Role.OPERATOR}


def _evidence(view: View) -> dict[str, str]:
    """What was judged, per cluster, as short strings."""
    found = {"observers": ", ".join(view.living_observers)}
    for cluster in view.clusters:
        leader = known(cluster.standby.standby_leader)
        found[f"{cluster.name}.claim"] = f"gone for {cluster.claim_absent_for_s:.1f} s"
        found[f"{cluster.name}.standby_leader"] = leader.host.name
        found[f"{cluster.name}.min_lsn"] = str(known(end_of_received(leader.postgres)))
        found[f"{cluster.name}.timeline"] = str(leader.postgres.timeline)
        loss = cluster_loss(view, cluster)
        if isinstance(loss, LossEstimate):
            found[f"{cluster.name}.behind_bytes"] = str(loss.behind_bytes)
            found[f"{cluster.name}.behind_s"] = f"{loss.behind_s:.1f}"
            found[f"{cluster.name}.unseen_s"] = f"{loss.unseen_s:.1f}"
            found[f"{cluster.name}.isolation_bytes"] = str(loss.isolation_bytes)
    return found


# --------------------------------------------------------------------------- the steps after it


def record_promotion(view: View, clusters: tuple[ClusterView, ...]) -> Transaction:
    """These clusters' promotions are done: from now on ``min_lsn`` binds nobody.

    The last of them after a change of the active site is the proof that such a change works.
    """
    paths = GroupPaths(view.policy.group)
    state = known(view.state)
    moved = state
    for cluster in clusters:
        recorded = replace(known(cluster.recorded), promoted=True)
        moved = moved.with_cluster(cluster.name, recorded)
    if moved.proving and all(cluster.promoted for cluster in moved.clusters.values()):
        moved = replace(moved, proving=False, proven_unix_s=view.now_unix_s)
    hosts = {f"{c.name}.primary": str(known(c.primary).host.name) for c in clusters}
    after_s = f"{view.now_unix_s - state.epoch_started_unix_s:.1f}"
    summary = f"promoted in {view.active_site}, epoch {state.epoch}"
    return (
        *(Check(paths.writer(c.name), known(c.claim).version) for c in clusters),
        Set(paths.state, encode_state(moved), known(view.state_version)),
        *history(view, paths, state.epoch, "promoted", summary, {**hosts, "after_s": after_s}),
    )


def reinstate(view: View, cluster: ClusterView) -> Transaction:
    """Lift the fence of the standby scope and point it at the present primary.

    ``status`` goes too: its LSN, ahead of every survivor, would block Patroni's election.
    """
    paths = GroupPaths(view.policy.group)
    standby_paths = scope_paths(view, cluster, cluster.standby)
    scope = known(cluster.standby.scope)
    state = known(view.state)
    primary = known(cluster.primary).host
    recorded = replace(known(cluster.recorded), standby=StandbyScope.FOLLOWING)
    summary = f"{cluster.name}: {cluster.standby.site} reinstated as standby of {primary.name}"
    return (
        Delete(standby_paths.leader_child),
        Delete(standby_paths.leader, known(scope.leader).version),
        *_forget(standby_paths, scope),
        _follow(view, cluster, primary),
        Set(
            paths.state,
            encode_state(state.with_cluster(cluster.name, recorded)),
            known(view.state_version),
        ),
        *history(view, paths, state.epoch, "reinstated", summary, _salvaged(cluster, state.epoch)),
    )


def _forget(paths: ScopePaths, scope: ScopeSeen) -> tuple[Op, ...]:
    found = (
        (paths.status, scope.status_version),
        (paths.failover, scope.failover_version),
        (paths.sync, scope.sync_version),
    )
    return tuple(Delete(path, version) for path, version in found if version is not None)


def _salvaged(cluster: ClusterView, epoch: Epoch) -> dict[str, str]:
    return {
        f"{record.host}.salvage": f"{record.phase}, {record.bytes} bytes in {record.directory}"
        for record in cluster.salvage
        if record.epoch == epoch
    }


def follow(view: View, clusters: tuple[ClusterView, ...]) -> Transaction:
    """Point these standby scopes at the present primary, while ``state`` stays as it was read."""
    paths = GroupPaths(view.policy.group)
    state = known(view.state)
    primaries = {c.name: known(c.primary).host for c in clusters}
    summary = f"{view.standby_site} follows " + ", ".join(h.name for h in primaries.values())
    details = {f"{name}.upstream": str(host.address) for name, host in primaries.items()}
    return (
        Check(paths.state, known(view.state_version)),
        *(_follow(view, cluster, primaries[cluster.name]) for cluster in clusters),
        *history(view, paths, state.epoch, "following", summary, details),
    )


def _follow(view: View, cluster: ClusterView, primary: DatabaseHost) -> Op:
    paths = scope_paths(view, cluster, cluster.standby)
    config: PatroniConfig = known(cluster.standby.config)
    data = following(config, cluster.standby.site, primary)
    return Set(paths.config, data, config_version(cluster.standby))


# --------------------------------------------------------------------------- shared


def scope_paths(view: View, cluster: ClusterView, side: SideView) -> ScopePaths:
    scope = view.policy.cluster(cluster.name).scope(side.site)
    return ScopePaths(view.policy.patroni_namespace, scope)


def config_version(side: SideView) -> int:
    config: ConfigSeen = known(known(side.scope).config)
    return config.version


def answered(view: View, phase: RequestPhase, outcome: tuple[str, ...]) -> Op:
    """The waiting or running request gets this answer."""
    seen = known(view.request)
    request = replace(known(seen.request), phase=phase, outcome=outcome)
    return Set(view.request_path, encode_record(request), seen.version)


def history(
    view: View,
    paths: GroupPaths,
    epoch: Epoch,
    event: str,
    summary: str,
    details: dict[str, str],
) -> tuple[Op, ...]:
    """The entry, continuing the head that was judged, and the head after it."""
    entry = HistoryEntry(
        at_unix_s=view.now_unix_s,
        epoch=epoch,
        event=event,
        summary=summary,
        by=f"controller at {view.reader}",
        details=details,
    )
    return continued(paths, view.history_head, entry)
