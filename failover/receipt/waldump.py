"""Lines of PostgreSQL 17's ``pg_waldump``: ends of transactions, and rows changed. Pure.

Takes the resource managers Transaction, Heap and Heap2, printed with ``TZ=UTC``. The words are
those of ``src/backend/access/rmgrdesc/{xactdesc,heapdesc}.c``. Invariant: a line that could hide a
change and is not understood is an error, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from failover.model import Lsn

RESOURCE_MANAGERS = ("Transaction", "Heap", "Heap2")

_LINE = re.compile(
    r"rmgr: (\w+) +len \(rec/tot\): +\d+/ *\d+, tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+),"
    r" prev [0-9A-F]+/[0-9A-F]+, desc: ([A-Z_]+)(.*)",
    re.ASCII,
)
_END = re.compile(
    r"(?: (?P<xid>\d+):)? (?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d\.\d{6}) UTC(?P<rest>.*)",
    re.ASCII,
)
_SUBXACTS = re.compile(r"; subxacts:((?: \d+)+)", re.ASCII)
_BLOCK = re.compile(r"blkref #(\d): rel (\d+)/(\d+)/(\d+) blk (\d+)", re.ASCII)
_OFF = re.compile(r"\boff: (\d+)", re.ASCII)
_OLD_OFF = re.compile(r"\bold_off: (\d+)", re.ASCII)
_NEW_OFF = re.compile(r"\bnew_off: (\d+)", re.ASCII)
_KEY_CHANGED = re.compile(r"\bold_infobits: \[[^\]]*KEYS_UPDATED", re.ASCII)
_NTUPLES = re.compile(r"\bntuples: (\d+)", re.ASCII)
_OFFSETS = re.compile(r"\boffsets: \[([\d, ]*)\]", re.ASCII)

_ENDS = frozenset({"COMMIT", "COMMIT_PREPARED", "ABORT", "ABORT_PREPARED"})
_CHANGES = frozenset({"INSERT", "UPDATE", "HOT_UPDATE", "DELETE", "MULTI_INSERT"})
# Locks, hints, vacuum and bookkeeping: no row is another afterwards. TRUNCATE is written beside
# the change of the file itself, which is a change of pg_class. INPLACE changes statistics.
_NO_CHANGE = frozenset(
    {
        *("PREPARE", "ASSIGNMENT", "INVALIDATION"),
        *("LOCK", "LOCK_UPDATED", "HEAP_CONFIRM", "CONFIRM", "INPLACE", "TRUNCATE"),
        *("PRUNE_ON_ACCESS", "PRUNE_VACUUM_SCAN", "PRUNE_VACUUM_CLEANUP", "PRUNE", "VACUUM"),
        *("FREEZE_PAGE", "VISIBLE", "NEW_CID", "REWRITE"),
    }
)


class NotUnderstood(ValueError):
    """A line that may hide a change."""


class FileNode(NamedTuple):
    """A relation's file: object ids of tablespace and database (0: shared), and its number."""

    tablespace: int
    database: int
    number: int

    def __str__(self) -> str:
        return f"{self.tablespace}/{self.database}/{self.number}"


class Place(NamedTuple):
    """Where a row's version lies (``ctid``). ``offset`` None: the WAL names only the block."""

    block: int
    offset: int | None


class Kind(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


class RowChange(NamedTuple):
    """One row written. ``old``, of update and delete, and ``new``, of insert and update: where.

    ``rows``: how many, where the WAL names only the block. ``key_changed``: the row is gone, or a
    column of one of the table's unique keys may be another than before (KEYS_UPDATED).
    """

    xid: int  # of the subtransaction, where it is one's
    lsn: Lsn
    file: FileNode
    kind: Kind
    old: Place | None
    new: Place | None
    rows: int
    key_changed: bool


@dataclass(frozen=True, slots=True)
class End:
    """A transaction's end. ``at``: the server's clock, ISO 8601 in UTC."""

    xid: int
    subxids: tuple[int, ...]
    lsn: Lsn
    at: str
    committed: bool


def parse(line: str) -> End | tuple[RowChange, ...]:
    """What the line says; an empty tuple where it is nothing that a receipt needs.

    NotUnderstood where the line is a record of these resource managers and not a known one.
    """
    if not line.startswith("rmgr: "):
        return ()  # "first record is after ..., skipping"
    found = _LINE.match(line)
    if found is None:
        raise NotUnderstood(line[:200])
    manager, xid, lsn, operation, rest = found.groups()
    if manager not in RESOURCE_MANAGERS or operation in _NO_CHANGE:
        return ()
    try:
        if operation in _ENDS:
            return _end(_xid(xid), Lsn.parse(lsn), operation, rest)
        if operation in _CHANGES:
            return tuple(_changes(_xid(xid), Lsn.parse(lsn), operation, rest))
    except (ValueError, KeyError):
        pass
    raise NotUnderstood(line[:200])


def _xid(text: str) -> int:
    return _below(int(text), 2**32)


def _below(number: int, limit: int) -> int:
    """A number that the WAL has so many bits for. ValueError else."""
    if number >= limit:
        raise ValueError(f"{number} is not below {limit}")
    return number


def _end(xid: int, lsn: Lsn, operation: str, rest: str) -> End:
    """ValueError where a part is not there."""
    found = _END.match(rest)
    if found is None:
        raise ValueError("no time")
    listed = _SUBXACTS.search(found["rest"])
    return End(
        xid=_xid(found["xid"]) if found["xid"] else xid,  # a prepared one is ended by somebody else
        subxids=tuple(_xid(one) for one in listed[1].split()) if listed else (),
        lsn=lsn,
        at=f"{found['day']}T{found['time']}Z",
        committed=operation.startswith("COMMIT"),
    )


def _changes(xid: int, lsn: Lsn, operation: str, rest: str) -> Iterator[RowChange]:
    """ValueError or KeyError where a part is not there, or cannot be."""
    blocks = {int(ref[0]): ref for ref in _BLOCK.findall(rest)}  # the main fork's only
    _, tablespace, database, number, block = blocks[0]
    file, at = FileNode(int(tablespace), int(database), int(number)), _below(int(block), 2**32)
    if operation == "INSERT":
        yield RowChange(xid, lsn, file, Kind.INSERT, None, Place(at, _number(_OFF, rest)), 1, False)
    elif operation == "DELETE":
        yield RowChange(xid, lsn, file, Kind.DELETE, Place(at, _number(_OFF, rest)), None, 1, True)
    elif operation == "MULTI_INSERT":
        for offset, rows in _places_of_many(rest):
            yield RowChange(xid, lsn, file, Kind.INSERT, None, Place(at, offset), rows, False)
    else:
        # Block 1 is the old version's, where that is another one.
        old = Place(_below(int(blocks.get(1, blocks[0])[4]), 2**32), _number(_OLD_OFF, rest))
        new = Place(at, _number(_NEW_OFF, rest))
        moved = _KEY_CHANGED.search(rest) is not None
        yield RowChange(xid, lsn, file, Kind.UPDATE, old, new, 1, moved)


def _places_of_many(rest: str) -> Iterator[tuple[int | None, int]]:
    """Offset and number of rows. A full page image leaves the offsets out."""
    rows = _number(_NTUPLES, rest)
    listed = _OFFSETS.search(rest)
    if listed is not None:
        yield from ((_offset(int(one)), 1) for one in listed[1].split(","))
    elif rest.startswith("+INIT"):
        yield from ((offset, 1) for offset in range(1, rows + 1))
    else:
        yield None, rows


def _number(pattern: re.Pattern[str], rest: str) -> int:
    found = pattern.search(rest)
    if found is None:
        raise KeyError(pattern.pattern)
    return _offset(int(found[1]))


def _offset(number: int) -> int:
    """Of a row in its block, or how many rows: 16 bits (OffsetNumber of storage/off.h), from 1."""
    if number == 0:
        raise ValueError("no row is number 0")
    return _below(number, 2**16)
