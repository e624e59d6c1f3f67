"""Golden scenarios: a world in prose and in lines, and all that the core says about it.

``REWRITE_GOLDEN=1 pytest tests/scenarios`` writes the decisions anew; the change is then reviewed
in the diff. The part above ``Decision`` is never touched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from failover.health.verdict import RULES
from failover.planning.decision import decide
from failover.planning.explain import Explanation, explain
from failover.planning.plan import Plan, StepName
from tests.scenarios.language import build
from tests.scenarios.render import decision

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))
WORLD, DECISION = "\nWorld\n-----\n", "\nDecision\n--------\n"


@dataclass(frozen=True, slots=True)
class Case:
    prose: str
    world: list[str]
    expected: str


def load(path: Path) -> Case:
    prose, _, rest = path.read_text().partition(WORLD)
    world, _, expected = rest.partition(DECISION)
    lines = [line for line in world.splitlines() if line and not line.startswith("#")]
    return Case(prose, lines, expected)


def run(case: Case) -> Explanation:
    view = build(case.world).view()
    decided = decide(view)
    assert decided.problems == ()
    return explain(view, decided.verdict, decided.next_step)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    case = load(path)
    text = decision(run(case))
    if os.environ.get("REWRITE_GOLDEN"):
        above = path.read_text().partition(DECISION)[0].rstrip("\n")
        path.write_text(f"{above}\n{DECISION}{text}")
        return
    assert text == case.expected


def test_every_row_of_the_verdict_table_has_a_scenario() -> None:
    told = {run(load(path)).verdict.code for path in CASES}
    assert [rule.code for rule in RULES if rule.code not in told] == []


def test_every_step_has_a_scenario() -> None:
    decided = [run(load(path)).decision for path in CASES]
    assert {p.step for p in decided if isinstance(p, Plan)} == set(StepName)


def test_codes_are_unique() -> None:
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes))


def test_every_scenario_says_what_it_is_about() -> None:
    for path in CASES:
        title, underline, *prose = path.read_text().splitlines()
        assert set(underline) == {"="}, path.name
        assert len(underline) == len(title), path.name
        assert prose[1].strip(), f"{path.name}: no prose under the title"
