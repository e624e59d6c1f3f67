"""What keeps automation from a takeover that loses or stops something, each check by itself."""

# ruff: noqa: E501  (one mutation a line: the list reads as a table)

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_core_plan_checks import (
    AFTER_A_KILL,
    ASKED,
    MUTATIONS,
    Case,
    before,
    cluster,
    good,
)

from failover.health.cluster_view import SideView
from failover.health.inputs import LastWriterSeen, LeaderKeySeen
from failover.health.observation import GuardSeen
from failover.model import HostName, Lsn, ProtectionMode, TimelineId
from failover.planning import (
    automatic_checks,
    candidate_checks,
    gray_failure_checks,
    plan_checks,
    planner,
    protection_checks,
    request_checks,
    step_checks,
    switchover_checks,
    takeover_checks,
)
from failover.planning.gates import takeover_gates
from failover.planning.plan import Plan, StepName
from failover.planning.plan_checks import lint
from tests.scenarios.language import build


def guard_of_the_holder(case: Case, **fields: Any) -> Case:
    """What the guard of the active site's primary says, to every observer."""
    (only,) = case[1].clusters
    holder = only.holder
    assert holder is not None
    sightings = tuple(
        replace(s, seen=replace(s.seen, guard=replace(s.seen.guard, **fields)))
        for s in holder.sightings
        if isinstance(s.seen.guard, GuardSeen)
    )
    hosts = tuple(replace(h, sightings=sightings) if h == holder else h for h in only.active.hosts)
    return cluster(case, active=replace(only.active, hosts=hosts))


@pytest.mark.parametrize("ago_s", [None, 0.0, 6.9])
def test_a_server_that_may_answer_its_own_guard_is_not_stopped(ago_s: float | None) -> None:
    """Unknown is no silence: the guard may have been started a moment ago."""
    case = good(StepName.BEGIN_TAKEOVER)
    problems = lint(*guard_of_the_holder(case, answered_s_ago=ago_s))
    assert {problem.check for problem in problems} == {"agreed_by_observers"}


# --------------------------------------------------------------------------- without its gate

# The scenario, the check that has to speak where the planner has forgotten the gate that holds.
HELD = [
    ("site_lost_max_protection_degraded", "loss_is_bounded"),
    ("site_lost_over_budget", "loss_is_bounded"),
    ("site_lost_no_samples", "loss_is_bounded"),
    ("site_lost_stale_samples", "loss_is_bounded"),
    ("site_lost_after_an_older_branch_was_permitted", "loss_is_bounded"),
    ("site_lost_in_sync_not_seen_since", "loss_is_bounded"),
    ("site_lost_in_sync_leader_not_on_record", "nothing_acknowledged_is_missing"),
    ("primary_down_local_recovery", "local_recovery_over"),
    ("patroni_paused", "scopes_unpaused_and_following"),
]
CASES = Path(__file__).parents[1] / "scenarios" / "cases"
LOST = ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]


def planned_without(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Case, list[str]]:
    """A takeover as a planner would make it that does not know the gates that hold."""
    view = build(lines).view()
    gates = takeover_gates(view)
    holding = [gate.name for gate in gates if gate.passes is not True]
    kept = tuple(gate for gate in gates if gate.passes is True)
    monkeypatch.setattr(planner, "takeover_gates", lambda _: kept)
    decided = planner._takeover(view)
    assert isinstance(decided, Plan)
    return (decided, view), holding


@pytest.mark.parametrize(("scenario", "check"), HELD, ids=[name for name, _ in HELD])
def test_a_forgotten_gate_is_noticed_twice(
    scenario: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its absence, and by what it would have found."""
    text = (CASES / f"{scenario}.txt").read_text()
    world = text.partition("\nWorld\n-----\n")[2].partition("\nDecision\n")[0]
    lines = [line for line in world.splitlines() if line and not line.startswith("#")]
    case, holding = planned_without(lines, monkeypatch)
    assert len(holding) == 1
    assert {problem.check for problem in lint(*case)} == {"gates_pass", check}


@pytest.mark.parametrize(
    ("lines", "check"),
    [
        (["marketplace-makassar is paused", *LOST], "scopes_unpaused_and_following"),
        (["jkt-db1 gone for 19 s", "no claim for 9.9 s"], "local_recovery_over"),
    ],
    ids=["the new scope is paused", "a moment too early"],
)
def test_the_other_sides_of_a_check(
    lines: list[str], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _ = planned_without(lines, monkeypatch)
    assert check in {problem.check for problem in lint(*case)}


def gates_of(step: StepName) -> list[tuple[str, str | None]]:
    return [(gate.name, gate.cluster) for gate in good(step)[0].gates]


@pytest.mark.parametrize(
    ("step", "gone"),
    [
        (step, gate)
        for step in (StepName.TAKEOVER, StepName.BEGIN_TAKEOVER)
        for gate in gates_of(step)
    ],
    ids=str,
)
def test_every_gate_of_automation_is_required(step: StepName, gone: tuple[str, str | None]) -> None:
    decided, view = good(step)
    gates = tuple(gate for gate in decided.gates if (gate.name, gate.cluster) != gone)
    assert [p.check for p in lint(replace(decided, gates=gates), view)] == ["gates_pass"]


def sampled(case: Case, **fields: Any) -> Case:
    (only,) = case[1].clusters
    return cluster(case, samples=tuple(replace(s, **fields) for s in only.samples))


def side(case: Case, which: str, **fields: Any) -> Case:
    """One side's scope as it was read, changed."""
    (only,) = case[1].clusters
    found: SideView = getattr(only, which)
    assert found.scope is not None
    return cluster(case, **{which: replace(found, scope=replace(found.scope, **fields))})


def config(case: Case, which: str, **keys: Any) -> Case:
    (only,) = case[1].clusters
    scope = getattr(only, which).scope
    text = json.dumps({**json.loads(scope.config.text), **keys})
    return side(case, which, config=replace(scope.config, text=text))


def wrote_last(case: Case, host: str | None, promised: int | None = None) -> Case:
    """Who had the last permit, where no host of the active site was ever seen."""
    (only,) = case[1].clusters
    hosts = tuple(replace(seen, last_timeline=None) for seen in only.active.hosts)
    name = None if host is None else HostName(host)
    number = None if promised is None else TimelineId(promised)
    writer = LastWriterSeen(only.name, name, 2, only.active.site if name else None, number)
    return cluster(case, active=replace(only.active, hosts=hosts), last_writer=writer)


KEY = LeaderKeySeen("fenced by failover, epoch 2", 0, 0, 1)
MUTATIONS_OF_AUTOMATION: list[tuple[str, Callable[[Case], Case], str]] = [
    ("one sample only", lambda c: cluster(c, samples=c[1].clusters[0].samples[:1]), "loss_is_bounded"),
    ("a primary far ahead", lambda c: sampled(c, lsn=Lsn.parse("0/D000000")), "loss_is_bounded"),
    ("samples of long ago", lambda c: cluster(c, samples=tuple(replace(s, age_s=s.age_s + 9.0) for s in c[1].clusters[0].samples)), "loss_is_bounded"),
    ("nothing says who had the last permit", lambda c: wrote_last(c, None), "loss_is_bounded"),
    ("another was started in place", lambda c: wrote_last(c, "jkt-db2"), "loss_is_bounded"),
    ("another was promoted", lambda c: wrote_last(c, "jkt-db2", 2), "loss_is_bounded"),
    ("no leader", lambda c: cluster(c, standby=replace(c[1].clusters[0].standby, hosts=())), "loss_is_bounded"),
    ("max-protection, degraded", lambda c: before(c, protection=ProtectionMode.MAX_PROTECTION), "loss_is_bounded"),
    ("a fence", lambda c: side(c, "standby", leader=KEY), "scopes_unpaused_and_following"),
    ("in quarantine", lambda c: config(c, "standby", standby_cluster={"restore_command": "false"}), "scopes_unpaused_and_following"),
    ("an ordinary cluster", lambda c: config(c, "standby", standby_cluster=None), "scopes_unpaused_and_following"),
    ("the old site follows", lambda c: config(c, "active", standby_cluster={"host": "10.77.2.11"}), "scopes_unpaused_and_following"),
    ("paused there", lambda c: config(c, "active", pause=True), "scopes_unpaused_and_following"),
    ("not understood", lambda c: side(c, "active", config=None), "scopes_unpaused_and_following"),
    ("a replica there could lead", lambda c: cluster(c, active=build(["jkt-db1 gone for 9 s"]).view().clusters[0].active), "local_recovery_over"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mutate", "check"),
    [row[1:] for row in MUTATIONS_OF_AUTOMATION],
    ids=[row[0] for row in MUTATIONS_OF_AUTOMATION],
)
def test_check_fires(mutate: Callable[[Case], Case], check: str) -> None:
    assert check in {problem.check for problem in lint(*mutate(good(StepName.TAKEOVER)))}


def test_by_hand_none_of_it_is_asked() -> None:
    """Whoever asks and accepts the loss answers for it."""
    case = good(StepName.TAKEOVER, "automation is manual", ASKED)
    late = sampled(case, lsn=Lsn.parse("0/D000000"))
    assert lint(*late) == ()


def test_every_check_is_fired_by_some_mutation() -> None:
    tables = [
        *plan_checks._EVERY_STEP,
        *takeover_checks.TAKEOVER,
        *automatic_checks.AUTOMATIC,
        *step_checks.RECORD_PROMOTION,
        *step_checks.REINSTATE,
        *step_checks.FOLLOW,
        *switchover_checks.BEGIN_SWITCHOVER,
        *switchover_checks.SWITCHOVER,
        *switchover_checks.ABANDON_SWITCHOVER,
        *request_checks.REFUSE_REQUEST,
        *gray_failure_checks.BEGIN_TAKEOVER,
        *gray_failure_checks.STOPPED_BY_GUARDS,
        *protection_checks.PROTECTION,
        *candidate_checks.NAME_CANDIDATE,
    ]
    named = {check.__name__ for check in tables}
    # Made for a step by a function of that name, or part of a check under another name.
    made = {"checked": "nothing_else", "answered": "request_answered", "ended": "request_ended"}
    made |= {"asked": "asked_or_automatic", "request_of_plan_ended": "request_ended"}
    made |= {"only_a_takeover_is_added": "only_a_plan_is_added"}
    fired = {check for _, _, _, check in MUTATIONS} | {check for _, _, check in AFTER_A_KILL}
    fired |= {check for _, _, check in MUTATIONS_OF_AUTOMATION}
    fired |= {"stopped_proof_removed", "no_proof_is_left", "request_ended"}
    assert {made.get(name, name) for name in named} | {"scope_written"} == fired


def test_every_file_of_checks_stands_in_the_import_contract() -> None:
    """They share no code with what makes the plans: a new file of them must not be forgotten."""
    root = Path(__file__).parents[2]
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    (sources,) = (
        contract["source_modules"]
        for contract in contracts["contracts"]
        if contract["name"].startswith("The plan checks")
    )
    files = {path.stem for path in (root / "failover" / "planning").glob("*_checks.py")}
    assert set(sources) == {f"failover.planning.{name}" for name in (*files, "linting")}
