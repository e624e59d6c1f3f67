"""Which notifications the history holds for a target, and which of them are due. Pure.

Invariants: a notification says nothing that came out of a database, only what this program wrote
about it: no details of an entry, no subject of a finding. One that is delivered again has the same
id. What is left out because too much waits is counted, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from failover.history_check import Stored
from failover.history_events import RESIDENCY, Severity, event_of, severity_of
from failover.model import GroupName
from failover.policy import NotificationKind
from failover.state import HistoryEntry

WAITING_MAX = 1000  # entries, and notifications, of one target
SUMMARY_LENGTH_MAX = 500
PLACES_MAX = 20


@dataclass(frozen=True, slots=True)
class Notification:
    """``entry``: the znode's name in ``history``. ``id``: of the entry's place and bytes."""

    id: str
    entry: str
    group: GroupName
    kind: NotificationKind
    event: str
    severity: Severity
    epoch: int
    number: int
    at_unix_s: float
    summary: str
    by: str


@dataclass(frozen=True, slots=True)
class Window:
    """The entries to look at, oldest first, and how many older ones are passed over unread."""

    names: tuple[str, ...]
    left_out: int


def window(names: Sequence[str], after: str) -> Window:
    """What stands behind ``after`` (empty: everything); the newest where it is too much."""
    behind = tuple(name for name in sorted(names) if name > after)
    kept = behind[-WAITING_MAX:]
    return Window(kept, len(behind) - len(kept))


def wanted(
    group: GroupName, entries: Iterable[Stored], kinds: Sequence[NotificationKind]
) -> tuple[Notification, ...]:
    """The notifications of these kinds, in the order of the entries."""
    found = (notification(group, stored) for stored in entries)
    return tuple(each for each in found if each is not None and each.kind in kinds)


def notification(group: GroupName, stored: Stored) -> Notification | None:
    """What an entry has to say; None where nobody is told of it, or it is not understood."""
    entry = stored.entry
    if entry is None or (kind := event_of(entry).kind) is None:
        return None
    return Notification(
        id=f"{group}/{stored.name}/{stored.sha256[:16]}",
        entry=stored.name,
        group=group,
        kind=kind,
        event=entry.event,
        severity=severity_of(entry),
        epoch=int(entry.epoch),
        number=entry.number,
        at_unix_s=entry.at_unix_s,
        summary=_line(entry.summary + _places(entry)),
        by=_line(entry.by),
    )


def shortened(waiting: Sequence[Notification]) -> tuple[tuple[Notification, ...], int]:
    """The newest that may wait, and how many older ones are left out."""
    kept = tuple(waiting[-WAITING_MAX:])
    return kept, len(waiting) - len(kept)


def _places(entry: HistoryEntry) -> str:
    """Way and host of each finding. The subject may be a name out of a database."""
    if entry.event != RESIDENCY:
        return ""
    told = (key.split(" ")[:3] for key in entry.details)
    places = dict.fromkeys(
        f"{words[0].replace('_', ' ')}: {' on '.join(words[1:])}"
        if words[0] in ("found", "cut", "gone")
        else f"{words[0].replace('_', ' ')}: {words[1]}"
        for words in told
        if len(words) > 1
    )
    listed = list(places)[:PLACES_MAX]
    more = f" and {len(places) - len(listed)} more" if len(places) > len(listed) else ""
    return f" ({'; '.join(listed)}{more})" if listed else ""


def _line(text: str) -> str:
    """One printable line of bounded length."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= SUMMARY_LENGTH_MAX else plain[: SUMMARY_LENGTH_MAX - 1] + "…"
