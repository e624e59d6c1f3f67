"""The preconditions of a takeover, each with its evidence. Pure.

Invariant: a gate passes only on something seen. Unknown is None and holds (I5). Gates read the
view and nothing else; none of them is the safety argument, which is the transaction's proof (I2).
"""

from __future__ import annotations

from math import inf

from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView
from failover.health.sightings import some
from failover.health.view import View
from failover.model import Automation, HostName, Invariant, ProtectionMode
from failover.planning.plan import Gate
from failover.replication.loss import Loss, LossUnknown, cluster_loss
from failover.residency.allowlist import candidates
from failover.state import GroupState

# What was received may end in the middle of a record, which nobody can replay any more: a primary
# sends what it has flushed, and it flushes whole pages too. Nothing is given up by it: PostgreSQL
# replays all the WAL it has before a promotion ends. The gate keeps that short.
UNREPLAYED_BYTES_MAX = 1024 * 1024


def takeover_gates(view: View) -> tuple[Gate, ...]:
    """Every precondition of moving the group to the standby site, group first."""
    if view.store_problem or view.state is None or view.state_version is None:
        return (state_readable(view),)
    group = automation_gates(view, view.state)
    return (*group, *(gate for c in view.clusters for gate in cluster_gates(view, c)))


def automation_gates(view: View, state: GroupState) -> tuple[Gate, ...]:
    """Whether automation may move the group at all."""
    return (
        state_readable(view),
        *group_armed(state),
        nothing_under_way(state),
        _automation(state),
        _not_paused(view, state),
        _no_cooldown(view, state),
        living_observer(view),
        claims_prove(state),
    )


def cluster_gates(view: View, cluster: ClusterView) -> tuple[Gate, ...]:
    """Those of one cluster: the old site first, then the new one."""
    return (
        claim_gone(view, cluster),
        _local_recovery_over(view, cluster),
        no_working_primary(cluster),
        _old_scope_unpaused(cluster),
        old_scope_unfenced(cluster),
        new_scope_follows(cluster),
        new_scope_unpaused(cluster),
        residency(view, cluster),
        standby_leader_ready(cluster),
        wal_replayed(cluster),
        *seen_since_the_claim(view, cluster),
        protection(view, cluster),
        within_budget(view, cluster, cluster_loss(view, cluster)),
    )


# --------------------------------------------------------------------------- the group


def state_readable(view: View) -> Gate:
    if view.store_problem:
        return Gate("state_readable", None, view.store_problem, Invariant.DOUBT_MEANS_HOLD)
    if view.state is None or view.state_version is None:
        text = view.state_problem or "there is no state"
        return Gate("state_readable", None, text, Invariant.DOUBT_MEANS_HOLD)
    text = f"epoch {view.state.epoch}, {view.state.active_site} active"
    return Gate("state_readable", True, text, Invariant.DOUBT_MEANS_HOLD)


def group_armed(state: GroupState | None) -> tuple[Gate, ...]:
    """Where a guard may hold nothing, a server that nobody sees writes without claim and deadline.

    Nothing is said of a group that was never adopted, or whose guards are all armed.
    """
    if state is None or state.may_move:
        return ()
    how_far = "not every guard is known to be armed" if state.armed else "the guards are not armed"
    text = f"{how_far}: that no claim is seen proves nothing (`failover adopt arm`)"
    return (Gate("group_armed", False, text, Invariant.SINGLE_WRITER),)


def nothing_under_way(state: GroupState) -> Gate:
    name, invariant = "nothing_under_way", Invariant.RESUMABLE
    if state.plan is not None:
        return Gate(name, False, f"plan {state.plan.id} ({state.plan.kind}) stands", invariant)
    waiting = [str(name) for name, c in state.clusters.items() if not c.promoted]
    if waiting:
        text = f"epoch {state.epoch} is not promoted yet: {', '.join(waiting)}"
        return Gate(name, False, text, invariant)
    return Gate(name, True, "no plan, and the last promotion is on record", invariant)


def _automation(state: GroupState) -> Gate:
    text = f"automation is {state.automation}"
    passes = state.automation is Automation.AUTO
    return Gate("automation_auto", passes, text, Invariant.DOUBT_MEANS_HOLD)


def _not_paused(view: View, state: GroupState) -> Gate:
    return until(view, "automation_not_paused", "pause by an operator", state.paused_until_unix_s)


def _no_cooldown(view: View, state: GroupState) -> Gate:
    return until(view, "no_cooldown", "cooldown since the last change", state.cooldown_until_unix_s)


def until(view: View, name: str, what: str, until_unix_s: float) -> Gate:
    left_s = until_unix_s - view.now_unix_s
    if left_s <= 0:
        return Gate(name, True, f"no {what}", Invariant.DOUBT_MEANS_HOLD)
    text = f"{what}: {left_s:.0f} s left"
    return Gate(name, False, text, Invariant.DOUBT_MEANS_HOLD, opens_in_s=left_s)


def living_observer(view: View) -> Gate:
    alive = bool(view.living_observers)
    return Gate("living_observer", alive, tell.observers(view), Invariant.DOUBT_MEANS_HOLD)


def claims_prove(state: GroupState) -> Gate:
    """Not where the quorum was rebuilt without the active site: that one may have its own."""
    name, site = "claims_prove", state.active_site
    if unproven(state):
        text = (
            f"the quorum was rebuilt without {site}: only a human can say that it is fenced "
            "(`failover takeover --i-have-fenced`)"
        )
        return Gate(name, False, text, Invariant.SINGLE_WRITER)
    return Gate(name, True, f"{site} and this ensemble are one", Invariant.SINGLE_WRITER)


def unproven(state: GroupState) -> bool:
    """No claim of the active site here proves nothing about it."""
    return state.unproven_site == state.active_site


# --------------------------------------------------------------------------- the old site


def claim_gone(view: View, cluster: ClusterView) -> Gate:
    """True only where this reader saw that there is none; the transaction proves it again."""
    held = cluster.claim_held
    opens_in_s = None
    if held and ask.active_reached_from_outside(view) is False:
        silent_s = min((host.unreachable_s for host in cluster.active.hosts), default=0.0)
        opens_in_s = max(0.0, view.policy.lease_s - silent_s)
    passes = None if held is None else not held
    text = tell.claim(cluster)
    invariant = Invariant.SINGLE_WRITER
    return Gate("claim_gone", passes, text, invariant, cluster.name, opens_in_s)


def _local_recovery_over(view: View, cluster: ClusterView) -> Gate:
    """Only where somebody reaches a host there that could take the lease."""
    name, invariant = "local_recovery_over", Invariant.ONE_FAULT_NO_HARM
    able = [h.host.name for h in cluster.active.hosts if cluster.may_lead(h)]
    if not able:
        text = f"no living observer reaches a host in {cluster.active.site} that could lead"
        return Gate(name, True, text, invariant, cluster.name)
    left_s = view.policy.local_recovery_s - cluster.claim_absent_for_s
    text = (
        f"{', '.join(able)} could take the lease; no claim for {cluster.claim_absent_for_s:.1f} s "
        f"of {view.policy.local_recovery_s:g} s"
    )
    # While the claim is held its time has not begun, so nothing can be said of its end.
    opens_in_s = left_s if left_s > 0 and cluster.claim_held is False else None
    return Gate(name, left_s <= 0, text, invariant, cluster.name, opens_in_s)


def no_working_primary(cluster: ClusterView) -> Gate:
    """Silence counts here only because the claim is gone as well."""
    working = [tell.host(h) for h in cluster.active.working_primaries]
    text = "; ".join(working) or f"nobody reaches a working primary in {cluster.active.site}"
    invariant = Invariant.SINGLE_WRITER
    return Gate("no_working_primary", not working, text, invariant, cluster.name)


def _old_scope_unpaused(cluster: ClusterView) -> Gate:
    return unpaused("old_scope_not_paused", cluster, cluster.active.paused, cluster.active.site)


def new_scope_unpaused(cluster: ClusterView) -> Gate:
    return unpaused("new_scope_not_paused", cluster, cluster.standby.paused, cluster.standby.site)


def unpaused(
    name: str,
    cluster: ClusterView,
    paused: bool | None,
    site: str,
    invariant: Invariant = Invariant.SINGLE_WRITER,
) -> Gate:
    said = {True: "is paused", False: "is not paused", None: "has no usable configuration"}
    passes = None if paused is None else not paused
    text = f"{cluster.name}-{site} {said[paused]}"
    return Gate(name, passes, text, invariant, cluster.name)


def old_scope_unfenced(cluster: ClusterView) -> Gate:
    """A fence or quarantine at the site that is active on record contradicts the record."""
    name, invariant = "old_scope_not_fenced", Invariant.DOUBT_MEANS_HOLD
    side = cluster.active
    if side.scope is None or side.config is None:
        text = f"{cluster.name}-{side.site} could not be read"
        return Gate(name, None, text, invariant, cluster.name)
    if side.fenced or side.config.is_standby_cluster:
        text = f"{cluster.name}-{side.site} is fenced or a standby cluster, against the record"
        return Gate(name, False, text, invariant, cluster.name)
    text = f"{cluster.name}-{side.site} is an ordinary cluster"
    return Gate(name, True, text, invariant, cluster.name)


# --------------------------------------------------------------------------- the new site


def new_scope_follows(cluster: ClusterView) -> Gate:
    name, invariant = "new_scope_follows", Invariant.PROOF_BEFORE_PROMOTION
    side = cluster.standby
    scope = f"{cluster.name}-{side.site}"
    if side.scope is None or side.config is None:
        return Gate(name, None, f"{scope} could not be read", invariant, cluster.name)
    if not ask.recorded_following(cluster):
        return Gate(name, False, f"{scope} is in quarantine on record", invariant, cluster.name)
    if side.fenced or side.config.is_quarantine:
        return Gate(name, False, f"{scope} is fenced or in quarantine", invariant, cluster.name)
    if not side.config.is_standby_cluster:
        return Gate(name, False, f"{scope} is not a standby cluster", invariant, cluster.name)
    return Gate(name, True, f"{scope} is a standby cluster", invariant, cluster.name)


def residency(view: View, cluster: ClusterView) -> Gate:
    """Every host that Patroni might promote there, before any of them is considered, and every
    host that the state names: an edited record leads nowhere outside."""
    named = outside_on_record(view, cluster)
    if named:
        text = f"the state names {', '.join(named)}, declared nowhere"
        return Gate("residency", False, text, Invariant.IN_COUNTRY, cluster.name)
    hosts = [host.host for host in cluster.standby.hosts]
    denied = [h for h in hosts if h not in candidates(view.policy, hosts, view.now_unix_s)]
    text = (
        "outside the declared networks: " + ", ".join(f"{h.name} ({h.address})" for h in denied)
        if denied
        else f"every host in {cluster.standby.site} stands in a declared network"
    )
    passes = bool(hosts) and not denied
    return Gate("residency", passes, text, Invariant.IN_COUNTRY, cluster.name)


def outside_on_record(view: View, cluster: ClusterView) -> tuple[HostName, ...]:
    """Hosts of which ``state`` says that they have everything, and which may hold nothing."""
    recorded = cluster.recorded.have if cluster.recorded is not None else ()
    hosts = view.policy.cluster(cluster.name).hosts
    inside = {host.name for host in candidates(view.policy, hosts, view.now_unix_s)}
    return tuple(name for name in recorded if name not in inside)


def standby_leader_ready(cluster: ClusterView) -> Gate:
    name, invariant = "standby_leader_ready", Invariant.PROOF_BEFORE_PROMOTION
    leader = cluster.standby.standby_leader
    if leader is None:
        reached = some(host.reached for host in cluster.standby.hosts)
        text = f"no host in {cluster.standby.site} is seen as standby leader"
        return Gate(name, False if reached else None, text, invariant, cluster.name)
    host = next(h for h in cluster.standby.hosts if h.host == leader.host)
    if host.refused_since:
        # What it had may be gone: min_lsn of what nobody has would let nobody be promoted.
        text = f"{leader.host.name} leads, but its PostgreSQL is down since it was seen"
        return Gate(name, False, text, invariant, cluster.name)
    text = f"{leader.host.name} leads, timeline {leader.postgres.timeline}"
    return Gate(name, True, text, invariant, cluster.name)


def wal_replayed(cluster: ClusterView) -> Gate:
    name, invariant = "received_wal_replayed", Invariant.NOTHING_LOST_SILENTLY
    leader = cluster.standby.standby_leader
    received = leader.postgres.received_lsn if leader is not None else None
    replayed = leader.postgres.replayed_lsn if leader is not None else None
    if received is None or replayed is None:
        text = f"received {received or 'unknown'}, replayed {replayed or 'unknown'}"
        return Gate(name, None, text, invariant, cluster.name)
    text = f"received {received}, replayed {replayed}"
    if received < replayed:
        # It has just begun the first segment of a new timeline. Promoted from half a segment,
        # PostgreSQL ends in "PANIC: invalid magic number in WAL segment" and does not start again.
        text += ": the segment of its timeline is not whole yet"
    unreplayed_bytes = received - replayed
    passes = 0 <= unreplayed_bytes <= UNREPLAYED_BYTES_MAX
    return Gate(name, passes, text, invariant, cluster.name)


def seen_since_the_claim(view: View, cluster: ClusterView) -> tuple[Gate, ...]:
    """In sync on record: the new site's leader was looked at after the last acknowledgement.

    What it had then is the ``min_lsn`` of the next epoch. By an older look a host behind it,
    without the last commits, could be promoted in its place. Asynchronously that is part of the
    loss.
    """
    leader, state = cluster.standby.standby_leader, view.state
    if state is None or leader is None or not (state.protection.synchronous and state.in_sync):
        return ()
    name, gone_for_s = "seen_since_the_claim", cluster.claim_absent_for_s
    host = next(h for h in cluster.standby.hosts if h.host == leader.host)
    since = host.postgres_after(gone_for_s)
    text = f"{leader.host.name} was{'' if since else ' not'} seen since the claim has gone"
    invariant = Invariant.NOTHING_LOST_SILENTLY
    opens_in_s = None if since else 0.0  # it only has to be asked again
    return (Gate(name, since, text, invariant, cluster.name, opens_in_s),)


def protection(view: View, cluster: ClusterView) -> Gate:
    """The synchronous modes move without loss or, where degraded on record, by the budget."""
    name, invariant = "protection", Invariant.NOTHING_LOST_SILENTLY
    state = view.state
    if state is None:
        return Gate(name, None, "no state", invariant, cluster.name)
    text = f"{state.protection}, {'in sync' if state.in_sync else 'not in sync'} on record"
    degraded = state.protection is ProtectionMode.MAX_PROTECTION and not state.in_sync
    return Gate(name, not degraded, text, invariant, cluster.name)


def within_budget(view: View, cluster: ClusterView, loss: Loss) -> Gate:
    name, invariant = "loss_within_budget", Invariant.NOTHING_LOST_SILENTLY
    if isinstance(loss, LossUnknown):
        return Gate(name, None, loss.reason, invariant, cluster.name)
    budget = view.policy.loss_budget
    text = (
        f"behind {loss.behind_bytes} bytes / {loss.behind_s:.1f} s, isolation window at most "
        f"{loss.isolation_bytes} bytes / {loss.isolation_s:.1f} s; "
        f"budget {budget.bytes} bytes / {budget.seconds:g} s"
    )
    above = []
    if loss.bytes > budget.bytes:
        above.append(f"{loss.bytes - budget.bytes} bytes")
    if loss.seconds > budget.seconds:
        above_s = loss.seconds - budget.seconds
        above.append("longer than the samples go back" if above_s == inf else f"{above_s:.1f} s")
    text += f"; above it by {' and '.join(above)}" if above else ""
    return Gate(name, not above, text, invariant, cluster.name)
