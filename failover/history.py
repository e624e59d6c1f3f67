"""The chain of the history: every entry has the SHA-256 of the one before it. Pure.

Invariant: an entry and the head that names it are written together, on condition of the head that
was read, so there is one chain whoever writes. The head never keeps anybody from writing: where
it is missing or cannot be understood the next entry starts a new chain and says what was found,
which ``failover history verify`` reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from failover.state import HistoryEntry, HistoryHead, StateError, decode_record, encode_record
from failover.znode import Create, GroupPaths, Op, Set, Znode

CHAIN_STARTS = "chain_starts"  # in the details of the first entry of a chain: why there
NUMBER_MAX = 2**31  # ZooKeeper numbers no more entries than that


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """The head as it was read. Absent: all None. Not understood: ``problem`` says why."""

    head: HistoryHead | None = None
    version: int | None = None
    problem: str = ""


NO_HEAD = HeadSeen()


def head_seen(found: Znode | None) -> HeadSeen:
    """What the head's znode says. Never fails on odd data."""
    if found is None:
        return NO_HEAD
    try:
        head = decode_record(HistoryHead, found.data, path=found.path)
    except StateError as error:
        return HeadSeen(version=found.version, problem=str(error))
    if head.number >= NUMBER_MAX:
        problem = f"{found.path}: no history has {head.number} entries"
        return HeadSeen(version=found.version, problem=problem)
    return HeadSeen(head, found.version)


def continued(paths: GroupPaths, seen: HeadSeen, entry: HistoryEntry) -> tuple[Op, Op]:
    """The operations that add the entry to the chain: the one way in which history is written."""
    data = encode_record(_chained(seen, entry))
    number = seen.head.number + 1 if seen.head is not None else 1
    head = encode_record(HistoryHead(number, digest(data)))
    return (
        Create(paths.history_entry, data, sequence=True),
        Create(paths.history_head, head)
        if seen.version is None
        else Set(paths.history_head, head, seen.version),
    )


def _chained(seen: HeadSeen, entry: HistoryEntry) -> HistoryEntry:
    if seen.head is not None:
        return replace(entry, number=seen.head.number + 1, previous=seen.head.sha256)
    why = seen.problem or "there was no head"
    return replace(entry, number=1, details={**entry.details, CHAIN_STARTS: why})


def digest(data: bytes) -> str:
    """SHA-256 of a znode's bytes, as entries and heads hold it."""
    return sha256(data).hexdigest()
