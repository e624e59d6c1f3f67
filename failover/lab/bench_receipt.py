"""The loss of one bench run as the product tells it, beside what the bench itself knows.

The estimate that the takeover put on record, and the receipts that the guards of the lost site
wrote, held against the customers' own records (``workload/receipt_check``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from failover.coordination.connect import open_store
from failover.history_check import understood
from failover.lab.lab import Lab
from failover.lab.workload.attempt import Attempt
from failover.lab.workload.receipt_check import check_receipts
from failover.lab.workload.survivors import Survivors
from failover.model import Epoch, SiteName
from failover.policy import Policy
from failover.receipt.document import FromIs, Receipt, ReceiptError, decode_receipt
from failover.state import HistoryEntry
from failover.znode import GroupPaths

ENTRIES_READ = 40  # of the newest history: a run writes a handful


@dataclass(frozen=True, slots=True)
class EstimatedLoss:
    """What the takeover thought to give up, of all clusters. None: not said."""

    behind_bytes: int | None = None
    behind_s: float | None = None
    unseen_s: float | None = None  # how long before the loss that was measured, at most
    isolation_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiptRun:
    """What the receipts of one run say, and whether they are right. Bytes of WAL."""

    hosts: tuple[str, ...] = ()
    exact: bool = False  # from the very point where the new branch began
    complete: bool = False  # to the end of the WAL
    bytes: int = 0  # after that point, on the host that had most
    transactions: int = 0  # the shop's, each counted once
    acked: int = 0  # of these
    others: dict[str, int] = field(default_factory=dict)  # by the relations they touched
    problems: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """There is one, it is whole, and nothing in it contradicts the customers."""
        return bool(self.hosts) and self.exact and self.complete and not self.problems


def estimated_loss(policy: Policy, epoch: Epoch | None) -> EstimatedLoss:
    """As the history entry of the takeover has it."""
    entry = _takeover_entry(policy, epoch)
    if entry is None:
        return EstimatedLoss()
    details = [
        {key: entry.details.get(f"{cluster.name}.{key}") for key in _FIGURES}
        for cluster in policy.clusters
    ]
    if any(one["behind_bytes"] is None for one in details):
        return EstimatedLoss()
    return EstimatedLoss(
        behind_bytes=sum(int(one["behind_bytes"] or 0) for one in details),
        behind_s=max(float(one["behind_s"] or 0.0) for one in details),
        unseen_s=max(float(one["unseen_s"] or 0.0) for one in details),
        isolation_bytes=sum(int(one["isolation_bytes"] or 0) for one in details),
    )


_FIGURES = ("behind_bytes", "behind_s", "unseen_s", "isolation_bytes")


def _takeover_entry(policy: Policy, epoch: Epoch | None) -> HistoryEntry | None:
    paths = GroupPaths(policy.group)
    with open_store(policy) as store:
        names = sorted(store.children(paths.history) or ())[-ENTRIES_READ:]
        read = [store.read(f"{paths.history}/{name}") for name in names]
    entries = (understood(znode).entry for znode in read if znode is not None)
    taken = (e for e in entries if e is not None and (e.event, e.epoch) == ("takeover", epoch))
    return next(taken, None)


def receipts_of(lab: Lab, site: SiteName, epoch: Epoch | None) -> tuple[Receipt, ...]:
    """Every receipt that the hosts of the lost site wrote for this epoch."""
    return tuple(_receipts_of(lab, site, epoch))


def _receipts_of(lab: Lab, site: SiteName, epoch: Epoch | None) -> Iterator[Receipt]:
    for cluster in lab.policy.clusters:
        for host in cluster.at(site):
            ended = lab.exec(host.name, ["failover", "loss", "export", str(epoch)], user="postgres")
            try:
                yield decode_receipt(ended.out.encode())
            except ReceiptError:
                continue  # it has none: it was copied before, or it lost nothing


def compare(
    attempts: Sequence[Attempt], survivors: Survivors, receipts: Sequence[Receipt]
) -> ReceiptRun:
    """The receipts against the records of all attempts that may be in them, and what is left."""
    report = check_receipts(attempts, survivors, receipts)
    return ReceiptRun(
        hosts=tuple(str(one.host) for one in receipts),
        exact=all(one.from_is is FromIs.DIVERGENCE for one in receipts if one.transactions),
        complete=all(one.complete for one in receipts),
        bytes=max((max(0, one.end_of_wal - one.from_lsn) for one in receipts), default=0),
        transactions=report.listed,
        acked=report.acked,
        others={", ".join(names) or "nothing": count for names, count in report.others.items()},
        problems=(*report.problems, *_incomplete(receipts)),
    )


def _incomplete(receipts: Sequence[Receipt]) -> Iterator[str]:
    for one in receipts:
        if not one.complete:
            yield f"{one.host}: the receipt is not complete: {'; '.join(one.problems)}"
