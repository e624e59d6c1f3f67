"""The checks of the steps that stay within an epoch. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from failover.health.cluster_view import ClusterView
from failover.planning.linting import (
    Problem,
    Problems,
    Reading,
    config_before,
    declared,
    document,
    other_keys,
)
from failover.state import SalvagePhase, StandbyScope
from failover.znode import Check, Create, Delete, Set

OWN_SLOT_PREFIX = "failover_"


def only_promoted_changes(reading: Reading) -> Problems:
    """The state differs in ``promoted`` of the plan's clusters and in nothing else.

    But for what the last promotion after a change of the active site proves.
    """
    wanted = reading.before
    for cluster in reading.clusters:
        recorded = replace(wanted.clusters[cluster.name], promoted=True)
        wanted = wanted.with_cluster(cluster.name, recorded)
    missing = [name for name, recorded in wanted.clusters.items() if not recorded.promoted]
    if reading.before.proving and not missing:
        wanted = replace(wanted, proving=False, proven_unix_s=reading.view.now_unix_s)
    if reading.after != wanted or wanted == reading.before:
        yield Problem("only_promoted_changes", "the state changes otherwise than by a promotion")


def claims_checked(reading: Reading) -> Problems:
    """A promotion is put on record while its claim stands, and its holder works."""
    for cluster in reading.clusters:
        check = reading.find(Check, reading.paths.writer(cluster.name))
        claim = cluster.claim
        if claim is None or check is None or check.version != claim.version:
            yield Problem("claims_checked", f"{cluster.name}: the claim is not checked")
        elif claim.claim is None or claim.claim.epoch != reading.before.epoch:
            yield Problem("claims_checked", f"{cluster.name}: no claim of this epoch was seen")
        if cluster.primary is None:
            yield Problem("claims_checked", f"{cluster.name}: no working primary was seen")


def only_standby_changes(reading: Reading) -> Problems:
    """The state differs in ``standby`` of the plan's clusters and in nothing else."""
    wanted = reading.before
    for cluster in reading.clusters:
        recorded = replace(wanted.clusters[cluster.name], standby=StandbyScope.FOLLOWING)
        wanted = wanted.with_cluster(cluster.name, recorded)
    if reading.after != wanted or wanted == reading.before:
        yield Problem("only_standby_changes", "the state changes otherwise than by reinstatement")


def salvaged_first(reading: Reading) -> Problems:
    """Some host of the quarantined site has copied its WAL after this epoch's branch point."""
    for cluster in reading.clusters:
        done = [
            record
            for record in cluster.salvage
            if record.epoch == reading.before.epoch
            and record.site == cluster.standby.site
            and record.phase is SalvagePhase.DONE
        ]
        if not done:
            yield Problem("salvaged_first", f"{cluster.name}: no host is salvaged")


def fence_removed(reading: Reading) -> Problems:
    """Child first, then the key with the version that was judged; what blocks an election too."""
    for cluster in reading.clusters:
        paths = reading.scope(cluster, cluster.standby)
        scope = cluster.standby.scope
        child = reading.find(Delete, paths.leader_child)
        key = reading.find(Delete, paths.leader)
        leader = scope.leader if scope is not None else None
        if child is None or key is None or reading.position(child) > reading.position(key):
            yield Problem("fence_removed", f"{cluster.name}: the fence is not removed whole")
        elif leader is None or key.version != leader.version:
            yield Problem("fence_removed", f"{cluster.name}: another fence was judged")
        if scope is not None and scope.status_version is not None:
            status = reading.find(Delete, paths.status)
            if status is None or status.version != scope.status_version:
                yield Problem("fence_removed", f"{cluster.name}: status would block the election")


def points_at_primary(reading: Reading) -> Problems:
    """The standby scope streams from the present primary, in the country, and nobody else."""
    for cluster in reading.clusters:
        yield from _upstream(reading, cluster)


def _upstream(reading: Reading, cluster: ClusterView) -> Problems:
    name = "points_at_primary"
    op = reading.find(Set, reading.scope(cluster, cluster.standby).config)
    before, after = config_before(cluster.standby), document(op.data) if op is not None else None
    scope = cluster.standby.scope
    if op is None or after is None or before is None or scope is None or scope.config is None:
        yield Problem(name, f"{cluster.name}: the standby scope is not pointed anywhere")
        return
    if op.version != scope.config.version:
        yield Problem(name, f"{cluster.name}: another version was judged")
    if other_keys(after, "standby_cluster") != other_keys(before, "standby_cluster"):
        yield Problem(name, f"{cluster.name}: other settings are changed")
    standby = after.get("standby_cluster") or {}
    primary = cluster.primary
    if primary is None or standby.get("host") != str(primary.host.address):
        yield Problem(name, f"{cluster.name}: {standby.get('host')} is not the primary")
        return
    active = reading.view.policy.site(cluster.active.site)
    if not declared(reading, active, primary.host.address):
        yield Problem(name, f"{cluster.name}: {primary.host.address} is not a declared address")
    if not str(standby.get("primary_slot_name")).startswith(OWN_SLOT_PREFIX):
        yield Problem(name, f"{cluster.name}: no slot would keep its WAL")


def touches_only(*kinds: type[Check | Create | Delete | Set]) -> Callable[[Reading], Problems]:
    """Besides state and history, only such operations, and only on standby scopes or claims."""

    def no_other_side(reading: Reading) -> Problems:
        paths = reading.paths
        shared = {paths.state, paths.history_entry, paths.history_head}
        forbidden = {
            path
            for cluster in reading.clusters
            for path in (
                reading.scope(cluster, cluster.active).leader,
                reading.scope(cluster, cluster.active).leader_child,
                reading.scope(cluster, cluster.active).config,
                reading.scope(cluster, cluster.active).status,
            )
        }
        for op in reading.ops:
            if op.path in forbidden or (op.path not in shared and not isinstance(op, kinds)):
                yield Problem("no_other_side", f"{op.path} is not for this step to touch")

    return no_other_side


RECORD_PROMOTION: tuple[Callable[[Reading], Problems], ...] = (
    only_promoted_changes,
    claims_checked,
    touches_only(Check),
)

REINSTATE: tuple[Callable[[Reading], Problems], ...] = (
    only_standby_changes,
    salvaged_first,
    fence_removed,
    points_at_primary,
    touches_only(Delete, Set),
)


def state_untouched(reading: Reading) -> Problems:
    """Following changes no state."""
    if reading.find(Set, reading.paths.state) is not None:
        yield Problem("state_untouched", "the state is written")


def follows_on_record(reading: Reading) -> Problems:
    """Never out of a quarantine."""
    for cluster in reading.clusters:
        recorded = cluster.recorded
        if recorded is None or recorded.standby is not StandbyScope.FOLLOWING:
            yield Problem("follows_on_record", f"{cluster.name}: in quarantine on record")


FOLLOW: tuple[Callable[[Reading], Problems], ...] = (
    state_untouched,
    follows_on_record,
    points_at_primary,
    touches_only(Set),
)
