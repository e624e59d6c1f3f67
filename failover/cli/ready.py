"""``failover status --ready``: what every check of `failover check` says, in a few lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from failover.checks.result import Result, Verdict
from failover.cli.tree import BAD, GOOD, indented


@dataclass(frozen=True, slots=True)
class Failing:
    check: str
    sentence: str
    fix: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Of how many checks, and what fails. Warnings and unknowns are allowed, and counted."""

    ready: bool
    checks: int
    warnings: int
    unknown: int
    failing: tuple[Failing, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Readiness:
        every = tuple(results)
        failing = tuple(Failing(r.check, r.sentence, r.fix) for r in every if r.fails)
        count = Counter(r.verdict for r in every if not r.fails)
        return cls(not failing, len(every), count[Verdict.WARNING], count[Verdict.UNKNOWN], failing)


def as_rich(readiness: Readiness) -> Group:
    beside = f"{readiness.warnings} warnings, {readiness.unknown} unknown"
    if readiness.ready:
        return Group(
            Text.assemble(("ready", GOOD), f": none of {readiness.checks} checks fails ({beside})")
        )
    head = f": {len(readiness.failing)} of {readiness.checks} checks fail ({beside})"
    lines: list[RenderableType] = [Text.assemble(("NOT READY", BAD), head)]
    lines += indented(f"{each.check}: {each.sentence}" for each in readiness.failing)
    return Group(*lines, *indented(["`failover check` has what to do about each"]))
