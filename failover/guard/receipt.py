"""Write the loss receipt beside the salvaged WAL, before anything rewinds this host (I3).

Invariant: it holds a rewind up for a bounded time (``Patience``), and a receipt is written
whatever is missing then; the keys of rows are in the file alone, which only the user of the server
may read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from failover.durable import replace_file
from failover.guard.receipt_rows import NotReady, Server, ask
from failover.guard.receipt_wal import read_wal
from failover.guard.salvage import Copied
from failover.model import Lsn
from failover.policy import ReceiptTable
from failover.receipt.branch import Branch
from failover.receipt.compose import Answers, Origin, WalRead, compose, summary
from failover.receipt.document import FromIs, Receipt, ReceiptError, decode_receipt, encode_receipt
from failover.state import ReceiptRecord

RECEIPT = "receipt.json"
LIMIT_S = 20.0  # a returned host's server may only be starting, and the host be busy with that
WAL_SHARE = 0.5  # of the time, for reading the WAL
_ASK_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receipt may take. ``server_may_come``: whether it is worth waiting for, asked
    again and again: it is not when a rewind waits, for which the server has been stopped."""

    limit_s: float
    server_may_come: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ReceiptWriter:
    """For one host. ``tables``: those whose keys are wanted."""

    bin_dir: Path
    server: Server
    tables: tuple[ReceiptTable, ...]

    def write(
        self,
        origin: Origin,
        copied: Copied,
        copied_is: FromIs,
        divergence: Callable[[], Lsn | None],
        patience: Patience,
    ) -> ReceiptRecord:
        """The record of the receipt that now is beside the copy. OSError where it could not be.

        ``copied_is``: what the copy begins at. ``divergence``: where the present branch left this
        host's, once that is known.
        """
        until_s = time.monotonic() + patience.limit_s
        wal = self._read(copied, copied_is, divergence, patience, until_s)
        answers = self._answers(wal.branch, patience, until_s)
        receipt = compose(origin, wal, answers, self.tables, time.time())
        path = copied.directory / RECEIPT
        before = _read(path)
        if before is not None and before.complete and not receipt.complete:
            receipt = before  # asked again for keys on a busy host: the whole list is worth more
        else:
            replace_file(path, encode_receipt(receipt), 0o600)
        return summary(receipt, str(path))

    def _read(
        self,
        copied: Copied,
        copied_is: FromIs,
        divergence: Callable[[], Lsn | None],
        patience: Patience,
        until_s: float,
    ) -> WalRead:
        """From the divergence point; while that is not known, from what is behind it for certain.

        It is waited for only where it matters: where there is something after that earlier point.
        """
        limit_s = patience.limit_s * WAL_SHARE
        if (left := divergence()) is not None:
            return self._read_from(copied, left, FromIs.DIVERGENCE, limit_s)
        wal = self._read_from(copied, copied.from_lsn, copied_is, limit_s)
        if not wal.branch.committed and not wal.problem:
            return wal
        while left is None and _may_wait(patience, until_s - limit_s):
            time.sleep(_ASK_AGAIN_S)
            left = divergence()
        return wal if left is None else self._read_from(copied, left, FromIs.DIVERGENCE, limit_s)

    def _read_from(self, copied: Copied, lsn: Lsn, is_from: FromIs, limit_s: float) -> WalRead:
        return read_wal(self.bin_dir, copied.directory, lsn, is_from, copied.end_of_wal, limit_s)

    def _answers(self, branch: Branch, patience: Patience, until_s: float) -> Answers:
        if not branch.committed:
            return Answers()
        while True:
            try:
                return ask(self.server, branch, self.tables, until_s)
            except NotReady as reason:
                if not _may_wait(patience, until_s):
                    return Answers(problem=str(reason))
            time.sleep(_ASK_AGAIN_S)


def read_record(directory: Path) -> ReceiptRecord | None:
    """Of the receipt that is there already; None without one that can be understood."""
    path = directory / RECEIPT
    receipt = _read(path)
    return None if receipt is None else summary(receipt, str(path))


def _read(path: Path) -> Receipt | None:
    try:
        return decode_receipt(path.read_bytes())
    except (OSError, ReceiptError):
        return None


def _may_wait(patience: Patience, until_s: float) -> bool:
    return time.monotonic() < until_s and patience.server_may_come()
