"""What a verdict shows for itself: short lines of what was seen, by whom, how long ago. Pure."""

from __future__ import annotations

from failover.health import predicates as ask
from failover.health import residency
from failover.health.cluster_view import ClusterView, SideView
from failover.health.observation import NoAnswer
from failover.health.scope import PatroniConfig
from failover.health.sightings import HostView
from failover.health.view import View
from failover.health.wal_kept import wal_gone
from failover.model import SiteName
from failover.state import StopKind, StoppedProof

Lines = tuple[str, ...]


def refused(view: View) -> Lines:
    return (view.store_problem,)


def store(view: View) -> Lines:
    return (view.store_problem, *zookeeper(view))


def state(view: View) -> Lines:
    claims = [c.claim.problem for c in view.clusters if c.claim is not None and c.claim.problem]
    found = [view.state_problem, *claims]
    return tuple(line for line in found if line) or ("no state znode",)


def unarmed(view: View) -> Lines:
    """Which guards stand by, and which do not answer."""
    hosts = [host for c in view.clusters for side in c.sides for host in side.hosts]
    silent = [host.host.name for host in hosts if host.guard is None]
    return (
        f"{len(hosts) - len(silent)} of {len(hosts)} guards answer"
        + (f"; not those of {', '.join(silent)}" if silent else ""),
    )


def plan(view: View) -> Lines:
    frozen = view.state.plan if view.state is not None else None
    if frozen is None:
        return ()
    left_s = frozen.deadline_unix_s - view.now_unix_s
    until = f"for {left_s:.0f} s more" if left_s > 0 else f"its deadline passed {-left_s:.0f} s ago"
    return (f"plan {frozen.id}: {frozen.from_site} to {frozen.to_site}, {until}",)


def stops(view: View) -> Lines:
    """The plan, and how far its guards are."""
    lines = [line for c in view.clusters for line in (claim(c), *_proof(c), *_side(c, c.active))]
    return (*plan(view), *lines)


def _proof(cluster: ClusterView) -> Lines:
    proof = cluster.stopped.proof if cluster.stopped is not None else None
    return () if proof is None else (f"{cluster.name}: {stopped(proof)}",)


def stopped(proof: StoppedProof) -> str:
    """One line on a stopped-proof."""
    how = "is shut down" if proof.kind is StopKind.SHUT_DOWN else "was killed"
    return f"{proof.host} {how}, its WAL ends at {proof.end_of_wal} (timeline {proof.timeline})"


def ways_out(view: View) -> Lines:
    return residency.lines(view.residency)


def request(view: View) -> Lines:
    waiting = view.waiting_request
    if waiting is None:
        return ()
    why = f": {waiting.reason}" if waiting.reason else ""
    return (f"{waiting.by} asks for a {waiting.kind} to {waiting.to_site}{why}",)


def claim(cluster: ClusterView) -> str:
    """One line on the writer claim of one cluster."""
    seen = cluster.claim
    if seen is None:
        return f"{cluster.name}: the writer claim could not be read"
    if seen.problem:
        return f"{cluster.name}: the writer claim is held, but unreadable: {seen.problem}"
    if seen.claim is None:
        return f"{cluster.name}: no writer claim for {seen.unchanged_for_s:.1f} s"
    who = f"{seen.claim.host} ({seen.claim.site}, epoch {seen.claim.epoch})"
    return f"{cluster.name}: writer claim held by {who} for {seen.unchanged_for_s:.1f} s"


def host(view: HostView) -> str:
    """One line on one database host: what answered, or why nothing did."""
    name = view.host.name
    if not view.sightings:
        return f"{name}: no living observer looked at it"
    if view.reached is not True:
        lookers = _names(tuple(sighting.observer for sighting in view.sightings))
        return f"{name}: no answer to {lookers} for {view.unreachable_s:.1f} s"
    parts = [_postgres(view), _patroni(view), _guard(view)]
    return f"{name}: {', '.join(parts)}"


def _postgres(view: HostView) -> str:
    if view.postgres is None:
        return f"PostgreSQL {_why([s.seen.postgres for s in view.sightings])}"
    seen = view.postgres
    if not seen.in_recovery:
        return f"PostgreSQL is a working primary at {seen.current_lsn} (timeline {seen.timeline})"
    stream = "streaming" if seen.receiver_streaming else "not streaming"
    return (
        f"PostgreSQL is a standby, {stream}, received {seen.received_lsn}, "
        f"replayed {seen.replayed_lsn} (timeline {seen.timeline})"
    )


def _patroni(view: HostView) -> str:
    if view.patroni is None:
        return f"Patroni {_why([s.seen.patroni for s in view.sightings])}"
    return f"Patroni {view.patroni.role} {view.patroni.state}"


def _guard(view: HostView) -> str:
    guard = view.guard
    if guard is None:
        return f"guard {_why([s.seen.guard for s in view.sightings])}"
    if not guard.armed:
        return "guard not armed"
    return "guard without a worker" if not guard.worker_alive else "guard works"


def _why(parts: list[object]) -> str:
    """The most telling of several missing answers: a refusal says more than a silence."""
    kinds = {part.kind.value for part in parts if isinstance(part, NoAnswer)}
    return min(kinds, key=_TELLING.index).replace("_", " ") if kinds else "not asked"


_TELLING = ["rejected", "refused", "malformed", "timed_out"]


def _side(cluster: ClusterView, side: SideView) -> Lines:
    return tuple(host(seen) for seen in side.hosts)


def active_side(view: View) -> Lines:
    """The claim and the hosts of the active site, cluster by cluster, and who is looking."""
    lines = [line for c in view.clusters for line in (claim(c), *_side(c, c.active))]
    return (*lines, observers(view))


def isolation(view: View) -> Lines:
    """The claims, how long their hosts have been silent, and who reaches which site."""
    lines = []
    for cluster in view.clusters:
        lines.append(claim(cluster))
        silent = (f"{h.host.name} silent for {h.unreachable_s:.1f} s" for h in cluster.active.hosts)
        lines.append(", ".join(silent))
    return (*lines, *cross_reach(view), observers(view))


def standby_side(view: View) -> Lines:
    lines = [line for c in view.clusters for line in _side(c, c.standby)]
    return (*lines, observers(view))


def not_streaming(view: View) -> Lines:
    """The standby side, and which of its hosts need a new copy of the cluster."""
    return (*standby_side(view), *(line for c in view.clusters for line in _gone(c, c.standby)))


def replicas(view: View) -> Lines:
    """Every replica that does not stream from the leader of its own site."""
    lines: list[str] = []
    for cluster in view.clusters:
        for side in cluster.sides:
            lines += [host(replica) for replica in ask.replicas_not_streaming(side)]
            lines += _gone(cluster, side)
    return tuple(lines)


def _gone(cluster: ClusterView, side: SideView) -> Lines:
    found = (wal_gone(cluster, side, seen) for seen in side.hosts)
    return tuple(str(gone) for gone in found if gone is not None)


def writers(view: View) -> Lines:
    """The claims, and every host that looks writable."""
    lines = []
    for cluster in view.clusters:
        lines.append(claim(cluster))
        for side in cluster.sides:
            lines += [f"{host(found)} in {side.site}" for found in side.working_primaries]
    return tuple(lines)


def pauses(view: View) -> Lines:
    paused = (f"{c.name}-{s.site} is paused" for c in view.clusters for s in c.sides if s.paused)
    return (*paused, *(claim(cluster) for cluster in view.clusters))


def standby_scopes(view: View) -> Lines:
    """What the standby scopes are told, against what they should be."""
    return tuple(_scope(cluster) for cluster in view.clusters)


def _scope(cluster: ClusterView) -> str:
    name = f"{cluster.name}-{cluster.standby.site}"
    told = _told(cluster.standby.config)
    if not ask.recorded_following(cluster):
        fence = "fenced" if cluster.standby.fenced else "not fenced"
        return f"{name}: {told}, {fence}; on record: in quarantine under a fence"
    primary = cluster.primary.host if cluster.primary is not None else None
    where = f"{primary.name} ({primary.address})" if primary is not None else "unknown"
    return f"{name}: {told}; the primary is {where}"


def _told(config: PatroniConfig | None) -> str:
    if config is None:
        return "no usable configuration"
    if config.upstream is None:
        return "not a standby cluster"
    if config.upstream.host is None:
        return "a standby cluster of nobody"
    return f"streams from {config.upstream.host} port {config.upstream.port}"


def cross_reach(view: View) -> Lines:
    """Which living observer reaches the database hosts of which data site."""
    lines = []
    for looker in view.living_observers:
        for site in (view.active_site, view.standby_site):
            reached = any(
                side.reached_by(looker)
                for cluster in view.clusters
                for side in cluster.sides
                if side.site == site
            )
            lines.append(f"{looker} {'reaches' if reached else 'does not reach'} {site}")
    return tuple(lines)


def quarantine(view: View) -> Lines:
    """The salvage of every quarantined cluster."""
    lines = [_scope(cluster) for cluster in view.clusters if not ask.recorded_following(cluster)]
    epoch = view.state.epoch if view.state is not None else 0
    for cluster in view.clusters:
        records = [record for record in cluster.salvage if record.epoch == epoch]
        lines += [f"{r.host}: salvage {r.phase}, {r.bytes} bytes" for r in records]
        lines += [f"{cluster.name}: nothing salvaged yet"] if not records else []
    return tuple(lines)


def zookeeper(view: View) -> Lines:
    return tuple(
        f"{z.server.name} ({z.server.site}): " + ("leads" if z.leading else _ANSWERS[z.serving])
        for z in view.zookeeper
    )


_ANSWERS = {True: "serves", False: "does not serve", None: "no answer"}


def observers(view: View) -> str:
    """Who is looking, and who is not, in one line."""
    silent = ask.silent_observers(view)
    line = f"living observers: {_names(view.living_observers) or 'none'}"
    return f"{line}; silent: {_names(silent)}" if silent else line


def control(view: View) -> Lines:
    return (observers(view), *zookeeper(view))


def hosts(view: View) -> Lines:
    """The hosts on which something is missing."""
    odd = (*ask.lost_hosts(view), *ask.hosts_without_patroni(view), *ask.hosts_without_guard(view))
    return tuple(dict.fromkeys(host(found) for found in odd))


def summary(view: View) -> Lines:
    """The good news: who is primary of what, who streams."""
    lines = []
    for cluster in view.clusters:
        lines.append(claim(cluster))
        leader = cluster.standby.standby_leader
        if leader is not None:
            where = f"{leader.host.name}, received {leader.postgres.received_lsn}"
            lines.append(f"{cluster.name}: {cluster.standby.site} streams through {where}")
    return (*lines, observers(view))


def missing(view: View) -> Lines:
    return view.missing


def _names(sites: tuple[SiteName, ...]) -> str:
    return ", ".join(dict.fromkeys(sites))
