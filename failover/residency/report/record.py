"""What the history says about ways out: found, gone, cut, and hosts nobody could look at. Pure.

Reads the entries that ``coordination/residency.py`` writes, all of them from the first on: what was
found before a period may stand open in it. Invariant: what an entry leaves out, or cannot be read
in it, is counted and told, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from failover.residency.findings import Ledger
from failover.state import HistoryEntry

EVENT = "residency"
FOUND, GONE, CUT = "found", "gone", "cut"  # then: way, host, subject
GAP, GAP_OVER = "gap", "gap_over"  # then: host
MORE, PROBLEM = "more", "problem"
_COUNT = re.compile("[0-9]{1,9}")
_FOR = re.compile(r"for ([0-9]{1,9}) s: (.*)", re.DOTALL)

Key = tuple[str, str, str]
Ended = TypeVar("Ended", "Spell", "GapTold")


class End(StrEnum):
    """How a finding or a gap ended, as far as is on record."""

    GONE = "gone"  # a look that could have seen it did not, or it was accepted, or its host left
    OPEN = "open"
    UNKNOWN = (
        "unknown"  # it is not open now, and no entry says when it went; at ``to`` at the latest
    )


@dataclass(frozen=True, slots=True)
class Spell:
    """A way out from the entry that found it to the one that says it is gone (None: none does)."""

    way: str
    host: str
    subject: str
    detail: str
    from_unix_s: float
    to_unix_s: float | None = None
    end: End = End.OPEN

    @property
    def key(self) -> Key:
        return (self.way, self.host, self.subject)


@dataclass(frozen=True, slots=True)
class CutTold:
    """One entry about sessions that were ended."""

    way: str
    host: str
    subject: str
    detail: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class GapTold:
    """A host that nobody could look at, wholly or in part."""

    host: str
    why: str
    from_unix_s: float
    to_unix_s: float | None = None
    end: End = End.OPEN


@dataclass(frozen=True, slots=True)
class Told:
    """All that the history says. ``left_out``: when an entry had no room for how many details;
    ``rewritten_unix_s``: when what stood open could not be read and was written anew;
    ``odd``: details that are not understood."""

    findings: tuple[Spell, ...]
    cuts: tuple[CutTold, ...]
    gaps: tuple[GapTold, ...]
    left_out: tuple[tuple[float, int], ...]
    rewritten_unix_s: tuple[float, ...]
    odd: int


@dataclass(slots=True)
class _Reading:
    closed: list[Spell] = field(default_factory=list)
    open: dict[Key, Spell] = field(default_factory=dict)
    cuts: list[CutTold] = field(default_factory=list)
    gaps: list[GapTold] = field(default_factory=list)
    open_gaps: dict[str, GapTold] = field(default_factory=dict)
    left_out: list[tuple[float, int]] = field(default_factory=list)
    rewritten: list[float] = field(default_factory=list)
    odd: int = 0

    def entry(self, entry: HistoryEntry) -> None:
        if PROBLEM in entry.details:
            self._rewritten(entry)
        for name, value in entry.details.items():
            kind, _, rest = name.partition(" ")
            parts = tuple(rest.split(" ", 2))
            if kind in (FOUND, GONE, CUT) and len(parts) == 3:
                self._way(kind, parts, value, entry.at_unix_s)
            elif kind in (GAP, GAP_OVER) and rest:
                self._gap(kind, rest, value, entry.at_unix_s)
            elif name == MORE and _COUNT.fullmatch(value):
                self.left_out.append((entry.at_unix_s, int(value)))
            elif name not in (PROBLEM, "chain_starts"):
                self.odd += 1

    def _way(self, kind: str, key: Key, detail: str, at_unix_s: float) -> None:
        if kind == CUT:
            self.cuts.append(CutTold(*key, detail, at_unix_s))
        elif kind == FOUND:
            self.open.setdefault(key, Spell(*key, detail, at_unix_s))
        elif key in self.open:
            self.closed.append(replace(self.open.pop(key), to_unix_s=at_unix_s, end=End.GONE))
        else:
            self.odd += 1

    def _gap(self, kind: str, host: str, value: str, at_unix_s: float) -> None:
        if kind == GAP:
            said = _FOR.fullmatch(value)
            since = at_unix_s - float(said[1]) if said else at_unix_s
            self.open_gaps.setdefault(host, GapTold(host, said[2] if said else value, since))
        elif host in self.open_gaps:
            self._gap_ends(host, at_unix_s, End.GONE)
        else:
            self.odd += 1

    def _rewritten(self, entry: HistoryEntry) -> None:
        """Every host has been looked at by then: what is not found once more in the same entry
        went before it, and no entry says when."""
        self.rewritten.append(entry.at_unix_s)
        for key in [key for key in self.open if " ".join((FOUND, *key)) not in entry.details]:
            gone = replace(self.open.pop(key), to_unix_s=entry.at_unix_s, end=End.UNKNOWN)
            self.closed.append(gone)
        for host in tuple(self.open_gaps):
            self._gap_ends(host, entry.at_unix_s, End.UNKNOWN)

    def _gap_ends(self, host: str, at_unix_s: float, end: End) -> None:
        self.gaps.append(replace(self.open_gaps.pop(host), to_unix_s=at_unix_s, end=end))


def told(entries: Iterable[HistoryEntry]) -> Told:
    """What the entries say, in their order; those about other things are passed over."""
    reading = _Reading()
    for entry in entries:
        if entry.event == EVENT:
            reading.entry(entry)
    return Told(
        findings=tuple(sorted((*reading.closed, *reading.open.values()), key=_began)),
        cuts=tuple(reading.cuts),
        gaps=tuple(sorted((*reading.gaps, *reading.open_gaps.values()), key=_began)),
        left_out=tuple(reading.left_out),
        rewritten_unix_s=tuple(reading.rewritten),
        odd=reading.odd,
    )


def reconciled(said: Told, ledger: Ledger) -> tuple[Told, int]:
    """The same, with the ledger of what stands open now, and in how many places they disagree.

    What stands open by the history alone ended at a time that is not on record; what stands open
    by the ledger alone is added with the ledger's time. Neither is a disagreement where an entry
    of that time had no room to say it.
    """
    open_now = {each.finding.key for each in ledger.open}
    gaps_now = {each.host: each for each in ledger.gaps}
    open_told = {each.key for each in said.findings if each.end is End.OPEN}
    gaps_told = {each.host for each in said.gaps if each.end is End.OPEN}
    findings = [_ended(each, each.key in open_now) for each in said.findings]
    gaps = [_ended(each, each.host in gaps_now) for each in said.gaps]
    findings += [
        Spell(found.way, found.host, found.subject, found.detail, each.since_unix_s)
        for each in ledger.open
        for found in (each.finding,)
        if found.key not in open_told
    ]
    gaps += [
        GapTold(each.host, each.why, each.since_unix_s)
        for each in ledger.gaps
        if each.host not in gaps_told
    ]
    apart = len(gaps_told ^ gaps_now.keys()) + _apart(said, ledger)
    findings, gaps = sorted(findings, key=_began), sorted(gaps, key=_began)
    return replace(said, findings=tuple(findings), gaps=tuple(gaps)), apart


def _apart(said: Told, ledger: Ledger) -> int:
    """Findings that stand open by one of them alone, less what had no room in an entry."""
    full = [at_unix_s for at_unix_s, _ in said.left_out]
    told_open = {each.key: each for each in said.findings if each.end is End.OPEN}
    open_now = {each.finding.key: each.since_unix_s for each in ledger.open}
    not_told = (since for key, since in open_now.items() if key not in told_open)
    not_ended = (each for key, each in told_open.items() if key not in open_now)
    return sum(since not in full for since in not_told) + sum(
        not any(at_unix_s >= each.from_unix_s for at_unix_s in full) for each in not_ended
    )


def _ended(each: Ended, stands: bool) -> Ended:
    return replace(each, end=End.UNKNOWN) if each.end is End.OPEN and not stands else each


def _began(told: Spell | GapTold) -> tuple[float, str]:
    return (told.from_unix_s, told.host)
