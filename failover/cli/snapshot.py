"""What ``failover status`` shows, as plain values: (view, verdict) → Snapshot. Pure.

Invariant: every value is a str, number, bool or None, so that the JSON of a snapshot is the
snapshot; None means unknown and is shown as such. Judges nothing: what is healthy is said by the
verdict alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.cli.host_node import HostNode, host_node, rounded
from failover.endpoints import endpoint
from failover.health.cluster_view import ClusterView, SideView
from failover.health.ensemble_view import ZooKeeperView
from failover.health.protection import listed
from failover.health.verdict import Consequence, Verdict
from failover.health.view import ObserverView, View
from failover.model import SiteKind, SiteName
from failover.policy import Policy, Site

HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class VerdictNode:
    code: str
    sentence: str
    consequence: str
    page: bool
    evidence: tuple[str, ...]
    also: tuple[str, ...]  # other scenarios that match and that this one outranks


@dataclass(frozen=True, slots=True)
class LeaseNode:
    """The writer claim. ``held`` None: unknown. ``age_s``: seen so for that long."""

    held: bool | None
    host: str | None
    site: str | None
    epoch: int | None
    age_s: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class SideNode:
    """One cluster at one data site.

    Of the active side: ``waits_for``: whom its commits wait for (None: not understood); ``have``:
    who surely has everything that was acknowledged, by the record.
    """

    cluster: str
    scope: str
    condition: str  # what its Patroni scope has been told to be
    upstream: str | None
    fenced: bool | None
    paused: bool | None
    lease: LeaseNode | None  # on the active side only
    hosts: tuple[HostNode, ...]
    waits_for: tuple[str, ...] | None = ()
    have: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerNode:
    name: str
    address: str
    mode: str  # leader, follower, not serving, no answer, unknown
    misplaced: bool  # leads, and should not


@dataclass(frozen=True, slots=True)
class ObserverNode:
    alive: bool
    age_s: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class SiteNode:
    name: str
    kind: str
    part: str  # active, standby, witness
    clusters: tuple[SideNode, ...]
    zookeeper: tuple[ServerNode, ...]
    observer: ObserverNode


@dataclass(frozen=True, slots=True)
class WayNode:
    """A way out that is open, or that somebody answers for (``approver``, until ``expires``)."""

    way: str
    host: str
    subject: str
    detail: str
    since_unix_s: float | None
    approver: str | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class GapNode:
    """A database host of which not everything is known."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class ResidencyNode:
    open: tuple[WayNode, ...]
    accepted: tuple[WayNode, ...]
    gaps: tuple[GapNode, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of one group. ``problem``: why there is no usable state; empty where there is."""

    group: str
    epoch: int | None
    active_site: str | None
    automation: str | None
    protection: str | None
    in_sync: bool | None  # None in an asynchronous mode
    cooldown_left_s: float
    pause_left_s: float
    proven_unix_s: float | None  # when a change of the active site last came to its end
    proven_age_s: float | None
    problem: str
    verdict: VerdictNode
    sites: tuple[SiteNode, ...]
    residency: ResidencyNode
    missing: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        return self.verdict.code == HEALTHY


def status_tree(view: View, verdict: Verdict) -> Snapshot:
    """The tree of one view with its verdict."""
    state = view.state
    return Snapshot(
        group=view.policy.group,
        epoch=state.epoch if state else None,
        active_site=state.active_site if state else None,
        automation=state.automation.value if state else None,
        protection=state.protection.value if state else None,
        in_sync=state.in_sync if state and state.protection.synchronous else None,
        cooldown_left_s=_left_s(state.cooldown_until_unix_s, view) if state else 0.0,
        pause_left_s=_left_s(state.paused_until_unix_s, view) if state else 0.0,
        proven_unix_s=_proven_unix_s(view),
        proven_age_s=_proven_age_s(view),
        problem=view.store_problem or view.state_problem,
        verdict=verdict_node(verdict),
        sites=tuple(_site(view, site) for site in view.policy.sites),
        residency=residency_node(view),
        missing=view.missing,
    )


def only(snapshot: Snapshot, site: SiteName | None, cluster: str | None) -> Snapshot:
    """The same snapshot with one site's or one cluster's part of the tree."""
    sites = tuple(
        replace(node, clusters=tuple(c for c in node.clusters if cluster in (None, c.cluster)))
        for node in snapshot.sites
        if site in (None, node.name)
    )
    return replace(snapshot, sites=sites)


def residency_node(view: View) -> ResidencyNode:
    """What the scanners know now."""
    known = view.residency
    return ResidencyNode(
        open=tuple(
            WayNode(f.way, f.host, f.subject, f.detail, each.since_unix_s)
            for each in known.open
            for f in (each.finding,)
        ),
        accepted=tuple(
            WayNode(f.way, f.host, f.subject, f.detail, None, by.approver, by.expires.isoformat())
            for f, by in known.accepted
        ),
        gaps=tuple(GapNode(gap.host, gap.why) for gap in known.gaps),
    )


def verdict_node(verdict: Verdict) -> VerdictNode:
    return VerdictNode(
        code=verdict.code,
        sentence=verdict.sentence,
        consequence=Consequence(verdict.consequence).value,
        page=verdict.page,
        evidence=verdict.evidence,
        also=verdict.also,
    )


def _left_s(until_unix_s: float, view: View) -> float:
    return round(max(0.0, until_unix_s - view.now_unix_s), 1)


def _proven_unix_s(view: View) -> float | None:
    return (view.state.proven_unix_s or None) if view.state is not None else None


def _proven_age_s(view: View) -> float | None:
    proven_unix_s = _proven_unix_s(view)
    return None if proven_unix_s is None else round(max(0.0, view.now_unix_s - proven_unix_s), 1)


def _site(view: View, site: Site) -> SiteNode:
    observer = next((o for o in view.observers if o.site == site.name), None)
    return SiteNode(
        name=site.name,
        kind=site.kind.value,
        part=_part(view, site),
        clusters=tuple(
            _side(view, cluster, side)
            for cluster in view.clusters
            for side in cluster.sides
            if side.site == site.name
        ),
        zookeeper=tuple(_servers(view, site)),
        observer=_observer(observer),
    )


def _part(view: View, site: Site) -> str:
    if site.kind is SiteKind.WITNESS:
        return "witness"
    if view.state is None:
        return "data"
    return "active" if site.name == view.active_site else "standby"


def _observer(observer: ObserverView | None) -> ObserverNode:
    if observer is None:
        return ObserverNode(alive=False, age_s=None, problem="")
    return ObserverNode(observer.alive, rounded(observer.age_s), observer.problem)


# --------------------------------------------------------------------------- ZooKeeper


def _servers(view: View, site: Site) -> list[ServerNode]:
    return [
        ServerNode(
            name=seen.server.name,
            address=endpoint(seen.server.address, seen.server.client_port),
            mode=_mode(seen, asked=bool(view.living_observers)),
            misplaced=seen.leading and site.kind is SiteKind.DATA,
        )
        for seen in view.zookeeper
        if seen.server.site == site.name
    ]


def _mode(seen: ZooKeeperView, *, asked: bool) -> str:
    if seen.leading:
        return "leader"
    if seen.serving is None:
        return "no answer" if asked else "unknown"
    return "follower" if seen.serving else "not serving"


# --------------------------------------------------------------------------- clusters


def _side(view: View, cluster: ClusterView, side: SideView) -> SideNode:
    active = side is cluster.active and view.state is not None
    return SideNode(
        cluster=cluster.name,
        scope=view.policy.cluster(cluster.name).scope(side.site),
        condition=_condition(side),
        upstream=_upstream(view.policy, side),
        fenced=side.fenced,
        paused=side.paused,
        lease=_lease(cluster) if active else None,
        hosts=tuple(host_node(cluster, side, host) for host in side.hosts),
        waits_for=listed(cluster) if active else (),
        have=cluster.recorded.have if active and cluster.recorded else (),
    )


def _condition(side: SideView) -> str:
    if side.config is None:
        return "configuration unknown"
    if side.config.is_quarantine:
        return "quarantine"
    return "standby cluster" if side.config.is_standby_cluster else "ordinary cluster"


def _upstream(policy: Policy, side: SideView) -> str | None:
    """The host that a standby cluster streams from: its name where it is one of ours."""
    upstream = side.config.upstream if side.config else None
    if upstream is None or upstream.host is None:
        return None
    for cluster in policy.clusters:
        for host in cluster.hosts:
            if str(host.address) == upstream.host:
                return host.name
    return upstream.host


def _lease(cluster: ClusterView) -> LeaseNode:
    seen = cluster.claim
    if seen is None:
        return LeaseNode(None, None, None, None, None, "could not be read")
    claim = seen.claim
    return LeaseNode(
        held=cluster.claim_held,
        host=claim.host if claim else None,
        site=claim.site if claim else None,
        epoch=claim.epoch if claim else None,
        age_s=rounded(seen.unchanged_for_s),
        problem=seen.problem,
    )
