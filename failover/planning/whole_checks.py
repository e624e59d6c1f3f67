"""The check that a move in sync leaves nothing acknowledged behind. Pure.

Shares no code with the loss estimate, which decides whether such a move is planned.
"""

from __future__ import annotations

from failover.health.cluster_view import ClusterView
from failover.health.sightings import HostView
from failover.model import ProtectionMode
from failover.planning.linting import Problem, Problems, Reading
from failover.znode import Set


def has_everything(reading: Reading, cluster: ClusterView) -> bool:
    """The standby leader is on record, in the very run of its server that was proved, or level with
    a host of its site that is."""
    leader = cluster.standby.standby_leader
    proved = [host for host in cluster.standby.hosts if _proved(reading, cluster, host)]
    if leader is None or leader.host in [host.host for host in proved]:
        return leader is not None
    ends = (leader.postgres.received_lsn, leader.postgres.replayed_lsn)
    received = max((lsn for lsn in ends if lsn is not None), default=None)
    gone_for_s = cluster.claim_absent_for_s
    of_record = (host.postgres for host in proved if host.postgres_after(gone_for_s))
    return any(
        seen is not None
        and seen.received_lsn is not None
        and received is not None
        and seen.timeline == leader.postgres.timeline
        and received >= max(seen.received_lsn, seen.replayed_lsn or seen.received_lsn)
        for seen in of_record
    )


def _proved(reading: Reading, cluster: ClusterView, host: HostView) -> bool:
    recorded, name = reading.before.clusters[cluster.name], host.host.name
    started = host.postgres.started if host.postgres is not None else ""
    return name in recorded.have and started != "" and recorded.runs.get(name) == started


def nothing_acknowledged_is_missing(reading: Reading) -> Problems:
    """In sync on record, automation takes over only where nothing that was acknowledged is left
    behind. By hand, and after a stop by the guards, other checks say what may be."""
    before = reading.before
    by_hand = reading.find(Set, reading.request_path) is not None
    in_sync = before.in_sync and before.protection is not ProtectionMode.MAX_PERFORMANCE
    if by_hand or before.plan is not None or not in_sync:
        return
    for cluster in reading.view.clusters:
        if not has_everything(reading, cluster):
            detail = f"{cluster.name}: who is released is not proved to have everything"
            yield Problem("nothing_acknowledged_is_missing", detail)
