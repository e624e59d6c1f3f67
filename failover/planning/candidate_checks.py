"""The checks of a plan that names a candidate to Patroni: it must change nothing else. Pure.

Independent of what builds it. Whom the guards would permit is asked of their own function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from failover.health.cluster_view import ClusterView
from failover.health.inputs import LastWriterSeen
from failover.health.sightings import HostView
from failover.last_writer import permitted_hosts
from failover.model import Automation, HostName, Lsn
from failover.planning.linting import Problem, Problems, Reading, declared, document
from failover.state import ClusterState, StandbyScope
from failover.znode import Check, Create, Delete, Set

SILENT_S_MIN = 10.0
NO_TAKEOVER_S_MIN = 20.0


def nothing_but_the_candidate(reading: Reading) -> Problems:
    """State and record are checked, proofs come and go, and ``failover`` is written."""
    paths = reading.paths
    wanted = {(Check, paths.state), (Create, paths.history_entry), (Set, paths.history_head)}
    wanted |= {(Create, paths.history_head)}
    for cluster in reading.clusters:
        scope = reading.scope(cluster, cluster.active)
        proofs = (paths.writer(cluster.name), scope.leader)
        wanted |= {(kind, path) for kind in (Create, Delete) for path in proofs}
        wanted |= {(Check, paths.last_writer(cluster.name)), (Check, scope.config)}
        wanted |= {(Create, scope.failover), (Set, scope.failover)}
    for op in reading.ops:
        if (type(op), op.path) not in wanted:
            yield Problem("nothing_but_the_candidate", f"{op.path} is not for this step to touch")


def nobody_leads(reading: Reading) -> Problems:
    """Claim and key are created and deleted before the name is written: nobody had them."""
    for cluster in reading.clusters:
        scope = reading.scope(cluster, cluster.active)
        written = max(reading.position(_named(reading, cluster)), 0)
        for path in (reading.paths.writer(cluster.name), scope.leader):
            created = reading.position(reading.find(Create, path))
            deleted = reading.position(reading.find(Delete, path))
            if not 0 <= created < deleted < written:
                yield Problem("nobody_leads", f"{path} is not proved to be held by nobody")
        for host in cluster.active.working_primaries:
            yield Problem("nobody_leads", f"{cluster.name}: {host.host.name} works as primary")


def candidate_may_write(reading: Reading) -> Problems:
    """It stands at the active site, in the country, and the guards would permit it; or nobody is
    named any more, because the server of the one that was does not answer."""
    name = "candidate_may_write"
    for cluster in reading.clusters:
        op, writer = _named(reading, cluster), cluster.last_writer
        after = document(op.data) if op is not None else None
        check = reading.find(Check, reading.paths.last_writer(cluster.name))
        if writer is None or check is None or check.version != writer.version:
            yield Problem(name, f"{cluster.name}: last_writer is not checked as it was judged")
            continue
        if after == {} and not _candidate_works(cluster):
            continue
        able = _permitted(reading, cluster, writer)
        if after is None or set(after) != {"member"} or after["member"] not in able:
            yield Problem(name, f"{cluster.name}: {after} names nobody who may write")


def _permitted(reading: Reading, cluster: ClusterView, writer: LastWriterSeen) -> set[HostName]:
    """Whom the guards would let write, in the country: by name in the synchronous modes, and by
    what was judged until the promotion is on record."""
    state, recorded = reading.before, reading.before.clusters[cluster.name]
    site = reading.view.policy.site(state.active_site)
    here = {h.host.name: h for h in cluster.active.hosts if declared(reading, site, h.host.address)}
    by_name = permitted_hosts(
        state, cluster.name, writer.host, marked=True, judged_unix_s=writer.judged_unix_s
    )
    able = set(here) if by_name is None else set(here) & by_name
    if recorded.promoted:
        return able
    places = {name: _place(here[name]) for name in able}
    return {
        name
        for name, (timeline, end) in places.items()
        if timeline >= recorded.timeline and end >= recorded.min_lsn
    }


def loses_nothing(reading: Reading) -> Problems:
    """Who is named is the recorded run of its server. Or else: no permitted host has more, on its
    timeline or a newer one; the refused ones ahead of it are on older ones; nobody else had a
    permit of this epoch before its promotion is on record; and the other site does not have
    everything, which it would take over with: every server that is on record there runs anew, or
    none came in time, and nobody there has more."""
    for cluster in reading.clusters:
        op, writer = _named(reading, cluster), cluster.last_writer
        named = (document(op.data) or {}).get("member") if op is not None else None
        hosts = {host.host.name: host for host in cluster.active.hosts}
        if named not in hosts or writer is None:
            continue  # nobody is named, or candidate_may_write has said so
        for sentence in _losses(reading, cluster, writer, hosts, HostName(str(named))):
            yield Problem("loses_nothing", f"{cluster.name}: {sentence}")


def _losses(
    reading: Reading,
    cluster: ClusterView,
    writer: LastWriterSeen,
    hosts: dict[HostName, HostView],
    named: HostName,
) -> Iterator[str]:
    before, recorded = reading.before, reading.before.clusters[cluster.name]
    permitted = _permitted(reading, cluster, writer)
    timeline, end = _place(hosts[named])
    ahead = [name for name in hosts if name not in permitted and _place(hosts[name])[1] > end]
    if not ahead:
        yield f"no refused host is ahead of {named}"
    seen = hosts[named].postgres
    if seen is not None and seen.started and recorded.runs.get(named) == seen.started:
        return
    for name in permitted - {named}:
        if cluster.may_lead(hosts[name]) and _place(hosts[name]) > (timeline, end):
            yield f"{name} has more than {named}"
    for name in ahead:
        if _place(hosts[name])[0] >= timeline:
            yield f"{name} is ahead of {named}, and not on an older timeline"
    judged_now = 0.0 < writer.judged_unix_s == before.epoch_started_unix_s
    if not recorded.promoted and judged_now and writer.host != named:
        yield f"{writer.host} had a permit of this epoch"
    in_vain = _no_takeover_came(reading, cluster, recorded, (timeline, end))
    if before.in_sync and not (_record_is_void(cluster, recorded) or in_vain):
        yield "the other site has everything"
    follows = recorded.standby is StandbyScope.FOLLOWING
    for host in cluster.standby.hosts if follows else ():
        if _place(host) > (timeline, end):
            yield f"{host.host.name} was sent more than {named} has"


def _record_is_void(cluster: ClusterView, recorded: ClusterState) -> bool:
    """Of the other site: each of its servers that was on record was seen in another run."""
    seen = {h.host.name: h.postgres for h in cluster.standby.hosts}
    there = [name for name in recorded.have if name in seen]
    for name in there:
        server = seen[name]
        if server is None or server.started in ("", recorded.runs.get(name)):
            return False
    return bool(there)


def _no_takeover_came(
    reading: Reading, cluster: ClusterView, recorded: ClusterState, named: tuple[int, Lsn]
) -> bool:
    """Though there was the time for it. The servers that are on record at the other site must have
    shown since the claim has gone that they have no more, and must have told no primary of more,
    on whatever timeline."""
    gone_for_s, view = cluster.claim_absent_for_s, reading.view
    others_s = [c.claim_absent_for_s for c in view.clusters if not c.claim_held]
    if min([gone_for_s, *others_s]) < view.policy.local_recovery_s + NO_TAKEOVER_S_MIN:
        return False
    there = [host for host in cluster.standby.hosts if host.host.name in recorded.have]
    following = recorded.standby is StandbyScope.FOLLOWING
    for host in there:
        timeline, end = _place(host)
        told = (host.flushed.timeline, host.flushed.lsn) if host.flushed else (timeline, end)
        more = (timeline, end) > named or told[0] > named[0] or told[1] > named[1]
        if more or timeline == 0 or not host.postgres_after(gone_for_s):
            return False
    return following and bool(there)


def _place(host: HostView) -> tuple[int, Lsn]:
    """Timeline and end of WAL; a primary, or one that is not seen, has none here."""
    seen = host.postgres
    if seen is None or not seen.in_recovery:
        return 0, Lsn(0)
    return seen.timeline, max(seen.received_lsn or Lsn(0), seen.replayed_lsn or Lsn(0))


def _candidate_works(cluster: ClusterView) -> bool:
    """Of who is named so far: nothing says that its server is down."""
    scope = cluster.active.scope
    named = scope.failover_candidate if scope is not None else ""
    silent_s = [h.unreachable_s for h in cluster.active.hosts if h.host.name == named]
    return not silent_s or silent_s[0] < SILENT_S_MIN


def as_judged(reading: Reading) -> Problems:
    """Another's wish in ``failover`` is replaced only at the version that was read, and only while
    Patroni is not paused, as it was."""
    for cluster in reading.clusters:
        config = reading.find(Check, reading.scope(cluster, cluster.active).config)
        seen = cluster.active.scope.config if cluster.active.scope is not None else None
        if (
            seen is None
            or config is None
            or config.version != seen.version
            or cluster.active.paused
        ):
            yield Problem("as_judged", f"{cluster.name}: another configuration was judged")
        op, scope = _named(reading, cluster), cluster.active.scope
        before = scope.failover_version if scope is not None else None
        if (op.version if isinstance(op, Set) else None) != before:
            yield Problem("as_judged", f"{cluster.name}: another version of failover was judged")


def of_who_may(reading: Reading) -> Problems:
    """No plan stands; in observe only where what was committed is carried out."""
    if reading.before.plan is not None:
        yield Problem("of_who_may", "a plan stands")
    observes = reading.before.automation is Automation.OBSERVE
    for cluster in reading.clusters:
        if observes and reading.before.clusters[cluster.name].promoted:
            yield Problem("of_who_may", f"{cluster.name}: automation only observes")


def _named(reading: Reading, cluster: ClusterView) -> Create | Set | None:
    path = reading.scope(cluster, cluster.active).failover
    return reading.find(Create, path) or reading.find(Set, path)


NAME_CANDIDATE: tuple[Callable[[Reading], Problems], ...] = (
    nothing_but_the_candidate,
    nobody_leads,
    candidate_may_write,
    loses_nothing,
    as_judged,
    of_who_may,
)
