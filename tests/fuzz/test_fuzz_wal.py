"""What PostgreSQL's programs and files say: ``pg_waldump``, control file, history and segments.

A line that may hide a change and is not understood is an error that a receipt states; a position or
timeline is one that there can be, or not known, and then nobody is permitted anything by it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from guard_world import control_bytes
from hostile import fuzzed, in_time, spoilt, texts
from hypothesis import example, given
from hypothesis import strategies as st
from wal_files import first_page

from failover.guard import barrier, waldump
from failover.guard.control_file import (
    ControlFileError,
    DbState,
    newest_timeline,
    parse_control,
)
from failover.guard.receipt_wal import stretches
from failover.guard.records import Places
from failover.guard.salvage import newest_done
from failover.guard.wal_end import _end_of_last_record, stopped_at
from failover.guard.wal_segments import segments_in
from failover.model import ClusterName, Lsn
from failover.receipt.branch import BranchReader
from failover.receipt.waldump import End, NotUnderstood, RowChange, parse

RECORDED = Path(__file__).parents[1] / "unit" / "recorded"
LINES = tuple(
    line
    for file in sorted(RECORDED.glob("pg_waldump-17-*.txt"))
    for line in file.read_text(encoding="utf-8").splitlines()
)
MULTI_INSERT = (
    "rmgr: Heap2       len (rec/tot):     56/    56, tx:        750, lsn: 0/01956CD8, prev "
    "0/01956CB0, desc: MULTI_INSERT+INIT ntuples: {}, flags: 0x00, {}blkref #0: rel 1663/5/6 blk 0"
)
SEGMENTS = ("00000003000000000000001A", "00000003000000000000001A.partial")
OFFSETS_MAX = 2**16  # OffsetNumber of storage/off.h has 16 bits


def lines() -> st.SearchStrategy[str]:
    """A line as it was recorded, a spoilt one, or anything."""
    good = st.sampled_from(LINES)
    return good | good.flatmap(spoilt) | texts()


def sane(found: End | tuple[RowChange, ...]) -> None:
    for each in (found,) if isinstance(found, End) else found:
        assert 0 <= each.xid < 2**32
        assert 0 <= each.lsn.bytes < 2**64
        if isinstance(each, End):
            assert len(each.at) == len("2026-11-26T05:25:51.134063Z")
            assert each.at.isascii()
            assert all(0 <= xid < 2**32 for xid in each.subxids)
            continue
        assert 0 <= each.rows < OFFSETS_MAX
        for place in (each.old, each.new):
            if place is not None:
                assert 0 <= place.block < 2**32
                assert place.offset is None or 0 < place.offset < OFFSETS_MAX


@given(lines())
@example(MULTI_INSERT.format(10**12, ""))
@example(MULTI_INSERT.format("9" * 5000, ""))
@example(MULTI_INSERT.format(3, "offsets: [, ], "))
@example(MULTI_INSERT.format(3, "offsets: [1, 99999999], "))
@example(LINES[0].replace("lsn: 0/", "lsn: FFFFFFFFFF/"))
@example("rmgr: Heap len (rec/tot): " + " " * 100_000)
@example("rmgr: Transaction len (rec/tot): 1/1, tx: 1, lsn: 0/1, prev 0/0, desc: COMMIT 9")
@fuzzed(16)
def test_a_line_of_wal(line: str) -> None:
    with in_time():
        try:
            found = parse(line)
        except NotUnderstood:
            return
    sane(found)


@given(st.lists(lines(), max_size=12), st.integers(0, 3))
@fuzzed(4)
def test_a_branch(read: list[str], changes_max: int) -> None:
    reader = BranchReader(Lsn(0), changes_max=changes_max, transactions_max=2)
    understood = 0
    for line in read:
        try:
            reader.take(line)
        except NotUnderstood:
            break
        found = parse(line)
        understood += isinstance(found, End) and found.committed
    branch = reader.branch()
    assert branch.committed == understood, "no commit is lost, and none is made up"
    assert len(branch.lost) == min(understood, 2)


SAID = "pg_waldump: error: error in WAL record at 0/19581C8: invalid record length at 0/1958230"


@given(spoilt(SAID) | texts())
@example("at " + "F" * 100_000 + "/0")
@example("at 0/123456789")
@fuzzed(12)
def test_where_pg_waldump_stopped(said: str) -> None:
    with in_time():
        found = waldump.stopped_at(said)
    assert found is None or 0 <= found.bytes < 2**64


@given(lines(), st.sampled_from([2**20, 2**24, 2**30]))
@example(LINES[0].replace("/  8167", "/ " + "9" * 30), 2**24)
@example(LINES[0].replace("lsn: 0/", "lsn: FFFFFFFFFF/"), 2**24)
@example("len (rec/tot): 1/1, " * 20_000, 2**24)
@example("len (rec/tot): 1/1," + " lsn: 0/" * 20_000, 2**24)
@fuzzed(12)
def test_the_end_of_the_last_record(line: str, segment_bytes: int) -> None:
    with in_time():
        found = _end_of_last_record(line, segment_bytes)
    assert found is None or 0 <= found.bytes < 2**64


# --------------------------------------------------------------------------- files

CONTROL = control_bytes(DbState.SHUT_DOWN, timeline=3)[:512]


@st.composite
def controls(draw: st.DrawFn) -> bytes:
    """A control file with a few bytes changed, or cut."""
    raw = bytearray(CONTROL[: draw(st.sampled_from([512, 512, 56, 52, 55, 0]))])
    for _ in range(draw(st.integers(0, 4))):
        if raw:
            raw[draw(st.integers(0, min(len(raw), 60) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@given(controls() | st.binary(max_size=80))
@fuzzed(12)
def test_a_control_file(raw: bytes) -> None:
    try:
        control = parse_control(raw)
    except ControlFileError:
        return
    assert control.timeline > 0
    assert control.redo <= control.checkpoint, "its redo is where its checkpoint began"
    assert control.checkpoint.bytes < 2**64 - 2**20, "what comes after it has a position too"


def directory(tmp: str, control: bytes, names: list[str], content: bytes) -> Places:
    data = Path(tmp) / "data"
    (data / "global").mkdir(parents=True)
    (data / "pg_wal").mkdir()
    (data / "global" / "pg_control").write_bytes(control)
    for name in names:
        (data / "pg_wal" / name).write_bytes(content)
    (Path(tmp) / "salvage").mkdir()
    return Places(
        ClusterName("shop"), data, run_dir=Path(tmp), durable_dir=Path(tmp), bin_dir=Path("/bin")
    )


def names() -> st.SearchStrategy[str]:
    """Of files in ``pg_wal``."""
    real = st.sampled_from(
        [*SEGMENTS, "00000003.history", "FFFFFFFF.history", "00000000.history", "ffffffff.history"]
    )
    odd = st.sampled_from(["²", "٣", "9" * 60, "1", "0", "history"]) | st.text(max_size=30)
    return (real | real.flatmap(spoilt) | odd).filter(
        lambda text: (
            text.isprintable() and "/" not in text and text.strip(".") and len(text.encode()) < 200
        )
    )


@st.composite
def pages(draw: st.DrawFn) -> bytes:
    """The beginning of a segment, of any size and address, with a few bytes changed."""
    size = draw(st.sampled_from([0, 1, 2**20, 3 * 2**20, 2**24, 2**30, 2**31]))
    address = draw(st.sampled_from([0, 2**64 - 2**20, 2**64 - 1]) | st.integers(0, 512))
    raw = bytearray(first_page(draw(st.integers(0, 3)), address * size % 2**64, size)[:48])
    for _ in range(draw(st.integers(0, 2))):
        raw[draw(st.integers(0, 47))] = draw(st.integers(0, 255))
    return bytes(raw)


@given(controls(), st.lists(names(), max_size=4, unique=True), st.binary(max_size=40) | pages())
@example(CONTROL, ["FFFFFFFF.history"], b"")
@fuzzed(3)
def test_a_data_directory(control: bytes, files: list[str], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as tmp, in_time():
        places = directory(tmp, control, files, content)
        newest = newest_timeline(places.control_file, places.wal)
        assert newest is None or 0 < newest < 2**32 - 1, "the next one can still be promised"
        found = segments_in(places.wal)
        for each in found:
            assert each.start < each.end
        stretches(found)
        stopped = stopped_at(places, control)
        assert stopped is None or stopped.end.lsn.bytes < 2**64
        for name in files:
            (places.salvage / name).mkdir()
            (places.salvage / name / "DONE").touch()
        done = newest_done(places)
        assert done is None or 0 < done < 2**31
        assert barrier.first_free_timeline(str(places.data_dir)) > 0


# --------------------------------------------------------------------------- the barrier


@given(texts() | st.sampled_from(["timeline=7 granted", "timeline=4294967295", "timeline=-1 x"]))
@fuzzed(12)
def test_the_number_in_a_guards_answer(reason: str) -> None:
    """Refused is a no in words; an odd number is never taken for "none was promised"."""
    try:
        promised = barrier.promised_timeline(reason)
    except barrier.Refused:
        return
    assert (promised is None) == (not reason.startswith("timeline="))
    assert promised is None or 0 < promised < 2**32


@given(st.integers(1, 12) | st.integers(1005, 2**32 - 1))
@example(2**32 - 1)
@fuzzed(3)
def test_numbers_are_reserved_up_to_a_bound(promised: int) -> None:
    """A number out of a spoilt record must not fill the disk before a promotion."""
    with tempfile.TemporaryDirectory() as tmp, in_time():
        places = directory(tmp, CONTROL, [], b"")
        try:
            barrier.reserve_timelines(str(places.data_dir), promised)
        except barrier.Refused:
            assert not list(places.wal.iterdir())
            return
        assert len(list(places.wal.iterdir())) == promised - 4


@given(texts())
@example("nan")
@example("inf")
@example("-1")
@fuzzed(8)
def test_how_long_the_hook_waits(text: str) -> None:
    try:
        limit_s = barrier.hook_limit_s([f"--limit-s={text}"])
    except barrier.Refused:
        return
    assert 0 < limit_s <= 3600


@given(st.lists(texts() | st.sampled_from(["-D", "--pgdata", "-Dx", "--target-pgdata=x"])))
@fuzzed(6)
def test_arguments_of_a_start(arguments: list[str]) -> None:
    found = barrier.option(arguments, "-D")
    assert found is None or any(found in argument for argument in arguments)
