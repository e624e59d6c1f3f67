"""Whether a standby's WAL belongs to the present primary's history. Pure.

A position alone does not say it: two timelines run through the same positions with other content.
Takes what Patroni records of the active scope's switches of timeline. Invariant: what cannot be
told is a reason, and a reason holds (I5).
"""

from __future__ import annotations

from typing import Any

from failover.foreign import json_value, whole_number
from failover.model import LSN_MAX, TIMELINE_MAX, Lsn, TimelineId

Switches = dict[TimelineId, Lsn]  # where each timeline was left for the next one


def parse_switches(history: str) -> Switches:
    """Patroni's history znode; what cannot be understood is as if it were not there."""
    try:
        return dict(_switch(entry) for entry in _list(json_value(history)))
    except ValueError:
        return {}


def _switch(entry: Any) -> tuple[TimelineId, Lsn]:
    timeline, position, *_ = [*_list(entry), None, None]
    return (
        TimelineId(whole_number(timeline, TIMELINE_MAX, 1)),
        Lsn(whole_number(position, LSN_MAX, 1)),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def apart(
    received: Lsn,
    standby: TimelineId,
    primary: TimelineId,
    switches: Switches,
    promised: TimelineId | None,
) -> str:
    """Why a standby that has WAL up to ``received`` may not be on the primary's history.

    Empty: it is. Ahead of the newest sample's timeline is right only where the record says that
    the active site has gone on to exactly that timeline since: Patroni's, or the promise to a
    host of that site (``promised``), which is there before the promotion.
    """
    if standby == primary:
        return ""
    if standby > primary:
        if standby == promised:
            return ""
        newest = max(switches, default=TimelineId(0))
        if standby == newest + 1 and primary in switches:
            return ""
        return f"the standby is on timeline {standby}, the primary was last seen on {primary}"
    left_at = switches.get(standby)
    if left_at is None:
        return f"it is not known where the primary's timeline {primary} left timeline {standby}"
    if received > left_at:
        return (
            f"the standby has WAL up to {received} of timeline {standby}, which the primary left "
            f"at {left_at}: it is on a branch of its own"
        )
    return ""
