"""The whole middle as one call, and what becomes of a plan that its checks refuse."""

from __future__ import annotations

import pytest

from failover.health.view import View
from failover.model import Invariant
from failover.planning.decision import decide, refused
from failover.planning.plan import AUTOMATION_GATES, Gate, Hold, Plan, StepName
from failover.planning.plan_checks import Problem
from tests.scenarios.language import build


def site_lost() -> View:
    return build(["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]).view()


def test_a_plan_that_passes_its_checks_comes_out() -> None:
    decided = decide(site_lost())
    assert isinstance(decided.next_step, Plan)
    assert decided.next_step.step is StepName.TAKEOVER
    assert decided.verdict.code == "site_lost"
    assert decided.problems == ()


def test_the_gates_of_automation_exist() -> None:
    misplaced = build(["jkt-zk1 leads the ensemble"]).view()
    gates = decide(site_lost()).next_step.gates + decide(misplaced).next_step.gates
    assert {gate.name for gate in gates} >= AUTOMATION_GATES


def test_where_nothing_is_wrong_nothing_is_wanted() -> None:
    decided = decide(build([]).view())
    assert decided.verdict.code == "healthy"
    assert isinstance(decided.next_step, Hold)
    assert decided.next_step.wanted is None


def test_a_refused_plan_is_a_hold_with_one_gate_per_problem() -> None:
    decided = decide(site_lost()).next_step
    assert isinstance(decided, Plan)
    problems = (Problem("epoch_is_next", "3 after 1"), Problem("known_paths", "/elsewhere"))
    hold = refused(decided, problems)
    assert hold.wanted is StepName.TAKEOVER
    assert hold.gates[: len(decided.gates)] == decided.gates
    assert [(gate.name, gate.evidence) for gate in hold.blocking] == [
        ("plan check epoch_is_next", "3 after 1"),
        ("plan check known_paths", "/elsewhere"),
    ]
    assert "epoch_is_next: 3 after 1" in hold.sentence


@pytest.mark.parametrize(
    ("blocking", "only_automation"),
    [
        ((), False),
        (("automation_auto",), True),
        (("automation_acts",), True),
        (("automation_auto", "claim_gone"), False),
    ],
)
def test_what_would_be_done_if_it_were_allowed(
    blocking: tuple[str, ...], only_automation: bool
) -> None:
    closed = [Gate(name, False, "", Invariant.DOUBT_MEANS_HOLD) for name in blocking]
    opened = Gate("residency", True, "", Invariant.IN_COUNTRY)
    hold = Hold("", StepName.TAKEOVER, (opened, *closed))
    assert hold.only_automation_blocks is only_automation
