"""Breakages of what the controllers judge and commit: gates, transactions, records."""

from __future__ import annotations

import dataclasses
from typing import Any

from failover.coordination import sync_memory
from failover.coordination.sync_memory import Look, Proof, SyncKey
from failover.guard import permits
from failover.health import cluster_view, predicates, protection
from failover.health.cluster_view import ClusterView, SideView
from failover.health.protection import Change
from failover.health.scope import PatroniConfig
from failover.health.view import View
from failover.model import Epoch, HostName, Invariant
from failover.planning import gates, transactions
from failover.planning.plan import Gate
from failover.residency.allowlist import candidates
from failover.znode import Check, Op, Set, Transaction
from tests.mutations import stories
from tests.mutations.mutation import Mutation, Replacement


def _nothing(*_: object) -> tuple[Op, ...]:
    return ()


_fence = transactions._fence


def _fence_without_child(found: View, cluster: ClusterView, epoch: Epoch) -> tuple[Op, ...]:
    return tuple(op for op in _fence(found, cluster, epoch) if not _is_child(found, cluster, op))


def _is_child(found: View, cluster: ClusterView, op: Op) -> bool:
    return op.path == transactions.scope_paths(found, cluster, cluster.active).leader_child


def _quarantine_with_upstream(found: View, cluster: ClusterView) -> Op:
    """The old scope is pointed at the new site's leader at once."""
    leader = transactions.known(cluster.standby.standby_leader).host
    config = transactions.known(cluster.active.config)
    paths = transactions.scope_paths(found, cluster, cluster.active)
    data = transactions.following(config, cluster.active.site, leader)
    return Set(paths.config, data, transactions.config_version(cluster.active))


def _no_quarantine(config: PatroniConfig) -> bytes:
    return transactions.promoted(config, "makassar")  # type: ignore[arg-type]


_takeover = transactions.takeover


def _takeover_of_any_state(found: View, *others: Any) -> Transaction:
    path = transactions.GroupPaths(found.policy.group).state
    ops = _takeover(found, *others)
    kept = (op for op in ops if not (isinstance(op, Check) and op.path == path))
    return tuple(
        dataclasses.replace(op, version=-1) if isinstance(op, Set) and op.path == path else op
        for op in kept
    )


_moved = transactions._moved


def _moved_within_the_epoch(found: View, state: Any, epoch: Epoch) -> Any:
    return dataclasses.replace(_moved(found, state, epoch), epoch=state.epoch)


def _recovery_over(_view: View, cluster: ClusterView) -> Gate:
    invariant = Invariant.ONE_FAULT_NO_HARM
    return Gate("local_recovery_over", True, "not asked", invariant, cluster.name)


def _never(*_: object) -> bool:
    return False


def _residency_of_the_leader(found: View, cluster: ClusterView) -> Gate:
    """First the best candidate, then the question whether that one may."""
    leader = cluster.standby.standby_leader
    inside = leader and candidates(found.policy, [leader.host], found.now_unix_s)
    return Gate("residency", bool(inside), "of the leader", Invariant.IN_COUNTRY, cluster.name)


_advance = sync_memory.advance


def _proved_by_the_setting(proof: Proof, look: Look, key: SyncKey) -> Proof:
    after = _advance(proof, look, key)
    return dataclasses.replace(after, done=after.held is not None)


_drop = protection._drop


def _list_before_record(
    state: Any, cluster: ClusterView, have: tuple[HostName, ...]
) -> Change | None:
    change = _drop(state, cluster, have)
    if change is not None and set(change.listed) != set(protection.listed(cluster) or ()):
        return dataclasses.replace(change, have=have)
    return change


CONTROLLER = (
    Mutation(
        "no fence",
        "the takeover leaves the old scope's leader key alone",
        (Replacement(transactions, "_fence", _nothing),),
        (stories.lost_and_back, stories.thawed_at_the_fence),
    ),
    Mutation(
        "fence without child",
        "the fence is a plain znode, which Patroni can delete",
        (Replacement(transactions, "_fence", _fence_without_child),),
        (stories.lost_and_back, stories.thawed_at_the_fence),
    ),
    Mutation(
        "quarantine with an upstream address",
        "the old scope follows the new site at once, and is rewound under the fence",
        (Replacement(transactions, "_quarantine", _quarantine_with_upstream),),
        (stories.lost_and_back,),
    ),
    Mutation(
        "no quarantine",
        "the old scope stays an ordinary cluster",
        (Replacement(transactions, "quarantined", _no_quarantine),),
        (stories.lost_and_back,),
    ),
    Mutation(
        "epoch not checked",
        "the takeover writes `state` whatever version it has by then",
        (Replacement(transactions, "takeover", _takeover_of_any_state),),
        (stories.automation_is_switched_off_under_the_decision,),
    ),
    Mutation(
        "epoch not raised",
        "the takeover changes the active site within the epoch",
        (Replacement(transactions, "_moved", _moved_within_the_epoch),),
        (stories.lost_and_back,),
    ),
    Mutation(
        "no proof that the claim is gone",
        "the takeover neither creates and deletes the claim nor checks that no permit was given",
        (
            Replacement(transactions, "_proof_of_no_claim", _nothing),
            Replacement(transactions, "_no_permit_since", _nothing),
        ),
        (stories.raced,),
    ),
    Mutation(
        "`status` left behind",
        "the old scope's status znode, ahead of everybody who returns, outlives the reinstatement",
        (Replacement(transactions, "_forget", _nothing),),
        (stories.only_a_host_with_less_returns,),
    ),
    Mutation(
        "local recovery not given its time",
        "the other site takes over as soon as the claim is gone",
        (
            Replacement(gates, "_local_recovery_over", _recovery_over),
            Replacement(predicates, "may_recover_locally", _never),
        ),
        (stories.a_local_failover,),
    ),
    Mutation(
        "pause ignored",
        "no scope is ever taken for paused",
        (Replacement(SideView, "paused", False),),
        (stories.a_paused_site_is_lost,),
    ),
    Mutation(
        "residency filter after ranking",
        "only the leader that would be promoted is looked at, and not who could follow it",
        (Replacement(gates, "residency", _residency_of_the_leader),),
        (stories.a_host_outside_the_country,),
    ),
    Mutation(
        "in_sync written in the wrong order: the list leaves before the record",
        "a standby leaves what commits wait for while it is still on record with everything",
        (Replacement(protection, "_drop", _list_before_record),),
        (stories.the_other_site_comes_and_goes,),
    ),
    Mutation(
        "in_sync written in the wrong order: the record before the list is in force",
        "that a server shows the setting is taken for the proof that commits wait",
        (Replacement(sync_memory, "advance", _proved_by_the_setting),),
        (stories.the_other_site_comes_and_goes,),
    ),
    Mutation(
        "a permit for a host without everything",
        "in a synchronous mode any host of the active site may be promoted",
        (
            Replacement(permits, "_not_in_sync", lambda *_: None),
            Replacement(cluster_view, "_permitted", lambda *_: None),
        ),
        (stories.only_makassar_has_everything,),
    ),
)
