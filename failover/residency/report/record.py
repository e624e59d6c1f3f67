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

from failover.residency.findings import Ledger
from failover.state import HistoryEntry

EVENT = "residency"
FOUND, GONE, CUT = "found", "gone", "cut"  # then: way, host, subject
GAP, GAP_OVER = "gap", "gap_over"  # then: host
MORE, PROBLEM = "more", "problem"
_FOR = re.compile(r"for (\d+) s: (.*)", re.DOTALL)

Key = tuple[str, str, str]


class End(StrEnum):
    """How a finding ended, as far as is on record."""

    GONE = "gone"  # a look that could have seen it did not, or it was accepted, or its host left
    OPEN = "open"
    UNKNOWN = "unknown"  # it is not open now, and no entry says when it went


@dataclass(frozen=True, slots=True)
class Spell:
    """A way out from the entry that found it to the one that says it is gone (null: none does)."""

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
    """A host that nobody could look at, wholly or in part. ``to_unix_s`` None: still so."""

    host: str
    why: str
    from_unix_s: float
    to_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """All that the history says. ``left_out``: how many details entries had no room for;
    ``rewritten_unix_s``: when what stood open could not be read and was written anew;
    ``odd``: details that are not understood."""

    findings: tuple[Spell, ...]
    cuts: tuple[CutTold, ...]
    gaps: tuple[GapTold, ...]
    left_out: int
    rewritten_unix_s: tuple[float, ...]
    odd: int


@dataclass(slots=True)
class _Reading:
    closed: list[Spell] = field(default_factory=list)
    open: dict[Key, Spell] = field(default_factory=dict)
    cuts: list[CutTold] = field(default_factory=list)
    gaps: list[GapTold] = field(default_factory=list)
    open_gaps: dict[str, GapTold] = field(default_factory=dict)
    left_out: int = 0
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
            elif name == MORE and value.isdigit():
                self.left_out += int(value)
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
            self.gaps.append(replace(self.open_gaps.pop(host), to_unix_s=at_unix_s))
        else:
            self.odd += 1

    def _rewritten(self, entry: HistoryEntry) -> None:
        """What is not found once more in the same entry was lost from record: its end is unknown,
        and so is that of a gap (nothing is written anew before every host was looked at)."""
        self.rewritten.append(entry.at_unix_s)
        for key in [key for key in self.open if " ".join((FOUND, *key)) not in entry.details]:
            self.closed.append(replace(self.open.pop(key), end=End.UNKNOWN))
        for host in tuple(self.open_gaps):
            self.gaps.append(replace(self.open_gaps.pop(host), to_unix_s=entry.at_unix_s))


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
        left_out=reading.left_out,
        rewritten_unix_s=tuple(reading.rewritten),
        odd=reading.odd,
    )


def reconciled(said: Told, ledger: Ledger) -> tuple[Told, int]:
    """The same, with the ledger of what stands open now, and in how many places they disagree.

    What stands open by the history alone ended at a time that is not on record; what stands open
    by the ledger alone is added with the ledger's time.
    """
    on_record = {each.finding.key: each for each in ledger.open}
    findings = [
        replace(each, end=End.UNKNOWN)
        if each.end is End.OPEN and each.key not in on_record
        else each
        for each in said.findings
    ]
    open_here = {each.key for each in said.findings if each.end is End.OPEN}
    findings += [
        Spell(found.way, found.host, found.subject, found.detail, each.since_unix_s)
        for key, each in on_record.items()
        if key not in open_here
        for found in (each.finding,)
    ]
    disagreements = len(open_here ^ on_record.keys())
    return replace(said, findings=tuple(sorted(findings, key=_began))), disagreements


def _began(told: Spell | GapTold) -> tuple[float, str]:
    return (told.from_unix_s, told.host)
