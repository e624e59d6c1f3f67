"""The report of a rehearsal as JSON, as Markdown, and as the history has it. Pure.

Invariant: ``reasons`` (why it has not passed; empty: it has) come from the judgement alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from failover.rehearsal.judgement import LIMITS, PAUSE_S_MAX, STREAMS_AGAIN_S_MAX
from failover.rehearsal.report import ClusterMove, Move, Report, utc

REPORT_SCHEMA = 1
EVENT = "rehearsed"

_STEPS = {
    "plan_frozen": "plan frozen",
    "stopped_proof": "old primary stopped, with proof",
    "commit": "committed: the other site is active",
    "promoted": "promotion on record",
    "streams_again": "old site streams again",
    "healthy": "group healthy",
}


def measured(report: Report) -> str:
    """How the pause of writes was measured, and what that leaves out."""
    return (
        f"Every {report.interval_s * 1000:.0f} ms {report.measured_at} asked the guard of every "
        "database host what HAProxy asks it: GET /writable. The pause is the longest time from the "
        "sending of a question that was answered yes to the arrival of the next yes of any host of "
        "the cluster: at least the time in which no guard said yes, at most one interval and one "
        "round trip more at each end. Not in it, so customers wait longer by it: a server that is "
        "told to stop ends its sessions a moment before its guard says no, HAProxy notices within "
        "its own interval (100 ms), and clients have to reconnect. Moments on record are those of "
        "the leading controller's clock, observed ones of this host's."
    )


def check(report: Report) -> str:
    """How anybody proves later that the report is unchanged."""
    return (
        f"`failover history --details` (or -o json) has an entry `{EVENT}` with rehearsal "
        f"{report.id}; its report_sha256 is what `sha256sum` says of the JSON file, its "
        "text_sha256 of the Markdown file."
    )


def document(report: Report, reasons: tuple[str, ...]) -> dict[str, Any]:
    """The report for machines, in its documented shape (docs/cli.md)."""
    return {
        "schema": REPORT_SCHEMA,
        "result": "failed" if reasons else "passed",
        "reasons": list(reasons),
        "began_at": utc(report.began_unix_s),
        "ended_at": utc(report.ended_unix_s),
        **asdict(report),
        "limits": LIMITS,
        "measured": measured(report),
        "check": check(report),
    }


def history_summary(report: Report, reasons: tuple[str, ...]) -> str:
    """One sentence for the history."""
    if reasons:
        return f"rehearsal failed: {reasons[0]}"
    pauses = [c.pause_s for move in report.moves for c in move.clusters if c.pause_s is not None]
    return (
        f"rehearsal passed: {report.home_site} to {report.other_site} and back, "
        f"writes paused for {max(pauses, default=0.0):.2f} s at most"
    )


def history_details(report: Report, reasons: tuple[str, ...]) -> dict[str, str]:
    """What goes into the history beside the names and sums of the files."""
    found = {
        "rehearsal": report.id,
        "result": "failed" if reasons else "passed",
        "reason": report.reason,
        **{f"failed.{number}": text for number, text in enumerate(reasons, start=1)},
    }
    for move in report.moves:
        for cluster in move.clusters:
            name = f"to_{move.to_site}.{cluster.cluster}"
            found |= _known({f"{name}.pause_s": cluster.pause_s})
        found |= _known({f"to_{move.to_site}.{s.step}_s": s.took_s for s in move.steps})
    return found


def _known(values: dict[str, float | None]) -> dict[str, str]:
    return {name: f"{value:.3f}" for name, value in values.items() if value is not None}


# --------------------------------------------------------------------------- Markdown


def as_markdown(report: Report, reasons: tuple[str, ...]) -> str:
    """The report for humans."""
    return "\n".join(_lines(report, reasons)) + "\n"


def _lines(report: Report, reasons: tuple[str, ...]) -> Iterator[str]:
    yield f"# Rehearsal of group {report.group}: {'FAILED' if reasons else 'passed'}"
    yield ""
    yield f"* what: {report.home_site} to {report.other_site} and back ({report.id})"
    yield f"* who: {report.by}"
    yield f"* why: {report.reason or 'not said'}"
    yield f"* when: {utc(report.began_unix_s)} to {utc(report.ended_unix_s)}"
    yield f"* failover {report.version}"
    yield f"* now active: {report.active_site or 'unknown'}, epoch {report.epoch or 'unknown'}"
    if reasons:
        yield from ("", "## Why it failed", "", *(f"* {reason}" for reason in reasons))
        yield from ("", f"What to do: {report.todo}")
    for number, move in enumerate(report.moves, start=1):
        yield from ("", f"## {number}. {move.from_site} to {move.to_site}: {move.outcome}", "")
        yield from _move(move)
    yield from ("", "## Limits", "")
    yield f"* pause of writes, per move and cluster: {PAUSE_S_MAX:g} s"
    yield f"* old site streams again after its promotion: {STREAMS_AGAIN_S_MAX:g} s"
    yield from ("", "## How it was measured", "", measured(report))
    yield from ("", "## Signed off", "", check(report))


def _move(move: Move) -> Iterator[str]:
    yield f"Epoch {move.epoch_before} to {move.epoch_after or 'unknown'}, request {move.request}."
    yield from (f"* {reason}" for reason in move.reasons)
    yield ""
    names = ("cluster", "primary", "timeline", "lag at the beginning", "pause of writes")
    yield from _table(names, (_cluster(cluster) for cluster in move.clusters))
    yield ""
    rows = (
        (_STEPS[s.step], _at(s.at_unix_s), _seconds(s.took_s) if number else "", s.source)
        for number, s in enumerate(move.steps)
    )
    yield from _table(("step", "at", "after the step before", "known from"), rows)
    if move.evidence:
        yield from ("", *(f"* {name}: {value}" for name, value in move.evidence.items()))


def _cluster(cluster: ClusterMove) -> tuple[str, ...]:
    lag = "?" if cluster.lag_bytes is None else f"{cluster.lag_bytes} bytes"
    seconds = "" if cluster.lag_s is None else f", {cluster.lag_s:.1f} s"
    return (
        cluster.cluster,
        f"{cluster.primary_before or '?'} to {cluster.primary_after or '?'}",
        f"{cluster.timeline_before or '?'} to {cluster.timeline_after or '?'}",
        lag + seconds,
        _seconds(cluster.pause_s),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _at(unix_s: float | None) -> str:
    return "?" if unix_s is None else utc(unix_s)


def _seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f} s"
