"""``failover status --ready``: what every check of `failover check` says, in a few lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from failover.checks.proven import NEVER_SEEN
from failover.checks.result import Result, Verdict
from failover.cli.tree import BAD, GOOD, indented


@dataclass(frozen=True, slots=True)
class Failing:
    check: str
    sentence: str
    fix: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Of how many checks, and what fails or is not known: unknown is not ready, but for what nobody
    can see from here. Warnings are allowed, and counted."""

    ready: bool
    checks: int
    warnings: int
    failing: tuple[Failing, ...]
    unknown: tuple[Failing, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> Readiness:
        every = tuple(results)
        failing = tuple(map(_told, (r for r in every if r.fails)))
        unknown = tuple(map(_told, (r for r in every if not r.fails and _blind(r))))
        warnings = sum(r.verdict is Verdict.WARNING for r in every)
        return cls(not failing and not unknown, len(every), warnings, failing, unknown)


def _told(result: Result) -> Failing:
    return Failing(result.check, result.sentence, result.fix)


def _blind(result: Result) -> bool:
    return result.verdict is Verdict.UNKNOWN and result.check not in NEVER_SEEN


def as_rich(readiness: Readiness) -> Group:
    beside = f"of {readiness.checks} checks, {readiness.warnings} with a warning"
    if readiness.ready:
        return Group(Text.assemble(("ready", GOOD), f": none fails or is unknown, {beside}"))
    count = f"{len(readiness.failing)} fail, {len(readiness.unknown)} are unknown"
    lines: list[RenderableType] = [Text.assemble(("NOT READY", BAD), f": {count}, {beside}")]
    lines += indented(f"{each.check}: {each.sentence}" for each in readiness.failing)
    lines += indented(f"{each.check}: unknown: {each.sentence}" for each in readiness.unknown)
    return Group(*lines, *indented(["`failover check` has what to do about each"]))
