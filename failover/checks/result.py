"""What a check is, and what it says. Pure.

Invariant: unknown is not ok. It fails the command only where the check says so of itself
(``unknown_fails``), and then its sentence says so too. A part that is silent to the observers as
well fails the check of that part alone (``told_elsewhere``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from failover.checks.found import Found

LOOK_AT_OBSERVERS = (
    "Controllers publish what they see: `systemctl status failover-controller` on their hosts, "
    "then `failover status`."
)
LISTED_MAX = 4  # of one kind in a sentence; the rest is counted


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, and somebody should know
    FAILED = "failed"  # the design assumes otherwise
    UNKNOWN = "unknown"  # cannot be seen from here; the fix says what would show it


class Subject(StrEnum):
    """Chapters of the table, in order."""

    LEASE = "lease"
    ZOOKEEPER = "ZooKeeper"
    PATRONI = "Patroni"
    GUARD = "guard"
    POSTGRESQL = "PostgreSQL"
    HOSTS = "hosts"
    CLIENTS = "clients"
    PRIVILEGES = "privileges"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict: a sentence with what was measured, and what to do (empty where it is ok).

    ``told_elsewhere``: all that is unknown is so for a reason that fails another check.
    """

    verdict: Verdict
    sentence: str
    fix: str = ""
    told_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One assumption. ``assumes`` is the sentence of docs/checks.md; ``fix`` where a verdict
    brings none of its own; ``source``: where the design says so; ``never_seen``: nothing here can
    tell, whatever answers."""

    name: str
    subject: Subject
    assumes: str
    fix: str
    source: str
    judge: Callable[[Found], Said]
    unknown_fails: bool = False
    never_seen: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one check says now. ``fails``: the command ends with 1 because of it."""

    check: str
    subject: Subject
    verdict: Verdict
    sentence: str
    fix: str
    fails: bool


def result(check: Check, found: Found) -> Result:
    said = check.judge(found)
    is_unknown = said.verdict is Verdict.UNKNOWN and not said.told_elsewhere
    unknown_fails = is_unknown and check.unknown_fails
    sentence = said.sentence
    if unknown_fails:
        sentence += "; not knowing this counts as a failure"
    return Result(
        check=check.name,
        subject=check.subject,
        verdict=said.verdict,
        sentence=sentence,
        fix="" if said.verdict is Verdict.OK else said.fix or check.fix,
        fails=said.verdict is Verdict.FAILED or unknown_fails,
    )


def ok(sentence: str) -> Said:
    return Said(Verdict.OK, sentence)


def warning(sentence: str, fix: str = "") -> Said:
    return Said(Verdict.WARNING, sentence, fix)


def failed(sentence: str, fix: str = "") -> Said:
    return Said(Verdict.FAILED, sentence, fix)


def unknown(sentence: str, fix: str = "") -> Said:
    return Said(Verdict.UNKNOWN, sentence, fix)


def of(
    well: str,
    *,
    wrong: Iterable[str] = (),
    doubtful: Iterable[str] = (),
    unseen: Iterable[str] = (),
    unseen_fix: str = "",
    told_elsewhere: bool = False,
) -> Said:
    """The usual shape: the worst that was found, with what is wrong first.

    ``unseen``: of which nothing is known; outranked by what is wrong, outranks what is doubtful.
    """
    wrongs, doubts, blind = tuple(wrong), tuple(doubtful), tuple(unseen)
    if wrongs:
        return failed(listed(wrongs))
    if blind:
        return Said(Verdict.UNKNOWN, listed(blind), unseen_fix, told_elsewhere)
    if doubts:
        return warning(listed(doubts))
    return ok(well)


def listed(parts: Iterable[str], most: int = LISTED_MAX) -> str:
    """The first few, and how many more there are."""
    every = tuple(parts)
    more = len(every) - most
    return "; ".join(every[:most]) + (f"; and {more} more" if more > 0 else "")


def together(silent: Iterable[tuple[str, str]], what: str) -> list[str]:
    """Hosts that are silent for the same reason, in one part: (host, reason) → texts."""
    by_reason: dict[str, list[str]] = {}
    for host, reason in silent:
        by_reason.setdefault(reason, []).append(host)
    return [f"{', '.join(hosts)}: {what} ({reason})" for reason, hosts in by_reason.items()]
