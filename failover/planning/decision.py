"""View → verdict → the next step, or a hold: the whole middle as one call. Pure.

The controller acts on it and ``failover explain`` shows it, so that both say the same. Invariant:
what comes out as a plan has passed the plan checks; one that they refuse is a bug somewhere, and
becomes a hold that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.verdict import Verdict, judge
from failover.health.view import View
from failover.model import Invariant
from failover.planning.plan import Gate, Hold, Plan
from failover.planning.plan_checks import Problem, lint
from failover.planning.planner import plan


@dataclass(frozen=True, slots=True)
class Decision:
    """``problems``: why the plan checks refused the plan; empty: they did not."""

    verdict: Verdict
    next_step: Plan | Hold
    problems: tuple[Problem, ...] = ()


def decide(view: View) -> Decision:
    """What follows from this view."""
    verdict = judge(view)
    next_step = plan(view, verdict)
    problems = lint(next_step, view) if isinstance(next_step, Plan) else ()
    if isinstance(next_step, Plan) and problems:
        return Decision(verdict, refused(next_step, problems), problems)
    return Decision(verdict, next_step)


def refused(by_planner: Plan, problems: tuple[Problem, ...]) -> Hold:
    """The hold in place of a plan that does not pass its checks: one more gate per problem."""
    # A step without gates names no invariant of its own; that it lacks them is a doubt.
    gates = by_planner.gates
    invariant = gates[-1].invariant if gates else Invariant.DOUBT_MEANS_HOLD
    checks = tuple(
        Gate(f"plan check {problem.check}", False, problem.detail, invariant)
        for problem in problems
    )
    return Hold(
        sentence="The plan was refused by the plan checks: "
        + "; ".join(f"{problem.check}: {problem.detail}" for problem in problems),
        wanted=by_planner.step,
        gates=(*gates, *checks),
    )
