"""Which hold is worth an entry of the history: one that stands. Pure.

A hold is a step that is wanted and not made, or a verdict that asks for none and is not well: a
human is needed, or something has to end first. A claim that has to end, a plan whose proof is
awaited, a salvage: most are held for a moment, and nobody has to be told. And in the minute in
which a site is lost nothing is written but what moves it.
"""

from __future__ import annotations

from failover.health.verdict import Consequence, Verdict
from failover.planning.plan import Hold, Plan

ON_RECORD_AFTER_S = 60.0


def held(decision: Plan | Hold, verdict: Verdict) -> str | None:
    """The step that is held, else the verdict that holds; None: neither. What only automation
    keeps is on record as ``would_have`` already."""
    if isinstance(decision, Plan) or decision.only_automation_blocks:
        return None
    if decision.wanted is not None:
        return decision.wanted
    holds = verdict.consequence is Consequence.HOLD or verdict.page
    return verdict.code if holds else None


class StandingHolds:
    """What one leading controller has held, and since when; another one counts anew."""

    def __init__(self) -> None:
        self._held: str | None = None
        self._since_s = 0.0
        self._on_record: dict[str, float] = {}  # when it was last held

    def due(self, held: str | None, boottime_s: float) -> bool:
        """It should be on record and is not. None: nothing is held, or another one leads.

        One that comes again within the minute is the same one.
        """
        if held != self._held:
            self._held, self._since_s = held, boottime_s
        self._on_record = {
            name: boottime_s if name == held else last_s
            for name, last_s in self._on_record.items()
            if name == held or boottime_s - last_s < ON_RECORD_AFTER_S
        }
        stands = boottime_s - self._since_s >= ON_RECORD_AFTER_S
        return held is not None and stands and held not in self._on_record

    def recorded(self, held: str, boottime_s: float) -> None:
        self._on_record[held] = boottime_s
