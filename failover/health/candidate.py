"""Whom Patroni has to be told to promote: a permitted host that a refused one outruns. Pure.

In a synchronous mode the guards permit only who surely has everything that was acknowledged.
Patroni ranks by the end of WAL, and a host that was left on an older, longer branch may be ahead:
it takes the key, is refused, and nobody else stands while it runs. Patroni's ``failover`` znode
names a candidate before whom all others step back.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.cluster_view import ClusterView
from failover.health.sightings import HostView
from failover.health.view import View
from failover.model import Automation, HostName, Lsn
from failover.residency.allowlist import allowed


@dataclass(frozen=True, slots=True)
class Outrun:
    """``candidate``: the permitted host with the most WAL. ``ahead``: who stands before it."""

    cluster: ClusterView
    candidate: HostView
    ahead: tuple[HostName, ...]


def outrun(view: View) -> tuple[Outrun, ...]:
    """Of every cluster without a claim and without a leader key where naming somebody helps."""
    return tuple(
        found for cluster in view.clusters if (found := _outrun(view, cluster)) is not None
    )


def _outrun(view: View, cluster: ClusterView) -> Outrun | None:
    if not (_may_be_told(view, cluster) and _nobody_leads(cluster)):
        return None
    able = [host for host in cluster.active.hosts if _could_be_promoted(view, cluster, host)]
    if not able or _named(cluster) in [host.host.name for host in able]:
        return None
    candidate = max(able, key=lambda host: (_end(host), host.host.name))
    ahead = tuple(
        host.host.name
        for host in cluster.active.hosts
        if _refused(cluster, host) and _end(host) > _end(candidate)
    )
    return Outrun(cluster, candidate, ahead) if ahead else None


def _may_be_told(view: View, cluster: ClusterView) -> bool:
    """What was committed is carried out in every mode of automation, the rest not in observe."""
    state, recorded = view.state, cluster.recorded
    if state is None or recorded is None or state.plan is not None:
        return False
    acts = state.automation is not Automation.OBSERVE or not recorded.promoted
    return acts and cluster.active.paused is False


def _nobody_leads(cluster: ClusterView) -> bool:
    """Neither claim nor leader key: a key that is held is its holder's to be refused."""
    scope = cluster.active.scope
    return cluster.claim_held is False and scope is not None and scope.leader is None


def _could_be_promoted(view: View, cluster: ClusterView, host: HostView) -> bool:
    recorded, permitted = cluster.recorded, cluster.permitted
    if recorded is None or permitted is None or host.host.name not in permitted:
        return False
    enough = recorded.promoted or _end(host) >= recorded.min_lsn
    ready = bool(cluster.may_lead(host)) and _in_recovery(host)
    whole = _has_what_it_had(view, cluster, host)
    return ready and enough and whole and allowed(view.policy, host.host, view.now_unix_s)


def _has_what_it_had(view: View, cluster: ClusterView, host: HostView) -> bool:
    """While the other site has everything on record, only the very server that is on record too.

    Whoever wrote last and is behind now may have come back with an older disk; the takeover that
    follows in a few seconds loses nothing then.
    """
    recorded, seen = cluster.recorded, host.postgres
    if view.state is None or recorded is None or not view.state.in_sync:
        return True
    run = recorded.runs.get(host.host.name)
    return bool(run) and seen is not None and seen.started == run


def _refused(cluster: ClusterView, host: HostView) -> bool:
    """It runs for Patroni's key, and would get no permit."""
    permitted = cluster.permitted
    outside = permitted is not None and host.host.name not in permitted
    return outside and host.could_take_lease is not False and _in_recovery(host)


def _in_recovery(host: HostView) -> bool:
    return host.postgres is not None and host.postgres.in_recovery


def _end(host: HostView) -> Lsn:
    """As Patroni ranks: received, or replayed; 0 where neither is known."""
    postgres = host.postgres
    lsns = (postgres.received_lsn, postgres.replayed_lsn) if postgres is not None else ()
    return max((lsn for lsn in lsns if lsn is not None), default=Lsn(0))


def _named(cluster: ClusterView) -> str:
    scope = cluster.active.scope
    return scope.failover_candidate if scope is not None else ""


def lines(view: View) -> tuple[str, ...]:
    """The evidence, per cluster."""
    return tuple(
        f"{found.cluster.name}: {found.candidate.host.name} may be promoted and has WAL up to "
        f"{_end(found.candidate)}; refused and ahead of it: {', '.join(found.ahead)}"
        for found in outrun(view)
    )
