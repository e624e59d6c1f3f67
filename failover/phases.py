"""What the history says of each change of the active site: phases, and their durations. Pure.

Moments are on the clock of the controller that wrote the entry; a change that another controller
finished has moments of two clocks. Nothing that is not on record is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from failover.model import Epoch
from failover.state import HistoryEntry, PlanKind

WITHOUT_CLAIM = "without_claim"  # from the end of the claim, as the leader saw it, to the commit
STOPPING = "stopping"  # from the frozen plan to the commit: the old site stops, and proves it
PROMOTING = "promoting"  # from the commit to the last promotion on record
REINSTATING = "reinstating"  # from then until the last cluster of the old site follows again

_GONE = re.compile(
    r"gone for ([0-9]{1,9}(?:\.[0-9]{1,9})?) s"
)  # written by planning/transactions.py


@dataclass(frozen=True, slots=True)
class Phase:
    """``ended_unix_s`` None: it has not ended, as far as is on record."""

    name: str
    begun_unix_s: float
    ended_unix_s: float | None

    @property
    def seconds(self) -> float | None:
        if self.ended_unix_s is None:
            return None
        return round(max(0.0, self.ended_unix_s - self.begun_unix_s), 3)


@dataclass(frozen=True, slots=True)
class Move:
    """One change of the active site. ``phases`` in their order."""

    kind: PlanKind
    epoch: Epoch
    summary: str
    committed_unix_s: float
    phases: tuple[Phase, ...]


def moves(entries: Iterable[HistoryEntry]) -> tuple[Move, ...]:
    """The changes among these entries (oldest first), oldest first."""
    found: list[Move] = []
    begun: HistoryEntry | None = None
    for entry in entries:
        if entry.event in ("switchover_begun", "takeover_begun"):
            begun = entry
        elif entry.event in ("switchover_abandoned", "takeover_abandoned"):
            begun = None
        elif entry.event in tuple(PlanKind):
            found.append(_committed(entry, begun))
            begun = None
        elif found and entry.epoch == found[-1].epoch and entry.event in ("promoted", "reinstated"):
            found[-1] = _continued(found[-1], entry)
    return tuple(found)


def _committed(entry: HistoryEntry, begun: HistoryEntry | None) -> Move:
    before = []
    gone = [_GONE.fullmatch(value) for value in entry.details.values()]
    gone_for_s = [float(match[1]) for match in gone if match]
    if begun is not None:
        before.append(Phase(STOPPING, begun.at_unix_s, entry.at_unix_s))
    elif gone_for_s:
        before.append(Phase(WITHOUT_CLAIM, entry.at_unix_s - max(gone_for_s), entry.at_unix_s))
    return Move(
        kind=PlanKind(entry.event),
        epoch=entry.epoch,
        summary=entry.summary,
        committed_unix_s=entry.at_unix_s,
        phases=(*before, Phase(PROMOTING, entry.at_unix_s, None)),
    )


def _continued(move: Move, entry: HistoryEntry) -> Move:
    """A group of several clusters has one entry for each of them: the last one counts."""
    phases = {phase.name: phase for phase in move.phases}
    if entry.event == "promoted":
        phases[PROMOTING] = replace(phases[PROMOTING], ended_unix_s=entry.at_unix_s)
    else:
        promoted_unix_s = phases[PROMOTING].ended_unix_s or move.committed_unix_s
        phases[REINSTATING] = Phase(REINSTATING, promoted_unix_s, entry.at_unix_s)
    return replace(move, phases=tuple(phases.values()))
