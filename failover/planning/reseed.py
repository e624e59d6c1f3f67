"""Whether a host may be given a new copy of the cluster on command, and how. Pure.

A reseed deletes the data directory of a host. Invariant: never one that may write, never one that
holds acknowledged WAL of which there is no copy, never the last one that could be promoted at its
site; and unknown refuses as firmly as no (I5). All reasons are given at once.

Patroni reinitializes no leader and copies from the leader of the same scope. Where that leader is
itself without the WAL, the copy comes across from the active primary, and the new host leads then.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView, SideView
from failover.health.sightings import HostView, Tri, every
from failover.health.view import View
from failover.health.wal_kept import end_of, leader_of
from failover.model import ClusterName, HostName, Invariant, Lsn, ScopeName
from failover.planning.gates import unpaused
from failover.planning.plan import Gate
from failover.planning.site_past import SitePast
from failover.policy import DatabaseHost
from failover.replication.lineage import apart, parse_switches
from failover.residency.allowlist import allowed
from failover.state import SalvagePhase


@dataclass(frozen=True, slots=True)
class Reseed:
    """So concrete that carrying it out needs no choice."""

    host: DatabaseHost
    source: DatabaseHost
    cluster: ClusterName
    scope: ScopeName
    leader: DatabaseHost  # of the host's scope
    end_of_wal: Lsn  # of the source, now: the new copy has at least this
    across: bool  # from the active primary; afterwards the host takes over the leadership
    host_end: Lsn | None  # where its WAL ends, as it says; None while it streams or does not say


@dataclass(frozen=True, slots=True)
class Judged:
    """Every gate; ``reseed`` only where all of them pass."""

    gates: tuple[Gate, ...]
    reseed: Reseed | None

    @property
    def blocking(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if gate.passes is not True)


def judge_reseed(view: View, name: HostName, past: SitePast) -> Judged:
    """``past``: of this host and its site. KeyError for a host that the policy does not know."""
    known = view.policy.host(name)
    if view.store_problem or view.state is None:
        text = view.store_problem or view.state_problem or "there is no state"
        return Judged((Gate("state_readable", None, text, Invariant.DOUBT_MEANS_HOLD),), None)
    cluster = view.cluster(known.cluster)
    side = next(side for side in cluster.sides if side.site == known.site)
    host = next(host for host in side.hosts if host.host.name == name)
    gates = (
        _not_writer(cluster, host),
        _no_grant(cluster, host),
        _nothing_under_way(view, cluster),
        _not_quarantined(view, cluster, side),
        _not_paused(cluster, side),
        _nothing_to_lose(view, cluster, side, host, past),
        _primary_works(cluster),
        _not_leader(cluster, side, host),
        _spare(cluster, side, host),
        _patroni_answers(cluster, host),
        _in_country(view, cluster, host),
    )
    reseed = _reseed(view, cluster, side, host)
    passing = every(gate.passes for gate in gates)
    return Judged(gates, reseed if passing else None)


def _reseed(view: View, cluster: ClusterView, side: SideView, host: HostView) -> Reseed | None:
    leader, primary = leader_of(side), cluster.primary
    if leader is None or primary is None or primary.postgres is None:
        return None
    across = side is cluster.standby and not ask.streaming(cluster)
    end = primary.postgres.current_lsn if across else _end(leader)
    if end is None:
        return None
    return Reseed(
        host=host.host,
        source=primary.host if across else leader.host,
        cluster=cluster.name,
        scope=view.policy.cluster(cluster.name).scope(side.site),
        leader=leader.host,
        end_of_wal=end,
        across=across,
        host_end=None if _streams(host) or host.postgres is None else end_of(host.postgres),
    )


def _end(host: HostView) -> Lsn | None:
    seen = host.postgres
    return None if seen is None else (end_of(seen) if seen.in_recovery else seen.current_lsn)


# --------------------------------------------------------------------------- who may write


def _not_writer(cluster: ClusterView, host: HostView) -> Gate:
    """Silence is not enough: PostgreSQL answers as a standby, or is known not to run."""
    claim = cluster.claim.claim if cluster.claim is not None else None
    holds = None if cluster.claim is None or cluster.claim.problem else False
    if claim is not None:
        holds = claim.host == host.host.name
    works = host.working_primary
    passes = every([None if holds is None else not holds, None if works is None else not works])
    text = f"{tell.claim(cluster)}; {tell.host(host)}"
    return Gate("not_the_writer", passes, text, Invariant.SINGLE_WRITER, cluster.name)


def _no_grant(cluster: ClusterView, host: HostView) -> Gate:
    """A guard that answers and says that the host counts as not writable."""
    guard = host.guard
    passes = None if guard is None else guard.armed and not guard.granted
    said = "no answer from its guard" if guard is None else "its guard has given no grant"
    if guard is not None and guard.granted:
        said = "its guard has a grant running"
    elif guard is not None and not guard.armed:
        said = "its guard is not armed"
    text = f"{host.host.name}: {said}"
    return Gate("no_grant", passes, text, Invariant.SINGLE_WRITER, cluster.name)


def _primary_works(cluster: ClusterView) -> Gate:
    primary = cluster.primary
    text = tell.claim(cluster) if primary is None else tell.host(primary)
    invariant = Invariant.DOUBT_MEANS_HOLD
    return Gate("primary_works", primary is not None, text, invariant, cluster.name)


# --------------------------------------------------------------------------- what is under way


def _nothing_under_way(view: View, cluster: ClusterView) -> Gate:
    state = view.state
    waiting = [n for n, c in state.clusters.items() if not c.promoted] if state else []
    text = "no plan, and the last promotion is on record"
    if state is not None and state.plan is not None:
        text = f"plan {state.plan.id} ({state.plan.kind}) stands"
    elif waiting:
        text = f"not promoted yet: {', '.join(waiting)}"
    passes = state is not None and state.plan is None and not waiting
    return Gate("nothing_under_way", passes, text, Invariant.RESUMABLE, cluster.name)


def _not_quarantined(view: View, cluster: ClusterView, side: SideView) -> Gate:
    """A fenced site keeps the only copy of what it had acknowledged until it is salvaged."""
    scope = view.policy.cluster(cluster.name).scope(side.site)
    passes: Tri = None
    if side.config is not None and side.fenced is not None:
        held = side.fenced or side.config.is_quarantine
        passes = not held and (side is cluster.active or ask.recorded_following(cluster))
    said = {True: "is neither fenced nor in quarantine", False: "is fenced or in quarantine"}
    text = f"{scope} {said[passes] if passes is not None else 'could not be read'}"
    return Gate("not_quarantined", passes, text, Invariant.NOTHING_LOST_SILENTLY, cluster.name)


def _not_paused(cluster: ClusterView, side: SideView) -> Gate:
    return unpaused("not_paused", cluster, side.paused, side.site, Invariant.DOUBT_MEANS_HOLD)


# --------------------------------------------------------------------------- what is deleted


def _nothing_to_lose(
    view: View, cluster: ClusterView, side: SideView, host: HostView, past: SitePast
) -> Gate:
    """Its WAL is on the primary's history, or what is not has been copied in this epoch.

    A host of a site that was taken over, and that does not follow, has to be salvaged since: what
    it says of its WAL is only what it has replayed so far, and where somebody promoted by hand two
    branches bear the same timeline number.
    """
    name, invariant = "nothing_to_lose", Invariant.NOTHING_LOST_SILENTLY
    epoch = view.state.epoch if view.state is not None else None
    mine = [r for r in cluster.salvage if r.host == host.host.name and r.epoch == epoch]
    for record in mine:
        if record.phase is SalvagePhase.DONE:
            text = f"salvaged in epoch {epoch}: {record.bytes} bytes in {record.directory}"
            return Gate(name, True, text, invariant, cluster.name)
    salvage = ", ".join(f"salvage {r.phase} {r.detail}".strip() for r in mine) or "not salvaged"
    seen, primary = host.postgres, cluster.primary.postgres if cluster.primary else None
    end = end_of(seen) if seen is not None else None
    if seen is None or primary is None or end is None:
        text = f"{salvage} in epoch {epoch}, and it is not known what WAL {host.host.name} has"
        return Gate(name, None, text, invariant, cluster.name)
    follows = _streams(host) and seen.timeline == primary.timeline
    if side is cluster.standby and not follows and past.may_have_more is not False:
        text = past.unknown or f"{side.site} was taken over in epoch {past.lost_in}"
        text = f"{text}; it stands on timeline {seen.timeline} and does not follow, {salvage}"
        doubt = None if past.may_have_more is None else False
        return Gate(name, doubt, text, invariant, cluster.name)
    scope = cluster.active.scope
    switches = parse_switches(scope.history if scope is not None else "")
    why = apart(end, seen.timeline, primary.timeline, switches, cluster.promised)
    text = why or f"its WAL up to {end} (timeline {seen.timeline}) is on the primary's history"
    text = f"{text}; {salvage} in epoch {epoch}" if why else text
    return Gate(name, not why, text, invariant, cluster.name)


def _spare(cluster: ClusterView, side: SideView, host: HostView) -> Gate:
    """While it is copied it can be nobody's successor: another one keeps up, or it does not.

    Who streams from a standby leader that receives nothing does not keep up either.
    """
    name, invariant = "not_the_last_standby", Invariant.ONE_FAULT_NO_HARM
    others = [h.host.name for h in side.hosts if h != host and _streams(h)]
    cut_off = side is cluster.standby and not ask.streaming(cluster)
    if cut_off:
        text = f"{side.site} does not stream, so none of its hosts keeps up"
    elif not _streams(host):
        text = f"{host.host.name} does not stream, so nothing is lost with it"
    elif others:
        text = f"{', '.join(others)} streams at {side.site} meanwhile"
    else:
        text = f"{host.host.name} is the only host at {side.site} that streams"
    passes = cut_off or not _streams(host) or bool(others)
    return Gate(name, passes, text, invariant, cluster.name)


def _streams(host: HostView) -> bool:
    return host.postgres is not None and host.postgres.receiver_streaming is True


# --------------------------------------------------------------------------- whether it can work


def _not_leader(cluster: ClusterView, side: SideView, host: HostView) -> Gate:
    """Patroni reinitializes no leader, and none without one."""
    name, invariant = "not_the_leader", Invariant.RESUMABLE
    leader = leader_of(side)
    if leader is None:
        text = f"{cluster.name}-{side.site} has no leader: Patroni cannot reinitialize there"
        return Gate(name, None, text, invariant, cluster.name)
    others = [h.host.name for h in side.hosts if h != host]
    text = f"{leader.host.name} leads {cluster.name}-{side.site}"
    if leader == host:
        then = (
            f"`failover reseed {others[0]}` first: it takes over" if others else "see reinstate.md"
        )
        text = f"{text}, and Patroni does not reinitialize a leader; {then}"
    return Gate(name, leader != host, text, invariant, cluster.name)


def _patroni_answers(cluster: ClusterView, host: HostView) -> Gate:
    seen = host.patroni
    text = f"Patroni on {host.host.name}: {seen.state if seen else 'no answer'}"
    passes = True if seen is not None else None
    return Gate("patroni_answers", passes, text, Invariant.DOUBT_MEANS_HOLD, cluster.name)


def _in_country(view: View, cluster: ClusterView, host: HostView) -> Gate:
    """Every host between which data may be copied."""
    hosts = [host.host, *(h.host for side in cluster.sides for h in side.hosts)]
    outside = sorted({h.name for h in hosts if not allowed(view.policy, h, view.now_unix_s)})
    text = f"outside the declared networks: {', '.join(outside)}" if outside else "all declared"
    return Gate("in_country", not outside, text, Invariant.IN_COUNTRY, cluster.name)
