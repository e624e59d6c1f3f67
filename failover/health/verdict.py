"""The named failure scenarios: view → verdict. Pure, no side effects.

``RULES`` is the whole of it: rows in order, the first that matches is the verdict, the last one
always matches. A row may rely on every row above it not matching. Where a row would need a flag,
the view or its predicates lack a concept. What a verdict asks for still has to pass its gates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from failover.health import candidate, protection
from failover.health import evidence as tell
from failover.health import predicates as ask
from failover.health import scenarios as when
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
    ANSWER_REQUEST = "answer_request"
    SWITCHOVER = "switchover"
    BEGIN_TAKEOVER = "begin_takeover"
    END_TAKEOVER = "end_takeover"
    PROTECT = "protect"
    NAME_CANDIDATE = "name_candidate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scenario that the view matches. ``page``: a human is needed now.

    ``also``: of a group that serves, the rows further down that match as well.
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
    lower = RULES[index + 1 : -2] if view.state is not None and ask.all_serving(view) else ()
    return Verdict(
        code=rule.code,
        sentence=rule.sentence.format(**names),
        consequence=rule.consequence,
        evidence=rule.evidence(view),
        page=rule.page,
        also=tuple(other.code for other in lower if other.matches(view)),
    )


# --------------------------------------------------------------------------- the table

RULES: tuple[Rule, ...] = (
    Rule(
        "keys_refused",
        "ZooKeeper answers, and does not let this controller read: nothing can be decided here",
        when.keys_refused,
        tell.refused,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "quorum_lost",
        "ZooKeeper does not answer here: without its quorum nothing can be decided",
        when.quorum_lost,
        tell.store,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "state_unreadable",
        "The recorded state cannot be understood; nothing is decided until it is repaired",
        when.state_unreadable,
        tell.state,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "not_initialised",
        "There is no recorded state yet: `failover init` creates it and arms the guards",
        when.not_initialised,
        tell.state,
        Consequence.HOLD,
    ),
    Rule(
        "unarmed_move_requested",
        "An operator asks to move a group whose guards are not armed: it is refused",
        when.unarmed_move_requested,
        tell.request,
        Consequence.ANSWER_REQUEST,
    ),
    Rule(
        "not_armed",
        "The guards are not armed (`failover adopt arm`): it is looked at, and nothing is done",
        when.not_armed,
        tell.unarmed,
        Consequence.HOLD,
    ),
    Rule(
        "split_brain_suspected",
        "More than one place looks as if it might write; nothing is touched",
        when.split_brain_suspected,
        tell.writers,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "primary_without_claim",
        "A server out of recovery is reached that no writer claim covers",
        when.primary_without_claim,
        tell.writers,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "takeover_requested",
        "An operator asks for a takeover by hand: it is made now, or refused with all reasons",
        when.takeover_requested,
        tell.request,
        Consequence.ANSWER_REQUEST,
    ),
    Rule(
        "switchover_stuck",
        "A switchover neither ends nor goes back although its deadline has passed; writes wait",
        when.switchover_stuck,
        tell.plan,
        Consequence.SWITCHOVER,
        page=True,
    ),
    Rule(
        "switchover_in_progress",
        "A switchover is under way; nothing else is started until it ends or its deadline passes",
        when.switchover_in_progress,
        tell.plan,
        Consequence.SWITCHOVER,
    ),
    Rule(
        "guards_stop_stuck",
        "A takeover that was begun neither ends nor goes back although its deadline has passed",
        when.guards_stop_stuck,
        tell.stops,
        Consequence.END_TAKEOVER,
        page=True,
    ),
    Rule(
        "guards_stop",
        "The guards in {active} stop what holds a claim there, for a takeover that was begun",
        when.guards_stop,
        tell.stops,
        Consequence.END_TAKEOVER,
        page=True,
    ),
    Rule(
        "protection_outdated",
        "Commits in {active} wait for others than they should, or the record can be improved",
        when.protection_outdated,
        protection.change_lines,
        Consequence.PROTECT,
    ),
    Rule(
        "permitted_host_outrun",
        "A host in {active} without a permit outruns the one with it: "
        "Patroni is told whom to promote",
        when.permitted_host_outrun,
        candidate.lines,
        Consequence.NAME_CANDIDATE,
    ),
    Rule(
        "takeover_stuck",
        "{active} was made the active site long ago and no primary works there",
        when.takeover_stuck,
        tell.active_side,
        Consequence.RECORD_PROMOTION,
        page=True,
    ),
    Rule(
        "takeover_in_progress",
        "{active} has been made the active site; its promotion is not on record yet",
        when.takeover_in_progress,
        tell.active_side,
        Consequence.RECORD_PROMOTION,
    ),
    Rule(
        "switchover_requested",
        "An operator asks for a switchover: it is begun now, or refused with all reasons",
        when.switchover_requested,
        tell.request,
        Consequence.ANSWER_REQUEST,
    ),
    Rule(
        "patroni_paused",
        "Patroni is paused: a human has taken over, and a paused site neither demotes nor promotes",
        when.patroni_paused,
        tell.pauses,
        Consequence.HOLD,
    ),
    Rule(
        "site_isolated",
        "{active} answers nobody outside, but a claim is held: waiting for the lease to end",
        when.site_isolated,
        tell.isolation,
        Consequence.HOLD,
    ),
    Rule(
        "site_lost",
        "{active} is lost: its claims are gone and no host there can be reached to take them",
        when.site_lost,
        tell.active_side,
        Consequence.TAKEOVER,
        page=True,
    ),
    Rule(
        "primary_down_local_recovery",
        "The primary in {active} is down; the site gets its time to help itself",
        when.primary_down_local_recovery,
        tell.active_side,
        Consequence.HOLD,
    ),
    Rule(
        "local_recovery_failed",
        "Hosts of {active} answer, but in the time they had none took the claim",
        when.local_recovery_failed,
        tell.active_side,
        Consequence.TAKEOVER,
        page=True,
    ),
    Rule(
        "group_partly_down",
        "A claim is gone and another is held: the clusters move together or not at all",
        when.group_partly_down,
        tell.active_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "primary_unusable",
        "The claim is held but nobody reaches a working primary: only its own guard may end it",
        when.primary_unusable,
        tell.active_side,
        Consequence.BEGIN_TAKEOVER,
        page=True,
    ),
    Rule(
        "standby_scope_altered",
        "Patroni's configuration in {standby} is not what was agreed: a takeover would not work",
        when.standby_scope_altered,
        tell.standby_scopes,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "standby_upstream_outdated",
        "{standby} is told to stream from a host that is not the primary any more",
        when.standby_upstream_outdated,
        tell.standby_scopes,
        Consequence.FOLLOW,
    ),
    Rule(
        "standby_site_lost",
        "{standby} does not answer; {active} goes on alone, unprotected against its own loss",
        when.standby_site_lost,
        tell.standby_side,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "link_down",
        "{active} and {standby} do not reach each other; others see both",
        when.link_down,
        tell.cross_reach,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "reinstating",
        "{standby} stands in quarantine on its own branch until its WAL is salvaged",
        when.reinstating,
        tell.quarantine,
        Consequence.REINSTATE,
    ),
    Rule(
        "standby_not_streaming",
        "{standby} is reached but does not stream: what it lacks grows",
        when.standby_not_streaming,
        tell.not_streaming,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "site_unproven",
        "The quorum was rebuilt without {active}, which is back: automation waits for a human",
        when.site_unproven,
        tell.summary,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "protection_degraded",
        "The protection mode is synchronous, and {standby} is not on record with everything",
        when.protection_degraded,
        protection.lines,
        Consequence.HOLD,
    ),
    Rule(
        "witness_lost",
        "The witness is lost: the loss of one more site would stop every decision",
        when.witness_lost,
        tell.control,
        Consequence.HOLD,
        page=True,
    ),
    Rule(
        "zookeeper_degraded",
        "A ZooKeeper server is lost: the ensemble serves, with nothing to spare",
        when.zookeeper_degraded,
        tell.zookeeper,
        Consequence.HOLD,
    ),
    Rule(
        "zookeeper_leader_misplaced",
        "ZooKeeper's leader is in a data site, whose loss would then cost an election too",
        when.zookeeper_leader_misplaced,
        tell.zookeeper,
        Consequence.RESTART_ZOOKEEPER,
    ),
    Rule(
        "controller_lost",
        "A controller is silent: one pair of eyes less",
        when.controller_lost,
        tell.control,
        Consequence.HOLD,
    ),
    Rule(
        "database_host_lost",
        "A database host that is not the primary does not answer",
        when.database_host_lost,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "patroni_missing",
        "Patroni does not answer on a host: that host cannot be promoted",
        when.patroni_missing,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "guard_missing",
        "A guard does not answer or is not armed: that host gets no permit",
        when.guard_missing,
        tell.hosts,
        Consequence.HOLD,
    ),
    Rule(
        "replica_not_streaming",
        "A replica receives nothing from the leader of its site: that host cannot be promoted",
        when.replica_not_streaming,
        tell.replicas,
        Consequence.HOLD,
    ),
    Rule(
        "way_out_found",
        "Something forbidden exists by which customer data could leave the declared networks",
        when.way_out_found,
        tell.ways_out,
        Consequence.HOLD,
        page=True,
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
        when.always,
        tell.missing,
        Consequence.HOLD,
        page=True,
    ),
)
