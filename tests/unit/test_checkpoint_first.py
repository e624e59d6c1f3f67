"""The words of the checkpoint before a planned move, and when the move is not begun."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from cli_world import JAKARTA, POLICY

from failover.cli.checkpoint_first import checkpoint_first, words
from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError
from failover.model import HostName
from failover.policy import DatabaseHost
from failover.sites import checkpoint
from failover.sites.checkpoint import Checkpointed

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
        # Its second one failed: how much is dirty by now is not known.
        ([Checkpointed(HostName("jkt-db1"), CLUSTER, (9.0,), "cut")], "jkt-db1: cut"),
    ],
)
def test_without_one_the_pause_is_said_to_be_longer(answers: list[Checkpointed], why: str) -> None:
    assert words(CLUSTER, answers) == (
        f"no checkpoint first: {why}. Its stop writes out what is dirty, and the pause is as much "
        "longer"
    )


def test_a_server_that_cannot_finish_one_is_not_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = Checkpointed(HostName("jkt-db1"), CLUSTER, (), "no answer within 600 s", unfinished=True)
    with pytest.raises(UserError, match="jkt-db1 had not finished a checkpoint") as refused:
        first(monkeypatch, late)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert "--no-checkpoint" in str(refused.value)
