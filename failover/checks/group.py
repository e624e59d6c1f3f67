"""The group as a whole: where data may go, who decides, and when a move was last proven. Pure."""

from __future__ import annotations

from failover.checks.found import Found
from failover.checks.result import Check, Said, Subject, of, ok, unknown, warning
from failover.model import Automation

_STATE = "`failover init`, or docs/operations/hold.md."
REHEARSED_S_MAX = 90 * 86400.0  # a quarter: docs/operations/rehearsal.md


def residency(found: Found) -> Said:
    known = found.view.residency
    accepted = f", {len(known.accepted)} accepted" if known.accepted else ""
    return of(
        f"no way out of the country is seen open{accepted}, every host was looked at",
        wrong=[
            f"{each.finding.way} on {each.finding.host}: {each.finding.subject}"
            for each in known.open
        ],
        unseen=[
            *(f"{gap.host}: {gap.why}" for gap in known.gaps),
            *known.missing,
        ],
    )


def automation(found: Found) -> Said:
    state = found.view.state
    if state is None:
        return unknown("there is no usable state", _STATE)
    doubts = []
    if state.automation is not Automation.AUTO:
        doubts.append(f"automation is {state.automation}: nothing is taken over by itself")
    for until_unix_s, what in (
        (state.paused_until_unix_s, "paused by an operator"),
        (state.cooldown_until_unix_s, "in the cooldown after a takeover"),
    ):
        left_s = until_unix_s - found.view.now_unix_s
        if left_s > 0:
            doubts.append(f"takeovers are {what} for another {left_s:.0f} s")
    if state.plan is not None:
        doubts.append(f"a plan stands: {state.plan.kind} to {state.plan.to_site}")
    return of(f"automation is {state.automation}, no pause, no cooldown, no plan", doubtful=doubts)


def rehearsal(found: Found) -> Said:
    seen, state = found.rehearsed, found.view.state
    if seen.problem:
        return unknown(f"the history cannot be read ({seen.problem})", "`failover history verify`.")
    if state is None:
        return unknown("there is no usable state", _STATE)
    proven_s = found.view.now_unix_s - state.proven_unix_s
    proven = (
        f"a move was last proven {_days(proven_s)} ago"
        if state.proven_unix_s
        else "no move was proven"
    )
    if seen.age_s is None:
        return warning(f"no rehearsal in the newest {seen.looked_back} entries; {proven}")
    told = f"the last rehearsal, {_days(seen.age_s)} ago"
    if not seen.passed:
        return warning(f"{told}, did not pass; {proven}")
    if seen.age_s > REHEARSED_S_MAX:
        return warning(f"{told}, is more than 90 days old; {proven}")
    return ok(f"{told}, passed; {proven}")


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days"


GROUP_CHECKS = (
    Check(
        "residency",
        Subject.GROUP,
        "No way out of the country stands open, and every database host is looked at.",
        "`failover residency check` says what to do about each.",
        "invariant I4",
        residency,
    ),
    Check(
        "automation",
        Subject.GROUP,
        "The controllers decide by themselves, and nothing keeps them from it.",
        "`failover automation auto --reason TEXT` (when the rest is in order and a rehearsal has "
        "passed), "
        "`failover pause --end --reason TEXT`, `failover acknowledge`, where that is wanted.",
        "docs/configuration.md",
        automation,
    ),
    Check(
        "rehearsal",
        Subject.GROUP,
        "A move was rehearsed within the last 90 days, and passed.",
        "`failover rehearse` (docs/operations/rehearsal.md).",
        "docs/operations/rehearsal.md",
        rehearsal,
    ),
)
