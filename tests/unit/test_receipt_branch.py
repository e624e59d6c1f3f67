"""What was committed after the divergence point, from recorded WAL of PostgreSQL 17."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.model import Lsn
from failover.receipt.branch import Branch, BranchReader, LeftBehind
from failover.receipt.rows import (
    Held,
    KeyIs,
    Missing,
    NoKey,
    RowKey,
    Version,
    Wanted,
    match,
    places,
    wanted_rows,
)
from failover.receipt.waldump import FileNode, Kind, Place, RowChange

RECORDED = Path(__file__).parent / "recorded" / "pg_waldump-17-marketplace.txt"
SHOP, BUYER = FileNode(1663, 16384, 16385), FileNode(1663, 16384, 16392)
COMMITTED = [740, 741, 747, 748, 749, 750, 752, 753, 754, 755, 756, 757, 758]


def read(from_lsn: str = "0/0", **limits: int) -> Branch:
    reader = BranchReader(Lsn.parse(from_lsn), **limits)
    for line in RECORDED.read_text().splitlines():
        reader.take(line)
    return reader.branch()


def test_every_committed_transaction_in_order_and_no_other() -> None:
    branch = read()
    assert [one.xid for one in branch.lost] == COMMITTED
    assert (branch.committed, branch.aborted, branch.unfinished) == (13, 3, 1)
    assert branch.first_at == "2026-11-26T05:25:02.050893Z"
    assert branch.last_at == "2026-11-26T05:25:02.059815Z"
    assert branch.last_lsn == branch.lost[-1].lsn


def test_only_those_that_committed_at_or_after_the_divergence_point() -> None:
    """748 changed its row before the point, and committed at it: the other side has it not."""
    assert [one.xid for one in read("0/194F0B0").lost] == COMMITTED[3:]
    assert [one.xid for one in read("0/194F0B1").lost] == COMMITTED[4:]
    (deleted,) = [one for one in read("0/194F0B0").lost if one.xid == 748]
    assert deleted.rows == {BUYER: 1}


def test_the_rows_of_a_subtransaction_are_its_transactions_unless_it_was_rolled_back() -> None:
    (nested,) = [one for one in read().lost if one.xid == 741]
    assert nested.rows == {SHOP: 2}
    assert [change.new for change in nested.changes] == [Place(0, 2), Place(0, 4)]


def test_totals_by_file() -> None:
    branch = read()
    assert (branch.rows[SHOP], branch.transactions[SHOP]) == (10, 6)
    assert (branch.rows[BUYER], branch.transactions[BUYER]) == (3, 3)


def test_bounded_and_still_counted() -> None:
    branch = read(transactions_max=2, changes_max=3)
    assert (len(branch.lost), branch.committed, branch.rows[SHOP]) == (2, 13, 10)
    assert sum(len(one.changes) for one in branch.lost) == 3


# --------------------------------------------------------------------------- places of keys


def at_of(file: FileNode) -> list[tuple[int, Version | Missing]]:
    return [(one.xid, one.at) for one in wanted_rows(read().lost, file)]


def test_a_row_updated_again_is_followed_to_its_last_version() -> None:
    last = Version(Place(0, 8), 747, 747, doubtful=False)
    assert at_of(BUYER) == [(740, last), (747, last), (748, Missing.DELETED)]


def test_a_row_of_a_subtransaction_is_expected_with_its_id() -> None:
    wanted = dict(at_of(SHOP))
    assert wanted[741] == Version(Place(0, 4), 745, 741, doubtful=False)


def change(
    lsn: int,
    kind: Kind,
    old: Place | None,
    new: Place | None,
    *,
    xid: int,
    rows: int = 1,
    key_changed: bool = False,
) -> RowChange:
    return RowChange(xid, Lsn(lsn), SHOP, kind, old, new, rows, key_changed)


def transactions(*changes: RowChange) -> list[LeftBehind]:
    """Each change in a transaction of its own."""
    return [
        LeftBehind(one.xid, (), Lsn(one.lsn.bytes + 1), "", {SHOP: one.rows}, (one,))
        for one in changes
    ]


def key(xid: int, kind: Kind, value: str, key_is: KeyIs) -> RowKey:
    return RowKey(xid, kind, (value,), key_is)


ONE, TWO = Place(0, 1), Place(0, 2)


def test_a_later_version_says_so() -> None:
    lost = transactions(
        change(10, Kind.INSERT, None, ONE, xid=5), change(20, Kind.UPDATE, ONE, TWO, xid=6)
    )
    keys, without = match(wanted_rows(lost, SHOP), {(0, 2): Held(6, ("k",))})
    assert keys == (key(5, Kind.INSERT, "k", KeyIs.LATER), key(6, Kind.UPDATE, "k", KeyIs.OWN))
    assert without == ()


def test_a_key_that_may_have_changed_since_is_doubtful_for_who_came_before() -> None:
    lost = transactions(
        change(10, Kind.INSERT, None, ONE, xid=5),
        change(20, Kind.UPDATE, ONE, TWO, xid=6, key_changed=True),
    )
    keys, _ = match(wanted_rows(lost, SHOP), {(0, 2): Held(6, ("k",))})
    assert keys[0].key_is is KeyIs.DOUBTFUL
    assert keys[1].key_is is KeyIs.OWN


def test_a_deleted_row_has_no_key_for_anybody() -> None:
    lost = transactions(
        change(10, Kind.INSERT, None, ONE, xid=5),
        change(20, Kind.DELETE, ONE, None, xid=6, key_changed=True),
    )
    _, without = match(wanted_rows(lost, SHOP), {})
    assert without == (NoKey(5, 1, Missing.DELETED), NoKey(6, 1, Missing.DELETED))


def test_a_place_that_is_used_again_is_another_row() -> None:
    lost = transactions(
        change(10, Kind.INSERT, None, ONE, xid=5),
        change(20, Kind.DELETE, ONE, None, xid=6, key_changed=True),
        change(30, Kind.INSERT, None, ONE, xid=7),
    )
    keys, without = match(wanted_rows(lost, SHOP), {(0, 1): Held(7, ("new",))})
    assert keys == (key(7, Kind.INSERT, "new", KeyIs.OWN),)
    assert [one.xid for one in without] == [5, 6]


def test_a_row_that_somebody_else_wrote_gives_no_key() -> None:
    lost = transactions(change(10, Kind.INSERT, None, ONE, xid=5))
    keys, without = match(wanted_rows(lost, SHOP), {(0, 1): Held(99, ("theirs",))})
    assert (keys, without) == ((), (NoKey(5, 1, Missing.NOT_THERE),))


def test_where_the_wal_names_only_the_block_its_own_rows_are_found_in_it() -> None:
    lost = transactions(change(10, Kind.INSERT, None, Place(3, None), xid=5, rows=3))
    wanted = wanted_rows(lost, SHOP)
    assert len(places(wanted)) == 291
    held = {(3, 1): Held(4, ("a",)), (3, 7): Held(5, ("b",)), (3, 9): Held(5, ("c",))}
    keys, without = match(wanted, held)
    assert [one.key for one in keys] == [("b",), ("c",)]
    assert without == (NoKey(5, 1, Missing.NOT_THERE),)


def test_each_place_is_read_once() -> None:
    assert len(places(wanted_rows(read().lost, BUYER))) == 1
    assert places([Wanted(1, Kind.DELETE, 1, Missing.DELETED)]) == ()


@pytest.mark.parametrize("file", [FileNode(1, 2, 3)])
def test_a_file_that_nobody_touched_has_no_rows(file: FileNode) -> None:
    assert at_of(file) == []
