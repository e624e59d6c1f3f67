"""What stands between a group and ``automation: auto``: it decides by itself only where every check
is in order and a rehearsal has passed. Those that `failover adopt arm` waits for are read alike.
Pure.

Invariant: unknown is not in order. The exceptions are the checks that nobody can answer from here
(``never_seen``): there the operator answers for himself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from failover.checks.result import Result, Verdict
from failover.checks.table import CHECKS

REHEARSAL = "rehearsal"
NEVER_SEEN = frozenset(check.name for check in CHECKS if check.never_seen)


def unproven(results: Iterable[Result]) -> tuple[str, ...]:
    """Every reason against it, in words; empty: there is none. ``results``: of every check that it
    waits for."""
    return tuple(f"{each.check}: {_why(each)}" for each in _against(results))


def _against(results: Iterable[Result]) -> Iterator[Result]:
    for each in results:
        blind = each.verdict is Verdict.UNKNOWN and each.check not in NEVER_SEEN
        unrehearsed = each.check == REHEARSAL and each.verdict is not Verdict.OK
        if each.fails or blind or unrehearsed:
            yield each


def _why(each: Result) -> str:
    return f"unknown: {each.sentence}" if each.verdict is Verdict.UNKNOWN else each.sentence
