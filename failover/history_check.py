"""Whether the chain of the history is whole, and what is wrong where it is not. Pure.

The head vouches for the newest entry, each entry for the one before it, and a head that a site has
logged for the entry of its number: who may write in ZooKeeper can write a whole chain anew, but
not the logs of three sites. Entries from before there was a chain are counted and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from failover.history import CHAIN_STARTS, HeadSeen, digest
from failover.state import HistoryEntry, HistoryHead, StateError, decode_record
from failover.znode import Znode


class Wrong(StrEnum):
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    DOUBTFUL = "doubtful"  # the entry that would vouch for it was changed itself
    MISSING = "missing"
    OUT_OF_ORDER = "out_of_order"
    NOT_CHAINED = "not_chained"
    NEW_CHAIN = "new_chain"
    HEAD = "head"
    LOG = "log"


TODO = {
    Wrong.UNREADABLE: "read it as it is with ZooKeeper's own client; keep a copy",
    Wrong.CHANGED: "find out who may write there; what was done then is in the controllers' logs",
    Wrong.DOUBTFUL: "compare it with the controllers' logs",
    Wrong.MISSING: "find out who may write there; what was done then is in the controllers' logs",
    Wrong.OUT_OF_ORDER: "find out who wrote it: failover numbers its entries in order",
    Wrong.NOT_CHAINED: "an older failover wrote it during an upgrade, or somebody by hand: "
    "look in the controllers' logs for its event",
    Wrong.NEW_CHAIN: "check the chain before it with --head and the last head that was logged then",
    Wrong.HEAD: "compare with the heads in the controllers' logs (--head); the next entry goes on "
    "by itself",
    Wrong.LOG: "trust the logs: take this history and the logs of all three sites away before "
    "anything else, and find out who may write in ZooKeeper",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One znode of the history. ``entry`` None: it cannot be understood, ``problem`` says why."""

    name: str
    data: bytes
    entry: HistoryEntry | None
    problem: str = ""

    @property
    def sha256(self) -> str:
        return digest(self.data)

    @property
    def number(self) -> int:
        """Its place in the chain; 0: none, or not known."""
        return self.entry.number if self.entry is not None else 0

    @property
    def starts_chain(self) -> bool:
        return self.entry is not None and (self.number, self.entry.previous) == (1, "")

    def __str__(self) -> str:
        return f"entry {self.number} ({self.name})" if self.number else f"entry {self.name}"


def understood(znode: Znode) -> Stored:
    """What one znode of the history says. Never fails on odd data."""
    name = znode.path.rpartition("/")[2]
    try:
        entry = decode_record(HistoryEntry, znode.data, path=znode.path)
    except StateError as error:
        return Stored(name, znode.data, None, str(error))
    return Stored(name, znode.data, entry)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with which entry; ``name`` empty: with none in particular."""

    wrong: Wrong
    what: str
    name: str = ""
    number: int | None = None

    @property
    def todo(self) -> str:
        return TODO[self.wrong]


Findings = Iterator[Finding]


def check_history(
    entries: Sequence[Stored], head: HeadSeen, logged: Sequence[HistoryHead] = ()
) -> tuple[Finding, ...]:
    """Everything that is wrong; empty: the chain is whole. ``entries`` in the order of znodes."""
    if not entries and head.head is None:
        return (Finding(Wrong.MISSING, "there is no entry, though `failover init` writes one"),)
    chain, strays = _in_order(entries)
    unreadable = frozenset(stored.sha256 for stored in entries if stored.entry is None)
    return (
        *_unreadable(entries),
        *_not_chained(entries),
        *(_about(Wrong.OUT_OF_ORDER, stray, f"stands after {last}") for stray, last in strays),
        *_links(chain, unreadable, head),
        *_head(chain, unreadable, head),
        *(finding for wanted in logged for finding in _logged(entries, wanted)),
    )


def _about(wrong: Wrong, stored: Stored, what: str) -> Finding:
    return Finding(wrong, f"{stored} {what}", stored.name, stored.number or None)


def _in_order(
    entries: Sequence[Stored],
) -> tuple[list[Stored], list[tuple[Stored, Stored]]]:
    """The entries whose numbers grow, and those that do not, each with the one it stands after."""
    chain: list[Stored] = []
    strays: list[tuple[Stored, Stored]] = []
    for stored in entries:
        if stored.number == 0:
            continue
        if chain and stored.number <= chain[-1].number and not stored.starts_chain:
            strays.append((stored, chain[-1]))
        else:
            chain.append(stored)
    return chain, strays


def _unreadable(entries: Sequence[Stored]) -> Findings:
    for stored in entries:
        if stored.entry is None:
            yield _about(Wrong.UNREADABLE, stored, f"cannot be understood: {stored.problem}")


def _not_chained(entries: Sequence[Stored]) -> Findings:
    begun = False
    for stored in entries:
        begun = begun or stored.number > 0
        if begun and stored.entry is not None and stored.number == 0:
            yield _about(Wrong.NOT_CHAINED, stored, "stands in the chain and is no part of it")


# --------------------------------------------------------------------------- one after the other


def _links(chain: Sequence[Stored], unreadable: frozenset[str], head: HeadSeen) -> Findings:
    if chain and not chain[0].starts_chain and _previous(chain[0]) not in unreadable:
        gone = _gone(1, chain[0].number - 1) or "the beginning is missing"
        yield _about(Wrong.MISSING, chain[0], f"is the first one there is: {gone}")
    disproved = _disproved(chain, head)
    for before, after in pairwise(chain):
        if after.starts_chain:
            why = after.entry.details.get(CHAIN_STARTS, "") if after.entry is not None else ""
            yield _about(Wrong.NEW_CHAIN, after, f"starts a new chain after {before}: {why}")
        elif _previous(after) not in unreadable:
            yield from _link(before, after, disproved)


def _link(before: Stored, after: Stored, disproved: frozenset[str]) -> Findings:
    if after.number > before.number + 1:
        gone = _gone(before.number + 1, after.number - 1)
        yield _about(Wrong.MISSING, after, f"comes right after {before}: {gone}")
    elif before.name in disproved and after.name in disproved:
        what = f"is not what {after} was written after, and that one was changed itself"
        yield _about(Wrong.DOUBTFUL, before, what)
    elif before.name in disproved:
        what = f"was changed after it was written: {after} has another SHA-256 of it"
        yield _about(Wrong.CHANGED, before, what)


def _disproved(chain: Sequence[Stored], head: HeadSeen) -> frozenset[str]:
    """The entries whose successor, or the head, has another SHA-256 of them."""
    found = {
        before.name
        for before, after in pairwise(chain)
        if after.number == before.number + 1 and _previous(after) != before.sha256
    }
    if chain and head.head is not None and head.head.number == chain[-1].number:
        found |= {chain[-1].name} if head.head.sha256 != chain[-1].sha256 else set()
    return frozenset(found)


def _previous(stored: Stored) -> str:
    return stored.entry.previous if stored.entry is not None else ""


def _gone(first: int, last: int) -> str:
    if first > last:
        return ""
    one = first == last
    return f"entry {first} is missing" if one else f"entries {first} to {last} are missing"


# --------------------------------------------------------------------------- what vouches for it


def _head(chain: Sequence[Stored], unreadable: frozenset[str], seen: HeadSeen) -> Findings:
    newest, head = (chain[-1] if chain else None), seen.head
    if seen.problem:
        yield Finding(Wrong.HEAD, f"the head cannot be understood: {seen.problem}")
    elif head is None and newest is not None:
        yield Finding(Wrong.HEAD, f"there is no head, though there is {newest}")
    elif head is None or head.sha256 in unreadable:
        return
    elif newest is None or head.number > newest.number:
        first = newest.number + 1 if newest is not None else 1
        what = f"the head names entry {head.number}: {_gone(first, head.number)}"
        yield Finding(Wrong.MISSING, what, number=first)
    elif head.number < newest.number:
        yield Finding(Wrong.HEAD, f"the head names entry {head.number}, the newest is {newest}")
    elif head.sha256 != newest.sha256:
        yield _about(Wrong.CHANGED, newest, "is not what the head names: one of them was changed")


def _logged(entries: Sequence[Stored], wanted: HistoryHead) -> Findings:
    """A chain may have been started anew, so several entries may have the number."""
    if any(stored.sha256 == wanted.sha256 for stored in entries):
        return
    same = [stored for stored in entries if stored.number == wanted.number]
    for stored in same:
        what = "is not what was logged: it was written anew, and what follows with it"
        yield _about(Wrong.LOG, stored, what)
    if not same:
        what = f"entry {wanted.number} was logged and is not there"
        yield Finding(Wrong.LOG, what, number=wanted.number)
