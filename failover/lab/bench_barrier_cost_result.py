"""What the windows of `failover bench barrier-cost` come to. Pure.

A window is counted only where what was looked at before and after it, the kernel's rules and the
guard, says that it was of the kind that it was meant to be, and where little else ran on the
machine. Windows are compared in pairs, one right after the other, because a slower machine takes
both with it: per pair, how many times the figure without is the one with the barrier, and of
all pairs the geometric mean. Its interval is a bootstrap of the pairs (percentiles). It is one of
99 % for each of the five figures, so that all five together are wrong in one of twenty. The time of
one answer is given with its interval and no verdict: any cost counts there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import exp, fsum, log
from statistics import geometric_mean, median, quantiles
from typing import Any

from pydantic import TypeAdapter

from failover.lab.barrier_seen import Seen
from failover.lab.bench_result import SCHEMA
from failover.lab.workload.attempt import Attempt, Outcome
from failover.model import HostName

PAIRS_MIN = 10  # of counted windows; with fewer nothing is said
OTHERS_CORES_MAX = 0.4  # this bench is among them
CONFIDENCE = 0.99
RESAMPLES = 10_000
SEED = 7  # the same windows give the same interval


@dataclass(frozen=True, slots=True)
class Load:
    """What one team was told. Latency: from BEGIN to the acknowledgement of COMMIT."""

    acked: int
    failed: int
    transactions_s: float
    latency_median_ms: float | None
    latency_p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one kind."""

    number: int
    protection: str  # the group's mode
    host: HostName
    barrier: bool  # what it was meant to be
    before: Seen
    after: Seen
    busy: Load  # every session without a pause
    light: Load  # a few transactions a second, alone
    others_cores: float  # of the machine, busy with other things than the lab meanwhile
    answer_us: float  # one answer of the primary's, no disk in it: answer_time.py

    @property
    def objections(self) -> tuple[str, ...]:
        """Why it is not counted; empty: it is."""
        found = [f"before: {text}" for text in self.before.objections(self.barrier)]
        found += [f"after: {text}" for text in self.after.objections(self.barrier)]
        if self.before.pids != self.after.pids:
            found.append("the guard was restarted meanwhile")
        if self.barrier and self.before.rules.generation == self.after.rules.generation:
            found.append("the lease in the kernel was not renewed")
        if not (self.busy.acked and self.light.acked):
            found.append("nothing was acknowledged")
        if self.others_cores > OTHERS_CORES_MAX:
            found.append(f"other work took {self.others_cores:g} cores")
        return tuple(found)


def order(pairs: int) -> list[bool]:
    """With the barrier, without, without, with, …: what drifts evenly falls on both alike."""
    return [kind for pair in range(pairs) for kind in (pair % 2 == 0, pair % 2 == 1)]


def load_of(attempts: Sequence[Attempt], from_s: float, to_s: float) -> Load:
    """What ended within these seconds (boot time)."""
    ended = [one for one in attempts if from_s <= one.ended_s < to_s]
    took_ms = [1000 * (o.ended_s - o.started_s) for o in ended if o.outcome is Outcome.ACKED]
    percent = quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else None
    return Load(
        acked=len(took_ms),
        failed=len(ended) - len(took_ms),
        transactions_s=round(len(took_ms) / (to_s - from_s), 1),
        latency_median_ms=round(median(took_ms), 3) if took_ms else None,
        latency_p99_ms=round(percent[98], 3) if percent else None,
    )


# --------------------------------------------------------------------------- what it comes to


class Verdict(StrEnum):
    WITHIN_NOISE = "within noise"  # the interval of the ratio has 1 in it, and is narrow
    DIFFERS = "differs"
    TOO_NOISY = "too noisy to tell"  # a difference that matters could be in the interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure over all pairs of counted windows. Ratios: with the barrier to without."""

    name: str
    barrier: float  # median of the windows
    without: float
    ratio: float  # geometric mean of the pairs
    low: float  # of the ratio
    high: float
    spread: float  # quartiles apart, of the pairs' ratios
    part_max: float | None  # what must be told from none, of 1; None: the figure is no verdict

    @property
    def verdict(self) -> Verdict | None:
        if self.part_max is None:
            return None
        if not self.low <= 1 <= self.high:
            return Verdict.DIFFERS
        if max(1 - self.low, self.high - 1) > self.part_max:
            return Verdict.TOO_NOISY
        return Verdict.WITHIN_NOISE


@dataclass(frozen=True, slots=True)
class _Measure:
    """``part_max``: the part more or less that would matter; None: the cost itself is told,
    whatever it is."""

    name: str
    of: Callable[[Window], float | None]
    part_max: float | None


_MEASURES = (
    _Measure("16 sessions: transactions/s", lambda w: w.busy.transactions_s, 0.1),
    _Measure("16 sessions: latency median, ms", lambda w: w.busy.latency_median_ms, 0.1),
    _Measure("16 sessions: latency p99, ms", lambda w: w.busy.latency_p99_ms, 0.3),
    _Measure("100/s alone: latency median, ms", lambda w: w.light.latency_median_ms, 0.1),
    _Measure("100/s alone: latency p99, ms", lambda w: w.light.latency_p99_ms, 0.3),
    _Measure("one answer, µs", lambda w: w.answer_us, None),
)


def counted(windows: Sequence[Window]) -> list[Window]:
    return [one for one in windows if not one.objections]


def pairs(windows: Sequence[Window]) -> list[tuple[Window, Window]]:
    """With the barrier and without, one right after the other, where both are counted."""
    of = {one.number: one for one in counted(windows)}
    found = []
    for number in range(1, max(of, default=0), 2):
        first, second = of.get(number), of.get(number + 1)
        if first is not None and second is not None:
            found.append((first, second) if first.barrier else (second, first))
    return found


def figures(windows: Sequence[Window]) -> tuple[Figure, ...]:
    """None with too few pairs of windows."""
    found = pairs(windows)
    if len(found) < PAIRS_MIN:
        return ()
    return tuple(_figure(measure, found) for measure in _MEASURES)


def _figure(measure: _Measure, found: Sequence[tuple[Window, Window]]) -> Figure:
    values = [(measure.of(held), measure.of(free)) for held, free in found]
    known = [(one, two) for one, two in values if one is not None and two is not None]
    held, free = zip(*known, strict=True)
    ratios = [one / two for one, two in known]
    low, high = interval(ratios)
    first, _, third = quantiles(ratios, n=4, method="inclusive")
    return Figure(
        name=measure.name,
        barrier=round(median(held), 3),
        without=round(median(free), 3),
        ratio=round(geometric_mean(ratios), 4),
        low=round(low, 4),
        high=round(high, 4),
        spread=round(third - first, 4),
        part_max=measure.part_max,
    )


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Of their geometric mean: bootstrap, percentiles."""
    chance = random.Random(SEED)
    logarithms = [log(one) for one in ratios]
    means = sorted(
        fsum(chance.choices(logarithms, k=len(logarithms))) / len(logarithms)
        for _ in range(RESAMPLES)
    )
    cut = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return exp(means[cut]), exp(means[-1 - cut])


def passed(windows: Sequence[Window]) -> bool:
    found = figures(windows)
    return bool(found) and all(one.verdict in (Verdict.WITHIN_NOISE, None) for one in found)


def run_line(one: Window) -> str:
    """One window in one line."""
    line = (
        f"window {one.number}, {'with the barrier' if one.barrier else 'without'}: "
        f"{one.busy.transactions_s:g}/s, {one.busy.latency_median_ms} ms "
        f"(p99 {one.busy.latency_p99_ms} ms); alone {one.light.transactions_s:g}/s, "
        f"{one.light.latency_median_ms} ms (p99 {one.light.latency_p99_ms} ms); "
        f"an answer {one.answer_us:g} µs; "
        f"{one.busy.failed + one.light.failed} failed; others {one.others_cores:g} cores"
    )
    return line + "".join(f"\n    NOT COUNTED: {text}" for text in one.objections)


def table_lines(windows: Sequence[Window]) -> list[str]:
    """The table of docs/reliability.md."""
    found = figures(windows)
    return [*(_rows(found) if found else ()), *_words(windows)]


def _rows(found: Sequence[Figure]) -> Iterator[str]:
    yield (
        "| median of the windows | with the barrier | without | by pairs, 99 % interval "
        "| quartiles of the pairs apart | |"
    )
    yield "|---|---|---|---|---|---|"
    for one in found:
        yield (
            f"| {one.name} | {one.barrier:g} | {one.without:g} | {percent(one.ratio)} "
            f"({percent(one.low)} to {percent(one.high)}) | {100 * one.spread:.1f} % "
            f"| {one.verdict or ''} |"
        )


def percent(ratio: float) -> str:
    """More, or less, than without."""
    return f"{100 * (ratio - 1):+.1f} %"


def _words(windows: Sequence[Window]) -> Iterator[str]:
    kept, whole = len(counted(windows)), len(pairs(windows))
    yield ""
    yield f"{whole} pairs of windows; of {len(windows)} windows {len(windows) - kept} not counted."
    if whole < PAIRS_MIN:
        yield f"Too few to say anything: {PAIRS_MIN} pairs are needed."


def as_json(windows: Sequence[Window]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "confidence": CONFIDENCE,
        "windows": [asdict(one) | {"objections": one.objections} for one in windows],
        "figures": [asdict(one) | {"verdict": one.verdict} for one in figures(windows)],
        "passed": passed(windows),
    }


_WINDOW: TypeAdapter[Window] = TypeAdapter(Window)


def decoded(line: str) -> Window:
    """A line of the file of results. ValueError when it is not a window."""
    return _WINDOW.validate_json(line)
