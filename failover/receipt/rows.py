"""Where the rows that were changed are to be found now, on the branch that changed them. Pure.

A version's place (``ctid``) says which row it was only as long as that version is there. What was
updated again later is followed to its last version, whose key is the same one unless a later
transaction changed that; what was deleted has no key that could be read any more. Invariant: a key
is taken only from a version that the expected transaction wrote (``xmin``): places are used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from failover.receipt.branch import LeftBehind
from failover.receipt.waldump import FileNode, Kind, Place, RowChange

# MaxHeapTuplesPerPage of a block of 8 kB (htup_details.h).
_OFFSETS_MAX = 291


class Missing(StrEnum):
    """Why a row's key cannot be read."""

    DELETED = "deleted"  # by this transaction or a later one of the branch
    NOT_THERE = "not_there"  # the place holds nothing, or another transaction's row


class KeyIs(StrEnum):
    """Of which version of the row a key was read."""

    OWN = "own"  # the transaction's own
    LATER = "later"  # a later transaction's, which left every key column as it was
    # A later transaction's that may have changed key columns: the WAL says no more than that the
    # row was locked for it, as ``select ... for update`` does too.
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class Version:
    """The version that has the key. ``xmin``: who wrote it; ``writer``: that one's transaction, of
    which it may be a subtransaction. ``doubtful``: the key may be another by then."""

    place: Place
    xmin: int
    writer: int
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """One changed row of a table whose keys are wanted, and where its key is."""

    xid: int  # of the transaction, as its client knows it
    change: Kind
    rows: int
    at: Version | Missing


@dataclass(frozen=True, slots=True)
class Held:
    """What a place holds: who wrote it, and the key, column by column, as text."""

    xmin: int
    key: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class RowKey:
    """The key of one affected row; None in it: NULL."""

    xid: int
    change: Kind
    key: tuple[str | None, ...]
    key_is: KeyIs


@dataclass(frozen=True, slots=True)
class NoKey:
    """``rows`` whose key could not be read."""

    xid: int
    rows: int
    why: Missing


def wanted_rows(lost: Iterable[LeftBehind], file: FileNode) -> tuple[Wanted, ...]:
    """Every change of that file, in the order of the WAL, with the place that has the row's key."""
    changes = [(one.xid, change) for one in lost for change in one.changes if change.file == file]
    changes.sort(key=lambda pair: pair[1].lsn)
    fates: dict[Place, Version | Missing] = {}  # of the version at a place, seen from the end
    wanted = [_seen_backwards(xid, change, fates) for xid, change in reversed(changes)]
    return tuple(reversed(wanted))


def _seen_backwards(xid: int, change: RowChange, fates: dict[Place, Version | Missing]) -> Wanted:
    fate: Version | Missing = Missing.DELETED
    if change.new is not None:
        own = Version(change.new, change.xid, xid, doubtful=False)
        # Before this change the place was another row's, or nobody's.
        fate = fates.pop(change.new, own)
    if change.old is not None:
        fates[change.old] = _fate_before(change, fate)
    return Wanted(xid, change.kind, change.rows, fate)


def _fate_before(change: RowChange, fate: Version | Missing) -> Version | Missing:
    """Of the version that the change replaced."""
    if isinstance(fate, Version) and change.key_changed:
        return replace(fate, doubtful=True)
    return fate


def places(wanted: Iterable[Wanted]) -> tuple[tuple[int, int], ...]:
    """Every (block, offset) that has to be read, each once, in order."""
    found: set[tuple[int, int]] = set()
    for one in wanted:
        if isinstance(one.at, Version):
            found.update(_offsets(one.at.place))
    return tuple(sorted(found))


def _offsets(place: Place) -> Iterable[tuple[int, int]]:
    """Those that a place may mean: the whole block's, where the WAL does not say which."""
    if place.offset is not None:
        return ((place.block, place.offset),)
    return ((place.block, offset) for offset in range(1, _OFFSETS_MAX + 1))


def match(
    wanted: Iterable[Wanted], held: Mapping[tuple[int, int], Held]
) -> tuple[tuple[RowKey, ...], tuple[NoKey, ...]]:
    """The keys of the wanted rows, and the rows without one. A key is given once per transaction
    and kind of change, however often that one wrote the row."""
    keys: dict[RowKey, None] = {}
    without: list[NoKey] = []
    for one in wanted:
        if isinstance(one.at, Missing):
            without.append(NoKey(one.xid, one.rows, one.at))
            continue
        found = [held[at] for at in _offsets(one.at.place) if at in held]
        own = [row for row in found if row.xmin == one.at.xmin]
        key_is = _key_is(one.xid, one.at)
        keys.update((RowKey(one.xid, one.change, row.key, key_is), None) for row in own)
        if len(own) < one.rows:
            without.append(NoKey(one.xid, one.rows - len(own), Missing.NOT_THERE))
    return tuple(keys), tuple(without)


def _key_is(xid: int, version: Version) -> KeyIs:
    if version.writer == xid:
        return KeyIs.OWN
    return KeyIs.DOUBTFUL if version.doubtful else KeyIs.LATER
