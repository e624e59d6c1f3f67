"""PostgreSQL's settings as they are written and as the server shows them. Pure.

Units as in its manual, section 19.1.1 "Parameter Names and Values".
"""

from __future__ import annotations

import re

_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_WRITTEN = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_TRUE, _FALSE = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


def same_value(written: str, shown: str, unit: str) -> bool:
    """``written`` in a configuration means what pg_settings shows in its own ``unit``."""
    if written == shown:
        return True
    if not unit:
        known = (_TRUE, _FALSE)
        return any(written.lower() in words and shown.lower() in words for words in known)
    meant, has = _quantity(written, unit), _quantity(shown, unit)
    return meant is not None and meant == has


def in_bytes(shown: str, unit: str) -> int | None:
    """A size that pg_settings shows; None where it is none, or without limit (-1)."""
    found = _quantity(shown, unit)
    kind, size = found if found is not None else ("", -1.0)
    return int(size) if kind == "bytes" and size >= 0 else None


def in_ms(shown: str, unit: str) -> float | None:
    found = _quantity(shown, unit)
    return found[1] if found is not None and found[0] == "ms" else None


def _quantity(text: str, unit: str) -> tuple[str, float] | None:
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    number, own = float(found[1]), found[2]
    for kind, units in (("bytes", _BYTES), ("ms", _MS)):
        if own in units:
            return kind, number * units[own]
        if not own and (factor := _factor(unit, units)) is not None:
            return kind, number * factor
    return None


def _factor(unit: str, units: dict[str, int] | dict[str, float]) -> float | None:
    """ "8kB" is a unit of pg_settings too."""
    found = re.fullmatch(r"(\d*)([A-Za-z]+)", unit)
    if found is None or found[2] not in units:
        return None
    return float(found[1] or 1) * units[found[2]]
