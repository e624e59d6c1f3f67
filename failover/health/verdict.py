"""The named failure scenarios: view → verdict. Pure, no side effects.

``RULES`` is the whole of it: rows in order, the first that matches is the verdict, the last one
always matches. A row may rely on every row above it not matching. Where a row would need a flag,
the view or its predicates lack a concept. What a verdict asks for still has to pass its gates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health.view import View


class Consequence(StrEnum):
    """What a verdict asks the planner for. Whether it may is for the gates to say."""

    NOTHING = "nothing"
    HOLD = "hold"
    TAKEOVER = "takeover"
    RECORD_PROMOTION = "record_promotion"
    REINSTATE = "reinstate"
    FOLLOW = "follow"
    RESTART_ZOOKEEPER = "restart_zookeeper"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scenario that the view matches. ``page``: a human is needed now.

    ``also``: the codes of rows further down that match as well and that this one outranks.
    """

    code: str
    sentence: str
    consequence: Consequence
    evidence: tuple[str, ...]
    page: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``sentence`` may name ``{active}`` and ``{standby}``, the two data sites."""

    code: str
    sentence: str
    matches: Callable[[View], bool]
    evidence: Callable[[View], tuple[str, ...]]
    consequence: Consequence
    page: bool = False


def judge(view: View) -> Verdict:
    """The first row that matches; the last one always does."""
    index, rule = next((i, rule) for i, rule in enumerate(RULES) if rule.matches(view))
    names = {"active": view.active_site.capitalize(), "standby": view.standby_site.capitalize()}
    usable = view.state is not None and not view.store_problem
    lower = (other for other in RULES[index + 1 : -2] if usable and other.matches(view))
    return Verdict(
        code=rule.code,
        sentence=rule.sentence.format(**names),
        consequence=rule.consequence,
        evidence=rule.evidence(view),
        page=rule.page,
        also=tuple(other.code for other in lower),
    )


# --------------------------------------------------------------------------- predicates of rows


def _quorum_lost(view: View) -> bool:
    return bool(view.store_problem)


def _state_unreadable(view: View) -> bool:
    claims = (cluster.claim for cluster in view.clusters)
    return bool(view.state_problem) or any(claim and claim.problem for claim in claims)


def _not_initialised(view: View) -> bool:
    return view.state is None


def _split_brain_suspected(view: View) -> bool:
    return any(
        len(ask.writing_sites(view, cluster)) > 1 or ask.claim_out_of_place(view, cluster)
        for cluster in view.clusters
    )


def _primary_without_claim(view: View) -> bool:
    return any(ask.primaries_without_claim(cluster) for cluster in view.clusters)


def _switchover_in_progress(view: View) -> bool:
    return view.state is not None and view.state.plan is not None


def _takeover_in_progress(view: View) -> bool:
    return any(c.recorded is not None and not c.recorded.promoted for c in view.clusters)


def _patroni_paused(view: View) -> bool:
    return any(side.paused for cluster in view.clusters for side in cluster.sides)


def _site_isolated(view: View) -> bool:
    return (
        any(cluster.claim_held for cluster in view.clusters)
        and ask.active_reached_from_outside(view) is False
    )


def _site_lost(view: View) -> bool:
    return (
        bool(view.living_observers)
        and ask.all_claims_gone(view)
        and not any(cluster.active.could_take_lease for cluster in view.clusters)
    )


def _primary_down_local_recovery(view: View) -> bool:
    down = ask.down_clusters(view)
    observed = bool(view.living_observers)
    return observed and bool(down) and all(ask.may_recover_locally(view, c) for c in down)


def _local_recovery_failed(view: View) -> bool:
    return bool(view.living_observers) and ask.all_claims_gone(view)


def _group_partly_down(view: View) -> bool:
    held = {cluster.claim_held for cluster in view.clusters}
    return bool(view.living_observers) and held == {True, False}


def _primary_unusable(view: View) -> bool:
    held = all(cluster.claim_held for cluster in view.clusters)
    return bool(view.living_observers) and held and not ask.all_serving(view)


def _standby_scope_altered(view: View) -> bool:
    altered = any(ask.standby_scope_altered(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and altered


def _standby_upstream_outdated(view: View) -> bool:
    outdated = any(ask.upstream_outdated(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and outdated


def _standby_site_lost(view: View) -> bool:
    return ask.all_serving(view) and ask.standby_reached(view) is not True


def _link_down(view: View) -> bool:
    return ask.all_serving(view) and ask.link_down(view)


def _reinstating(view: View) -> bool:
    quarantined = any(not ask.recorded_following(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and quarantined


def _standby_not_streaming(view: View) -> bool:
    streaming = all(ask.streaming(cluster) for cluster in view.clusters)
    return ask.all_serving(view) and not streaming


def _witness_lost(view: View) -> bool:
    return ask.all_serving(view) and ask.witness_lost(view)


def _zookeeper_degraded(view: View) -> bool:
    return ask.all_serving(view) and ask.zookeeper_degraded(view)


def _zookeeper_leader_misplaced(view: View) -> bool:
    return ask.all_serving(view) and ask.zookeeper_leader_misplaced(view)


def _controller_lost(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.silent_observers(view))


def _database_host_lost(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.lost_hosts(view))


def _patroni_missing(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.hosts_without_patroni(view))


def _guard_missing(view: View) -> bool:
    return ask.all_serving(view) and bool(ask.hosts_without_guard(view))


def _always(view: View) -> bool:
    return True


# --------------------------------------------------------------------------- the table

RULES: tuple[Rule, ...] = (
    Rule(
        "quorum_lost",
        "ZooKeeper does not answer here: without its quorum nothing can be decided",
        _quorum_lost,
        tell.store,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "state_unreadable",
        "The recorded state cannot be understood; nothing is decided until it is repaired",
        _state_unreadable,
        tell.state,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "not_initialised",
        "There is no recorded state yet: `failover init` creates it and arms the guards",
        _not_initialised,
        tell.state,
        Consequence.HOLD,
    ),
    Rule(
        "split_brain_suspected",
        "More than one place looks as if it might write; nothing is touched",
        _split_brain_suspected,
        tell.writers,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "primary_without_claim",
        "A server out of recovery is reached that no writer claim covers",
        _primary_without_claim,
        tell.writers,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "switchover_in_progress",
        "A switchover is under way; nothing else is started until it ends or its deadline passes",
        _switchover_in_progress,
        tell.plan,
        Consequence.HOLD,
    ),
    Rule(
        "takeover_in_progress",
        "{active} has been made the active site; its promotion is not on record yet",
        _takeover_in_progress,
        tell.active_side,
        Consequence.RECORD_PROMOTION,
    ),
    Rule(
        "patroni_paused",
        "Patroni is paused: a human has taken over, and a paused site neither demotes nor promotes",
        _patroni_paused,
        tell.pauses,
        Consequence.HOLD,
    ),
    Rule(
        "site_isolated",
        "{active} answers nobody outside, but a claim is held: waiting for the lease to end",
        _site_isolated,
        tell.active_side,
        Consequence.HOLD,
    ),
    Rule(
        "site_lost",
        "{active} is lost: its claims are gone and no host there can be reached to take them",
        _site_lost,
        tell.active_side,
        Consequence.TAKEOVER,
        page=True,
    ),
    Rule(
        "primary_down_local_recovery",
        "The primary in {active} is down; the site gets its time to help itself",
        _primary_down_local_recovery,
        tell.active_side,
        Consequence.HOLD,
    ),
    Rule(
        "local_recovery_failed",
        "Hosts of {active} answer, but in the time they had none took the claim",
        _local_recovery_failed,
        tell.active_side,
        Consequence.TAKEOVER,
        page=True,
    ),
    Rule(
        "group_partly_down",
        "A claim is gone and another is held: the clusters move together or not at all",
        _group_partly_down,
        tell.active_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "primary_unusable",
        "The claim is held but nobody reaches a working primary; a live claim is never broken",
        _primary_unusable,
        tell.active_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "standby_scope_altered",
        "Patroni's configuration in {standby} is not what was agreed: a takeover would not work",
        _standby_scope_altered,
        tell.standby_scopes,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "standby_upstream_outdated",
        "{standby} is told to stream from a host that is not the primary any more",
        _standby_upstream_outdated,
        tell.standby_scopes,
        Consequence.FOLLOW,
    ),
    Rule(
        "standby_site_lost",
        "{standby} does not answer; {active} goes on alone, unprotected against its own loss",
        _standby_site_lost,
        tell.standby_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "link_down",
        "{active} and {standby} do not reach each other; others see both",
        _link_down,
        tell.cross_reach,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "reinstating",
        "{standby} stands in quarantine on its own branch until its WAL is salvaged",
        _reinstating,
        tell.quarantine,
        Consequence.REINSTATE,
    ),
    Rule(
        "standby_not_streaming",
        "{standby} is reached but does not stream: what it lacks grows",
        _standby_not_streaming,
        tell.standby_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "witness_lost",
        "The witness is lost: the loss of one more site would stop every decision",
        _witness_lost,
        tell.control,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "zookeeper_degraded",
        "A ZooKeeper server is lost: the ensemble serves, with nothing to spare",
        _zookeeper_degraded,
        tell.zookeeper,
        Consequence.HOLD,
    ),
    Rule(
        "zookeeper_leader_misplaced",
        "ZooKeeper's leader is in a data site, whose loss would then cost an election too",
        _zookeeper_leader_misplaced,
        tell.zookeeper,
        Consequence.RESTART_ZOOKEEPER,
    ),
    Rule(
        "controller_lost",
        "A controller is silent: one pair of eyes less",
        _controller_lost,
        tell.control,
        Consequence.HOLD,
    ),
    Rule(
        "database_host_lost",
        "A database host that is not the primary does not answer",
        _database_host_lost,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "patroni_missing",
        "Patroni does not answer on a host: that host cannot be promoted",
        _patroni_missing,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "guard_missing",
        "A guard does not answer or is not armed: that host gets no permit",
        _guard_missing,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "healthy",
        "{active} serves, {standby} streams, every observer agrees",
        ask.all_serving,
        tell.summary,
        Consequence.NOTHING,
    ),
    Rule(
        "insufficient_evidence",
        "Not enough is known to tell what is the matter; doubt means hold",
        _always,
        tell.missing,
        Consequence.HOLD,
        page=True,
    ),
)
