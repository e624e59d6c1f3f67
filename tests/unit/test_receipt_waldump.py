"""What pg_waldump of PostgreSQL 17 printed, line by line: `recorded/` has the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.model import Lsn
from failover.receipt.waldump import End, FileNode, Kind, NotUnderstood, Place, RowChange, parse

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str, *, xid: int, starts: str) -> str:
    """The only line of that transaction whose description starts so."""
    lines = (RECORDED / f"pg_waldump-17-{name}.txt").read_text().splitlines()
    (found,) = [line for line in lines if f"tx: {xid:>10}," in line and f"desc: {starts}" in line]
    return found


def changes(name: str, *, xid: int, starts: str) -> tuple[RowChange, ...]:
    said = parse(recorded(name, xid=xid, starts=starts))
    assert not isinstance(said, End)
    return said


@pytest.mark.parametrize("name", ["marketplace", "places"])
def test_every_recorded_line_is_understood(name: str) -> None:
    lines = (RECORDED / f"pg_waldump-17-{name}.txt").read_text().splitlines()
    assert len([parse(line) for line in lines]) > 20


def test_commit_with_its_time_and_subtransactions() -> None:
    said = parse(recorded("marketplace", xid=741, starts="COMMIT"))
    at = "2026-11-26T05:25:02.051873Z"
    assert said == End(741, (744, 745), Lsn.parse("0/194EF20"), at, committed=True)


def test_abort_of_a_subtransaction_has_its_own() -> None:
    said = parse(recorded("marketplace", xid=742, starts="ABORT"))
    assert isinstance(said, End)
    assert (said.xid, said.subxids, said.committed) == (742, (743,), False)


@pytest.mark.parametrize(
    ("operation", "xid", "committed"), [("COMMIT", 750, True), ("ABORT", 751, False)]
)
def test_who_ends_a_prepared_transaction_names_it(
    operation: str, xid: int, committed: bool
) -> None:
    said = parse(recorded("marketplace", xid=0, starts=f"{operation}_PREPARED {xid}"))
    assert isinstance(said, End)
    assert (said.xid, said.committed) == (xid, committed)


def test_what_follows_a_commits_time_is_no_subtransaction() -> None:
    """Invalidation messages and dropped files."""
    for xid in (754, 755):
        said = parse(recorded("marketplace", xid=xid, starts="COMMIT"))
        assert isinstance(said, End)
        assert said.subxids == ()


def test_insert() -> None:
    (change,) = changes("marketplace", xid=746, starts="INSERT")
    assert change.file == FileNode(1663, 16384, 16385)
    assert (change.kind, change.old, change.new) == (Kind.INSERT, None, Place(0, 5))
    assert str(change.file) == "1663/16384/16385"


def test_delete() -> None:
    (change,) = changes("marketplace", xid=748, starts="DELETE")
    assert (change.kind, change.old, change.new) == (Kind.DELETE, Place(0, 3), None)
    assert change.key_changed


def test_update_in_the_same_block() -> None:
    (change,) = changes("marketplace", xid=747, starts="HOT_UPDATE")
    assert (change.old, change.new, change.key_changed) == (Place(0, 6), Place(0, 8), False)


def test_update_into_another_block() -> None:
    (change,) = changes("places", xid=748, starts="UPDATE")
    assert (change.old, change.new) == (Place(0, 2), Place(1, 4))


def test_update_of_a_key() -> None:
    (change,) = changes("places", xid=749, starts="UPDATE")
    assert (change.new, change.key_changed) == (Place(1, 5), True)


def test_many_rows_with_their_places() -> None:
    found = changes("marketplace", xid=752, starts="MULTI_INSERT")
    assert [change.new for change in found] == [Place(0, 8), Place(0, 9), Place(0, 10)]


def test_many_rows_in_a_new_block_begin_with_the_first_place() -> None:
    found = changes("places", xid=750, starts="MULTI_INSERT+INIT ntuples: 174")
    assert len(found) == 174
    assert (found[0].new, found[-1].new) == (Place(1, 1), Place(1, 174))


def test_many_rows_in_an_image_of_the_block_have_no_places() -> None:
    lines = (RECORDED / "pg_waldump-17-marketplace.txt").read_text().splitlines()
    found = [parse(line) for line in lines if "MULTI_INSERT" in line and "FPW" in line]
    assert found
    for (change,) in found:  # type: ignore[misc]
        assert change.new.offset is None
        assert change.rows >= 1


def test_a_row_of_another_tablespace() -> None:
    (change,) = changes("places", xid=751, starts="INSERT+INIT")
    assert change.file == FileNode(16396, 16384, 16397)


def test_the_block_of_another_fork_is_not_the_rows() -> None:
    line = next(
        line
        for line in (RECORDED / "pg_waldump-17-marketplace.txt").read_text().splitlines()
        if "fork vm" in line and "desc: INSERT" in line
    )
    (change,) = parse(line)  # type: ignore[misc]
    assert change.new.block > 0


@pytest.mark.parametrize(("xid", "starts"), [(756, "LOCK"), (757, "HEAP_CONFIRM")])
def test_a_lock_is_no_change(xid: int, starts: str) -> None:
    assert changes("marketplace", xid=xid, starts=starts) == ()


@pytest.mark.parametrize("line", ["", "pg_waldump: first record is after 0/1000000, at 0/1000028"])
def test_what_is_no_record_says_nothing(line: str) -> None:
    assert parse(line) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("desc: INSERT off: 5,", "desc: INSERT_INTO_COLUMNS off: 5,"),
        ("desc: INSERT off: 5,", "desc: INSERT place: 5,"),
        ("blkref #0: rel 1663/16384/16385 blk 0", ""),
        ("rmgr: Heap ", "rmgr: Heap, "),
    ],
)
def test_what_may_hide_a_change_and_is_not_known_is_refused(old: str, new: str) -> None:
    line = recorded("marketplace", xid=746, starts="INSERT")
    assert old in line
    with pytest.raises(NotUnderstood):
        parse(line.replace(old, new))
