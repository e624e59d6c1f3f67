"""What an old branch had committed after the divergence point: lines of WAL in, a value out. Pure.

Invariant: a transaction is left behind when its COMMIT lies at or after that point and was read;
what aborted, or had not ended, was acknowledged to nobody and is only counted. A transaction may
have begun before the point, so its rows are looked for from the beginning of what is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from failover.model import Lsn
from failover.receipt.waldump import End, FileNode, RowChange, parse

CHANGES_MAX = 200_000  # whose place is remembered, a few hundred bytes each
TRANSACTIONS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """One committed transaction. ``rows``: how many it changed, by file; of ``changes`` there may
    be fewer, where there were too many to remember."""

    xid: int
    subxids: tuple[int, ...]
    lsn: Lsn  # of its COMMIT
    committed_at: str
    rows: Mapping[FileNode, int]
    changes: tuple[RowChange, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """``lost``: in order of their COMMIT, at most TRANSACTIONS_MAX of the ``committed`` ones.

    ``rows`` and ``transactions``, by file, are of all of them. ``aborted``: rolled back, also to a
    savepoint. ``unfinished``: had changed rows when the WAL ended, subtransactions counted by
    themselves.
    """

    from_lsn: Lsn
    committed: int
    aborted: int
    unfinished: int
    first_at: str  # of the earliest and the latest COMMIT; empty without one
    last_at: str
    last_lsn: Lsn
    rows: Mapping[FileNode, int]
    transactions: Mapping[FileNode, int]
    lost: tuple[LeftBehind, ...]
    last_read: Lsn  # where the last record that was read begins


class BranchReader:
    """``take`` every line, oldest first; then ``branch``."""

    def __init__(
        self,
        from_lsn: Lsn,
        changes_max: int = CHANGES_MAX,
        transactions_max: int = TRANSACTIONS_MAX,
    ) -> None:
        self._from = from_lsn
        self._room = changes_max
        self._transactions_max = transactions_max
        self._open_rows: dict[int, dict[FileNode, int]] = {}
        self._open_changes: dict[int, list[RowChange]] = {}
        self._lost: list[LeftBehind] = []
        self._rows: Counter[FileNode] = Counter()
        self._transactions: Counter[FileNode] = Counter()
        self._committed = self._aborted = 0
        self._times: list[str] = []  # the earliest and the latest: clocks may go back
        self._last_lsn = self._last_read = Lsn(0)

    def take(self, line: str) -> None:
        """NotUnderstood where the line may hide a change."""
        match parse(line):
            case End() as end:
                self._last_read = end.lsn
                self._take_end(end)
            case changes:
                for change in changes:
                    self._last_read = change.lsn
                    self._take_change(change)

    def branch(self) -> Branch:
        return Branch(
            from_lsn=self._from,
            committed=self._committed,
            aborted=self._aborted,
            unfinished=len(self._open_rows),
            first_at=min(self._times, default=""),
            last_at=max(self._times, default=""),
            last_lsn=self._last_lsn,
            rows=dict(self._rows),
            transactions=dict(self._transactions),
            lost=tuple(self._lost),
            last_read=self._last_read,
        )

    def _take_change(self, change: RowChange) -> None:
        rows = self._open_rows.setdefault(change.xid, {})
        rows[change.file] = rows.get(change.file, 0) + change.rows
        if self._room > 0:
            self._room -= 1
            self._open_changes.setdefault(change.xid, []).append(change)

    def _take_end(self, end: End) -> None:
        rows: Counter[FileNode] = Counter()
        changes: list[RowChange] = []
        for xid in (end.xid, *end.subxids):
            rows.update(self._open_rows.pop(xid, {}))
            changes += self._open_changes.pop(xid, [])
        kept = end.committed and end.lsn >= self._from
        if not kept or len(self._lost) >= self._transactions_max:
            self._room += len(changes)
        if end.lsn < self._from:
            return
        if not end.committed:
            self._aborted += 1
            return
        self._count(end, rows)
        if len(self._lost) < self._transactions_max:
            changes.sort(key=lambda change: change.lsn)
            self._lost.append(
                LeftBehind(end.xid, end.subxids, end.lsn, end.at, dict(rows), tuple(changes))
            )

    def _count(self, end: End, rows: Counter[FileNode]) -> None:
        self._committed += 1
        self._last_lsn = end.lsn
        self._times = [min([*self._times, end.at]), max([*self._times, end.at])]
        self._rows.update(rows)
        self._transactions.update(rows.keys())
