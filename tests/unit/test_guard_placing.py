"""`failover guard barriers`: the barriers of this version, whole, beside a running server."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from failover.checks.host_report import BARRIER_DIRECTORY, BARRIERS
from failover.cli.guard import command
from failover.guard import barrier
from failover.guard.placing import place, stale


def test_they_are_where_the_check_and_patroni_look_for_them() -> None:
    assert barrier.BARRIER_DIR == BARRIER_DIRECTORY


def test_once_placed_they_are_in_order_and_are_left_alone(tmp_path: Path) -> None:
    there = tmp_path / "barrier"
    assert set(place(there)) == set(BARRIERS)
    before = {path.name: path.stat().st_ino for path in there.iterdir()}
    assert place(there) == stale(there) == ()
    assert {path.name: path.stat().st_ino for path in there.iterdir()} == before
    assert set(before) == set(BARRIERS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in there.iterdir()} == {0o755}


def test_another_version_a_link_and_a_lost_right_are_put_right(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "promote").write_text("#!/bin/sh\n")
    (tmp_path / "pre_promote").chmod(0o644)
    (tmp_path / "postgres").unlink()
    (tmp_path / "postgres").symlink_to(Path(barrier.__file__))
    (tmp_path / ".promote.new").write_text("of a run that was killed")
    assert set(place(tmp_path)) == {"promote", "pre_promote", "postgres"}
    assert stale(tmp_path) == ()
    assert {path.name for path in tmp_path.iterdir()} == set(BARRIERS)


def test_who_has_begun_to_read_the_old_one_reads_on_in_it(tmp_path: Path) -> None:
    place(tmp_path)
    script = tmp_path / "pg_ctl"
    script.write_text("old\n" * 100)
    with script.open() as file:
        assert file.readline() == "old\n"
        place(tmp_path)
        assert set(file.read().split()) == {"old"}


def test_a_link_elsewhere_is_replaced_and_what_it_names_is_not(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    there = tmp_path / "barrier"
    there.mkdir()
    (there / ".postgres.new").symlink_to(theirs)
    (there / "postgres").symlink_to(theirs)
    place(there)
    assert theirs.read_text() == "mine"


def test_the_command_says_what_it_did_and_check_writes_nothing(tmp_path: Path) -> None:
    where = ["barriers", "--to", str(tmp_path / "barrier")]
    missing = CliRunner().invoke(command, [*where, "--check"])
    assert missing.exit_code == 1
    assert "failover guard barriers" in missing.output
    assert not (tmp_path / "barrier").exists()
    assert "placed: postgres, promote" in CliRunner().invoke(command, where).output
    assert "all of this version" in CliRunner().invoke(command, where).output
    assert CliRunner().invoke(command, [*where, "--check"]).exit_code == 0


def test_a_place_that_is_a_file_is_a_sentence_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = CliRunner().invoke(command, ["barriers", "--to", str(tmp_path / "file" / "barrier")])
    assert ended.exit_code == 2
    assert "cannot be written" in ended.output


@pytest.mark.parametrize("name", BARRIERS)
def test_each_knows_itself_by_its_name(tmp_path: Path, name: str) -> None:
    """A copy under another name would refuse everything: barrier.py goes by what it is called."""
    place(tmp_path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith(("#!/usr/bin/python3 -IS\n", "#!/bin/sh\n"))
    assert name.endswith(".sh") or name == "pg_ctl" or f'"{name}"' in text
