"""The steps of the protection modes: gates and the one transaction they share. Pure.

Every one of them writes or checks ``state`` and the active scope's configuration together, each at
the version that was judged. So record and list leave together, and a record that grows does so
beside exactly the list, the claim and the permit under which that list was proved to be in force.
"""

from __future__ import annotations

from dataclasses import replace

from failover.health import protection, relisting
from failover.health.cluster_view import ClusterView
from failover.health.protection import Change, ChangeKind
from failover.health.scope import waiting_for
from failover.health.view import View
from failover.model import HostName, Invariant
from failover.planning.plan import Gate, Hold, Plan, StepName, held, passing
from failover.planning.step_gates import automation_acts, claim_held, primary_works
from failover.planning.steps import step
from failover.planning.transactions import config_version, history, known, scope_paths
from failover.state import ClusterState, GroupState, encode_state
from failover.znode import Check, GroupPaths, Op, Set, Transaction

STEPS = {
    ChangeKind.DROP: StepName.DROP_SYNCHRONOUS,
    ChangeKind.RECORD: StepName.RECORD_SYNCHRONOUS,
    ChangeKind.LIST: StepName.LIST_SYNCHRONOUS,
}
_EVENTS = {
    ChangeKind.DROP: "degraded",
    ChangeKind.RECORD: "in_sync",
    ChangeKind.LIST: "sync_listed",
}
_SENTENCES = {
    ChangeKind.DROP: "{hosts} leave what commits in {site} wait for, or the record",
    ChangeKind.RECORD: "{hosts} surely have everything that is acknowledged in {site}",
    ChangeKind.LIST: "commits in {site} are made to wait for {hosts}",
}

Due = tuple[tuple[ClusterView, Change], ...]


def next_step(view: View) -> Plan | Hold:
    """The changes that are due, all of one kind, as one step."""
    found = protection.due(view)
    if not found:
        return Hold("nothing about the protection is to be changed", None, ())
    kind = found[0][1].kind
    gates = tuple(dict.fromkeys(gate for c, change in found for gate in _gates(view, c, change)))
    if not passing(gates):
        return held(STEPS[kind], gates)
    sentence = _sentence(view, kind, found)
    clusters = tuple(cluster for cluster, _ in found)
    return step(STEPS[kind], sentence, view, clusters, gates, change(view, found))


def _sentence(view: View, kind: ChangeKind, found: Due) -> str:
    hosts = ", ".join(dict.fromkeys(host for _, change in found for host in change.hosts))
    return _SENTENCES[kind].format(site=view.active_site, hosts=hosts or "what was listed there")


# --------------------------------------------------------------------------- gates


def _gates(view: View, cluster: ClusterView, change: Change) -> tuple[Gate, ...]:
    grows = change.kind is not ChangeKind.DROP
    return (
        *((automation_acts(view),) if grows else ()),
        claim_held(cluster),
        primary_works(cluster),
        _active_scope_readable(cluster),
        *((_in_force(cluster),) if change.kind is ChangeKind.RECORD else ()),
    )


def _active_scope_readable(cluster: ClusterView) -> Gate:
    scope, side = f"{cluster.name}-{cluster.active.site}", cluster.active
    readable = side.scope is not None and side.config is not None
    text = f"{scope} was read" if readable else f"{scope} has no usable configuration"
    passes = True if readable else None
    return Gate("active_scope_readable", passes, text, Invariant.DOUBT_MEANS_HOLD, cluster.name)


def _in_force(cluster: ClusterView) -> Gate:
    passes = protection.in_force(cluster)
    names = ", ".join(protection.listed(cluster) or ()) or "nobody"
    text = f"waiting for {names} {'is' if passes else 'is not'} proved to be in force"
    invariant = Invariant.NOTHING_LOST_SILENTLY
    return Gate("list_in_force", passes, text, invariant, cluster.name)


# --------------------------------------------------------------------------- the transaction


def change(view: View, found: Due) -> Transaction:
    """Make these changes. Call only where every gate passes."""
    paths, state = GroupPaths(view.policy.group), known(view.state)
    kind = found[0][1].kind
    after = _recorded(view, state, found)
    version = known(view.state_version)
    write = Check(paths.state, version) if after == state else _set(paths, after, version)
    summary = _sentence(view, kind, found)
    return (
        write,
        *(op for cluster, change in found for op in _scope(view, paths, cluster, change)),
        *history(view, paths, state.epoch, _EVENTS[kind], summary, _details(found)),
    )


def _set(paths: GroupPaths, state: GroupState, version: int) -> Set:
    return Set(paths.state, encode_state(state), version)


def _recorded(view: View, state: GroupState, found: Due) -> GroupState:
    for cluster, change in found:
        before = known(cluster.recorded)
        recorded = replace(
            before,
            have=change.have,
            runs=_runs(cluster, change, before),
            dropped=relisting.counted(before.dropped, change.unsteady, view.now_unix_s)
            if change.unsteady
            else before.dropped,
        )
        state = state.with_cluster(cluster.name, recorded)
    return replace(state, in_sync=protection.in_sync(view.policy, state))


def _runs(cluster: ClusterView, change: Change, before: ClusterState) -> dict[HostName, str]:
    if change.kind is ChangeKind.RECORD:
        return protection.level_runs(cluster, change.have)
    return {host: run for host, run in before.runs.items() if host in change.have}


def _scope(view: View, paths: GroupPaths, cluster: ClusterView, change: Change) -> tuple[Op, ...]:
    """The list, or proof that it is still the one that was judged; and that the server that was
    looked at is still the last one that got a permit. A record grows by what was proved of that
    one; and a drop, sent late, would take the next primary out of its own list while somebody on
    another branch is on record (``protection._on_another_branch``)."""
    path, version = (
        scope_paths(view, cluster, cluster.active).config,
        config_version(cluster.active),
    )
    config, text = known(cluster.active.config), protection.text_of(change)
    listed: Op = Check(path, version)
    if config.sync_names != text:
        listed = Set(path, waiting_for(config, text), version)
    if change.kind is ChangeKind.LIST:
        return (listed,)
    claim, writer = known(cluster.claim), cluster.last_writer
    permit = () if writer is None else (Check(paths.last_writer(cluster.name), writer.version),)
    return (listed, Check(paths.writer(cluster.name), claim.version), *permit)


def _details(found: Due) -> dict[str, str]:
    details = {}
    for cluster, change in found:
        details[f"{cluster.name}.waits_for"] = ", ".join(change.listed) or "nobody"
        details[f"{cluster.name}.have"] = ", ".join(change.have) or "nobody"
        details[f"{cluster.name}.why"] = change.why
        details[f"{cluster.name}.primary"] = str(known(cluster.primary).host.name)
    return details
