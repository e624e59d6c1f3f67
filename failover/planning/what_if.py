"""What would be decided after a change, when, and with what loss. Pure.

Invariant: every decision in the story is made by the real ``decide`` on what would be seen then;
this module only lets time pass. A step of the controllers other than a takeover is told and not
carried out: what it would change is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from failover.health import predicates as ask
from failover.health.aftermath import PROMOTION_S, Aftermath, aftermath
from failover.health.change import Change
from failover.health.hypothetical import Hypothesis
from failover.health.inputs import ViewInputs
from failover.health.verdict import Verdict
from failover.health.view import View, build_view
from failover.model import SiteName
from failover.planning.decision import Decision, decide
from failover.planning.explain import Explanation, explain
from failover.planning.plan import Hold, Plan, StepName
from failover.planning.turn import asked_once_more, next_turn_in_s
from failover.policy import Policy
from failover.replication.loss import LossEstimate

STEP_S = 0.25
WATCHED_S = 60.0  # after the lease and the local recovery: what has not opened by then, holds


class Outcome(StrEnum):
    TAKEOVER = "takeover"
    WRITES_GO_ON = "writes_go_on"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Chapter:
    """From here on until the next one, the same is seen and the same is decided."""

    from_s: float
    verdict: Verdict
    decision: Plan | Hold


@dataclass(frozen=True, slots=True)
class Foresight:
    """The whole answer. Seconds count from the change.

    ``site``: where writes are taken in the end; None: nowhere, as far as is seen. ``outage_s``:
    how long its clients are without an acknowledgement; None: no end in sight.
    ``otherwise_s``: when the other site would take over if local failover did not come.
    """

    changes: tuple[Change, ...]
    after: Aftermath
    story: tuple[Chapter, ...]
    outcome: Outcome
    site: SiteName | None
    decided_s: float | None
    outage_s: float | None
    otherwise_s: float | None
    watched_s: float
    ending: Explanation

    @property
    def loss_bytes(self) -> int | None:
        """At most so much would be lost, of all clusters together. None: unknown."""
        losses = [one.loss for one in self.ending.losses]
        known = [loss.bytes for loss in losses if isinstance(loss, LossEstimate)]
        return sum(known) if len(known) == len(losses) else None


def foresee(policy: Policy, present: ViewInputs, changes: tuple[Change, ...]) -> Foresight:
    """What would happen if this changed now."""
    after = aftermath(policy, present, changes)
    foreseen = _foresee(Hypothesis(policy, present, after), changes)
    if not any(end.heir for end in after.lease_ends):
        return foreseen
    alone = replace(after, lease_ends=tuple(replace(e, heir=None) for e in after.lease_ends))
    otherwise = _foresee(Hypothesis(policy, present, alone), changes)
    return replace(foreseen, otherwise_s=otherwise.decided_s)


def _foresee(hypothesis: Hypothesis, changes: tuple[Change, ...]) -> Foresight:
    story: list[Chapter] = []
    at_s, asked = 0.0, None
    moments_s = _moments_s(hypothesis)
    while True:
        view = build_view(hypothesis.policy, hypothesis.at(at_s, asked))
        decided = decide(view)
        chapter = Chapter(at_s, decided.verdict, decided.next_step)
        if not story or _told(chapter) != _told(story[-1]):
            story.append(chapter)
        later_s = [moment_s for moment_s in moments_s if moment_s > at_s]
        if _takes_over(decided) or not later_s:
            break
        asked = asked_once_more(view, decided.verdict)
        # Between two moments there is only age, and what is seen by asking once more.
        next_s = at_s + next_turn_in_s(decided.next_step) if asked is not None else inf
        at_s = min(later_s[0], next_s)
    outcome = _outcome(view, decided)
    return Foresight(
        changes=changes,
        after=hypothesis.after,
        story=tuple(story),
        outcome=outcome,
        site=_site(view, outcome),
        decided_s=at_s if outcome is Outcome.TAKEOVER else None,
        outage_s=_outage_s(hypothesis.after, outcome, at_s),
        otherwise_s=None,
        watched_s=at_s,
        ending=explain(view, decided.verdict, decided.next_step),
    )


def _moments_s(hypothesis: Hypothesis) -> list[float]:
    """Every quarter of a second, and whenever something changes by itself."""
    policy = hypothesis.policy
    until_s = policy.lease_s + policy.local_recovery_s + WATCHED_S
    grid = {count * STEP_S for count in range(int(until_s / STEP_S) + 1)}
    return sorted(grid | set(hypothesis.after.moments_s))


def _told(chapter: Chapter) -> tuple[object, ...]:
    """What makes two moments one chapter."""
    decision = chapter.decision
    if isinstance(decision, Plan):
        return (chapter.verdict.code, decision.step)
    blocking = tuple((gate.name, gate.cluster) for gate in decision.blocking)
    return (chapter.verdict.code, decision.wanted, blocking)


def _takes_over(decided: Decision) -> bool:
    step = decided.next_step
    return isinstance(step, Plan) and step.step is StepName.TAKEOVER


def _outcome(view: View, decided: Decision) -> Outcome:
    if _takes_over(decided):
        return Outcome.TAKEOVER
    serves = view.state is not None and ask.all_serving(view)
    return Outcome.WRITES_GO_ON if serves else Outcome.HOLD


def _site(view: View, outcome: Outcome) -> SiteName | None:
    match outcome:
        case Outcome.TAKEOVER:
            return view.standby_site
        case Outcome.WRITES_GO_ON:
            return view.active_site
        case Outcome.HOLD:
            return None


def _outage_s(after: Aftermath, outcome: Outcome, decided_s: float) -> float | None:
    match outcome:
        case Outcome.TAKEOVER:
            return decided_s + PROMOTION_S
        case Outcome.WRITES_GO_ON:
            heirs = (end.heir for end in after.lease_ends)
            return max((heir.takes_writes_s for heir in heirs if heir), default=0.0)
        case Outcome.HOLD:
            return None
