"""Moments in the three times that readers of the report live by. Pure but for the zones' tables.

Source: Presidential Decree 41/1987 on the time zones of Indonesia, as the tz database has it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

ZONES = (("WIB", "Asia/Jakarta"), ("WITA", "Asia/Makassar"))


def moment(unix_s: float) -> str:
    """``2025-10-09 20:53:20 UTC / 2025-10-10 03:53:20 WIB / 04:53:20 WITA``: the day is said again
    where it is another one. ZoneInfoNotFoundError without the tz database."""
    utc = datetime.fromtimestamp(unix_s, UTC)
    parts, day = [f"{utc:%Y-%m-%d %H:%M:%S} UTC"], utc.date()
    for name, zone in ZONES:
        local = utc.astimezone(ZoneInfo(zone))
        dated = "" if local.date() == day else f"{local:%Y-%m-%d} "
        parts.append(f"{dated}{local:%H:%M:%S} {name}")
        day = local.date()
    return " / ".join(parts)


def iso_utc(unix_s: float) -> str:
    """``2025-10-09T20:53:20Z``, for machines."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
