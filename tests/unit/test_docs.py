"""The documentation names what exists: commands, exit codes, verdicts, gates, fields."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from cli_world import POLICY, healthy

from failover.checks import result as checks_result
from failover.cli import explanation, host_node, prediction, residency_check, snapshot
from failover.cli.exit_codes import ExitCode
from failover.cli.main import NOUNS
from failover.health.verdict import RULES, Consequence
from failover.health.view import build_view
from failover.history_check import Wrong
from failover.model import Invariant, SiteName
from failover.planning.gates import takeover_gates
from failover.planning.manual_takeover import manual_takeover_gates
from failover.planning.switchover_gates import begin_gates, commit_gates
from failover.rehearsal import report
from failover.residency.report import document as residency_report
from failover.residency.report import record
from failover.state import OperatorRequest, PlanKind, PlanRecord

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_files_named_in_the_architecture_exist() -> None:
    named = re.findall(r"`((?:failover|tests|deploy)/[\w./-]+)`", text("docs/architecture.md"))
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_every_command_is_documented() -> None:
    page = text("docs/cli.md")
    assert [name for name in NOUNS if f"`{name}" not in page] == []


def test_every_exit_code_is_documented() -> None:
    page = text("docs/cli.md")
    assert [code for code in ExitCode if f"| {int(code)} |" not in page] == []


def test_every_holding_verdict_and_takeover_gate_is_in_the_runbook() -> None:
    page = text("docs/operations/hold.md")
    holds = {rule.code for rule in RULES if rule.page or rule.consequence is Consequence.HOLD}
    gates = {gate.name for gate in takeover_gates(build_view(POLICY, healthy()))}
    assert {name for name in holds | gates if f"`{name}`" not in page} == set()


def test_the_example_of_a_hold_is_what_the_program_prints() -> None:
    printed = text("tests/unit/golden/explain_hold.txt").splitlines()
    example = "\n".join(f"    {line}".rstrip() for line in printed)
    assert example in text("docs/operations/hold.md")


def test_every_finding_about_the_history_is_documented() -> None:
    for name in ("docs/cli.md", "docs/operations/history.md"):
        words = set(re.findall(r"\w+", text(name)))
        assert [wrong for wrong in Wrong if wrong not in words] == []


def test_every_invariant_is_documented_by_its_name() -> None:
    page = text("docs/architecture.md")
    assert [name for name in Invariant if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    "shape",
    [
        snapshot.Snapshot,
        snapshot.VerdictNode,
        snapshot.SiteNode,
        snapshot.SideNode,
        snapshot.LeaseNode,
        host_node.HostNode,
        snapshot.ServerNode,
        snapshot.ObserverNode,
        explanation.ExplainSnapshot,
        explanation.GateNode,
        explanation.LossNode,
        explanation.NextNode,
        prediction.Prediction,
        prediction.ChapterNode,
        prediction.EventNode,
        report.Report,
        report.Move,
        report.ClusterMove,
        report.Step,
        checks_result.Result,
        residency_check.ResidencyCheck,
        residency_check.OpenWay,
        residency_check.BlindSpot,
        residency_check.AcceptedWay,
        residency_check.ExceptionRow,
        residency_check.Unobservable,
        residency_report.Report,
        residency_report.ChainRow,
        residency_report.NetworkRow,
        residency_report.ExceptionRow,
        residency_report.AcceptedRow,
        residency_report.HostRow,
        residency_report.ReceiverRow,
        residency_report.SettingRow,
        residency_report.Limit,
        record.Spell,
        record.CutTold,
        record.GapTold,
    ],
)
def test_every_json_field_is_documented(shape: type) -> None:
    words = set(re.findall(r"\w+", text("docs/cli.md")))
    assert [field.name for field in fields(shape) if field.name not in words] == []


def test_every_gate_of_an_operators_move_is_in_its_runbook() -> None:
    view = build_view(POLICY, healthy())
    at_unix_s = view.now_unix_s
    asked = OperatorRequest(
        id="t-1",
        kind=PlanKind.TAKEOVER,
        to_site=SiteName("makassar"),
        by="operator",
        reason="",
        at_unix_s=at_unix_s,
        answer_by_unix_s=at_unix_s + 10.0,
        limit_s=15.0,
    )
    plan = PlanRecord(
        "s-1", PlanKind.SWITCHOVER, SiteName("jakarta"), SiteName("makassar"), at_unix_s, "operator"
    )
    for page, gates in (
        ("takeover", manual_takeover_gates(view, asked)),
        ("switchover", (*begin_gates(view, asked), *commit_gates(view, plan))),
    ):
        told = text(f"docs/operations/{page}.md")
        assert {gate.name for gate in gates if f"`{gate.name}`" not in told} == set(), page
