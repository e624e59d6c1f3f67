"""Whom commits should wait for, and who surely has everything: what is to change next. Pure.

Invariant S (decision 0014): every host in ``have`` is one that every commit acknowledged meanwhile
waited for. So a host leaves record and list together, and it comes on record only when the list
with it is proved to be in force. Nothing here is safe by its timing: only by that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.health import relisting
from failover.health.cluster_view import ClusterView
from failover.health.inputs import SyncHost
from failover.health.listed import listed_hosts, names_text
from failover.health.view import View
from failover.model import Automation, HostName, ProtectionMode
from failover.policy import Policy
from failover.state import ClusterState, GroupState, StandbyScope

SYNC_STALL_S = 2.0  # commits wait for a host that is silent so long, and for Patroni's next turn
STEADY_S = 2.0  # so long a host has to keep up before commits are made to wait for it
SETTLE_S = 10.0  # Patroni takes in a new list within a turn of its loop or two


class ChangeKind(StrEnum):
    """In the order in which they are made."""

    DROP = "drop"  # a host leaves the list, or the record
    RECORD = "record"  # the list is in force: its hosts come on record
    LIST = "list"  # a host comes into the list


@dataclass(frozen=True, slots=True)
class Change:
    """Of one cluster: the list and the record as they should be, and which hosts that is about."""

    kind: ChangeKind
    listed: tuple[HostName, ...]
    have: tuple[HostName, ...]
    hosts: tuple[HostName, ...]
    why: str
    unsteady: tuple[HostName, ...] = ()  # of these, who did not keep up: it counts against them


# --------------------------------------------------------------------------- the record


def in_sync(policy: Policy, state: GroupState) -> bool:
    """What ``state.in_sync`` has to say: a synchronous mode, and of every cluster a host of the
    other site surely has everything."""
    other = policy.other_data_site(state.active_site).name
    there = {host.name for cluster in policy.clusters for host in cluster.at(other)}
    return state.protection.synchronous and all(
        not there.isdisjoint(recorded.have) for recorded in state.clusters.values()
    )


def listed(cluster: ClusterView) -> tuple[HostName, ...] | None:
    """Whom the active scope's configuration makes commits wait for, be they in failover.yaml or not
    any more. None: not understood."""
    config = cluster.active.config
    return listed_hosts(config.sync_names) if config is not None else None


# --------------------------------------------------------------------------- what is due


def due(view: View) -> tuple[tuple[ClusterView, Change], ...]:
    """The changes of the first kind that any cluster needs, where its primary works.

    Dropping is done whatever automation says: it ends a stall of writes that the list made, and
    gives up nothing but a statement.
    """
    state = view.state
    if state is None:
        return ()
    found = [(c, change) for c in view.clusters if (change := change_due(view, state, c))]
    acts = state.automation is not Automation.OBSERVE
    for kind in ChangeKind:
        of_kind = tuple((c, change) for c, change in found if change.kind is kind)
        if of_kind and (acts or kind is ChangeKind.DROP):
            return of_kind
    return ()


def change_due(view: View, state: GroupState, cluster: ClusterView) -> Change | None:
    """What is to change next in one cluster; None: nothing, or not enough is known."""
    primary, config, recorded = cluster.primary, cluster.active.config, cluster.recorded
    if primary is None or config is None or recorded is None or config.is_standby_cluster:
        return None
    if not state.protection.synchronous:
        return _asynchronous(cluster, recorded.have)
    drop = _drop(state, cluster, recorded.have)
    if drop is not None or not recorded.promoted:  # till then nobody comes on record
        return drop
    return _record(cluster, recorded) or _list(view, cluster, recorded)


def _asynchronous(cluster: ClusterView, have: tuple[HostName, ...]) -> Change | None:
    """No list of ours. A text that is not ours is left to whoever wrote it."""
    names = listed(cluster) or ()
    if not names and not have:
        return None
    return Change(ChangeKind.DROP, (), (), tuple(sorted({*names, *have})), "max-performance")


def _drop(state: GroupState, cluster: ClusterView, have: tuple[HostName, ...]) -> Change | None:
    names = listed(cluster)
    if names is None:
        text = cluster.active.config.sync_names if cluster.active.config is not None else ""
        waits = state.protection is ProtectionMode.MAX_PROTECTION
        instead = _instead(cluster, text) if waits else ()
        return Change(ChangeKind.DROP, instead, (), have, f"{text!r} is not a list of ours")
    known = _known(cluster)
    gone = {host: why for host in names if (why := _useless(cluster, host, known))}
    kept = {host for host in names if host not in gone}
    if state.protection is ProtectionMode.MAX_PROTECTION:
        kept |= _last_of_the_other_site(cluster, set(names), kept)
    still = tuple(
        host
        for host in have
        if host in kept & known
        and _waited_for(cluster, host)
        and not _on_another_branch(cluster, host)
    )
    dropped = (set(names) - kept) | (set(have) - set(still))
    if not dropped:
        return None
    reasons = [gone.get(host) or _why_not_on_record(cluster, host) for host in sorted(dropped)]
    return Change(
        ChangeKind.DROP,
        tuple(sorted(kept)),
        still,
        tuple(sorted(dropped)),
        "; ".join(dict.fromkeys(reasons)),
        tuple(sorted(host for host in set(names) - kept if _comes_and_goes(cluster, host))),
    )


def _known(cluster: ClusterView) -> set[HostName]:
    """The hosts of failover.yaml."""
    return {host.host.name for side in cluster.sides for host in side.hosts}


def _useless(cluster: ClusterView, host: HostName, known: set[HostName]) -> str:
    """Why it is no use to wait for this host; empty where it is."""
    if host not in known:
        return "it is not in failover.yaml"
    if cluster.primary is not None and host == cluster.primary.host.name:
        return "it is the primary itself"
    return _unsteady(cluster, host)


def _unsteady(cluster: ClusterView, host: HostName) -> str:
    """How it does not keep up; empty where it does, or nobody can tell."""
    seen = _keeping_up(cluster, host)
    if seen is None:
        return ""
    if seen.stalled_for_s >= SYNC_STALL_S:
        return f"silent for {seen.stalled_for_s:.1f} s"
    if seen.unsettled_for_s >= SETTLE_S:
        return f"its own server has not taken in the list for {seen.unsettled_for_s:.0f} s"
    return ""


def _comes_and_goes(cluster: ClusterView, host: HostName) -> bool:
    """It kept up with this primary, and does not any more. Who has not reached a primary that was
    just promoted, because nobody has told it yet, has done nothing that could count against it."""
    seen = _keeping_up(cluster, host)
    return seen is not None and seen.kept_up and bool(_unsteady(cluster, host))


def _last_of_the_other_site(
    cluster: ClusterView, names: set[HostName], kept: set[HostName]
) -> set[HostName]:
    """Max-protection waits rather than degrades: the last host of the other site is replaced by
    another one of it, in one transaction, or stays. One that is not in failover.yaml any more may
    have been of it."""
    other = {host.host.name for host in cluster.standby.hosts}
    last = names & other or names - _known(cluster)
    if not last or kept & other:
        return set()
    return set(candidates(cluster)) & other or last


def _instead(cluster: ClusterView, text: str) -> tuple[HostName, ...]:
    """Whom max-protection waits for in the place of a text of somebody else: who keeps up at the
    other site, else who is on record or named there. Nobody, where it had waited for nobody."""
    other = {host.host.name for host in cluster.standby.hosts}
    recorded = set(cluster.recorded.have) if cluster.recorded is not None else set()
    named = {host for host in other if host in text}
    return tuple(sorted(set(candidates(cluster)) & other or (recorded & other) | named))


def _waited_for(cluster: ClusterView, host: HostName) -> bool:
    """The primary's own server has it in its list. Not known: as the record says."""
    postgres = cluster.primary.postgres if cluster.primary is not None else None
    if postgres is None or postgres.sync_names is None:
        return True
    return host in (listed_hosts(postgres.sync_names) or ())


def _on_another_branch(cluster: ClusterView, host: HostName) -> bool:
    """Of a primary that was just promoted: this host is not seen on its timeline yet.

    PostgreSQL compares bare positions. A standby that was further on the old branch says so to the
    new primary before it is turned away, and a commit could be acknowledged by that. As long as the
    primary is in its own list nothing is acknowledged; before it is taken out, so are these.
    """
    primary = cluster.primary
    if primary is None or primary.host.name not in (listed(cluster) or ()):
        return False
    found = next((h for side in cluster.sides for h in side.hosts if h.host.name == host), None)
    seen = found.postgres if found is not None else None
    return seen is None or seen.timeline != primary.primary_timeline


def _why_not_on_record(cluster: ClusterView, host: HostName) -> str:
    if host not in _known(cluster):
        return "it is not in failover.yaml"
    if _on_another_branch(cluster, host):
        return "not seen on the new primary's timeline"
    return "its primary does not wait for it"


def _record(cluster: ClusterView, recorded: ClusterState) -> Change | None:
    """All of the list at once, as soon as it is proved to be in force, each host by the run of its
    server that is level; and once more for a host whose server was started anew since."""
    names = listed(cluster) or ()
    runs = level_runs(cluster, names)
    new = set(names) - set(recorded.have)
    anew = {host for host in recorded.have if runs.get(host) != recorded.runs.get(host)}
    if not new | anew or set(runs) != set(names) or not in_force(cluster):
        return None
    everybody, why = tuple(sorted(names)), "in force" if new else "level in a new run of its server"
    return Change(ChangeKind.RECORD, everybody, everybody, tuple(sorted(new | anew)), why)


def level_runs(cluster: ClusterView, hosts: tuple[HostName, ...]) -> dict[HostName, str]:
    """Of each of these hosts the run of its server that is level; who has none is left out."""
    found = {host: _keeping_up(cluster, host) for host in hosts}
    return {host: seen.run for host, seen in found.items() if seen is not None and seen.run}


def in_force(cluster: ClusterView) -> bool:
    """Proved of exactly the list, configuration, claim and permit that are there now."""
    seen, claim, scope = cluster.sync, cluster.claim, cluster.active.scope
    writer, config = cluster.last_writer, scope.config if scope is not None else None
    if seen is None or claim is None or writer is None or config is None or not seen.in_force:
        return False
    under = (
        seen.claim_session_id,
        seen.claim_version,
        seen.last_writer_version,
        seen.config_version,
    )
    now = (claim.session_id, claim.version, writer.version, config.version)
    return under == now and seen.listed == listed(cluster)


def _list(view: View, cluster: ClusterView, recorded: ClusterState) -> Change | None:
    names = listed(cluster) or ()
    new = [
        host
        for host in candidates(cluster)
        if host not in names and not relisting.waits_s(recorded.dropped.get(host), view.now_unix_s)
    ]
    if not new:
        return None
    wanted = tuple(sorted({*names, *new}))
    return Change(ChangeKind.LIST, wanted, recorded.have, tuple(sorted(new)), "keeps up")


def candidates(cluster: ClusterView) -> tuple[HostName, ...]:
    """Who keeps up: replicas of the active site, and the standby leader of the other one."""
    leader = cluster.standby.standby_leader
    recorded = cluster.recorded
    follows = recorded is not None and recorded.standby is StandbyScope.FOLLOWING
    remote = {leader.host.name} if leader is not None and follows else set()
    local = {host.host.name for host in cluster.active.hosts}
    if cluster.primary is not None:
        local -= {cluster.primary.host.name}
    hosts = cluster.sync.hosts if cluster.sync is not None else ()
    return tuple(
        seen.host
        for seen in hosts
        if seen.host in local | remote
        and seen.caught_up_for_s >= STEADY_S
        and seen.unsettled_for_s < SYNC_STALL_S
    )


def _keeping_up(cluster: ClusterView, host: HostName) -> SyncHost | None:
    hosts = cluster.sync.hosts if cluster.sync is not None else ()
    return next((seen for seen in hosts if seen.host == host), None)


# --------------------------------------------------------------------------- in words


def lines(view: View) -> tuple[str, ...]:
    """Per cluster: the mode, who is waited for, who has everything."""
    state = view.state
    if state is None:
        return ()
    found = [f"{state.protection}, {'in sync' if state.in_sync else 'not in sync'} on record"]
    for cluster in view.clusters:
        names = listed(cluster)
        waits = "not understood" if names is None else ", ".join(names) or "nobody"
        have = cluster.recorded.have if cluster.recorded is not None else ()
        found.append(
            f"{cluster.name}: commits wait for {waits}; on record with everything: "
            f"{', '.join(have) or 'nobody'}"
        )
        found += _waiting(view, cluster)
    return tuple(found)


def _waiting(view: View, cluster: ClusterView) -> list[str]:
    """Who is not listed again yet, and until when."""
    dropped = cluster.recorded.dropped if cluster.recorded is not None else {}
    waits = {host: relisting.waits_s(seen, view.now_unix_s) for host, seen in dropped.items()}
    return [
        f"{cluster.name}: {host} fell behind {dropped[host].times} times within an hour: "
        f"commits do not wait for it again for {left_s:.0f} s"
        for host, left_s in waits.items()
        if left_s
    ]


def change_lines(view: View) -> tuple[str, ...]:
    """What is due, and why."""
    return tuple(
        f"{c.name}: {change.kind} {', '.join(change.hosts) or 'what is there'} ({change.why})"
        for c, change in due(view)
    ) + lines(view)


def text_of(change: Change) -> str:
    """The list as it should be, as ``synchronous_standby_names``."""
    return names_text(change.listed)
