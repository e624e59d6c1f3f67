"""The checks of a plan that names a candidate to Patroni: it must change nothing else. Pure.

Independent of what builds it. Whom the guards would permit is asked of their own function.
"""

from __future__ import annotations

from collections.abc import Callable

from failover.health.cluster_view import ClusterView
from failover.health.inputs import LastWriterSeen
from failover.health.sightings import HostView
from failover.last_writer import permitted_hosts
from failover.model import Automation, HostName, Lsn
from failover.planning.linting import Problem, Problems, Reading, declared, document
from failover.znode import Check, Create, Delete, Set

SILENT_S_MIN = 10.0


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
    name, state = "candidate_may_write", reading.before
    for cluster in reading.clusters:
        op, writer = _named(reading, cluster), cluster.last_writer
        after = document(op.data) if op is not None else None
        check = reading.find(Check, reading.paths.last_writer(cluster.name))
        if writer is None or check is None or check.version != writer.version:
            yield Problem(name, f"{cluster.name}: last_writer is not checked as it was judged")
            continue
        if after == {} and not _candidate_works(cluster):
            continue
        site = reading.view.policy.site(state.active_site)
        hosts = reading.view.policy.cluster(cluster.name).at(site.name)
        able = {h.name for h in hosts if declared(reading, site, h.address)}
        able &= _permitted(reading, cluster, writer)
        if after is None or set(after) != {"member"} or after["member"] not in able:
            yield Problem(name, f"{cluster.name}: {after} names nobody who may write")


def _permitted(reading: Reading, cluster: ClusterView, writer: LastWriterSeen) -> set[HostName]:
    """Whom the guards let write and others not: by name, and until the promotion is on record by
    what was judged. Where neither keeps anybody from it there is nobody to be named."""
    state, recorded = reading.before, reading.before.clusters[cluster.name]
    by_name = permitted_hosts(
        state, cluster.name, writer.host, marked=True, judged_unix_s=writer.judged_unix_s
    )
    if recorded.promoted:
        return set(by_name or ())
    judged = {
        host.host.name
        for host in cluster.active.hosts
        if (place := _place(host))
        and place[0] >= recorded.timeline
        and place[1] >= recorded.min_lsn
    }
    return judged if by_name is None else judged & by_name


def nobody_better(reading: Reading) -> Problems:
    """No permitted host has more, on the same timeline or a newer one, that Patroni would promote
    by itself: one before whom no refused host is ahead."""
    for cluster in reading.clusters:
        op, writer = _named(reading, cluster), cluster.last_writer
        named = (document(op.data) or {}).get("member") if op is not None else None
        if named is None or writer is None:
            continue
        permitted = _permitted(reading, cluster, writer)
        seen = {host.host.name: host for host in cluster.active.hosts}
        refused_end = max(
            (_place(h)[1] for n, h in seen.items() if n not in permitted), default=Lsn(0)
        )
        for name in sorted(permitted & set(seen) - {named}):
            better = named in seen and _place(seen[name]) > _place(seen[named])
            if better and cluster.may_lead(seen[name]) and _place(seen[name])[1] >= refused_end:
                yield Problem("nobody_better", f"{cluster.name}: {name} has more than {named}")


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
    nobody_better,
    as_judged,
    of_who_may,
)
