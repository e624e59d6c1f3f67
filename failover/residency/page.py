"""The table of ways out as Markdown, for docs/residency.md, which a test keeps current. Pure."""

from __future__ import annotations

from failover.residency.ways import WAYS, Seen, Way

BEGIN, END = "<!-- ways: made by tests/unit/test_residency_page.py -->", "<!-- ways end -->"


def ways_table() -> str:
    """One row for each way."""
    head = "| way | what | how it is seen | with which privilege | what is done, what closes it |"
    return "\n".join([head, "|---|---|---|---|---|", *(_row(way) for way in WAYS)]) + "\n"


def _row(way: Way) -> str:
    seen = f"**{way.seen.value}**; {way.how}" if way.seen is Seen.NEVER else way.how
    every = "" if way.seen is Seen.NEVER else f" ({way.seen.value})"
    done = way.cut or ("a finding" if way.seen is not Seen.NEVER else "nothing")
    closed = f"; closed by {way.closed_by}" if way.closed_by else ""
    return f"| `{way.code}` | {way.what} | {seen}{every} | {way.privilege} | {done}{closed} |"
