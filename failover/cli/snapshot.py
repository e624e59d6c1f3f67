"""What ``failover status`` shows, as plain values: (view, verdict) → Snapshot. Pure.

Invariant: every value is a str, number, bool or None, so that the JSON of a snapshot is the
snapshot; None means unknown and is shown as such. Judges nothing: what is healthy is said by the
verdict alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.cli.units import size
from failover.health.cluster_view import ClusterView, SideView
from failover.health.ensemble_view import ZooKeeperView
from failover.health.observation import NoAnswer
from failover.health.protection import listed
from failover.health.sightings import HostView
from failover.health.verdict import Consequence, Verdict
from failover.health.view import ObserverView, View
from failover.model import Lsn, SiteKind, SiteName
from failover.policy import Policy, Site
from failover.replication.loss import end_of_received
from failover.state import StandbyScope

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
class HostNode:
    """One database host. ``lag_*``: against the primary; None where unknown or meaningless."""

    name: str
    address: str
    reached: bool | None
    role: str  # primary, standby leader, standby, stopped, unreachable, unknown
    timeline: int | None
    lsn: str | None
    replayed_lsn: str | None
    lag_bytes: int | None
    lag_s: float | None
    guard: str  # writable, granted, armed, not armed, worker down, no answer
    grant_left_s: float | None
    notes: tuple[str, ...]


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
    return ObserverNode(observer.alive, _rounded(observer.age_s), observer.problem)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --------------------------------------------------------------------------- ZooKeeper


def _servers(view: View, site: Site) -> list[ServerNode]:
    return [
        ServerNode(
            name=seen.server.name,
            address=f"{seen.server.address}:{seen.server.client_port}",
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
        hosts=tuple(_host(cluster, side, host) for host in side.hosts),
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
        age_s=_rounded(seen.unchanged_for_s),
        problem=seen.problem,
    )


# --------------------------------------------------------------------------- hosts


def _host(cluster: ClusterView, side: SideView, host: HostView) -> HostNode:
    postgres = host.postgres
    role = _role(side, host)
    position = None
    if postgres is not None:
        in_recovery = postgres.in_recovery
        position = end_of_received(postgres) if in_recovery else postgres.current_lsn
    behind = _lag(cluster, host, position) if role.startswith("standby") else (None, None)
    guard = host.guard
    return HostNode(
        name=host.host.name,
        address=f"{host.host.address}:{host.host.postgres_port}",
        reached=host.reached,
        role=role,
        timeline=postgres.timeline if postgres else None,
        lsn=str(position) if position else None,
        replayed_lsn=str(postgres.replayed_lsn) if postgres and postgres.replayed_lsn else None,
        lag_bytes=behind[0],
        lag_s=behind[1],
        guard=_guard(host),
        grant_left_s=_rounded(guard.deadline_in_s) if guard and guard.granted else None,
        notes=tuple(_notes(cluster, host)),
    )


def _role(side: SideView, host: HostView) -> str:
    postgres = host.postgres
    if postgres is not None:
        if not postgres.in_recovery:
            return "primary"
        leader = side.standby_leader
        return "standby leader" if leader and leader.host == host.host else "standby"
    if host.working_primary is False:
        return "stopped"
    if host.reached is False:
        return "unreachable"
    return "unknown"


def _guard(host: HostView) -> str:
    guard = host.guard
    if guard is None:
        return "no answer"
    if guard.writable:
        return "writable"
    if guard.granted:
        return "granted"
    if not guard.armed:
        return "not armed"
    return "armed" if guard.worker_alive else "worker down"


def _lag(
    cluster: ClusterView, host: HostView, position: Lsn | None
) -> tuple[int | None, float | None]:
    """(bytes, seconds) behind the primary, by what has been received. Seconds are at most that."""
    reference = _reference(cluster)
    if reference is None or position is None or not _same_branch(cluster, host):
        return None, None
    behind_bytes = max(0, reference - position)
    if behind_bytes == 0:
        return 0, 0.0
    passed = (sample.age_s for sample in cluster.samples if sample.lsn <= position)
    return behind_bytes, _rounded(next(passed, None))


def _reference(cluster: ClusterView) -> Lsn | None:
    """The furthest end of WAL that is known of the primary."""
    primary = cluster.primary.postgres if cluster.primary else None
    known = [sample.lsn for sample in cluster.samples[:1]]
    if primary is not None and primary.current_lsn is not None:
        known.append(primary.current_lsn)
    return max(known, default=None)


def _same_branch(cluster: ClusterView, host: HostView) -> bool:
    primary = cluster.primary.postgres if cluster.primary else None
    own = host.postgres
    return primary is None or (own is not None and own.timeline == primary.timeline)


def _notes(cluster: ClusterView, host: HostView) -> list[str]:
    """What is out of the ordinary on this host, one line each."""
    notes = []
    patroni, postgres = host.patroni, host.postgres
    if patroni is not None:
        if patroni.state not in ("running", "streaming"):
            notes.append(f"Patroni: {patroni.state}")
        if patroni.pending_restart:
            notes.append("Patroni: a restart is pending")
        if patroni.nofailover:
            notes.append("Patroni: nofailover")
    if host.reached:
        for part, name in (("postgres", "PostgreSQL"), ("patroni", "Patroni"), ("guard", "guard")):
            notes += _refusal(host, part, name)
    if postgres is not None and postgres.in_recovery and postgres.receiver_streaming is False:
        notes.append("PostgreSQL: no WAL receiver")
    return notes + _salvage(cluster, host)


def _salvage(cluster: ClusterView, host: HostView) -> list[str]:
    """How far the salvage is, while the site stands in quarantine for it."""
    if cluster.recorded is None or cluster.recorded.standby is not StandbyScope.QUARANTINE:
        return []
    return [
        f"salvage of epoch {record.epoch}: {record.phase.value}, {size(record.bytes)}"
        + (f"; {record.detail}" if record.detail else "")
        for record in cluster.salvage
        if record.host == host.host.name
    ]


def _refusal(host: HostView, part: str, name: str) -> list[str]:
    """Why nobody has an answer from one part, in the freshest words; empty where somebody has."""
    answers = [getattr(sighting.seen, part) for sighting in host.sightings]
    if any(not isinstance(answer, NoAnswer) for answer in answers):
        return []
    return [f"{name}: {answer.kind.value} ({answer.detail})" for answer in answers[:1]]


def only(snapshot: Snapshot, site: SiteName | None, cluster: str | None) -> Snapshot:
    """The same snapshot with one site's or one cluster's part of the tree."""
    sites = tuple(
        replace(node, clusters=tuple(c for c in node.clusters if cluster in (None, c.cluster)))
        for node in snapshot.sites
        if site in (None, node.name)
    )
    return replace(snapshot, sites=sites)
