"""failover explain --what-if: what is said, as text and JSON, its exit codes, its mistakes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cli_world import CONFIG, POLICY, STATE, healthy
from click.testing import CliRunner
from golden import check_golden

from failover.cli import look
from failover.cli.exit_codes import ExitCode
from failover.cli.look import Seen
from failover.cli.main import cli
from failover.coordination.store import StoreUnavailable
from failover.health.inputs import StateSeen, ViewInputs
from failover.model import Automation
from tests.scenarios.language import build


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def command(inputs: ViewInputs, *arguments: str):
        class Fixed:
            def settle(self, for_s: float) -> Seen:
                return Seen.of(POLICY, inputs, looked_for_s=for_s)

        @contextmanager
        def observing(_policy):
            yield Fixed()

        monkeypatch.setattr(look, "observing", observing)
        monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
        monkeypatch.setenv("COLUMNS", "80")
        return CliRunner().invoke(cli, ["explain", *arguments], prog_name="failover")

    return command


def what_if(*changes: str) -> tuple[str, ...]:
    return tuple(word for change in changes for word in ("--what-if", change))


@pytest.mark.parametrize(
    ("name", "world", "changes", "code"),
    [
        ("site_lost", (), ("site-lost=jakarta",), ExitCode.OK),
        (
            "leader_lost",
            ("jkt-zk1 leads the ensemble",),
            ("site-lost=jakarta",),
            ExitCode.OK,
        ),
        (
            "manual",
            ("automation is manual", "cooldown for 3000 s"),
            ("site-lost=jakarta",),
            ExitCode.REFUSED,
        ),
        ("standby_lost", (), ("site-lost=makassar",), ExitCode.OK),
        ("primary_lost", (), ("host-lost=jkt-db1",), ExitCode.OK),
        ("quorum_lost", (), ("site-lost=surabaya", "site-lost=jakarta"), ExitCode.REFUSED),
    ],
)
def test_text(run, name: str, world: tuple[str, ...], changes: tuple[str, ...], code: int) -> None:
    result = run(build(list(world)).inputs(), *what_if(*changes))
    assert result.exit_code == code
    lines = [line.rstrip() + "\n" for line in result.stdout.splitlines()]
    check_golden(f"what_if_{name}", "".join(lines))


def test_json(run) -> None:
    result = run(healthy(), *what_if("site-lost=jakarta"), "-o", "json")
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert document["what_if"] == ["site-lost=jakarta"]
    assert (document["outcome"], document["site"]) == ("takeover", "makassar")
    assert (document["decided_s"], document["outage_s"]) == (6.0, 6.27)
    assert [chapter["verdict"] for chapter in document["story"]] == [
        "healthy",
        "site_isolated",
        "site_lost",
    ]
    assert document["story"][-1]["step"] == "takeover"
    assert document["losses"][0]["behind_bytes"] == 328
    assert document["within_budget"] is True
    assert document["blocking"] == []


def test_json_of_a_hold_has_no_end_in_it(run) -> None:
    result = run(healthy(), *what_if("site-lost=jakarta", "site-lost=surabaya"), "-o", "json")
    assert result.exit_code == ExitCode.REFUSED
    document = json.loads(result.stdout)
    assert (document["outcome"], document["outage_s"]) == ("hold", None)
    assert "Infinity" not in result.stdout


def test_the_same_change_said_twice_is_one(run) -> None:
    result = run(healthy(), *what_if("link-cut", "link-cut"), "-o", "json")
    assert json.loads(result.stdout)["what_if"] == ["link-cut"]


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("site-lost=bandung", "jakarta, makassar, surabaya"),
        ("host-lost=jkt-db9", "jkt-db1"),
        ("host-lost=jkt-proxy1", "sby-ctl1"),
        ("disk-full=jkt-db1", "host-lost=HOST"),
        ("site-lost", "site-lost=SITE"),
        ("link-cut=jakarta", "link-cut"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(run, change: str, known: str) -> None:
    result = run(healthy(), *what_if(change))
    assert result.exit_code == ExitCode.BAD_INPUT
    assert known in result.stderr
    assert result.stdout == ""


def test_it_is_not_watched(run) -> None:
    result = run(healthy(), *what_if("link-cut"), "--watch")
    assert result.exit_code == ExitCode.BAD_INPUT


def test_without_a_usable_state_the_code_says_so(run) -> None:
    result = run(replace(healthy(), state=StateSeen()), *what_if("site-lost=jakarta"))
    assert result.exit_code == ExitCode.STATE_UNREADABLE


def test_without_the_ensemble_there_is_nothing_to_suppose(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def observing(_policy):
        raise StoreUnavailable("nobody answers")
        yield

    run(healthy(), "--help")  # sets the environment
    monkeypatch.setattr(look, "observing", observing)
    result = CliRunner().invoke(cli, ["explain", *what_if("link-cut")], prog_name="failover")
    assert result.exit_code == ExitCode.UNREACHABLE


def test_observe_says_what_it_would_not_do(run) -> None:
    inputs = replace(
        healthy(), state=StateSeen(replace(STATE, automation=Automation.OBSERVE), version=1)
    )
    result = run(inputs, *what_if("site-lost=jakarta"))
    assert result.exit_code == ExitCode.REFUSED
    assert "automation is observe" in result.stdout
