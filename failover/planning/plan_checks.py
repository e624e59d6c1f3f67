"""A linter for plans, independent of the planner. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.view import View
from failover.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plan must not be committed."""

    check: str
    detail: str


def lint(plan: Plan, view: View) -> tuple[Problem, ...]:
    """Every problem of this plan against this view; empty: it may be committed."""
    raise NotImplementedError(plan, view)
