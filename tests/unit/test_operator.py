"""What an operator sets or asks for: one conditional write, on record, whoever else writes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import jakarta_gone
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.cli import switchover, takeover
from failover.cli.exit_codes import ExitCode
from failover.cli.look import Reader, Seen
from failover.cli.main import cli
from failover.config import load
from failover.coordination import connect
from failover.coordination.init import initialise
from failover.coordination.requests import Busy, ask, look, withdraw
from failover.coordination.settings import Setting, apply_setting
from failover.coordination.store import StoreUnavailable
from failover.model import Automation, SiteName
from failover.policy import Policy
from failover.state import (
    GroupState,
    HistoryEntry,
    OperatorRequest,
    PlanKind,
    PlanRecord,
    RequestPhase,
    StateError,
    decode_record,
    decode_state,
    encode_record,
    encode_state,
)
from failover.znode import GroupPaths, Set

CONFIG = Path("tests/open.yaml")


@pytest.fixture
def policy() -> Policy:
    return load(CONFIG)


@pytest.fixture
def store(policy: Policy) -> MemoryStore:
    store = World().session()
    initialise(store, policy, now_unix_s=1.0, by="test")
    return store


def state_of(store: MemoryStore, policy: Policy) -> GroupState:
    found = store.read(GroupPaths(policy.group).state)
    assert found is not None
    return decode_state(found.data)


def history_of(store: MemoryStore, policy: Policy) -> list[HistoryEntry]:
    path = GroupPaths(policy.group).history
    found = [store.read(f"{path}/{name}") for name in store.children(path)]
    return [decode_record(HistoryEntry, z.data, path=z.path) for z in found if z is not None]


OBSERVE = Setting(
    "automation",
    "automation is observe",
    "sari@ops",
    {"reason": "a test"},
    lambda state: replace(state, automation=Automation.OBSERVE),
)


# --------------------------------------------------------------------------- settings


def test_a_setting_is_written_with_its_history_once(store: MemoryStore, policy: Policy) -> None:
    after = apply_setting(store, policy, OBSERVE, now_unix_s=5.0)
    assert after is not None
    assert state_of(store, policy).automation is Automation.OBSERVE
    last = history_of(store, policy)[-1]
    assert (last.event, last.by, last.details["reason"]) == ("automation", "sari@ops", "a test")
    assert apply_setting(store, policy, OBSERVE, now_unix_s=6.0) is None
    assert len(history_of(store, policy)) == 2


def test_somebody_else_writes_in_the_same_instant(store: MemoryStore, policy: Policy) -> None:
    """What he wrote stays, and the setting is made on top of it."""
    path, raced = GroupPaths(policy.group).state, False

    def change(state: GroupState) -> GroupState:
        nonlocal raced
        if not raced:
            raced = True
            found = store.read(path)
            assert found is not None
            other = encode_state(replace(state, paused_until_unix_s=99.0))
            store.commit((Set(path, other, found.version),))
        return replace(state, automation=Automation.OBSERVE)

    assert apply_setting(store, policy, replace(OBSERVE, change=change), now_unix_s=5.0)
    after = state_of(store, policy)
    assert (after.automation, after.paused_until_unix_s) == (Automation.OBSERVE, 99.0)


def test_a_lost_answer_is_no_failure(store: MemoryStore, policy: Policy) -> None:
    store.lose_answers = True
    assert apply_setting(store, policy, OBSERVE, now_unix_s=5.0) is not None
    assert len(history_of(store, policy)) == 2


def test_without_a_state_or_an_answer_nothing_is_set(policy: Policy) -> None:
    store = World().session()
    with pytest.raises(StateError, match="failover init"):
        apply_setting(store, policy, OBSERVE, now_unix_s=5.0)
    store.silent = True
    with pytest.raises(StoreUnavailable):
        apply_setting(store, policy, OBSERVE, now_unix_s=5.0)


# --------------------------------------------------------------------------- requests


def request(name: str, at_unix_s: float = 100.0) -> OperatorRequest:
    return OperatorRequest(
        id=name,
        kind=PlanKind.SWITCHOVER,
        to_site=SiteName("makassar"),
        by="sari@ops",
        reason="",
        at_unix_s=at_unix_s,
        answer_by_unix_s=at_unix_s + 10.0,
        limit_s=15.0,
    )


def put(store: MemoryStore, paths: GroupPaths, wanted: OperatorRequest) -> None:
    found = store.read(paths.request)
    assert found is not None
    store.commit((Set(paths.request, encode_record(wanted), found.version),))


def freeze(store: MemoryStore, policy: Policy, plan_id: str) -> None:
    plan = PlanRecord(
        id=plan_id,
        kind=PlanKind.SWITCHOVER,
        from_site=SiteName("jakarta"),
        to_site=SiteName("makassar"),
        deadline_unix_s=200.0,
        requested_by="sari@ops",
    )
    setting = replace(OBSERVE, change=lambda state: replace(state, plan=plan))
    apply_setting(store, policy, setting, now_unix_s=1.0)


def test_a_request_whose_plan_is_gone_keeps_nobody_from_asking(
    store: MemoryStore, policy: Policy
) -> None:
    paths = GroupPaths(policy.group)
    ask(store, paths, request("s-1"), now_unix_s=100.0)
    put(store, paths, replace(request("s-1"), phase=RequestPhase.RUNNING))
    assert ask(store, paths, request("s-2"), now_unix_s=101.0) is None


def test_two_operators_at_once(store: MemoryStore, policy: Policy) -> None:
    """The second one is told about the first; not once that has ended, or nobody took it up."""
    paths, first = GroupPaths(policy.group), request("s-1")
    assert ask(store, paths, first, now_unix_s=100.0) is None
    assert ask(store, paths, first, now_unix_s=100.0) is None  # an answer was lost
    assert ask(store, paths, request("s-2"), now_unix_s=101.0) == Busy(first)
    put(store, paths, replace(first, phase=RequestPhase.RUNNING))
    freeze(store, policy, "s-1")
    assert isinstance(ask(store, paths, request("s-2"), now_unix_s=999.0), Busy)
    put(store, paths, replace(first, phase=RequestPhase.DONE))
    assert ask(store, paths, request("s-2"), now_unix_s=101.0) is None
    assert ask(store, paths, request("s-3"), now_unix_s=111.0) is None
    found = look(store, paths.request)
    assert found is not None
    assert found.id == "s-3"


def test_a_request_is_withdrawn_only_while_it_waits(store: MemoryStore, policy: Policy) -> None:
    paths = GroupPaths(policy.group)
    ask(store, paths, request("s-1"), now_unix_s=100.0)
    ended = withdraw(store, paths.request, "s-1", "nobody took it up")
    assert ended is not None
    assert (ended.phase, ended.outcome) == (RequestPhase.REFUSED, ("nobody took it up",))
    ask(store, paths, request("s-2"), now_unix_s=100.0)
    put(store, paths, replace(request("s-2"), phase=RequestPhase.RUNNING))
    still = withdraw(store, paths.request, "s-2", "too late")
    assert still is not None
    assert still.phase is RequestPhase.RUNNING


# --------------------------------------------------------------------------- the commands


@pytest.fixture
def run(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    @contextmanager
    def opened(_policy: Policy, timeout_s: float = 3.5) -> Iterator[MemoryStore]:
        yield store

    monkeypatch.setattr(connect, "open_store", opened)
    return CliRunner()


def test_automation_pause_and_acknowledge(
    run: CliRunner, store: MemoryStore, policy: Policy
) -> None:
    config = ["--config", str(CONFIG)]
    done = run.invoke(cli, [*config, "automation", "manual", "--reason", "night shift"])
    assert (done.exit_code, done.stdout) == (0, "automation is manual from now on\n")
    assert run.invoke(cli, [*config, "automation", "manual", "--reason", "x"]).stdout == (
        "nothing to do: it is so already\n"
    )
    done = run.invoke(cli, [*config, "pause", "--for", "2h", "--reason", "switches"])
    assert done.exit_code == 0, done.output
    until_unix_s = state_of(store, policy).paused_until_unix_s
    assert 7190 < until_unix_s - time.time() <= 7200
    assert run.invoke(cli, [*config, "pause", "--end", "--reason", "done"]).exit_code == 0
    assert state_of(store, policy).paused_until_unix_s == 0.0
    assert "nothing to do" in run.invoke(cli, [*config, "acknowledge"]).stdout
    events = [entry.event for entry in history_of(store, policy)]
    assert events == ["initialised", "automation", "paused", "pause_ended"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pause", "--reason", "x"], ExitCode.BAD_INPUT, "--for 2h"),
        (["pause", "--for", "2h", "--end", "--reason", "x"], ExitCode.BAD_INPUT, "--for 2h"),
        (["pause", "--for", "soon", "--reason", "x"], ExitCode.BAD_INPUT, "a number and a unit"),
        (["pause", "--for", "30d", "--reason", "x"], ExitCode.BAD_INPUT, "7 days"),
        (["pause", "--for", "2h"], ExitCode.BAD_INPUT, "--reason"),
        (["automation", "observe", "--unproven", "--reason", "x"], ExitCode.BAD_INPUT, "for auto"),
        (["automation", "auto", "--reason", " "], ExitCode.BAD_INPUT, "--reason TEXT"),
        (["switchover", "--to", "bandung"], ExitCode.BAD_INPUT, "jakarta, makassar"),
        (["switchover", "--to", "surabaya"], ExitCode.BAD_INPUT, "witness"),
    ],
)
def test_bad_input_changes_nothing(
    run: CliRunner,
    store: MemoryStore,
    arguments: list[str],
    code: ExitCode,
    said: str,
) -> None:
    before = len(store.committed)
    done = run.invoke(cli, ["--config", str(CONFIG), *arguments])
    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert len(store.committed) == before


def test_a_switchover_that_cannot_be_is_refused_with_every_reason(
    run: CliRunner, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no primary, nobody observes: nothing is asked for."""
    monkeypatch.setattr(switchover, "somebody_leads", lambda _policy, _store: True)
    before = len(store.committed)
    done = run.invoke(cli, ["--config", str(CONFIG), "switchover", "--to", "makassar", "--yes"])
    assert done.exit_code == ExitCode.REFUSED, done.output
    for gate in ("claim_held", "primary_works", "standby_leader_ready", "guards_work"):
        assert gate in done.output
    assert len(store.committed) == before


TAKEOVER = ["--config", str(CONFIG), "takeover", "--to", "makassar", "--reason", "flood", "--yes"]


def test_a_takeover_that_cannot_be_is_refused_with_every_reason(
    run: CliRunner, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody observes, nobody knows what would be lost: nothing is asked for."""
    monkeypatch.setattr(takeover, "somebody_leads", lambda _policy, _store: True)
    before = len(store.committed)
    done = run.invoke(cli, TAKEOVER)
    assert done.exit_code == ExitCode.REFUSED, done.output
    for gate in ("living_observer", "standby_leader_ready", "loss_accepted"):
        assert gate in done.output
    assert "docs/operations/takeover.md" in done.output
    assert len(store.committed) == before


@pytest.mark.parametrize("move", ["switchover", "takeover"])
def test_a_dry_run_never_becomes_a_controller(
    run: CliRunner, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """One that stands in may take over by itself: where nobody leads there is no dry run."""
    command = {"switchover": switchover, "takeover": takeover}[move]
    monkeypatch.setattr(command, "somebody_leads", lambda _policy, _store: False)
    before = len(store.committed)
    options = ["--site", "makassar", "--to", "makassar", "--reason", "flood", "--dry-run"]
    done = run.invoke(cli, ["--config", str(CONFIG), move, *options])
    assert done.exit_code == ExitCode.REFUSED, done.output
    assert "nobody to judge by" in done.output
    assert len(store.committed) == before


def test_a_takeover_s_dry_run_is_a_document(
    run: CliRunner, store: MemoryStore, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked for; the gates stand in ``reasons``."""
    monkeypatch.setattr(takeover, "somebody_leads", lambda _policy, _store: True)
    monkeypatch.setattr(Reader, "settle", lambda _self: Seen.of(policy, jakarta_gone(), 12.0))
    before = len(store.committed)
    done = run.invoke(cli, [*TAKEOVER, "--accept-data-loss", "--dry-run", "-o", "json"])
    assert done.exit_code == ExitCode.OK, done.output
    said = json.loads(done.stdout)
    assert (said["schema"], said["outcome"], said["request"]) == (1, "dry_run", "")
    assert (said["from_site"], said["to_site"], said["epoch"]) == ("jakarta", "makassar", None)
    assert any("claim_gone" in reason for reason in said["reasons"])
    assert len(store.committed) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["takeover", "--to", "surabaya", "--reason", "x"], "is the witness"),
        (["takeover", "--to", "bandung", "--reason", "x"], "jakarta, makassar"),
        (["takeover", "--to", "makassar", "--reason", " "], "with its reason"),
        (["takeover", "--to", "makassar"], "--reason"),
        (
            ["takeover", "--to", "makassar", "--reason", "x", "--i-have-fenced", "bandung"],
            "unknown site 'bandung'",
        ),
        (["break-glass", "quorum", "--reason", "x"], "--i-have-fenced"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_is_said_wrongly_is_bad_input(run: CliRunner, options: list[str], said: str) -> None:
    done = run.invoke(cli, ["--config", str(CONFIG), *options])
    assert done.exit_code == ExitCode.BAD_INPUT, done.output
    assert said in done.output
