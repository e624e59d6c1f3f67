"""What ``failover residency check`` says: (policy, what is known of ways out) → what to say. Pure.

Invariant: unknown is not clean. Every value is a str, number, bool or None, so that the JSON of a
check is the check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from failover.cli.units import duration
from failover.health.residency import ResidencyView
from failover.policy import Policy
from failover.residency.report.document import ExceptionRow, exceptions
from failover.residency.todo import GAP_TODO, todo, what
from failover.residency.ways import WAYS, Seen

WIDTH = 80


@dataclass(frozen=True, slots=True)
class OpenWay:
    """A way out that stands open. ``open_for_s``: since somebody first saw it."""

    way: str
    what: str
    host: str
    subject: str
    detail: str
    since_unix_s: float
    open_for_s: float
    todo: str


@dataclass(frozen=True, slots=True)
class AcceptedWay:
    """A finding that is there, and who answers for it; ``expires``: the last day (UTC)."""

    way: str
    host: str
    subject: str
    approver: str
    reason: str
    expires: str


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """A database host of which not everything is known now. ``since_unix_s`` None: not on record,
    which it is after a minute."""

    host: str
    why: str
    since_unix_s: float | None
    todo: str


@dataclass(frozen=True, slots=True)
class Unobservable:
    """A way out that nobody here can see."""

    way: str
    what: str
    closed_by: str


@dataclass(frozen=True, slots=True)
class ResidencyCheck:
    """One moment. ``missing``: what is not known besides the hosts in ``gaps``.

    ``problem``: why there is no usable state, so that nothing is put on record now.
    """

    group: str
    problem: str
    open: tuple[OpenWay, ...]
    gaps: tuple[BlindSpot, ...]
    missing: tuple[str, ...]
    accepted: tuple[AcceptedWay, ...]
    exceptions: tuple[ExceptionRow, ...]
    unobservable: tuple[Unobservable, ...]

    @property
    def clean(self) -> bool:
        """Nothing stands open, and every host was looked at."""
        return not (self.open or self.gaps or self.missing)


def checked(
    policy: Policy, known: ResidencyView, now_unix_s: float, problem: str = ""
) -> ResidencyCheck:
    """What is known now, with what to do about it."""
    since = {gap.host: gap.since_unix_s for gap in known.ledger.gaps}
    return ResidencyCheck(
        group=policy.group,
        problem=problem,
        open=tuple(
            OpenWay(
                way=found.way,
                what=what(found.way),
                host=found.host,
                subject=found.subject,
                detail=found.detail,
                since_unix_s=each.since_unix_s,
                open_for_s=round(max(0.0, now_unix_s - each.since_unix_s), 1),
                todo=todo(found.way),
            )
            for each in known.open
            for found in (each.finding,)
        ),
        gaps=tuple(
            BlindSpot(gap.host, gap.why, since.get(gap.host), GAP_TODO) for gap in known.gaps
        ),
        missing=known.missing,
        accepted=tuple(
            AcceptedWay(
                way=found.way,
                host=found.host,
                subject=found.subject,
                approver=by.approver,
                reason=by.reason,
                expires=by.expires.isoformat(),
            )
            for found, by in known.accepted
        ),
        exceptions=tuple(exceptions(policy, now_unix_s)),
        unobservable=tuple(
            Unobservable(way.code, way.what, way.closed_by)
            for way in WAYS
            if way.seen is Seen.NEVER
        ),
    )


# --------------------------------------------------------------------------- text


def as_text(check: ResidencyCheck) -> str:
    """For a human at night, in 80 columns: what, where, what to do; the rest below."""
    lines = [*_wrapped(_heading(check), 2)]
    for way in check.open:
        lines += _open(way)
    for gap in check.gaps:
        lines += ["", *_wrapped(f"NOT KNOWN {gap.host}: {gap.why}", 2)]
        lines += _labelled("do", gap.todo)
    for missing in check.missing:
        lines += ["", *_wrapped(f"NOT KNOWN {missing}", 2)]
    lines += list(_answered_for(check))
    lines += ["", "cannot be seen from here, whatever stands above; closed by"]
    for each in check.unobservable:
        lines += _wrapped(f"  {each.way}: {each.closed_by}", 4)
    return "\n".join(lines)


def _heading(check: ResidencyCheck) -> str:
    if check.clean:
        said = "nothing stands open, every host was looked at"
    else:
        unknown = len(check.gaps) + len(check.missing)
        parts = [
            f"{len(check.open)} OPEN" if check.open else "nothing seen open",
            f"{unknown} NOT KNOWN" if unknown else "",
        ]
        said = ", ".join(part for part in parts if part)
    heading = f"residency of group {check.group}: {said}"
    return f"{heading}; not put on record: {check.problem}" if check.problem else heading


def _open(way: OpenWay) -> Iterator[str]:
    yield ""
    yield from _wrapped(f"OPEN for {duration(way.open_for_s)}: {way.way} on {way.host}", 2)
    yield from _labelled("what", way.what)
    yield from _labelled("which", f"{way.subject} ({way.detail})" if way.detail else way.subject)
    yield from _labelled("do", way.todo)


def _answered_for(check: ResidencyCheck) -> Iterator[str]:
    if check.accepted:
        yield from ("", "accepted: there, and somebody answers for it")
    for each in check.accepted:
        yield from _wrapped(
            f"  {each.way} on {each.host}: {each.subject}; {each.approver}, "
            f"until {each.expires}: {each.reason}",
            4,
        )
    if check.exceptions:
        yield from ("", "exceptions: networks that the rule forbids, and who answers for them")
    for entry in check.exceptions:
        ends = "OVER, its last day was" if entry.over else "until"
        yield from _wrapped(
            f"  {entry.network} {entry.owner}, {entry.country}, {', '.join(entry.purposes)}; "
            f"{entry.approver}, {ends} {entry.expires}: {entry.reason}",
            4,
        )


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(f"  {label + ':':<6} {text}", 9)


def _wrapped(text: str, indent: int) -> list[str]:
    """Names come out of databases: what a terminal would obey is shown as "?"."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return wrap(plain, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
