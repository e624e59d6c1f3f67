"""Who decides: ``auto`` only where it is proven that a group can bear it, or where somebody answers
for that, on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from checks_world import on_host, reported, world
from cli_world import CONFIG, POLICY
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.checks.found import Found, Rehearsed
from failover.checks.proven import NEVER_SEEN, unproven
from failover.checks.table import run as run_checks
from failover.cli import automation
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.settings import operator
from failover.coordination import connect, settings
from failover.coordination.init import initialise
from failover.coordination.settings import Setting, apply_setting
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.model import Automation
from failover.policy import Policy
from failover.state import GroupState, HistoryEntry, decode_record, decode_state
from failover.znode import GroupPaths

PATHS = GroupPaths(POLICY.group)
AUTO = ["--config", str(CONFIG), "automation", "auto", "--reason", "rehearsed"]


class Ensemble:
    """The store that the commands open."""

    def __init__(self) -> None:
        self.store = World().session()

    @property
    def state(self) -> GroupState:
        found = self.store.read(PATHS.state)
        assert found is not None
        return decode_state(found.data)

    @property
    def last(self) -> HistoryEntry:
        path = f"{PATHS.history}/{max(self.store.children(PATHS.history))}"
        found = self.store.read(path)
        assert found is not None
        return decode_record(HistoryEntry, found.data, path=path)

    def set_manual(self) -> None:
        def change(state: GroupState) -> GroupState:
            return replace(state, automation=Automation.MANUAL)

        manual = Setting("automation", "automation is manual", "sari@ops", {}, change)
        apply_setting(self.store, POLICY, manual, now_unix_s=1.0)


@pytest.fixture
def ensemble(monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    made = Ensemble()

    @contextmanager
    def opened(_policy: Policy, timeout_s: float = 3.5) -> Iterator[MemoryStore]:
        yield made.store

    monkeypatch.setattr(connect, "open_store", opened)
    return made


@pytest.fixture
def group(ensemble: Ensemble) -> Ensemble:
    initialise(ensemble.store, POLICY, now_unix_s=1.0, by="test")
    ensemble.set_manual()
    return ensemble


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


def found_as(monkeypatch: pytest.MonkeyPatch, found: Found) -> None:
    monkeypatch.setattr(automation, "everything", lambda *_: found)


def test_auto_is_set_when_it_is_proven(
    run: CliRunner, group: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_as(monkeypatch, world())
    done = run.invoke(cli, AUTO)
    assert (done.exit_code, done.stdout) == (0, "automation is auto from now on\n"), done.output
    details = group.last.details
    assert (details["reason"], details["check"]) == ("rehearsed", "in order")
    assert "passed" in details["rehearsal"]
    found_as(monkeypatch, replace(world(), rehearsed=Rehearsed(False, None, 0)))
    assert run.invoke(cli, AUTO).stdout == "nothing to do: it is so already\n"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda f: replace(f, rehearsed=Rehearsed(False, None, 12)), "rehearsal: no rehearsal"),
        (lambda f: replace(f, rehearsed=Rehearsed(True, 91 * 86400.0, 12)), "more than 90 days"),
        (lambda f: replace(f, rehearsed=Rehearsed(False, 60.0, 12)), "did not pass"),
        (
            reported("mks-db2", lambda r: replace(r, barriers_missing=(("postgres", "missing"),))),
            "start-barrier: mks-db2",
        ),
        (
            on_host(
                "jkt-db1", lambda h: replace(h, postgres=NoAnswer(NoAnswerKind.TIMED_OUT, "x"))
            ),
            "replication-slots: unknown: jkt-db1",
        ),
    ],
)
def test_auto_is_refused_until_it_is_proven_or_somebody_answers_for_it(
    run: CliRunner,
    group: Ensemble,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Found], Found],
    said: str,
) -> None:
    found_as(monkeypatch, broken(world()))
    before = len(group.store.committed)
    done = run.invoke(cli, AUTO)
    assert done.exit_code == ExitCode.REFUSED, done.output
    assert said in done.output
    assert len(group.store.committed) == before
    done = run.invoke(cli, [*AUTO, "--unproven"])
    assert done.exit_code == 0, done.output
    assert group.state.automation is Automation.AUTO
    last = group.last
    assert (last.event, last.details["override"]) == ("automation", "unproven")
    assert any(said in text for name, text in last.details.items() if name.startswith("against."))
    assert (last.details["reason"], last.by) == ("rehearsed", operator())


def test_auto_that_is_taken_back_in_the_same_instant_is_not_set_without_a_proof(
    run: CliRunner, group: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another operator's word comes between the look and the write."""
    manual, version = settings.read_state(group.store, POLICY)
    looks = [replace(manual, automation=Automation.AUTO), manual]
    monkeypatch.setattr(settings, "read_state", lambda *_: (looks.pop(0), version))
    done = run.invoke(cli, AUTO)
    assert done.exit_code == ExitCode.BAD_INPUT, done.output
    assert group.state.automation is Automation.MANUAL


def test_a_first_start_begins_with_observe_unless_somebody_answers_for_auto(
    run: CliRunner, ensemble: Ensemble
) -> None:
    first = ["--config", str(CONFIG), "init"]
    done = run.invoke(cli, first)
    assert done.exit_code == 0, done.output
    assert "failover automation auto" in done.stdout
    assert ensemble.state.automation is Automation.OBSERVE
    assert "nothing changed" in run.invoke(cli, first).stdout
    ensemble.set_manual()
    assert "nothing changed" in run.invoke(cli, first).stdout
    ensemble.store = World().session()
    assert run.invoke(cli, [*first, "--unproven"]).exit_code == ExitCode.BAD_INPUT
    done = run.invoke(cli, [*first, "--unproven", "--reason", "the lab"])
    assert done.exit_code == 0, done.output
    assert ensemble.state.automation is Automation.AUTO
    details = ensemble.last.details
    assert (details["override"], details["reason"]) == ("unproven", "the lab")


def test_everything_in_order_is_proven_and_what_nobody_can_see_is_no_reason() -> None:
    results = run_checks(world())
    assert {each.check for each in results if each.verdict == "unknown"} == NEVER_SEEN
    assert unproven(results) == ()
