"""The words of the checkpoint before a planned move, and when the move is not begun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_world import CONFIG, JAKARTA, POLICY
from click.testing import CliRunner
from memory_store import World

from failover.cli import rehearse, switchover
from failover.cli.checkpoint_first import checkpoint_first, words
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.moves import Ended, new_request
from failover.cli.output import UserError
from failover.coordination import connect
from failover.model import HostName
from failover.policy import DatabaseHost
from failover.sites import checkpoint
from failover.sites.checkpoint import Checkpointed

MAKASSAR = POLICY.other_data_site(JAKARTA).name
CLUSTER = POLICY.clusters[0].name
MADE = Checkpointed(HostName("jkt-db1"), CLUSTER, (2.5, 0.1))
SILENT = Checkpointed(HostName("jkt-db2"), CLUSTER, trouble="no answer within 3 s")


def first(monkeypatch: pytest.MonkeyPatch, *answers: Checkpointed) -> tuple[list[str], list[str]]:
    """The hosts that were asked, and what was said."""
    asked: list[str] = []
    said: list[str] = []

    async def primaries(
        hosts: Iterable[DatabaseHost], _password_file: Path, _waiting: object
    ) -> tuple[Checkpointed, ...]:
        asked.extend(host.name for host in hosts)
        return answers

    monkeypatch.setattr(checkpoint, "checkpoint_primaries", primaries)
    checkpoint_first(POLICY, JAKARTA, Path("observer.password"), said.append)
    return asked, said


def test_the_hosts_of_the_site_that_will_stop_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, said = first(monkeypatch, MADE)
    assert asked == [host.name for host in POLICY.clusters[0].at(JAKARTA)]
    assert said == ["a checkpoint first: jkt-db1 wrote out what was dirty, in 2.5 s and 0.1 s"]


def test_a_silent_standby_is_no_trouble() -> None:
    assert words(CLUSTER, [SILENT, MADE]).startswith("a checkpoint first: jkt-db1")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([SILENT], "jkt-db2: no answer within 3 s"),
        ([], f"no primary of {CLUSTER} answered"),
    ],
)
def test_without_one_the_pause_is_said_to_be_longer(answers: list[Checkpointed], why: str) -> None:
    assert words(CLUSTER, answers) == (
        f"no checkpoint first: {why}. Its stop writes out what is dirty, and the pause is as much "
        "longer"
    )


def test_one_that_was_finished_counts_where_another_was_not() -> None:
    said = words(CLUSTER, [Checkpointed(HostName("jkt-db1"), CLUSTER, (9.0,), "cut")])
    assert said == "a checkpoint first: jkt-db1 wrote out what was dirty, in 9.0 s; not again: cut"


def test_who_is_told_to_stop_meanwhile_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def primaries(*_: object) -> tuple[Checkpointed, ...]:
        return (MADE,)

    monkeypatch.setattr(checkpoint, "checkpoint_primaries", primaries)
    said: list[str] = []
    with pytest.raises(UserError, match="told to stop before it had begun"):
        checkpoint_first(POLICY, JAKARTA, Path("x"), said.append, stop_asked=lambda: True)
    assert said == []


@pytest.mark.parametrize(("words", "asked"), [((), True), (("--no-checkpoint",), False)])
def test_the_command_has_it_made_before_it_asks(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: bool
) -> None:
    """And judges again, for the other site may lag behind afterwards."""
    done: list[str] = []

    @contextmanager
    def store(_policy: object) -> Iterator[None]:
        yield None

    def judged(*_: object) -> tuple[str, tuple[()]]:
        done.append("judged")
        return JAKARTA, ()

    def follow(*_: object) -> Ended:
        done.append("asked")
        return Ended("s-1", "done", "jakarta", "makassar", 2, 1.0, ())

    monkeypatch.setattr(connect, "open_store", store)
    monkeypatch.setattr(switchover, "somebody_leads", lambda *_: True)
    monkeypatch.setattr(switchover, "_judged", judged)
    monkeypatch.setattr(switchover, "checkpoint_first", lambda *_: done.append("checkpoint"))
    monkeypatch.setattr(switchover, "follow", follow)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    told = CliRunner().invoke(cli, ["switchover", "--to", "makassar", "--yes", *words])
    assert told.exit_code == ExitCode.OK, told.output
    assert done == (["judged", "checkpoint", "judged", "asked"] if asked else ["judged", "asked"])


@pytest.mark.parametrize("asked", [True, False])
def test_a_rehearsal_has_it_made_before_each_of_its_moves(
    monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr(rehearse, "checkpoint_first", lambda *_: done.append("checkpoint"))
    monkeypatch.setattr(rehearse, "_until_it_may_begin", lambda *_: done.append("judged"))
    monkeypatch.setattr(rehearse, "_measured", lambda *_: done.append("moved"))
    password_file = Path("observer.password") if asked else None
    hands = rehearse._hands(POLICY, World().session(), password_file, lambda: False)
    for _ in range(2):
        hands.move(JAKARTA, new_request(MAKASSAR, "a test", 15.0))
    assert done == (["checkpoint", "judged", "moved"] if asked else ["moved"]) * 2


def test_a_server_that_cannot_finish_one_is_not_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = Checkpointed(HostName("jkt-db1"), CLUSTER, (), "no answer within 600 s", unfinished=True)
    with pytest.raises(UserError, match="jkt-db1 had not finished a checkpoint") as refused:
        first(monkeypatch, late)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert "--no-checkpoint" in str(refused.value)
