"""What may come in from outside, and how a parser is held to its word.

``near`` makes documents that are almost right, which get furthest into a parser; ``texts`` and
``json_texts`` make the rest. ``in_time`` ends what does not end by itself. Few examples, the same
ones every time, in ``make check``; many and new ones with ``FUZZ_EXAMPLES`` (``make fuzz``).
"""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
CPU_LIMIT_S = 2.0  # of one example; nothing here needs a hundredth of it

Test = TypeVar("Test", bound=Callable[..., Any])

DEEP = "[" * 100_000
DEEP_OBJECT = '{"a":' * 100_000
LONG_NUMBER = "9" * 5_000  # more digits than Python reads
WIDE_NUMBER = "9" * 400  # an integer, and no float
STRANGE_TEXTS = (
    *("", " ", "\x00", "\x1b[2J", "\n", "\r\n", "\u202e", "\ufeff", "\ud800", "²", "٣", "é", "😀"),
    *("NaN", "inf", "-inf", "1e999", "-1", "+1", "1_0", "0x10", " 1 ", "1.0", "true", "null"),
    *(LONG_NUMBER, WIDE_NUMBER, "a" * 10_000, "../../etc/passwd", "%s%n", "{}", "[]", '"', "'"),
    *("::ffff:10.77.1.11", "010.077.001.011", "0x0a4d010b", "10.77.1.11%eth0", "fe80::1%1", "::"),
    *("0/0", "FFFFFFFF/FFFFFFFF", "-5/-1", "0/1FFFFFFFF", "1/2/3", "/", "0/_1", "０/１"),
)
STRANGE_NUMBERS = (
    *(0, -1, 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**40, 10**400),
    *(0.5, -0.0, 1e18, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")),
)


def fuzzed(examples: int) -> Callable[[Test], Test]:
    """``examples`` in ``make check``, always the same ones; ``FUZZ_EXAMPLES`` of any kind else."""
    return settings(max_examples=EXAMPLES or examples, derandomize=not EXAMPLES, database=None)


class TooSlow(BaseException):
    """Past every ``except Exception`` of what is tried."""


@contextmanager
def in_time(limit_s: float = CPU_LIMIT_S) -> Iterator[None]:
    """TooSlow where the block takes longer on the processor, whatever else the machine does; or
    where it waits for half a minute."""

    def too_slow(_signal: int, _frame: object) -> None:
        raise TooSlow(f"more than {limit_s:g} s")

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, limit_s),
        (signal.SIGALRM, signal.ITIMER_REAL, 30.0),
    )
    before = [signal.signal(number, too_slow) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0.0)
            signal.signal(number, handler)


# --------------------------------------------------------------------------- values and texts


def texts(max_size: int = 40) -> st.SearchStrategy[str]:
    """Odd ones, and any; also what cannot be written as UTF-8."""
    return st.sampled_from(STRANGE_TEXTS) | st.text(max_size=max_size)


def values() -> st.SearchStrategy[Any]:
    """Anything that JSON, or Python's idea of it, can say."""
    plain = (
        st.sampled_from(STRANGE_NUMBERS) | texts() | st.none() | st.booleans() | st.integers(-9, 99)
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(8), inner, max_size=3),
        max_leaves=6,
    )


def json_of(value: Any) -> str:
    """As Python writes it: NaN and Infinity too."""
    return json.dumps(value)


def json_texts() -> st.SearchStrategy[str]:
    """Any JSON, and what is none."""
    odd = st.sampled_from(
        [DEEP, DEEP_OBJECT, LONG_NUMBER, WIDE_NUMBER, "", "{", '{"a":1,"a":2}', '"\\ud800"', "NaN"]
    )
    return odd | values().map(json_of) | texts()


# --------------------------------------------------------------------------- almost right


class Twice:
    """A key's value that is written a second time, with another one."""

    def __init__(self, first: Any, second: Any) -> None:
        self.pair = (first, second)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        pairs: list[str] = []
        for key, inner in value.items():
            each = inner.pair if isinstance(inner, Twice) else (inner,)
            pairs += [f"{json.dumps(key)}:{_written(one)}" for one in each]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(inner) for inner in value) + "]"
    return json.dumps(value)


TWICE = "the key a second time"


def with_raw(document: Any, place: tuple[Any, ...], raw: str) -> str:
    """JSON of the document with the value at a place written as ``raw``, or its key TWICE."""
    mark = "\ue000"
    changed = copy.deepcopy(document)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    before = json.dumps(holder[place[-1]])
    if raw != TWICE:
        holder[place[-1]] = mark
        return _written(changed).replace(json.dumps(mark), raw)
    if isinstance(holder, dict):
        holder[place[-1]] = Twice(holder[place[-1]], json.loads(before))
    return _written(changed)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands in a document, each of them."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield (*above, key)
        yield from places(value[key], (*above, key))


@st.composite
def near(draw: st.DrawFn, *documents: Any) -> str:
    """JSON of one of the documents with one to three things changed: another value, a key gone, an
    unknown one, one given twice; now and then bytes of the text."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        there = list(places(document))
        if not there:
            break
        *above, last = draw(st.sampled_from(there))
        holder = document
        for key in above:
            holder = holder[key] if not isinstance(holder, Twice) else holder.pair[0]
        _change(draw, holder, last)
    text = _written(document)
    return draw(spoilt(text)) if draw(st.integers(0, 4)) == 0 else text


def _change(draw: st.DrawFn, holder: Any, key: Any) -> None:
    kind = draw(st.sampled_from(["value", "value", "value", "text", "gone", "unknown", "twice"]))
    if isinstance(holder[key], Twice):
        return
    if kind == "gone":
        del holder[key]
    elif kind == "unknown" and isinstance(holder, dict):
        holder[draw(texts(8))] = draw(values())
    elif kind == "twice" and isinstance(holder, dict):
        holder[key] = Twice(holder[key], draw(st.just(holder[key]) | values()))
    elif kind == "text":
        holder[key] = str(holder[key])
    else:
        holder[key] = draw(values())


@st.composite
def spoilt(draw: st.DrawFn, text: str) -> str:
    """The text cut, or with a piece replaced, doubled or put in."""
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 20)))
    piece = draw(texts(6) | st.just(text[start:end] * 2) | st.just("\n"))
    return draw(st.sampled_from([text[:start], text[:start] + piece + text[end:]]))


def as_bytes(text: str) -> bytes:
    """As a hostile writer would: what is no Unicode goes as it is."""
    return text.encode("utf-8", errors="surrogatepass")
