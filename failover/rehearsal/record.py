"""What the history says of one planned move. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from failover.state import HistoryEntry


@dataclass(frozen=True, slots=True)
class OnRecord:
    """The moments of one plan, on the clock of the controller that led; None: not on record.

    ``evidence``: what the commit was judged by: where the old site's WAL ends, what was replayed.
    """

    frozen_unix_s: float | None = None
    committed_unix_s: float | None = None
    promoted_unix_s: float | None = None
    evidence: dict[str, str] = field(default_factory=dict)


def on_record(entries: Iterable[HistoryEntry], plan_id: str) -> OnRecord:
    """Of entries oldest first. The promotion is that of the last cluster in the plan's epoch."""
    frozen_unix_s, committed, promoted_unix_s = None, None, None
    for entry in entries:
        ours = entry.details.get("plan") == plan_id
        if entry.event == "switchover_begun" and ours:
            frozen_unix_s = entry.at_unix_s
        elif entry.event == "switchover" and ours:
            committed = entry
        elif entry.event == "promoted" and committed and entry.epoch == committed.epoch:
            promoted_unix_s = entry.at_unix_s
    return OnRecord(
        frozen_unix_s=frozen_unix_s,
        committed_unix_s=committed.at_unix_s if committed else None,
        promoted_unix_s=promoted_unix_s,
        evidence=dict(committed.details) if committed else {},
    )
