"""The checker must find what was planted in a receipt, and only that."""

from __future__ import annotations

from dataclasses import replace

from test_workload_checker import JAKARTA, MAKASSAR, attempt, survivors

from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.receipt_check import SHOP_TABLE, ReceiptReport, check_receipts
from failover.model import ClusterName, Epoch, HostName, Lsn, SiteName
from failover.receipt.document import (
    FromIs,
    Keys,
    KeysState,
    LostRow,
    LostTransaction,
    Receipt,
)


def told(xid: int, outcome: Outcome = Outcome.ACKED, site: SiteName = JAKARTA) -> Attempt:
    return replace(attempt(1.0, outcome, server_site=site), xid=xid)


def entry(
    xid: int, *, key: str | None = None, rows: dict[str, int] | None = None
) -> LostTransaction:
    keys = () if key is None else (LostRow(SHOP_TABLE, "insert", {"id": key}, "own"),)
    return LostTransaction(xid, (), Lsn(xid), "", rows or {SHOP_TABLE: 1}, keys)


def receipt(*lost: LostTransaction) -> Receipt:
    return Receipt(
        name="2",
        cluster=ClusterName("marketplace"),
        host=HostName("jkt-db1"),
        site=JAKARTA,
        epoch=Epoch(2),
        made_unix_s=0.0,
        from_lsn=Lsn(0),
        from_is=FromIs.DIVERGENCE,
        rows_from_lsn=Lsn(0),
        read_to_lsn=Lsn(0),
        end_of_wal=Lsn(0),
        complete=True,
        transactions=len(lost),
        aborted=0,
        unfinished=0,
        first_committed_at="",
        last_committed_at="",
        relations=(),
        keys=Keys(KeysState.READ, (), 0, 0),
        lost=lost,
    )


def check(attempts: list[Attempt], kept: list[Attempt], *receipts: Receipt) -> ReceiptReport:
    return check_receipts(attempts, survivors(*kept), receipts)


def test_what_was_acknowledged_and_is_missing_is_listed() -> None:
    kept, lost = told(1), told(2)
    report = check([kept, lost], [kept], receipt(entry(2, key=lost.id)))
    assert (report.problems, report.listed, report.acked) == ((), 1, 1)


def test_acknowledged_missing_and_not_listed() -> None:
    lost = told(2)
    report = check([lost], [], receipt())
    assert report.unlisted == (lost,)
    assert report.problems


def test_an_indeterminate_one_may_be_listed_or_not() -> None:
    unknown = told(2, Outcome.INDETERMINATE)
    report = check([unknown], [], receipt(entry(2, key=unknown.id)))
    assert (report.problems, report.listed, report.acked) == ((), 1, 0)
    assert check([unknown], [], receipt()).problems == ()


def test_listed_and_no_client_was_told_of_it() -> None:
    refused, stranger = told(2, Outcome.FAILED), entry(3, key="nobody's")
    report = check([refused], [], receipt(entry(2, key=refused.id), stranger))
    assert [one.xid for one in report.untold] == [2, 3]
    assert len(report.problems) == 2


def test_listed_and_there() -> None:
    kept = told(2)
    report = check([kept], [kept], receipt(entry(2, key=kept.id)))
    assert [one.xid for one in report.present] == [2]
    assert report.problems


def test_without_keys_the_transactions_id_tells_on_its_own_site() -> None:
    """The other site goes on with the same numbers."""
    lost, theirs = told(2), told(2, site=MAKASSAR)
    report = check([lost, theirs], [theirs], receipt(entry(2)))
    assert (report.problems, report.listed) == ((), 1)


def test_without_keys_and_there() -> None:
    kept = told(2)
    assert check([kept], [kept], receipt(entry(2))).present


def test_without_names_of_relations_the_shop_is_known_by_its_ids() -> None:
    lost = told(2)
    numbers = {"1663/16384/16385": 1}
    listed = receipt(entry(2, rows=numbers), entry(3, rows=numbers))
    report = check([lost], [], listed)
    assert report.problems == ()
    assert report.others == {("1663/16384/16385",): 1}


def test_anything_else_is_told_by_relation_once() -> None:
    probe, nothing = entry(7, rows={"public.probe": 1}), replace(entry(8), rows={})
    report = check([], [], receipt(probe, nothing), receipt(probe))
    assert report.problems == ()
    assert report.others == {("public.probe",): 1, (): 1}


def test_two_hosts_may_list_the_same_one() -> None:
    lost = told(2)
    both = receipt(entry(2, key=lost.id)), receipt(entry(2, key=lost.id))
    report = check([lost], [], *both)
    assert (report.problems, report.listed) == ((), 1)
