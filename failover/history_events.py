"""Every event of the history: how loud it is, who may want to be told, what it means. Pure.

Invariant: what is written into the history stands here; logs use the same names and levels,
notifications the same kinds. docs/logs.md has this table, and a test holds it against the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.planning.plan import StepName
from failover.policy import NotificationKind
from failover.state import HistoryEntry

HELD = "held"
RESIDENCY = "residency"
WHAT = "what"  # in the details of a hold: the step, or the verdict
PAGE = "page"  # there: whether a human is needed now


class Level(StrEnum):
    """Of a line in the log: somebody has to look; what works has changed; all is as it should."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Severity(StrEnum):
    """Of a notification, as of the alerts (deploy/prometheus)."""

    PAGE = "page"
    WARN = "warn"
    INFO = "info"


LEVEL = {
    Severity.PAGE: Level.ERROR,
    Severity.WARN: Level.WARNING,
    Severity.INFO: Level.INFO,
}


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """``kind`` None: nobody is told; it stands in the history and the logs."""

    name: str
    severity: Severity
    kind: NotificationKind | None
    meaning: str


_TAKEOVER, _SWITCHOVER = NotificationKind.TAKEOVER, NotificationKind.SWITCHOVER
_PAGE, _WARN, _INFO = Severity.PAGE, Severity.WARN, Severity.INFO

_MOVES = (
    HistoryEvent("takeover_begun", _PAGE, _TAKEOVER, "a site that holds its claims is stopped"),
    HistoryEvent("takeover", _PAGE, _TAKEOVER, "the other site is active; what was lost is told"),
    HistoryEvent("takeover_abandoned", _PAGE, _TAKEOVER, "begun, and back where it was"),
    HistoryEvent("switchover_begun", _INFO, _SWITCHOVER, "a planned move has begun"),
    HistoryEvent("switchover", _INFO, _SWITCHOVER, "the other site is active, nothing lost"),
    HistoryEvent("switchover_abandoned", _WARN, _SWITCHOVER, "begun, and back where it was"),
    HistoryEvent("promoted", _WARN, None, "a host of the new site takes writes"),
    HistoryEvent("reinstated", _INFO, NotificationKind.REINSTATED, "the lost site follows again"),
    HistoryEvent("following", _WARN, None, "the other site follows another primary"),
    HistoryEvent("candidate_named", _WARN, None, "Patroni was told whom to promote"),
    HistoryEvent("request_refused", _WARN, None, "an operator's request was not begun"),
)
_HOLDS = (
    HistoryEvent(
        HELD,
        _WARN,
        NotificationKind.HOLD,
        "a step, or a verdict that holds, has stood for a minute",
    ),
    *(
        HistoryEvent(
            f"would_have_{step}",
            _WARN,
            NotificationKind.HOLD,
            f"automation that may not act would have made the step {step}",
        )
        for step in StepName
    ),
)
_OTHERS = (
    HistoryEvent("initialised", _INFO, None, "the group was made"),
    HistoryEvent("degraded", _WARN, None, "commits do not wait for a host any more"),
    HistoryEvent("sync_listed", _INFO, None, "commits are made to wait for a host"),
    HistoryEvent("in_sync", _INFO, None, "a host has everything, on record"),
    HistoryEvent(
        "drops_forgotten", _INFO, None, "a campaign on the lab: who was dropped may be waited for"
    ),
    HistoryEvent(StepName.RESTART_ZOOKEEPER, _WARN, None, "a misplaced leader is moved"),
    HistoryEvent(
        RESIDENCY, _PAGE, NotificationKind.FINDING, "ways out: found, cut, gone, not looked at"
    ),
    HistoryEvent("automation", _WARN, None, "an operator set who decides"),
    HistoryEvent("paused", _WARN, None, "an operator paused takeovers"),
    HistoryEvent("pause_ended", _INFO, None, "the pause is over"),
    HistoryEvent("acknowledged", _INFO, None, "an operator ended the cooldown"),
    HistoryEvent("protection", _WARN, None, "an operator set the protection mode"),
    HistoryEvent("access_lists", _WARN, None, "an admin changed who may read and write what"),
    HistoryEvent("rehearsed", _INFO, None, "a rehearsal has passed or failed"),
    HistoryEvent("reseed_started", _WARN, None, "a host is copied anew"),
    HistoryEvent("reseeded", _INFO, None, "that host streams"),
    HistoryEvent("group_armed", _WARN, None, "an operator gave the guards an adopted pair"),
    HistoryEvent("group_disarmed", _WARN, None, "it was taken from them again"),
    HistoryEvent("quorum_rebuilt", _PAGE, None, "break glass: a quorum of one site alone"),
    HistoryEvent("quorum_whole", _WARN, None, "break glass has ended"),
)

EVENTS = (*_MOVES, *_HOLDS, *_OTHERS)
_BY_NAME = {event.name: event for event in EVENTS}


def event_of(entry: HistoryEntry) -> HistoryEvent:
    """What this entry is. One of a name that is not known here (of a newer failover) is a warning
    of which nobody is told."""
    known = _BY_NAME.get(entry.event)
    return known if known is not None else HistoryEvent(entry.event, _WARN, None, "not known here")


def severity_of(entry: HistoryEntry) -> Severity:
    """How loud this very entry is."""
    if entry.event == HELD:
        return _PAGE if entry.details.get(PAGE) == "true" else _WARN
    if entry.event == RESIDENCY:
        if any(key.startswith(("found ", "cut ", "problem")) for key in entry.details):
            return _PAGE
        return _WARN if any(key.startswith("gap ") for key in entry.details) else _INFO
    return event_of(entry).severity
