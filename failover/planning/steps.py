"""A step as a plan: from the active site to its standby, as the view has them. Pure."""

from __future__ import annotations

from failover.health.cluster_view import ClusterView
from failover.health.view import View
from failover.planning.plan import Gate, Plan, RestartZooKeeper, StepName
from failover.znode import Transaction


def step(
    name: StepName,
    sentence: str,
    view: View,
    clusters: tuple[ClusterView, ...],
    gates: tuple[Gate, ...],
    action: Transaction | RestartZooKeeper,
) -> Plan:
    """A step about these clusters."""
    return Plan(
        step=name,
        sentence=sentence,
        clusters=tuple(cluster.name for cluster in clusters),
        from_site=view.active_site,
        to_site=view.standby_site,
        gates=gates,
        action=action,
    )


def group_step(
    name: StepName, sentence: str, view: View, gates: tuple[Gate, ...], action: Transaction
) -> Plan:
    """A step about every cluster of the group."""
    return step(name, sentence, view, view.clusters, gates, action)
