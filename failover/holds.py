"""Which hold is worth an entry of the history: one that stands. Pure.

A claim that has to end, a plan whose proof is awaited, a salvage: most steps are held for a moment,
and nobody has to be told. And in the minute in which a site is lost nothing is written but what
moves it.
"""

from __future__ import annotations

from failover.planning.plan import Hold, Plan, StepName

ON_RECORD_AFTER_S = 60.0


class StandingHolds:
    """What one leading controller has held, and since when; another one counts anew."""

    def __init__(self) -> None:
        self._wanted: StepName | None = None
        self._since_s = 0.0
        self._on_record: dict[StepName, float] = {}  # when it was last held

    def look(self, decision: Plan | Hold | None, boottime_s: float) -> Hold | None:
        """The hold that should be on record and is not; None also while another one leads.

        One that comes again within the minute is the same one.
        """
        held = decision if isinstance(decision, Hold) and decision.wanted is not None else None
        wanted = held.wanted if held is not None else None
        if wanted != self._wanted:
            self._wanted, self._since_s = wanted, boottime_s
        self._on_record = {
            step: boottime_s if step == wanted else last_s
            for step, last_s in self._on_record.items()
            if step == wanted or boottime_s - last_s < ON_RECORD_AFTER_S
        }
        stands = boottime_s - self._since_s >= ON_RECORD_AFTER_S
        return held if stands and wanted not in self._on_record else None

    def recorded(self, hold: Hold, boottime_s: float) -> None:
        if hold.wanted is not None:
            self._on_record[hold.wanted] = boottime_s
