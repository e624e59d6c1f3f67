"""pg_waldump is run over the copied segments; a stand-in prints what the real one printed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from wal_files import SEGMENT_BYTES, first_page, write_segment

from failover.guard.receipt_wal import Stretch, read_wal, stretches
from failover.guard.wal_segments import segment_name, segments_in
from failover.model import Lsn
from failover.receipt.compose import WalRead
from failover.receipt.document import FromIs

RECORDED = Path(__file__).parent / "recorded" / "pg_waldump-17-marketplace.txt"
END = Lsn.parse("0/197C908")
END_OF_NEWER = Lsn.parse("0/2000120")
STOPPED = f"pg_waldump: error: error in WAL record at 0/197C8D0: invalid record length at {END}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        ([(1, 3)], [((1, 3), (1, 3))]),
        ([(1, 3), (1, 4), (1, 5)], [((1, 3), (1, 5))]),
        # The second timeline begins in segment 4 and repeats what is before it there.
        ([(1, 3), (1, 4), (2, 4), (2, 5)], [((1, 3), (1, 3)), ((2, 4), (2, 5))]),
        # A branch that was left: what lies beyond the switch is nobody's any more.
        ([(1, 3), (1, 4), (1, 5), (1, 6), (2, 4)], [((1, 3), (1, 3)), ((2, 4), (2, 4))]),
        ([(1, 4), (2, 4)], [((2, 4), (2, 4))]),
    ],
)
def test_every_position_is_read_once_on_the_newest_timeline(
    tmp_path: Path,
    names: list[tuple[int, int]],
    expected: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    for name in names:
        write_segment(tmp_path, *name)
    (tmp_path / f"{segment_name(1, 9, SEGMENT_BYTES)}.partial").write_bytes(
        first_page(1, 9 * SEGMENT_BYTES)
    )
    assert stretches(segments_in(tmp_path)) == tuple(
        Stretch(
            segment_name(*first, SEGMENT_BYTES),
            segment_name(*last, SEGMENT_BYTES),
            Lsn(first[1] * SEGMENT_BYTES),
            Lsn((last[1] + 1) * SEGMENT_BYTES),
        )
        for first, last in expected
    )


class Copy:
    """A salvage directory, and a pg_waldump that says what it is told to say."""

    def __init__(self, root: Path) -> None:
        self.bin_dir, self.directory = root / "bin", root / "2"
        for directory in (self.bin_dir, self.directory):
            directory.mkdir()
        self.segment = write_segment(self.directory, 1, 1)
        self.says(f"cat {RECORDED}; echo '{STOPPED}' >&2; exit 1")

    def says(self, script: str) -> None:
        program = self.bin_dir / "pg_waldump"
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        program.chmod(0o755)

    def read(self, end: Lsn = END, limit_s: float = 20.0, from_lsn: str = "0/19461E0") -> WalRead:
        start = Lsn.parse(from_lsn)
        return read_wal(self.bin_dir, self.directory, start, FromIs.DIVERGENCE, end, limit_s)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_everything_up_to_the_end_of_wal(copy: Copy) -> None:
    wal = copy.read()
    assert wal.branch.committed == 13
    assert (wal.rows_from_lsn, wal.read_to_lsn, wal.problem) == (Lsn(0x1000000), END, "")


def test_an_end_that_nobody_knows_is_no_end_that_was_reached(copy: Copy) -> None:
    """pg_waldump was killed half-way, and what stopped it said nothing."""
    copy.says(f"head -n 5 {RECORDED}; kill -9 $$")
    assert "where the WAL ends is not known" in copy.read(end=Lsn(0)).problem


def test_it_is_asked_for_utc_and_three_resource_managers(copy: Copy) -> None:
    copy.says(f'echo "$TZ $LC_ALL $*" > {copy.directory}/asked; echo "{STOPPED}" >&2; exit 1')
    copy.read()
    asked = (copy.directory / "asked").read_text()
    name = copy.segment
    assert asked == (
        f"UTC C --path={copy.directory} --rmgr=Transaction --rmgr=Heap --rmgr=Heap2 {name} {name}\n"
    )


def test_wal_that_was_not_reached_is_said(copy: Copy) -> None:
    wal = copy.read(end=Lsn.parse("0/2000000"))
    assert f"pg_waldump stopped at {END}" in wal.problem
    (copy.directory / copy.segment).unlink()
    assert "no segment was copied" in copy.read().problem


def test_a_segment_that_was_switched_is_read_to_its_end(copy: Copy) -> None:
    """The switch is of a resource manager that is not asked for, and nothing comes after it."""
    copy.says(f"cat {RECORDED}")
    wal = copy.read(Lsn.parse("0/197D000"))
    assert (wal.read_to_lsn, wal.problem) == (Lsn(0x2000000), "")
    copy.says(f"cat {RECORDED}; kill -9 $$")
    assert "pg_waldump stopped" in copy.read(Lsn.parse("0/197D000")).problem


@pytest.mark.parametrize("killed", ["kill -9 $$", "echo 'could not read file' >&2; exit 1"])
def test_an_older_timeline_that_was_not_read_to_its_end_is_said(copy: Copy, killed: str) -> None:
    """The newer one is read to the end of the WAL, and what lay before it is missing."""
    newer = write_segment(copy.directory, 2, 2)
    end = f"echo 'error in WAL record at 0/2000100: invalid record length at {END_OF_NEWER}' >&2"
    copy.says(f"case $* in *{newer}*) {end}; exit 1;; esac; cat {RECORDED}; {killed}")
    wal = copy.read(END_OF_NEWER)
    assert (wal.branch.committed, wal.read_to_lsn) == (13, END_OF_NEWER)
    assert "to 0/2000000 was not read" in wal.problem
    copy.says(f"case $* in *{newer}*) {end}; exit 1;; esac; cat {RECORDED}")
    assert copy.read(END_OF_NEWER).problem == ""


def test_a_segment_that_is_missing_between_two_timelines_is_said(copy: Copy) -> None:
    write_segment(copy.directory, 2, 3)
    copy.says(f"cat {RECORDED}")
    wal = copy.read(Lsn.parse("0/3000100"))
    assert (
        wal.problem
        == "the WAL from 0/2000000 to 0/3000000 was not read: no segment of it was copied"
    )


def test_a_copy_that_begins_too_late_is_said(copy: Copy) -> None:
    assert "begins at 0/1000000 only" in copy.read(from_lsn="0/FFFFFF").problem


def test_a_record_that_is_not_understood_ends_the_reading_and_is_said(copy: Copy) -> None:
    copy.says(f"head -n 1 {RECORDED}; echo 'rmgr: Heap what is this'; sleep 60")
    began_s = time.monotonic()
    wal = copy.read()
    assert "is not understood: rmgr: Heap what is this" in wal.problem
    assert time.monotonic() - began_s < 20


def test_it_takes_no_longer_than_it_may(copy: Copy) -> None:
    copy.says(f"cat {RECORDED}; exec sleep 60")
    began_s = time.monotonic()
    wal = copy.read(limit_s=0.5)
    assert time.monotonic() - began_s < 20
    assert wal.branch.committed == 13
    assert wal.problem.startswith("the WAL was read for 0.5 s only")


@pytest.mark.parametrize("cut", [2, 15, 45])
def test_a_line_that_is_torn_when_the_time_is_up_is_no_record(copy: Copy, cut: int) -> None:
    lines = RECORDED.read_text().splitlines(keepends=True)
    last_commit = max(n for n, line in enumerate(lines) if "desc: COMMIT" in line)
    torn = "".join(lines[: last_commit + 1])[:-cut]
    (copy.directory / "torn").write_text(torn)
    copy.says(f"cat {copy.directory}/torn; exec sleep 60")
    wal = copy.read(limit_s=0.5)
    assert wal.branch.committed == 12
    assert wal.problem.startswith("the WAL was read for 0.5 s only")
