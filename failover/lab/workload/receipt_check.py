"""A loss receipt against what clients were told and what is there now. Pure.

Invariant: the receipt and the record of attempts were made by different hands, and neither is
believed: what was acknowledged and is missing has to be in the receipt; what the receipt lists of
the shop was acknowledged, or its client does not know; none of it is there; and everything else
that it lists is told by relation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.checker import judge
from failover.lab.workload.survivors import Survivors
from failover.receipt.document import LostTransaction, Receipt

# Every transaction of the shop makes one row of it; its key is the id that the client chose.
SHOP_TABLE = "public.market_transaction"
SHOP_KEY = "id"


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """``others``: transactions that are not the shop's, by what they touched."""

    listed: int  # transactions of the shop in the receipts, each counted once
    acked: int  # of these, how many were acknowledged
    unlisted: tuple[Attempt, ...]  # acknowledged, missing, and in no receipt; oldest first
    untold: tuple[LostTransaction, ...]  # of the shop, and no client was told anything but "no"
    present: tuple[LostTransaction, ...]  # in a receipt, and there
    others: Mapping[tuple[str, ...], int]

    @property
    def problems(self) -> tuple[str, ...]:
        """Empty: the receipts agree with the record."""
        found = [
            f"transaction {one.id} was acknowledged, is missing, and is in no receipt"
            for one in self.unlisted
        ]
        found += [
            f"xid {one.xid} at {one.lsn} is in a receipt and no client was told of it"
            for one in self.untold
        ]
        found += [
            f"xid {one.xid} at {one.lsn} is in a receipt and is there" for one in self.present
        ]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One transaction of one receipt, and the attempts that it may be."""

    transaction: LostTransaction
    attempts: tuple[Attempt, ...]

    def committed(self) -> Iterator[Attempt]:
        """The attempts whose client was not told "no"."""
        return (one for one in self.attempts if one.outcome is not Outcome.FAILED)


def check_receipts(
    attempts: Sequence[Attempt], survivors: Survivors, receipts: Iterable[Receipt]
) -> ReceiptReport:
    """Compare the receipts of one loss with the record of attempts and the database that is left.

    Several, where several hosts came back, or something was lost inside a site as well.
    """
    by_id = {one.id: one for one in attempts}
    entries: list[_Entry] = []
    others: dict[tuple[str, int], LostTransaction] = {}
    for receipt in receipts:
        by_xid = _by_xid(attempts, receipt)
        for one in receipt.lost:
            if _is_the_shops(one, by_xid):
                entries.append(_Entry(one, _attempts_of(one, by_id, by_xid)))
            else:
                others[receipt.site, one.xid] = one
    listed = {one.id: one for entry in entries for one in entry.committed()}
    lost = judge(attempts, survivors).lost
    return ReceiptReport(
        listed=len(listed),
        acked=sum(one.outcome is Outcome.ACKED for one in listed.values()),
        unlisted=tuple(one for one in lost if one.id not in listed),
        untold=tuple(e.transaction for e in entries if not any(e.committed())),
        present=tuple(e.transaction for e in entries if _is_there(e, survivors)),
        others=Counter(tuple(sorted(one.rows)) for one in others.values()),
    )


def _by_xid(attempts: Iterable[Attempt], receipt: Receipt) -> dict[int, tuple[Attempt, ...]]:
    """Those that may have run on that branch. Two branches of a site use the same ids."""
    found: dict[int, tuple[Attempt, ...]] = {}
    for one in attempts:
        if one.xid is not None and one.server_site in (receipt.site, None):
            found[one.xid] = (*found.get(one.xid, ()), one)
    return found


def _is_the_shops(one: LostTransaction, by_xid: Mapping[int, tuple[Attempt, ...]]) -> bool:
    """By its table; where the receipt has no names of relations (no server answered), by its id."""
    named = not one.rows or any("." in relation for relation in one.rows)
    return SHOP_TABLE in one.rows or (not named and one.xid in by_xid)


def _attempts_of(
    one: LostTransaction,
    by_id: Mapping[str, Attempt],
    by_xid: Mapping[int, tuple[Attempt, ...]],
) -> tuple[Attempt, ...]:
    """By the key, which is certain, else by the transaction's id."""
    keys = [key.key.get(SHOP_KEY) for key in one.keys if key.table == SHOP_TABLE]
    ids = [key for key in keys if key is not None]
    if ids:
        return tuple(by_id[key] for key in ids if key in by_id)
    return by_xid.get(one.xid, ())


def _is_there(entry: _Entry, survivors: Survivors) -> bool:
    """Where an id stands for several attempts, one of them missing is enough for doubt."""
    ids = [one.id for one in entry.committed()]
    return bool(ids) and all(one in survivors.ids for one in ids)
