"""The questions that the rows of the verdict table ask of a view. Pure.

Each is one concept with a name. A three-valued answer is compared with ``is True`` or ``is
False`` where the difference to "unknown" matters.
"""

from __future__ import annotations

from math import inf

from failover.health.cluster_view import ClusterView, SideView
from failover.health.scope import Upstream
from failover.health.sightings import HostView, some
from failover.health.view import View
from failover.health.wal_kept import leader_of, not_streaming
from failover.model import SiteKind, SiteName
from failover.policy import DatabaseHost
from failover.state import StandbyScope

# --------------------------------------------------------------------------- who may write


def writing_sites(view: View, cluster: ClusterView) -> tuple[SiteName, ...]:
    """Every site of which something says that it may write: the claim, or a working primary.

    Seen wholly within the present epoch: what was seen of the old primary before a switchover, or
    of a site before its loss, says nothing about now.
    """
    claim = cluster.claim.claim if cluster.claim is not None else None
    since_s = inf if view.state is None else view.now_unix_s - view.state.epoch_started_unix_s
    sites = {
        side.site
        for side in cluster.sides
        if any(host.working_primary_after(since_s) for host in side.hosts)
    }
    return tuple(sorted(sites | ({claim.site} if claim is not None else set())))


def claim_out_of_place(view: View, cluster: ClusterView) -> bool:
    """The claim is held elsewhere than at the active site, or for another epoch."""
    claim = cluster.claim.claim if cluster.claim is not None else None
    if claim is None or view.state is None:
        return False
    return cluster.holder is None or claim.epoch != view.state.epoch


def primaries_without_claim(cluster: ClusterView) -> tuple[HostView, ...]:
    """Working primaries seen wholly after the claim had gone: no permit covers them."""
    if cluster.claim_held is not False:
        return ()
    gone_for_s = cluster.claim_absent_for_s
    hosts = (host for side in cluster.sides for host in side.hosts)
    return tuple(host for host in hosts if host.working_primary_after(gone_for_s))


def serving(cluster: ClusterView) -> bool:
    """The claim is held at the active site and its holder is seen as a working primary."""
    return cluster.primary is not None


def all_serving(view: View) -> bool:
    return view.serves


# --------------------------------------------------------------------------- the active site


def all_claims_gone(view: View) -> bool:
    """Known to be gone, for every cluster of the group."""
    return all(cluster.claim_held is False for cluster in view.clusters)


def outside_observers(view: View, site: SiteName) -> tuple[SiteName, ...]:
    return tuple(observer for observer in view.living_observers if observer != site)


def active_reached_from_outside(view: View) -> bool | None:
    """Some living observer elsewhere gets an answer from a database host of the active site."""
    return some(
        cluster.active.reached_by(observer)
        for cluster in view.clusters
        for observer in outside_observers(view, view.active_site)
    )


def down_for_s(cluster: ClusterView) -> float:
    """How long this cluster has had no working primary under a claim; 0 while it is serving."""
    if serving(cluster) or cluster.claim is None:
        return 0.0
    holder = cluster.holder
    if cluster.claim_held is False or holder is None or holder.postgres is not None:
        return cluster.claim.unchanged_for_s
    return min(cluster.claim.unchanged_for_s, holder.unreachable_s)


def may_recover_locally(view: View, cluster: ClusterView) -> bool:
    """Down, and within the time that the active site has to help itself."""
    if serving(cluster) or cluster.claim is None:
        return False
    somebody_can = cluster.claim_held or cluster.could_take_lease
    return bool(somebody_can) and down_for_s(cluster) < view.policy.local_recovery_s


def down_clusters(view: View) -> tuple[ClusterView, ...]:
    return tuple(cluster for cluster in view.clusters if not serving(cluster))


# --------------------------------------------------------------------------- the standby site


def recorded_following(cluster: ClusterView) -> bool:
    """``state`` says that the standby scope follows (it is not in quarantine)."""
    recorded = cluster.recorded
    return recorded is not None and recorded.standby is StandbyScope.FOLLOWING


def standby_scope_altered(cluster: ClusterView) -> bool:
    """The standby scope's configuration is not what ``state`` says it was told."""
    config = cluster.standby.config
    if config is None:
        return True
    if recorded_following(cluster):
        return not config.is_standby_cluster or config.is_quarantine
    return not config.is_quarantine or cluster.standby.fenced is not True


def upstream_outdated(cluster: ClusterView) -> bool:
    """The standby scope is told to stream from another host than the present primary."""
    config = cluster.standby.config
    if not recorded_following(cluster) or cluster.primary is None or config is None:
        return False
    return config.upstream != upstream_to(cluster.primary.host)


def upstream_to(host: DatabaseHost) -> Upstream:
    return Upstream(str(host.address), host.postgres_port)


def standby_reached(view: View) -> bool | None:
    """Some living observer gets an answer from a database host of the standby site."""
    return some(cluster.standby.reached for cluster in view.clusters)


def streaming(cluster: ClusterView) -> bool:
    """The standby site has a leader and its WAL receiver is connected."""
    leader = cluster.standby.standby_leader
    return leader is not None and leader.postgres.receiver_streaming is True


def link_down(view: View) -> bool:
    """Both data sites are seen by somebody else, and neither sees the other's database hosts."""
    pairs = ((view.active_site, view.standby_site), (view.standby_site, view.active_site))
    across = [
        _reached_by(view, target, {looker})
        for looker, target in pairs
        if view.observer_alive(looker)
    ]
    seen_otherwise = all(
        _reached_by(view, target, set(view.living_observers) - {looker}) for looker, target in pairs
    )
    return seen_otherwise and bool(across) and not any(across)


def _reached_by(view: View, target: SiteName, observers: set[SiteName]) -> bool:
    return any(
        side.reached_by(observer)
        for cluster in view.clusters
        for side in cluster.sides
        if side.site == target
        for observer in observers
    )


# --------------------------------------------------------------------------- the rest


def replicas_not_streaming(side: SideView) -> tuple[HostView, ...]:
    """Those beside a leader. In quarantine nobody streams, and nobody should."""
    leader = leader_of(side)
    return tuple(host for host in not_streaming(side) if leader is not None and host != leader)


def witness_lost(view: View) -> bool:
    """Neither the witness's observer nor any of its ZooKeeper servers answers."""
    sites = view.witness_sites
    servers = [z for z in view.zookeeper if z.server.site in sites]
    observers = [site for site in sites if view.observer_alive(site)]
    return not observers and not any(server.serving for server in servers)


def zookeeper_degraded(view: View) -> bool:
    return any(server.serving is not True for server in view.zookeeper)


def zookeeper_leader_misplaced(view: View) -> bool:
    """The ensemble's leader is in a data site: losing that site costs an election too."""
    leader = view.zookeeper_leader
    return leader is not None and view.policy.site(leader.site).kind is SiteKind.DATA


def silent_observers(view: View) -> tuple[SiteName, ...]:
    return tuple(observer.site for observer in view.observers if not observer.alive)


def all_hosts(view: View) -> tuple[HostView, ...]:
    return tuple(h for cluster in view.clusters for side in cluster.sides for h in side.hosts)


def lost_hosts(view: View) -> tuple[HostView, ...]:
    return tuple(host for host in all_hosts(view) if host.reached is not True)


def hosts_without_patroni(view: View) -> tuple[HostView, ...]:
    """Reached, but not their Patroni."""
    return tuple(host for host in all_hosts(view) if host.reached and host.patroni is None)


def hosts_without_guard(view: View) -> tuple[HostView, ...]:
    """Reached, but no armed and working guard is."""
    return tuple(h for h in all_hosts(view) if h.reached and h.guard_working is not True)
