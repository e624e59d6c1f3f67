"""What ``failover check`` prints: what is not in order first to the eye, the rest in a line. Pure.

Invariant: nothing is said by colour; 80 columns are enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap

from failover.checks.result import Result, Subject, Verdict

WIDTH = 80
_WORD = {
    Verdict.OK: "ok",
    Verdict.WARNING: "warning",
    Verdict.FAILED: "FAILED",
    Verdict.UNKNOWN: "unknown",
}


def as_text(group: str, results: Sequence[Result], *, details: bool) -> str:
    """``details``: what is in order has its sentence too."""
    lines = [_heading(group, results)]
    for subject in Subject:
        of_subject = [each for each in results if each.subject is subject]
        if of_subject:
            lines += ["", subject.value, *_subject(of_subject, details=details)]
    return "\n".join(lines)


def _heading(group: str, results: Sequence[Result]) -> str:
    counts = Counter(each.verdict for each in results)
    said = ", ".join(f"{counts[v]} {_WORD[v]}" for v in Verdict if counts[v])
    return f"checks of group {group}: {said}"


def _subject(results: Sequence[Result], *, details: bool) -> Iterator[str]:
    told = [each for each in results if details or each.verdict is not Verdict.OK]
    for each in told:
        yield from _wrapped(f"  {_WORD[each.verdict]:<8}{each.check}: {each.sentence}", 10)
        if each.fix:
            yield from _wrapped(f"          fix: {each.fix}", 15)
    quiet = [each.check for each in results if each not in told]
    if quiet:
        yield from _wrapped(f"  ok      {', '.join(quiet)}", 10)


def _wrapped(text: str, indent: int) -> list[str]:
    """Names come out of databases: what a terminal would obey is shown as "?"."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return wrap(
        plain,
        WIDTH,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
