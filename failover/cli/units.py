"""Sizes and durations for a human. Pure."""

from __future__ import annotations


def size(count_bytes: int) -> str:
    """1536 → "1.5 KiB"."""
    value = float(count_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float | None) -> str:
    """3.25 → "3.2 s", 31 → "31 s", 200 → "3 min 20 s", 7300 → "2 h 1 min"; None → "?"."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def ago(seconds: float) -> str:
    """20 → "just now", 200 → "3 minutes ago", 550000 → "6 days ago"."""
    for unit, length_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length_s)
        if count:
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
