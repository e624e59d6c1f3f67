"""The receipt says what it has, and what it has not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_receipt_branch import BUYER, SHOP, read

from failover.model import ClusterName, Epoch, HostName, Lsn, SiteName
from failover.policy import ReceiptTable
from failover.receipt.branch import Branch
from failover.receipt.compose import Answers, Origin, TableKeys, WalRead, compose, summary
from failover.receipt.document import (
    FromIs,
    KeysState,
    Receipt,
    ReceiptError,
    decode_receipt,
    encode_receipt,
)
from failover.receipt.rows import KeyIs, Missing, NoKey, RowKey
from failover.receipt.waldump import FileNode, Kind

ORIGIN = Origin("2", ClusterName("marketplace"), HostName("jkt-db1"), SiteName("jakarta"), Epoch(2))
TABLE = ReceiptTable("marketplace", "public", "buyer", ("id",))
END = Lsn.parse("0/197C908")
CATALOGUE = {file: f"pg_catalog.{file.number}" for file in read().rows if file not in (SHOP, BUYER)}
ANSWERS = Answers(
    databases={16384: "marketplace"},
    names={SHOP: "public.market_transaction", BUYER: "public.buyer", **CATALOGUE},
    tables=(TableKeys(TABLE, (RowKey(740, Kind.UPDATE, ("1",), KeyIs.OWN),), ()),),
)


def wal(branch: Branch, **other: object) -> WalRead:
    whole = WalRead(branch, FromIs.DIVERGENCE, Lsn(0x1000000), END, END, "")
    return replace(whole, **other)  # type: ignore[arg-type]


def made(
    branch: Branch | None = None,
    answers: Answers = ANSWERS,
    asked: tuple[ReceiptTable, ...] = (TABLE,),
    **other: object,
) -> Receipt:
    return compose(ORIGIN, wal(branch or read(), **other), answers, asked, 1_760_000_000.0)


def test_written_and_read() -> None:
    receipt = made()
    assert decode_receipt(encode_receipt(receipt)) == receipt
    assert receipt.complete
    assert receipt.problems == ()
    assert receipt.keys.state is KeysState.READ


def test_keys_stand_with_their_transaction() -> None:
    first = made().lost[0]
    assert first.rows == {"public.market_transaction": 1, "public.buyer": 1}
    (row,) = first.keys
    assert (row.table, row.key, row.change, row.key_is) == (
        "public.buyer",
        {"id": "1"},
        "update",
        "own",
    )


def test_without_an_answer_there_are_numbers_for_names_and_it_says_so() -> None:
    receipt = made(answers=Answers(problem="no server"))
    assert receipt.keys.state is KeysState.MISSING
    assert receipt.relations[0].name == "1663/16384/16385"
    assert receipt.relations[0].database == "16384"
    assert "no server" in receipt.keys.detail
    assert any("no server" in problem for problem in receipt.problems)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (TableKeys(TABLE, (), (NoKey(748, 1, Missing.DELETED),)), "1 rows were deleted"),
        (TableKeys(TABLE, (RowKey(740, Kind.UPDATE, ("1",), KeyIs.DOUBTFUL),), ()), "1 keys are"),
        (TableKeys(TABLE, (), (), "there is no table"), "there is no table"),
    ],
)
def test_keys_that_are_missing_or_in_doubt_are_told(table: TableKeys, told: str) -> None:
    receipt = made(answers=replace(ANSWERS, tables=(table,)))
    assert receipt.keys.state is KeysState.PARTLY
    assert told in receipt.keys.detail


def test_rows_that_could_not_be_looked_for_are_told() -> None:
    forgotten = made(read(changes_max=3))
    assert "too many to remember" in forgotten.keys.detail
    unlisted = made(read(transactions_max=2))
    assert "not listed" in unlisted.keys.detail
    assert "only the first 2 of 13 transactions are listed" in unlisted.problems
    names = {file: name for file, name in ANSWERS.names.items() if file != SHOP}
    truncated = made(answers=replace(ANSWERS, names=names))
    assert "10 rows are in files that no table has now" in truncated.keys.detail


def test_no_table_named_and_nothing_lost() -> None:
    assert made(asked=(), answers=Answers()).keys.state is KeysState.NOT_ASKED
    nothing = made(read("0/FFFFFFF"), answers=Answers())
    assert nothing.keys.state is KeysState.NOTHING_LOST
    assert (nothing.transactions, nothing.lost, nothing.problems) == (0, (), ())


def test_what_was_not_read_or_begins_too_early_is_said() -> None:
    assert not made(problem="the time was up").complete
    early = made(from_is=FromIs.PROVEN_ON_NEW_SITE)
    assert "not known" in early.problems[0]


def test_only_counts_and_positions_leave_the_host() -> None:
    record = summary(made(), "/var/lib/failover/salvage/2/receipt.json")
    assert (record.transactions, record.keys, record.exact, record.complete) == (13, 1, True, True)
    assert "buyer" not in str(record)
    assert not hasattr(record, "first_committed_at")


def test_a_shared_relation_has_no_database() -> None:
    shared = FileNode(1664, 0, 1260)
    branch = replace(read(), rows={shared: 1}, transactions={shared: 1})
    assert made(branch).relations[0].database == ""


@pytest.mark.parametrize(
    "data", [b"", b"{}", encode_receipt(made()).replace(b'"schema": 1', b'"schema": 2')]
)
def test_what_is_no_receipt_of_this_schema_is_refused(data: bytes) -> None:
    with pytest.raises(ReceiptError):
        decode_receipt(data)
