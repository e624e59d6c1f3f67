"""When a pair that was there before may be armed, and when it is. Pure.

Invariant: armed is a group only when every cluster's primary holds its claim and every guard says
so; until then whoever armed it waits, and takes it back where that does not come. Meanwhile it is
``arming`` on record, and nobody moves it: a primary whose guard was cut off before it could read
the record writes on, without a claim and without a deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from failover.health.cluster_view import ClusterView, SideView
from failover.health.scope import slot_name
from failover.health.view import View
from failover.model import Automation, Epoch, Lsn, SiteName, TimelineId
from failover.policy import Policy
from failover.state import ClusterState, GroupState, StandbyScope

# Of `failover check`: what has to be right before a guard holds a server to the lease.
CHECKS = (
    "guard-session",
    "guard-lease",
    "zookeeper-quorum",
    "patroni-members",
    "patroni-lease",
    "patroni-failsafe",
    "patroni-rewind",
    "patroni-pause",
    "permit-hook",
    "start-barrier",
    "barrier-door",
    "acknowledgement-barrier",
    "postgresql-answers",
    "replication-streaming",
    "postgresql-version",
    "postgresql-identity",
    "configuration",
)


SYNCHRONOUS = (
    "protection is synchronous, and nobody is on record with everything yet: no primary would get "
    "its permit. Nothing is held so far, and so nothing lost by "
    "`failover protection max-performance --accept-data-loss`; set it again when it is armed"
)


def active_site(view: View) -> SiteName | None:
    """Where the ordinary scopes are, of every cluster; None: they are not at one site."""
    found = {
        side.site
        for cluster in view.clusters
        for side in cluster.sides
        if side.config is not None and not side.config.is_standby_cluster
    }
    return found.pop() if len(found) == 1 else None


def against_arming(view: View) -> tuple[str, ...]:
    """What the checks do not look at, because it is judged by a claim once there is one."""
    return tuple(_against(view))


def _against(view: View) -> Iterator[str]:
    state = view.state
    if state is not None and state.plan is not None:
        yield f"a plan is under way: {state.plan.kind}"
    if state is not None and state.protection.synchronous:
        yield SYNCHRONOUS
    if state is not None and not state.armed:
        # It would keep its claim of the epoch before, and proxies would be told no.
        yield from still_armed(view)
    if not view.living_observers:
        yield "no controller lives: nobody sees the hosts"
        return
    active = active_site(view)
    if active is None:
        yield "of every cluster one site has an ordinary scope, the other a standby cluster of it"
        return
    for cluster in view.clusters:
        here, there = cluster.sides if cluster.active.site == active else cluster.sides[::-1]
        yield from _of_cluster(view.policy, cluster, here, there)


def _of_cluster(
    policy: Policy, cluster: ClusterView, here: SideView, there: SideView
) -> Iterator[str]:
    primaries = [host.host.name for host in here.working_primaries]
    if len(primaries) != 1:
        yield f"{cluster.name}: primaries in {here.site}: {', '.join(primaries) or 'none'}"
    if there.working_primaries:
        yield f"{cluster.name}: a server out of recovery in {there.site}"
    if there.standby_leader is None:
        yield f"{cluster.name}: no standby leader in {there.site}"
    for host in (*here.hosts, *there.hosts):
        if host.guard is None:
            yield f"{host.host.name}: its guard gives no answer"
        elif not host.guard.worker_alive:
            yield f"{host.host.name}: the worker of its guard is down"
    slot = slot_name(there.site)
    slots = here.config.document.get("slots") if here.config is not None else None
    if slot not in (slots or {}):
        yield f"{cluster.name}: no slot {slot} in the scope of {here.site}"
    if here.config is not None and here.config.sync_names:
        yield f"{cluster.name}: synchronous_standby_names is not the controllers'"


def not_yet(view: View) -> tuple[str, ...]:
    """What is still missing of an armed group."""
    return tuple(_missing(view))


def _missing(view: View) -> Iterator[str]:
    """A guard that knows the epoch has read the record that arms it: what is seen of it may be from
    before it was disarmed."""
    epoch = view.state.epoch if view.state is not None else None
    for cluster in view.clusters:
        claim = cluster.claim.claim if cluster.claim is not None else None
        if cluster.primary is None or claim is None or claim.epoch != epoch:
            yield f"{cluster.name}: its primary holds no claim"
        working = [h for side in cluster.sides for h in side.working_primaries]
        if len(working) > 1:
            yield f"{cluster.name}: more than one server works as primary"
        for host in working:
            if host.guard is None or not host.guard.granted:
                yield f"{host.host.name}: its guard holds no grant"
        for side in cluster.sides:
            for host in side.hosts:
                guard = host.guard
                if guard is None or not guard.armed or guard.epoch != epoch:
                    yield f"{host.host.name}: its guard is not armed"


def still_armed(view: View) -> tuple[str, ...]:
    """What is not yet given back of a group that was disarmed."""
    found = [f"{c.name}: its claim is held" for c in view.clusters if c.claim_held is not False]
    for cluster in view.clusters:
        for side in cluster.sides:
            found += [
                f"{host.host.name}: its guard "
                + ("gives no answer" if host.guard is None else "is armed")
                for host in side.hosts
                if host.guard is None or host.guard.armed
            ]
    return tuple(found)


def armed(state: GroupState, active: SiteName, now_unix_s: float) -> GroupState:
    """A new arrangement: what was recorded before this pair was left to itself says nothing."""
    fresh = ClusterState(
        min_lsn=Lsn(0), timeline=TimelineId(1), promoted=True, standby=StandbyScope.FOLLOWING
    )
    return replace(
        state,
        armed=True,
        arming=True,
        epoch=Epoch(state.epoch + 1),
        active_site=active,
        clusters=dict.fromkeys(state.clusters, fresh),
        in_sync=False,
        automation=Automation.OBSERVE,
        epoch_started_unix_s=now_unix_s,
        proving=False,
    )


def against_disarming(state: GroupState) -> str:
    """What nobody would bring to its end then; empty: nothing speaks against it."""
    if state.plan is not None:
        return f"a plan is under way ({state.plan.kind}): wait for its end"
    if state.protection.synchronous:
        return (
            f"protection is {state.protection}: commits may wait for standbys, and nobody would "
            "end that when one is lost. `failover protection max-performance` first"
        )
    for name, cluster in sorted(state.clusters.items()):
        if cluster.standby is not StandbyScope.FOLLOWING:
            return f"{name}: a site stands in quarantine, and nobody would reinstate it"
        if not cluster.promoted:
            return f"{name}: a promotion is not on record, so who may be promoted is limited still"
    return ""


def disarmed(state: GroupState) -> GroupState:
    """The same, held by nobody: controllers only look."""
    return replace(state, armed=False, arming=False, automation=Automation.OBSERVE)


def confirmed(state: GroupState, epoch: Epoch) -> GroupState:
    """Every guard was seen to be armed in this epoch; the same where another one has begun."""
    return replace(state, arming=False) if state.armed and state.epoch == epoch else state


def taken_back(state: GroupState, epoch: Epoch) -> GroupState:
    """Disarmed, where it is still the arming of this epoch that did not come to its end."""
    return disarmed(state) if state.arming and state.epoch == epoch else state
