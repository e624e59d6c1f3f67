"""The checks of the protection steps: invariant S must be in the operations. Pure.

Independent of what builds them. They do not ask whether a change is useful, only whether it is
honest: nobody comes on record who is not proved, nobody stays on record who is not listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from failover.health.cluster_view import ClusterView
from failover.health.observation import PostgresSeen
from failover.model import Automation, ProtectionMode
from failover.planning.linting import (
    Problem,
    Problems,
    Reading,
    config_before,
    document,
    sync_names,
    without_list,
)
from failover.planning.plan import StepName
from failover.znode import Check, Create, Set


def only_have_changes(reading: Reading) -> Problems:
    """The state differs in who has everything of the plan's clusters, in what goes with that, and
    in what follows for ``in_sync``."""
    after = reading.after
    if after is None:
        return
    wanted = replace(reading.before, in_sync=after.in_sync)
    for cluster in reading.clusters:
        found = after.clusters.get(cluster.name)
        if found is None:
            continue
        recorded = replace(
            wanted.clusters[cluster.name], have=found.have, runs=found.runs, dropped=found.dropped
        )
        wanted = wanted.with_cluster(cluster.name, recorded)
    if after != wanted:
        yield Problem("only_have_changes", "the state changes otherwise than in who has everything")
    if after == reading.before:
        yield Problem("only_have_changes", "the state is written without a change")


def in_a_settled_epoch(reading: Reading) -> Problems:
    """No plan stands, a primary works under the claim, and its promotion is on record; but what
    only shrinks does not wait for that."""
    if reading.before.plan is not None:
        yield Problem("in_a_settled_epoch", "a plan stands")
    for cluster in reading.clusters:
        recorded = cluster.recorded
        shrinks = reading.plan.step is StepName.DROP_SYNCHRONOUS
        if recorded is None or not (recorded.promoted or shrinks):
            yield Problem("in_a_settled_epoch", f"{cluster.name}: its promotion is not on record")
        if cluster.primary is None or not cluster.claim_held:
            yield Problem("in_a_settled_epoch", f"{cluster.name}: no working primary")


def list_is_conditional(reading: Reading) -> Problems:
    """The active scope's configuration is written or checked at the version that was judged."""
    for cluster in reading.clusters:
        path, scope = reading.scope(cluster, cluster.active).config, cluster.active.scope
        found = [op for op in reading.ops if op.path == path]
        wanted = scope.config.version if scope is not None and scope.config is not None else None
        fits = len(found) == 1 and isinstance(found[0], Set | Check)
        if not fits or getattr(found[0], "version", None) != wanted:
            yield Problem("list_is_conditional", f"{cluster.name}: not the list that was judged")


def of_the_primary_that_was_seen(reading: Reading) -> Problems:
    """What was judged of one primary is not done to the next: claim and permit are checked."""
    if reading.plan.step is StepName.LIST_SYNCHRONOUS:
        return
    for cluster in reading.clusters:
        claim, writer = cluster.claim, cluster.last_writer
        wanted = {
            reading.paths.writer(cluster.name): claim.version if claim else None,
            reading.paths.last_writer(cluster.name): writer.version if writer else None,
        }
        for path, version in wanted.items():
            op = reading.find(Check, path)
            if op is None or op.version != version:
                yield Problem("of_the_primary_that_was_seen", f"{path} is not checked")


def only_the_list_changes(reading: Reading) -> Problems:
    for cluster in reading.clusters:
        op = reading.find(Set, reading.scope(cluster, cluster.active).config)
        if op is None:
            continue
        before, after = config_before(cluster.active), document(op.data)
        if before is None or after is None or _rest(after) != _rest(before):
            yield Problem("only_the_list_changes", f"{cluster.name}: other settings are changed")
        elif required(sync_names(after)) is None:
            yield Problem("only_the_list_changes", f"{cluster.name}: it does not require them all")


def _rest(found: dict[str, Any]) -> str:
    """All but the list; parameters that are there for it alone count as none."""
    rest = without_list(found)
    postgresql = {k: v for k, v in (rest.get("postgresql") or {}).items() if v != {}}
    return json.dumps({**rest, "postgresql": postgresql}, sort_keys=True)


def required(text: str) -> frozenset[str] | None:
    """The hosts that this text requires; None where it does not require all it names."""
    if not text:
        return frozenset()
    match = re.fullmatch(r"(\d+) \((.*)\)", text)
    names = re.findall(r'"([^"]+)"', match[2]) if match is not None else []
    if match is None or len(set(names)) != int(match[1]) or len(names) != len(set(names)):
        return None
    return frozenset(names)


def _list_after(reading: Reading, cluster: ClusterView) -> frozenset[str] | None:
    op = reading.find(Set, reading.scope(cluster, cluster.active).config)
    found = document(op.data) if op is not None else config_before(cluster.active)
    return required(sync_names(found)) if found is not None else None


def have_is_listed(reading: Reading) -> Problems:
    """Whoever is on record afterwards is required by the list afterwards."""
    after = reading.after or reading.before
    for cluster in reading.clusters:
        recorded = after.clusters.get(cluster.name)
        names = _list_after(reading, cluster)
        if recorded is None or names is None or not set(recorded.have) <= names:
            yield Problem("have_is_listed", f"{cluster.name}: on record, and not waited for")


def growth_is_proved(reading: Reading) -> Problems:
    """A host, or another run of its server, comes on record only beside the list, claim and permit
    of the proof, and as the run that was seen to be level."""
    after = reading.after
    for cluster in reading.clusters:
        recorded = after.clusters.get(cluster.name) if after is not None else None
        before = reading.before.clusters[cluster.name]
        if recorded is None:
            continue
        new = set(recorded.have) - set(before.have)
        new |= {host for host, run in recorded.runs.items() if before.runs.get(host) != run}
        if new and not _proved(reading, cluster, new):
            detail = f"{cluster.name}: {', '.join(sorted(new))} not proved to have everything"
            yield Problem("growth_is_proved", detail)
        level = {seen.host: seen.run for seen in cluster.sync.hosts} if cluster.sync else {}
        if any(
            not recorded.runs.get(host) or recorded.runs[host] != level.get(host) for host in new
        ):
            yield Problem("growth_is_proved", f"{cluster.name}: not by the run that is level")
        if not set(recorded.runs) <= set(recorded.have):
            yield Problem("growth_is_proved", f"{cluster.name}: a run of who is not on record")


def only_drops_count(reading: Reading) -> Problems:
    """What counts against a host is that it leaves the list now."""
    after = reading.after
    for cluster in reading.clusters:
        recorded = after.clusters.get(cluster.name) if after is not None else None
        before, now = config_before(cluster.active), reading.view.now_unix_s
        if recorded is None or before is None:
            continue
        known = reading.before.clusters[cluster.name].dropped
        counted = {host for host, seen in recorded.dropped.items() if known.get(host) != seen}
        left = (required(sync_names(before)) or frozenset()) - (
            _list_after(reading, cluster) or frozenset()
        )
        if not counted <= left or any(recorded.dropped[h].at_unix_s != now for h in counted):
            yield Problem("only_drops_count", f"{cluster.name}: who stays counts as dropped")


def _proved(reading: Reading, cluster: ClusterView, new: set[Any]) -> bool:
    seen, claim, writer = cluster.sync, cluster.claim, cluster.last_writer
    if seen is None or claim is None or writer is None or not seen.in_force:
        return False
    checks = {
        reading.scope(cluster, cluster.active).config: seen.config_version,
        reading.paths.writer(cluster.name): seen.claim_version,
        reading.paths.last_writer(cluster.name): seen.last_writer_version,
    }
    checked = all(
        (op := reading.find(Check, path)) is not None and op.version == version
        for path, version in checks.items()
    )
    same = claim.session_id == seen.claim_session_id
    return checked and same and new <= set(seen.listed)


def no_other_branch_on_record(reading: Reading) -> Problems:
    """Before a promoted primary leaves its own list, nobody is on record who is elsewhere."""
    after = reading.after or reading.before
    for cluster in reading.clusters:
        before, primary = config_before(cluster.active), cluster.primary
        names = required(sync_names(before)) if before is not None else None
        if primary is None or primary.host.name not in (names or ()):
            continue
        newest = max(
            seen.timeline
            for sighting in primary.sightings
            if isinstance(seen := sighting.seen.postgres, PostgresSeen) and not seen.in_recovery
        )
        same = {
            host.host.name
            for side in cluster.sides
            for host in side.hosts
            if host.postgres and host.postgres.timeline == newest
        }
        recorded = after.clusters.get(cluster.name)
        if recorded is None or not set(recorded.have) <= same:
            detail = f"{cluster.name}: somebody on record is not seen on the new timeline"
            yield Problem("no_other_branch_on_record", detail)


def never_weaker_than_the_mode(reading: Reading) -> Problems:
    """Max-protection keeps waiting for a host of the other site once it does."""
    if reading.before.protection is not ProtectionMode.MAX_PROTECTION:
        return
    for cluster in reading.clusters:
        other = {host.host.name for host in cluster.standby.hosts}
        before = config_before(cluster.active)
        text = sync_names(before) if before is not None else ""
        listed = required(text)
        if listed is None:  # somebody else's text
            recorded = cluster.recorded.have if cluster.recorded is not None else ()
            listed = frozenset({host for host in other if host in text} | set(recorded) & other)
        known = {host.host.name for side in cluster.sides for host in side.hosts}
        last = listed & other or listed - known  # removed from failover.yaml: perhaps of that site
        after = _list_after(reading, cluster) or frozenset()
        if last and not after & (other | last):
            detail = f"{cluster.name}: commits would wait for nobody at the other site"
            yield Problem("never_weaker_than_the_mode", detail)


def automation_may(reading: Reading) -> Problems:
    """Dropping ends a stall of writes and is always done; the rest only where automation acts."""
    observes = reading.before.automation is Automation.OBSERVE
    if observes and reading.plan.step is not StepName.DROP_SYNCHRONOUS:
        yield Problem("automation_may", "automation only observes")


def nothing_but_the_list(reading: Reading) -> Problems:
    allowed = {reading.paths.state, reading.paths.history_entry, reading.paths.history_head}
    for cluster in reading.clusters:
        allowed.add(reading.scope(cluster, cluster.active).config)
        allowed |= {
            reading.paths.writer(cluster.name),
            reading.paths.last_writer(cluster.name),
        }
    claims = {reading.paths.writer(c.name) for c in reading.clusters}
    claims |= {reading.paths.last_writer(c.name) for c in reading.clusters}
    for op in reading.ops:
        written = not isinstance(op, Check)
        history = op.path == reading.paths.history_entry and isinstance(op, Create)
        if op.path not in allowed or (written and op.path in claims and not history):
            yield Problem("nothing_but_the_list", f"{op.path} is touched")


PROTECTION: tuple[Callable[[Reading], Problems], ...] = (
    only_have_changes,
    in_a_settled_epoch,
    list_is_conditional,
    of_the_primary_that_was_seen,
    only_the_list_changes,
    have_is_listed,
    growth_is_proved,
    only_drops_count,
    no_other_branch_on_record,
    never_weaker_than_the_mode,
    automation_may,
    nothing_but_the_list,
)


# --------------------------------------------------------------------------- every step


def in_sync_is_true(reading: Reading) -> Problems:
    """``in_sync`` after every step: a host of the other site on record, of every cluster."""
    after = reading.after
    if after is None:
        return
    policy = reading.view.policy
    others = {
        host.name
        for site in policy.data_sites
        if site.name != after.active_site
        for cluster in policy.clusters
        for host in cluster.at(site.name)
    }
    synchronous = after.protection is not ProtectionMode.MAX_PERFORMANCE
    true = synchronous and all(set(c.have) & others for c in after.clusters.values())
    if after.in_sync != true:
        yield Problem("in_sync_is_true", f"in_sync is {after.in_sync}, the record says {true}")
    if not synchronous and any(c.have for c in after.clusters.values()):
        yield Problem("in_sync_is_true", "somebody is on record in an asynchronous mode")


def have_never_grows_by_the_way(reading: Reading) -> Problems:
    """Only the step that proves it puts a host on record."""
    after = reading.after
    if after is None or reading.plan.step is StepName.RECORD_SYNCHRONOUS:
        return
    for name, recorded in after.clusters.items():
        before = reading.before.clusters.get(name)
        known = set(before.have) if before is not None else set()
        if after.epoch != reading.before.epoch:
            known = set()  # what was proved was proved of the old site's primary
        if set(recorded.have) - known:
            yield Problem("have_never_grows_by_the_way", f"{name}: somebody comes on record")


EVERY_STEP: tuple[Callable[[Reading], Problems], ...] = (
    in_sync_is_true,
    have_never_grows_by_the_way,
)
