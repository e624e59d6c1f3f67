"""The checks of a takeover plan: what makes it safe must be in the operations. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from failover.health.cluster_view import ClusterView
from failover.model import SiteKind
from failover.planning.linting import (
    Problem,
    Problems,
    Reading,
    config_before,
    declared,
    document,
    other_keys,
    slots_with,
    sync_names,
    without_list,
)
from failover.planning.request_checks import asked_or_automatic
from failover.planning.whole_checks import nothing_acknowledged_is_missing
from failover.state import ClusterState, StandbyScope
from failover.znode import Check, Create, Delete, Set


def whole_group(reading: Reading) -> Problems:
    """All clusters of the group move together."""
    wanted = {cluster.name for cluster in reading.view.policy.clusters}
    if set(reading.plan.clusters) != wanted or len(reading.clusters) != len(wanted):
        yield Problem("whole_group", f"the plan is about {', '.join(reading.plan.clusters)}")


def nobody_writes(reading: Reading) -> Problems:
    """In the view itself: somebody looks, no claim is there, nobody sees a working primary."""
    if not reading.view.living_observers:
        yield Problem("nobody_writes", "no living observer")
    for cluster in reading.view.clusters:
        if cluster.claim is None or cluster.claim.claim is not None or cluster.claim.problem:
            yield Problem("nobody_writes", f"{cluster.name}: the claim is not seen to be gone")
        for host in cluster.active.working_primaries:
            yield Problem("nobody_writes", f"{cluster.name}: {host.host.name} works as primary")


def epoch_is_next(reading: Reading) -> Problems:
    """Exactly one more than the epoch that was judged, and on record from now on."""
    after = reading.after
    if after is None or after.epoch != reading.before.epoch + 1:
        epoch = after.epoch if after is not None else "none"
        yield Problem("epoch_is_next", f"epoch {epoch} after {reading.before.epoch}")


def moves_to_other_data_site(reading: Reading) -> Problems:
    """Away from the active site, to a data site of the policy, as the plan says."""
    after = reading.after
    sites = [site.name for site in reading.view.policy.sites if site.kind is SiteKind.DATA]
    if after is None or after.active_site != reading.plan.to_site:
        yield Problem("moves_to_other_data_site", "the state names another site than the plan")
    if reading.plan.to_site not in sites or reading.plan.to_site == reading.before.active_site:
        yield Problem("moves_to_other_data_site", f"{reading.plan.to_site} cannot take over")
    if reading.plan.from_site != reading.before.active_site:
        yield Problem("moves_to_other_data_site", f"{reading.plan.from_site} is not active")


def hosts_in_country(reading: Reading) -> Problems:
    """Every host that could be promoted stands in a network of the new site, and so does whoever
    the state names as having everything: a permit would go to him."""
    named = {host for recorded in reading.before.clusters.values() for host in recorded.have}
    for cluster in reading.view.policy.clusters:
        named -= {
            host.name
            for host in cluster.hosts
            if declared(reading, reading.view.policy.site(host.site), host.address)
        }
    for host_name in sorted(named):
        yield Problem("hosts_in_country", f"{host_name}, named by the state, is declared nowhere")
    for site in reading.view.policy.sites:
        if site.name != reading.plan.to_site:
            continue
        for cluster in reading.view.policy.clusters:
            for host in cluster.at(site.name):
                if not declared(reading, site, host.address):
                    detail = f"{host.name} ({host.address}) is outside the declared networks"
                    yield Problem("hosts_in_country", detail)


def no_claim_is_proved(reading: Reading) -> Problems:
    """Per cluster the claim is created and then deleted, before anything is promoted."""
    for cluster in reading.view.clusters:
        path = reading.paths.writer(cluster.name)
        created = reading.position(reading.find(Create, path))
        deleted = reading.position(reading.find(Delete, path))
        promoted = reading.position(
            reading.find(Set, reading.scope(cluster, cluster.standby).config)
        )
        if not 0 <= created < deleted or (promoted >= 0 and promoted < deleted):
            detail = f"{cluster.name}: no proof, before the promotion, that no claim is alive"
            yield Problem("no_claim_is_proved", detail)


def no_permit_since(reading: Reading) -> Problems:
    """Per cluster nobody has got the claim since the judgement, not even for a moment."""
    for cluster in reading.view.clusters:
        writer = cluster.last_writer
        found = reading.find(Check, reading.paths.last_writer(cluster.name))
        if writer is not None and (found is None or found.version != writer.version):
            detail = f"{cluster.name}: last_writer is not checked as it was judged"
            yield Problem("no_permit_since", detail)


def old_site_fenced(reading: Reading) -> Problems:
    """Per cluster a lasting fence of the new epoch with a child; an old key goes first."""
    for cluster in reading.view.clusters:
        paths = reading.scope(cluster, cluster.active)
        fence = reading.find(Create, paths.leader)
        child = reading.find(Create, paths.leader_child)
        wanted = f"fenced by failover, epoch {reading.before.epoch + 1}".encode()
        if fence is None or fence.data != wanted:
            yield Problem("old_site_fenced", f"{cluster.name}: no fence of the new epoch")
        if child is None or reading.position(child) < reading.position(fence):
            yield Problem("old_site_fenced", f"{cluster.name}: no child under the fence")
        scope = cluster.active.scope
        leader = scope.leader if scope is not None else None
        removed = reading.find(Delete, paths.leader)
        if leader is not None and (
            removed is None
            or removed.version != leader.version
            or reading.position(removed) > reading.position(fence)
        ):
            yield Problem("old_site_fenced", f"{cluster.name}: the old leader key stays")


def old_site_quarantined(reading: Reading) -> Problems:
    """The old scope follows nobody: with an address there, what was lost would be rewound."""
    for cluster in reading.view.clusters:
        before = config_before(cluster.active)
        op = reading.find(Set, reading.scope(cluster, cluster.active).config)
        after = document(op.data) if op is not None else None
        scope = cluster.active.scope
        if op is None or after is None or before is None or scope is None or scope.config is None:
            yield Problem("old_site_quarantined", f"{cluster.name}: no quarantine")
            continue
        if after.get("standby_cluster") != {"restore_command": "false"}:
            yield Problem("old_site_quarantined", f"{cluster.name}: it would follow somebody")
        if op.version != scope.config.version:
            yield Problem("old_site_quarantined", f"{cluster.name}: another version was judged")
        if sync_names(after):
            yield Problem("old_site_quarantined", f"{cluster.name}: its list outlives the record")
        if other_keys(after, "standby_cluster") != _kept(before, "standby_cluster"):
            yield Problem("old_site_quarantined", f"{cluster.name}: other settings are changed")


def new_site_released(reading: Reading) -> Problems:
    """The new scope becomes an ordinary cluster with a slot for the other site, no more."""
    for cluster in reading.view.clusters:
        before = config_before(cluster.standby)
        op = reading.find(Set, reading.scope(cluster, cluster.standby).config)
        after = document(op.data) if op is not None else None
        scope = cluster.standby.scope
        if op is None or after is None or before is None or scope is None or scope.config is None:
            yield Problem("new_site_released", f"{cluster.name}: the new site is not promoted")
            continue
        if "standby_cluster" in after:
            yield Problem("new_site_released", f"{cluster.name}: it stays a standby cluster")
        if op.version != scope.config.version:
            yield Problem("new_site_released", f"{cluster.name}: another version was judged")
        changed = ("standby_cluster", "slots")
        if sync_names(after):
            yield Problem("new_site_released", f"{cluster.name}: it would wait for an old list")
        if other_keys(after, *changed) != _kept(before, *changed):
            yield Problem("new_site_released", f"{cluster.name}: other settings are changed")
        if after.get("slots") != slots_with(before, cluster.active.site):
            yield Problem("new_site_released", f"{cluster.name}: its slots are changed otherwise")


def _kept(before: dict[str, Any], *changed: str) -> dict[str, Any]:
    """What has to stay as it was, the list aside where there is one."""
    return other_keys(without_list(before) if sync_names(before) else before, *changed)


def minimum_is_what_was_judged(reading: Reading) -> Problems:
    """``min_lsn`` and timeline are those of the standby leader in the view."""
    after = reading.after
    for cluster in reading.view.clusters:
        recorded = after.clusters.get(cluster.name) if after is not None else None
        if recorded is None or not _as_judged(cluster, recorded):
            detail = f"{cluster.name}: not the standby leader's LSN and timeline"
            yield Problem("minimum_is_what_was_judged", detail)


def _as_judged(cluster: ClusterView, recorded: ClusterState) -> bool:
    leader = cluster.standby.standby_leader
    if leader is None:
        return False
    seen = leader.postgres
    ends = [lsn for lsn in (seen.received_lsn, seen.replayed_lsn) if lsn is not None]
    return bool(ends) and recorded.min_lsn == max(ends) and recorded.timeline == seen.timeline


def state_after(reading: Reading) -> Problems:
    """Not promoted yet, the old site in quarantine, nothing in sync, no plan, automation as is."""
    after = reading.after
    if after is None:
        return
    for name, recorded in after.clusters.items():
        if recorded.promoted or recorded.standby is not StandbyScope.QUARANTINE:
            detail = f"{name}: promoted or following before it can be"
            yield Problem("state_after", detail)
    if after.plan is not None or after.in_sync or any(c.have for c in after.clusters.values()):
        yield Problem("state_after", "a plan or in_sync outlives the takeover")
    before = reading.before
    if (after.automation, after.protection) != (before.automation, before.protection):
        yield Problem("state_after", "automation or protection is changed")


def nothing_proven_yet(reading: Reading) -> Problems:
    """A change of the active site proves something at its end only; until then the older counts."""
    after = reading.after
    if after is not None and (
        not after.proving or after.proven_unix_s != reading.before.proven_unix_s
    ):
        yield Problem("nothing_proven_yet", "it counts as proven before its promotions are done")


def stopped_proof_removed(reading: Reading) -> Problems:
    """A stopped-proof of an interrupted plan must not be taken for one of a later plan."""
    for cluster in reading.view.clusters:
        if cluster.stopped is None:
            continue
        removed = reading.find(Delete, reading.paths.stopped(cluster.name))
        if removed is None or removed.version != cluster.stopped.version:
            yield Problem("stopped_proof_removed", f"{cluster.name}: a stopped-proof stays")


TAKEOVER: tuple[Callable[[Reading], Problems], ...] = (
    whole_group,
    nobody_writes,
    epoch_is_next,
    moves_to_other_data_site,
    hosts_in_country,
    no_claim_is_proved,
    no_permit_since,
    old_site_fenced,
    old_site_quarantined,
    new_site_released,
    minimum_is_what_was_judged,
    nothing_acknowledged_is_missing,
    state_after,
    nothing_proven_yet,
    stopped_proof_removed,
    asked_or_automatic,
)
