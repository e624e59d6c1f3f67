"""The pages of the reference are what the code makes of them (`make reference` writes them)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import golden
import pytest
from docs_pages import ROOT

from failover.cli.exit_codes import ExitCode
from failover.guard.logic import KillReason
from failover.guard.permits import RefusalReason
from failover.health.verdict import RULES
from failover.planning import plan
from failover.planning.plan import StepName
from failover.reference import alerts, commands, configuration, errors, gates, ports, verdicts

ALERT_RULES = ROOT / "deploy" / "prometheus" / "alerts.rules.yml"
PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration.page,
    "commands.md": commands.page,
    "verdicts.md": verdicts.page,
    "gates.md": gates.page,
    "errors.md": errors.page,
    "ports.md": ports.page,
    "alerts.md": lambda: alerts.page(ALERT_RULES.read_text(encoding="utf-8")),
}
GATE_FILES = (
    *(
        "gates",
        "step_gates",
        "switchover_gates",
        "gray_failure_gates",
        "manual_takeover",
        "candidate",
    ),
    *("protection", "reseed", "switchover", "requests", "gray_failure"),
)


@pytest.mark.reference
@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    golden.check_page(name, PAGES[name]())


@pytest.mark.reference
def test_the_gates_in_the_runbook_of_a_hold_are_current() -> None:
    golden.check_part("operations/hold.md", gates.BEGIN, gates.END, gates.takeover_table())


@pytest.mark.reference
def test_the_verdicts_in_the_runbook_of_a_hold_are_current() -> None:
    made = verdicts.holding_table()
    golden.check_part("operations/hold.md", verdicts.BEGIN, verdicts.END, made)


@pytest.mark.reference
def test_the_exit_codes_of_the_command_line_are_current() -> None:
    golden.check_part("cli.md", errors.BEGIN, errors.END, errors.exit_codes())


def test_every_key_says_what_it_means() -> None:
    silent = [
        f"{path}.{name}"
        for path, model in configuration.models()
        for name, info in model.model_fields.items()
        if not info.description
    ]
    assert silent == [], "say it in failover/config/schema.py: Field(description=…)"


def test_every_option_says_what_it_means() -> None:
    silent = [
        f"{context.command_path} {param.name}"
        for context, command in commands.commands()
        for param in command.params
        if param.param_type_name == "option" and not getattr(param, "help", None)
    ]
    assert silent == []


def test_every_verdict_says_what_to_do_and_nothing_else_does() -> None:
    assert list(verdicts.ADVICE) == [rule.code for rule in RULES], "in the order of the table"


def test_a_verdict_that_pages_has_a_runbook() -> None:
    assert [
        rule.code for rule in RULES if rule.page and not verdicts.ADVICE[rule.code].runbook
    ] == []


def test_every_code_step_and_refusal_is_told() -> None:
    assert list(errors.EXIT_CODES) == list(ExitCode)
    assert list(errors.STEPS) == list(StepName)
    assert list(errors.REFUSALS) == list(RefusalReason)
    assert list(errors.KILLS) == list(KillReason)


def gate_names(path: Path) -> Iterator[str]:
    """Names of gates as the source has them: given to a maker, or bound to ``name`` before."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            at = {"Gate": 0, "unpaused": 0, "until": 1}.get(called)
            found = node.args[at : at + 1] if at is not None else []
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            first, value = node.targets[0].elts[0], node.value
            if ast.unparse(first) == "name" and isinstance(value, ast.Tuple):
                found = value.elts[:1]
        for each in found:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.value


def test_every_gate_in_the_source_has_its_row_and_one_alone() -> None:
    planning = Path(str(plan.__file__)).parent
    found = {name for file in GATE_FILES for name in gate_names(planning / f"{file}.py")}
    told = [row.name for _title, _text, rows in gates.CHAPTERS for row in rows]
    assert len(told) == len(set(told)), "a gate is described once"
    assert set(told) == found


def test_files_of_gates_are_all_known() -> None:
    makers = {
        path.stem
        for path in (ROOT / "failover" / "planning").glob("*.py")
        if "import Gate" in (text := path.read_text(encoding="utf-8"))
        or any(line.startswith("from failover.planning.plan import") and "Gate" in line
               for line in text.splitlines())
    }  # fmt: skip
    assert {name for name in makers if any(gate_names(ROOT / f"failover/planning/{name}.py"))} <= {
        *GATE_FILES
    }
