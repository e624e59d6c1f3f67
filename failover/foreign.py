"""JSON that others write: Patroni's znodes and answers. Pure.

Invariant: it is read as everybody else would read it, and can be written again as it was, or it is
refused with ValueError. Readers differ on a key given twice, on NaN, on half a character and on
what is nested deeply: such a document has no meaning that two programs share.
"""

from __future__ import annotations

import json
import math
from typing import Any

DEPTH_MAX = 100  # Patroni nests five deep; Python's own limit depends on who calls
_NO_CHARACTER = "\ufffd"  # stands where bytes were no text: what they were is lost


def json_value(text: str | bytes) -> Any:
    """The value. ValueError, and nothing else, where there is none."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if text.count("[") + text.count("{") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # UnicodeEncodeError: a ValueError
    return value


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object. ValueError, and nothing else, where there is none."""
    value = json_value(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def whole_number(value: Any, at_most: int, at_least: int = 0) -> int:
    """A number that is one by itself: no text, no yes, nothing with a fraction. ValueError."""
    if type(value) is not int or not at_least <= value <= at_most:
        raise ValueError(f"not a whole number from {at_least} to {at_most}: {str(value)[:40]!r}")
    return value


def is_whole(text: str) -> bool:
    """Bytes that were no text were not replaced in it."""
    return _NO_CHARACTER not in text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _depth(value: Any) -> int:
    """How many brackets stand around the innermost value."""
    depth, inside = 0, [value]
    while inside := [each for each in inside if isinstance(each, dict | list)]:
        depth += 1
        inside = [
            inner
            for each in inside
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
