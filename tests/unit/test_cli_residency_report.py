"""failover residency report: on stdout, in each form, and its exit codes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from memory_store import MemoryStore, World
from residency_story import LINE, PATHS, Story, at, october, written

from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.coordination import connect
from failover.coordination.store import StoreUnavailable
from failover.znode import Delete, Znode

Run = Callable[..., Result]
PERIOD = ("--from", "2025-10-01", "--to", "2025-10-31")


@pytest.fixture
def story() -> Story:
    return october()


@pytest.fixture
def run(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    @contextmanager
    def open_store(_policy: object) -> Iterator[MemoryStore]:
        yield story.store

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(written(tmp_path)))
    return lambda *options: CliRunner().invoke(
        cli, ["residency", "report", *options], prog_name="failover"
    )


def test_markdown_in_english_is_the_default(run: Run) -> None:
    result = run(*PERIOD)
    assert result.exit_code == ExitCode.OK, result.stderr
    assert result.stdout.startswith("# Data residency: group marketplace\n")
    assert result.stdout.endswith("|\n")


def test_indonesian(run: Run) -> None:
    result = run(*PERIOD, "--language", "id", "--format", "html")
    assert result.exit_code == ExitCode.OK
    assert '<html lang="id">' in result.stdout
    assert "Jaringan yang dideklarasikan" in result.stdout


def test_json_has_codes_times_and_the_sum_of_the_configuration(run: Run, tmp_path: Path) -> None:
    document = json.loads(run(*PERIOD, "--format", "json").stdout)
    assert (document["schema"], document["language"], document["reliable"]) == (1, "en", True)
    assert (document["from"], document["to"]) == ("2025-10-01", "2025-10-31")
    assert [finding["end"] for finding in document["findings"]] == ["gone", "gone", "open"]
    assert document["findings"][1]["from_unix_s"] == at(9, hour=8, minute=53)
    said = hashlib.sha256((tmp_path / "failover.yaml").read_bytes()).hexdigest()
    assert document["configuration_sha256"] == said
    assert document["chain"]["head_number"] == 12


def test_findings_in_the_period_do_not_change_the_exit_code(run: Run, story: Story) -> None:
    story.tell(at(26), LINE)
    assert run(*PERIOD).exit_code == ExitCode.OK


def test_a_broken_chain_changes_the_exit_code_and_is_in_the_report(run: Run, story: Story) -> None:
    story.store.commit((Delete(f"{PATHS.history}/e-0000000004", 0),))
    result = run(*PERIOD)
    assert result.exit_code == ExitCode.FINDINGS
    assert "NOT whole" in result.stdout
    assert "CANNOT BE RELIED UPON" in result.stdout
    assert "docs/operations/history.md" in result.stderr


def test_a_logged_head_that_does_not_fit_changes_the_exit_code(run: Run) -> None:
    assert run(*PERIOD, "--head", f"3:{'0' * 64}").exit_code == ExitCode.FINDINGS
    assert run(*PERIOD, "--head", "3").exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    "period",
    [
        ("--from", "2025-10-02", "--to", "2025-10-01"),
        ("--from", "2999-01-01", "--to", "2999-01-02"),
        ("--from", "yesterday", "--to", "2025-10-01"),
        ("--from", "2025-10-01"),
    ],
)
def test_a_period_that_is_none_is_refused(run: Run, period: tuple[str, ...]) -> None:
    result = run(*period)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stdout == ""


def test_a_group_that_does_not_exist_is_refused(run: Run, story: Story) -> None:
    story.store = World().session()
    assert run(*PERIOD).exit_code == ExitCode.STATE_UNREADABLE


def test_no_answer_of_the_ensemble(run: Run, story: Story) -> None:
    story.store.silent = True
    assert run(*PERIOD).exit_code == ExitCode.UNREACHABLE


def test_history_and_ledger_are_those_of_one_moment(run: Run, story: Story) -> None:
    """A finding that is put on record between two reads is no contradiction."""
    store = Restless(story)
    story.store = store
    result = run(*PERIOD, "--format", "json")
    assert json.loads(result.stdout)["disagreements"] == 0
    assert store.told == 1


class Restless(MemoryStore):
    """Something is put on record after the ledger was read for the first time."""

    def __init__(self, story: Story) -> None:
        super().__init__(story.store._world, 0x9999)
        self._story = Story.__new__(Story)
        self._story.store = story.store
        self.told = 0

    def read(self, path: str) -> Znode | None:
        found = super().read(path)
        if path == PATHS.residency and not self.told:
            self.told += 1
            self._story.tell(at(2, 11), LINE)
        return found


def test_a_history_that_never_rests_is_no_answer(story: Story) -> None:
    from failover.cli.residency import read_sources

    class Sleepless(MemoryStore):
        days = 2

        def read(self, path: str) -> Znode | None:
            found = super().read(path)
            if path == PATHS.residency:
                Sleepless.days += 1
                story.tell(at(Sleepless.days, 11), *([LINE] if Sleepless.days % 2 else []))
            return found

    with pytest.raises(StoreUnavailable, match="changed while it was read"):
        read_sources(Sleepless(story.store._world, 0x9999), PATHS, (), "")
