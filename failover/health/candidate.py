"""Whom Patroni has to be told to promote: a permitted host that a refused one outruns. Pure.

The guards permit, in a synchronous mode, only who surely has everything that was acknowledged, and
in every mode, until a promotion is on record, only who has what was judged. Patroni ranks by the
end of WAL, and a host that was left on an older, longer branch may be ahead: it takes the key, is
refused, and nobody else stands while it runs. Patroni's ``failover`` znode names a candidate before
whom all others step back.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.cluster_view import ClusterView
from failover.health.sightings import HostView
from failover.health.view import View
from failover.model import Automation, HostName, Lsn
from failover.residency.allowlist import allowed
from failover.state import StandbyScope

DOWN_S = 10.0  # a server that Patroni starts again is seen before that
TAKES_OVER_S = 20.0  # once the site had its time to help itself: a takeover that can come has come


@dataclass(frozen=True, slots=True)
class Outrun:
    """``candidate``: the permitted host with the most WAL on the newest branch; None: whom Patroni
    ranks first, since the host that it was told does not come up.
    ``ahead``: before whom the others step back.
    """

    cluster: ClusterView
    candidate: HostView | None
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
    if _named(cluster) in [host.host.name for host in able]:
        return None
    best = max(able, key=lambda host: _rank(cluster, host), default=None)
    ahead = _ahead_of(cluster, best) if best is not None else ()
    if best is None or not ahead or not _lacks_nothing(view, cluster, best):
        return _waits_in_vain(cluster)
    return Outrun(cluster, best, tuple(host.host.name for host in ahead))


def _waits_in_vain(cluster: ClusterView) -> Outrun | None:
    """All others step back before the named host while its Patroni answers, server or not."""
    named = (host for host in cluster.active.hosts if host.host.name == _named(cluster))
    waiting = (host for host in named if host.patroni is not None)
    down = tuple(host.host.name for host in waiting if host.unreachable_s >= DOWN_S)
    return Outrun(cluster, None, down) if down else None


def _may_be_told(view: View, cluster: ClusterView) -> bool:
    """What was committed is carried out in every mode of automation, the rest not in observe."""
    state, recorded = view.state, cluster.recorded
    if state is None or recorded is None or state.plan is not None:
        return False
    acts = state.automation is not Automation.OBSERVE or not recorded.promoted
    return acts and cluster.active.paused is False


def _nobody_leads(cluster: ClusterView) -> bool:
    """Neither claim nor leader key: a key that is held is its holder's to be refused.

    What the gates of the step would hold for is no match either: it would hide the rows below.
    """
    scope, known = cluster.active.scope, cluster.last_writer is not None
    free = cluster.claim_held is False and scope is not None and scope.leader is None
    return free and known and not cluster.active.working_primaries


def _could_be_promoted(view: View, cluster: ClusterView, host: HostView) -> bool:
    ready = bool(cluster.may_lead(host)) and _in_recovery(host) and _permitted(cluster, host)
    return ready and allowed(view.policy, host.host, view.now_unix_s)


def _permitted(cluster: ClusterView, host: HostView) -> bool:
    """As its guard decides (``guard/permits.py``): by name in the synchronous modes, and by what
    was judged, in every mode, until the promotion is on record."""
    named, recorded = cluster.permitted, cluster.recorded
    if recorded is None or (named is not None and host.host.name not in named):
        return False
    judged = _end(host) >= recorded.min_lsn and _timeline(host) >= recorded.timeline
    return recorded.promoted or judged


def _ahead_of(cluster: ClusterView, candidate: HostView) -> tuple[HostView, ...]:
    """Who runs for Patroni's key before it, and is refused."""
    hosts = (host for host in cluster.active.hosts if _refused(cluster, host))
    return tuple(host for host in hosts if _end(host) > _end(candidate))


def _lacks_nothing(view: View, cluster: ClusterView, candidate: HostView) -> bool:
    """Nobody needs what the others have more of.

    The very run of its server that is on record has everything. Else what is ahead has to be on
    another branch, an older one: a primary sends only what it has flushed, so a last writer that is
    behind on its own timeline has come back with an older disk, and what it lost is there. Nor
    where the other site has everything and may take over seconds later, without any loss.
    """
    if _on_record(cluster, candidate):
        return True
    if _takeover_loses_nothing(view, cluster, candidate):
        return False
    if _more_of_his_branch(cluster, candidate) or _another_had_the_permit(view, cluster, candidate):
        return False
    others = (h for h in cluster.active.hosts if not _may_write(view, cluster, h))
    more = [host for host in others if _end(host) > _end(candidate)]
    return all(_timeline(host) < _timeline(candidate) for host in more)


def _may_write(view: View, cluster: ClusterView, host: HostView) -> bool:
    return _permitted(cluster, host) and allowed(view.policy, host.host, view.now_unix_s)


def _on_record(cluster: ClusterView, host: HostView) -> bool:
    """As the very run of its server that runs now."""
    recorded, seen = cluster.recorded, host.postgres
    run = recorded.runs.get(host.host.name) if recorded is not None else None
    return bool(run) and seen is not None and seen.started == run


def _takeover_loses_nothing(view: View, cluster: ClusterView, candidate: HostView) -> bool:
    """The other site has everything on record, and can take over by that.

    Nobody does where every server there that is on record runs anew. Nor where none has come in
    time: another cluster of the group is served, and they move together; a cooldown is not over;
    automation is off. Both sites would wait for each other.
    """
    if view.state is None or not view.state.in_sync or cluster.recorded is None:
        return False
    have = cluster.recorded.have
    there = [host for host in cluster.standby.hosts if host.host.name in have]
    if not there or any(_run(host) is None for host in there):
        return True
    void = not any(_on_record(cluster, host) for host in there)
    no_less = _in_vain(view) and all(_no_more(cluster, host, candidate) for host in there)
    return not (void or no_less)


def _in_vain(view: View) -> bool:
    """Since the last claim that is gone was lost there was the time for a takeover."""
    lost = [cluster for cluster in view.clusters if cluster.claim_held is not True]
    for_s = min((cluster.claim_absent_for_s for cluster in lost), default=0.0)
    return for_s >= view.policy.local_recovery_s + TAKES_OVER_S


def _no_more(cluster: ClusterView, host: HostView, candidate: HostView) -> bool:
    """Of what may be acknowledged. All that was, it had told a primary, on whatever timeline: less
    than that the candidate has only if it was promoted with an older disk. What it has beyond, on
    an older timeline, may come from a refused host that it follows. Seen since the claim has gone.
    """
    if cluster.recorded is None or cluster.recorded.standby is not StandbyScope.FOLLOWING:
        return False
    timeline, end, told = _timeline(candidate), _end(candidate), host.flushed
    seen = _in_recovery(host) and host.postgres_after(cluster.claim_absent_for_s)
    if told is None:  # to nobody that anybody saw since he was started
        return seen and _end(host) <= end and _timeline(host) <= timeline
    told_more = told.lsn > end or int(told.timeline) > timeline
    return seen and not told_more and (_timeline(host), _end(host)) <= (timeline, end)


def _run(host: HostView) -> str | None:
    """Of its server; None: not seen, or it does not say."""
    return (host.postgres.started or None) if host.postgres is not None else None


def _more_of_his_branch(cluster: ClusterView, candidate: HostView) -> bool:
    """The other site, which follows, was sent more than he has: he came back with an older disk.
    What a site in quarantine has more of was given up by the takeover."""
    if cluster.recorded is None or cluster.recorded.standby is not StandbyScope.FOLLOWING:
        return False
    has = (_timeline(candidate), _end(candidate))
    return any((_timeline(h), _end(h)) > has for h in cluster.standby.hosts if _in_recovery(h))


def _another_had_the_permit(view: View, cluster: ClusterView, host: HostView) -> bool:
    """Of this epoch, whose promotion is not on record yet: what he acknowledged may be nowhere
    else. Patroni's own race has a bound for the loss (``maximum_lag_on_failover``); who is named
    passes it by."""
    writer, recorded = cluster.last_writer, cluster.recorded
    if view.state is None or recorded is None or writer is None or recorded.promoted:
        return False
    in_this_epoch = 0.0 < writer.judged_unix_s == view.state.epoch_started_unix_s
    return in_this_epoch and writer.host != host.host.name


def _refused(cluster: ClusterView, host: HostView) -> bool:
    """It runs for Patroni's key, and would get no permit."""
    runs = host.could_take_lease is not False and _in_recovery(host)
    return runs and not _permitted(cluster, host)


def _timeline(host: HostView) -> int:
    return int(host.postgres.timeline) if host.postgres is not None else 0


def _in_recovery(host: HostView) -> bool:
    return host.postgres is not None and host.postgres.in_recovery


def _end(host: HostView) -> Lsn:
    """As Patroni ranks: received, or replayed; 0 where neither is known."""
    postgres = host.postgres
    lsns = (postgres.received_lsn, postgres.replayed_lsn) if postgres is not None else ()
    return max((lsn for lsn in lsns if lsn is not None), default=Lsn(0))


def _rank(cluster: ClusterView, host: HostView) -> tuple[bool, int, Lsn, str]:
    """Who surely has everything; else the newest branch first: what was written last is there."""
    return _on_record(cluster, host), _timeline(host), _end(host), host.host.name


def _named(cluster: ClusterView) -> str:
    scope = cluster.active.scope
    return scope.failover_candidate if scope is not None else ""


def lines(view: View) -> tuple[str, ...]:
    """The evidence, per cluster."""
    return tuple(_line(found) for found in outrun(view))


def _line(found: Outrun) -> str:
    name, names = found.cluster.name, ", ".join(found.ahead)
    if found.candidate is None:
        return f"{name}: Patroni waits for {names}, whose PostgreSQL does not answer"
    return (
        f"{name}: {found.candidate.host.name} may be promoted and has WAL up to "
        f"{_end(found.candidate)}; refused and ahead of it: {names}"
    )
