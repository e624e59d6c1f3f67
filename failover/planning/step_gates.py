"""The preconditions of the steps that are not a takeover. Pure.

None of them moves the active site. Bookkeeping of a takeover that was committed is done in every
mode of automation; the rest not in ``observe``, where the controller decides on paper only.
"""

from __future__ import annotations

from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView
from failover.health.sightings import Tri
from failover.health.view import View
from failover.model import Automation, Invariant
from failover.planning.gates import unpaused
from failover.planning.plan import Gate
from failover.residency.allowlist import allowed
from failover.state import SalvagePhase

# Restarting the leader moves it to the witness in most elections, not in all: a rival that has
# logged one write more wins. So it is tried again, each time after twice as long.
RESTART_INTERVAL_S = 30.0
RESTART_INTERVAL_S_MAX = 600.0
# Of what an election means for the rest, a stopped server say, observers know seconds later.
ENSEMBLE_SETTLED_S = 10.0
RESTARTS_COUNTED_S = 3600.0  # what is longer ago was another story


def record_gates(cluster: ClusterView) -> tuple[Gate, ...]:
    """The promotion of one cluster is done."""
    return (claim_held(cluster), primary_works(cluster))


def follow_gates(view: View, cluster: ClusterView) -> tuple[Gate, ...]:
    """The standby scope may be pointed at the present primary."""
    return (
        automation_acts(view),
        primary_works(cluster),
        _upstream_in_country(view, cluster),
        _scope_readable(cluster),
        _standby_unpaused(cluster),
    )


def reinstate_gates(view: View, cluster: ClusterView) -> tuple[Gate, ...]:
    """The quarantine of the standby scope may be lifted."""
    return (
        automation_acts(view),
        primary_works(cluster),
        _upstream_in_country(view, cluster),
        _scope_readable(cluster),
        _standby_unpaused(cluster),
        _quarantined(cluster),
        _one_host_salvaged(view, cluster),
    )


def restart_gates(view: View) -> tuple[Gate, ...]:
    """ZooKeeper's leader may be restarted: everything else is well, and it was not just done."""
    invariant = Invariant.ONE_FAULT_NO_HARM
    return (
        automation_acts(view),
        Gate(
            "restart_command",
            view.policy.zookeeper_restart_command is not None,
            f"zookeeper_restart_command: {view.policy.zookeeper_restart_command or 'not set'}",
            invariant,
        ),
        _restart_allowed(view),
        _ensemble_settled(view),
        Gate(
            "every_server_serves",
            not ask.zookeeper_degraded(view),
            "; ".join(tell.zookeeper(view)),
            invariant,
        ),
        Gate(
            "every_observer_lives", not ask.silent_observers(view), tell.observers(view), invariant
        ),
        *(primary_works(cluster) for cluster in view.clusters),
        *(streams(cluster) for cluster in view.clusters),
    )


# --------------------------------------------------------------------------- single gates


def automation_acts(view: View) -> Gate:
    automation = view.state.automation if view.state is not None else None
    passes = None if automation is None else automation is not Automation.OBSERVE
    text = f"automation is {automation or 'unknown'}"
    return Gate("automation_acts", passes, text, Invariant.DOUBT_MEANS_HOLD)


def claim_held(cluster: ClusterView) -> Gate:
    """At the active site, in the present epoch (a verdict above would have said otherwise)."""
    held = cluster.claim_held
    passes = None if held is None else cluster.holder is not None
    text = tell.claim(cluster)
    return Gate("claim_held", passes, text, Invariant.SINGLE_WRITER, cluster.name)


def primary_works(cluster: ClusterView) -> Gate:
    holder = cluster.holder
    nobody = None if cluster.claim_held is None else False
    works = holder.working_primary if holder is not None else nobody
    text = tell.host(holder) if holder is not None else tell.claim(cluster)
    invariant = Invariant.PROOF_BEFORE_PROMOTION
    return Gate("primary_works", works, text, invariant, cluster.name)


def _restart_allowed(view: View) -> Gate:
    """Not again before an interval that doubles with every restart of the last hour."""
    name, invariant = "zookeeper_restart_allowed", Invariant.ONE_FAULT_NO_HARM
    restarts = [s for s in view.zookeeper_restarts_s_ago if s < RESTARTS_COUNTED_S]
    if not restarts:
        return Gate(name, True, "not restarted lately", invariant)
    interval_s = min(RESTART_INTERVAL_S * 2 ** (len(restarts) - 1), RESTART_INTERVAL_S_MAX)
    left_s = interval_s - min(restarts)
    text = (
        f"restarted {min(restarts):.0f} s ago, {len(restarts)} times in an hour: "
        f"not again within {interval_s:.0f} s"
    )
    return Gate(name, left_s <= 0, text, invariant, opens_in_s=left_s if left_s > 0 else None)


def _ensemble_settled(view: View) -> Gate:
    """A leader that was just elected may have followed one that hangs: restarted now, it would
    leave the ensemble without a majority, and the primary without its lease."""
    left_s = ENSEMBLE_SETTLED_S - view.ensemble_unchanged_for_s
    text = f"leader and servers as they are for {view.ensemble_unchanged_for_s:.0f} s"
    text += f", at least {ENSEMBLE_SETTLED_S:.0f} s are needed"
    opens_in_s = left_s if left_s > 0 else None
    return Gate(
        "ensemble_settled", left_s <= 0, text, Invariant.ONE_FAULT_NO_HARM, opens_in_s=opens_in_s
    )


def _upstream_in_country(view: View, cluster: ClusterView) -> Gate:
    name, invariant = "upstream_in_country", Invariant.IN_COUNTRY
    primary = cluster.primary
    if primary is None:
        return Gate(name, None, "no primary to stream from", invariant, cluster.name)
    inside = allowed(view.policy, primary.host, view.now_unix_s)
    where = "in" if inside else "outside"
    text = f"{primary.host.name} ({primary.host.address}) is {where} the declared networks"
    return Gate(name, inside, text, invariant, cluster.name)


def _scope_readable(cluster: ClusterView) -> Gate:
    readable = cluster.standby.scope is not None and cluster.standby.config is not None
    scope = f"{cluster.name}-{cluster.standby.site}"
    text = f"{scope} was read" if readable else f"{scope} has no usable configuration"
    passes = True if readable else None
    return Gate("scope_readable", passes, text, Invariant.DOUBT_MEANS_HOLD, cluster.name)


def _standby_unpaused(cluster: ClusterView) -> Gate:
    side = cluster.standby
    invariant = Invariant.DOUBT_MEANS_HOLD
    return unpaused("standby_not_paused", cluster, side.paused, side.site, invariant)


def _quarantined(cluster: ClusterView) -> Gate:
    """The fence and the quarantine are what the takeover left: nobody has touched them."""
    config, fenced = cluster.standby.config, cluster.standby.fenced
    passes = None if config is None or fenced is None else config.is_quarantine and fenced
    said = {
        True: "is fenced and in quarantine",
        False: "is not fenced and in quarantine",
        None: "has no usable configuration",
    }
    text = f"{cluster.name}-{cluster.standby.site} {said[passes]}"
    return Gate("still_quarantined", passes, text, Invariant.DOUBT_MEANS_HOLD, cluster.name)


def _one_host_salvaged(view: View, cluster: ClusterView) -> Gate:
    """Nothing is rewound before the divergent WAL of one host is copied; the other hosts salvage
    at their own rewind barrier."""
    name, invariant = "one_host_salvaged", Invariant.NOTHING_LOST_SILENTLY
    epoch = view.state.epoch if view.state is not None else None
    records = [r for r in cluster.salvage if r.epoch == epoch and r.site == cluster.standby.site]
    done = any(record.phase is SalvagePhase.DONE for record in records)
    said = [f"{r.host} {r.phase} {r.detail}".strip() for r in records]
    text = ", ".join(said) or f"no host in {cluster.standby.site} has begun"
    return Gate(name, done, text, invariant, cluster.name)


def streams(cluster: ClusterView) -> Gate:
    passes: Tri = ask.recorded_following(cluster) and ask.streaming(cluster)
    side = cluster.standby
    if not passes and (side.scope is None or all(host.postgres is None for host in side.hosts)):
        passes = None
    said = {True: "streams", False: "does not stream", None: "is not seen: nobody knows"}
    text = f"{side.site} {said[passes]}"
    return Gate("standby_streams", passes, text, Invariant.ONE_FAULT_NO_HARM, cluster.name)
