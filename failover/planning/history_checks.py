"""The checks of what every step puts on record: one event, at the end of the chain. Pure.

They never look at whether the chain is whole: that holds nothing up.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from failover.planning.linting import Problem, Problems, Reading
from failover.state import HistoryEntry, HistoryHead, StateError, decode_record
from failover.znode import Create, Op, Set

Decoded = TypeVar("Decoded", HistoryEntry, HistoryHead)


def history_written(reading: Reading) -> Problems:
    """Exactly one event, in a znode of its own."""
    created = [
        op
        for op in reading.ops
        if isinstance(op, Create) and op.path == reading.paths.history_entry
    ]
    if len(created) != 1 or not created[0].sequence or created[0].ephemeral:
        yield Problem("history_written", f"{len(created)} lasting history entries, expected one")


def only_history_is_sequential(reading: Reading) -> Problems:
    """Whatever else is created has its own name and outlives this controller's session."""
    for op in reading.ops:
        if not isinstance(op, Create) or op.path == reading.paths.history_entry:
            continue
        if op.ephemeral or op.sequence:
            yield Problem("only_history_is_sequential", f"{op.path} is ephemeral or numbered")


def entry_continues_chain(reading: Reading) -> Problems:
    """The event follows the head that was seen; where there was none, it says so."""
    name, seen = "entry_continues_chain", reading.view.history_head
    entry = _decoded(HistoryEntry, reading.find(Create, reading.paths.history_entry))
    wanted = (seen.head.number + 1, seen.head.sha256) if seen.head is not None else (1, "")
    if entry is None:
        yield Problem(name, "the entry cannot be understood")
    elif (entry.number, entry.previous) != wanted:
        yield Problem(name, f"entry {entry.number} does not follow the head that was seen")
    elif seen.head is None and "chain_starts" not in entry.details:
        yield Problem(name, "a new chain starts without saying why")


def head_names_entry(reading: Reading) -> Problems:
    """Written once, at the version that was seen, with number and SHA-256 of the event."""
    name, path, seen = "head_names_entry", reading.paths.history_head, reading.view.history_head
    created = reading.find(Create, reading.paths.history_entry)
    entry = _decoded(HistoryEntry, created)
    written = [op for op in reading.ops if op.path == path]
    if len(written) != 1 or created is None or entry is None:
        yield Problem(name, f"the head is written {len(written)} times, or names nothing")
        return
    head = _decoded(HistoryHead, written[0])
    named = (head.number, head.sha256) if head is not None else None
    if named != (entry.number, sha256(created.data).hexdigest()):
        yield Problem(name, "the head names another entry")
    if not _at_version(written[0], seen.version):
        yield Problem(name, f"the head was seen at version {seen.version}")


def _at_version(op: Op, version: int | None) -> bool:
    if version is None:
        return isinstance(op, Create)
    return isinstance(op, Set) and op.version == version


def _decoded(kind: type[Decoded], op: Op | None) -> Decoded | None:
    if not isinstance(op, Create | Set):
        return None
    try:
        return decode_record(kind, op.data, path=op.path)
    except StateError:
        return None


HISTORY: tuple[Callable[[Reading], Problems], ...] = (
    history_written,
    only_history_is_sequential,
    entry_continues_chain,
    head_names_entry,
)
