"""The report in words: Report and language → sections of paragraphs and tables. Pure.

What is shown is decided here; the renderers only set it in Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from failover.residency.report.document import Report
from failover.residency.report.record import End, GapTold, Spell
from failover.residency.report.texts import RULES, TEXTS, Language, way_text
from failover.residency.report.times import moment

Say = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with paragraphs, a table (no columns: none) and points of a list, in that order."""

    title: str
    paragraphs: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pages:
    """``alarm``: to be said in large letters, empty where there is nothing to say."""

    language: Language
    title: str
    alarm: str
    head: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def pages(report: Report, language: Language) -> Pages:
    texts = TEXTS[language]

    def say(key: str, **values: object) -> str:
        return texts[key].format(**values)

    return Pages(
        language=language,
        title=say("title", group=report.group),
        alarm="" if report.reliable else say("unreliable"),
        head=tuple(_head(report, say)),
        sections=(
            _summary(report, say),
            _record(report, say),
            _findings(report, say, language),
            _cuts(report, say, language),
            _gaps(report, say),
            _exceptions(report, say),
            _accepted(report, say, language),
            _networks(report, say),
            _hosts(report, say),
            _receivers(report, say),
            _settings(report, say),
            _unobservable(report, say, language),
            _limits(report, say),
            _rules(say),
        ),
    )


def _head(report: Report, say: Say) -> Iterator[tuple[str, str]]:
    period = report.period
    yield (
        say("period"),
        say(
            "period_is",
            first=period.first.isoformat(),
            last=period.last.isoformat(),
            from_=moment(period.from_unix_s),
            to=moment(period.to_unix_s),
        ),
    )
    yield (
        say("made"),
        say("made_is", made=moment(report.made_unix_s), version=report.version),
    )
    yield (
        say("configuration"),
        say("configuration_is", sha256=report.configuration_sha256),
    )
    chain = report.chain
    on_record = say("record_is", number=chain.head_number, sha256=chain.head_sha256)
    yield say("record"), on_record if chain.head_number else say("record_none")


def _summary(report: Report, say: Say) -> Section:
    ends = [finding.end for finding in report.findings]
    return Section(
        say("summary"),
        points=(
            say(
                "summary_findings",
                count=len(ends),
                open=ends.count(End.OPEN),
                unknown=ends.count(End.UNKNOWN),
            ),
            say("summary_cuts", count=len(report.cuts)),
            say("summary_gaps", count=len(report.gaps)),
            say(
                "summary_exceptions",
                count=len(report.exceptions),
                accepted=len(report.accepted),
            ),
        ),
        paragraphs=(say("quoted"),),
    )


def _record(report: Report, say: Say) -> Section:
    chain = report.chain
    said = [say("chain_whole", count=chain.chained) if chain.whole else say("chain_broken")]
    if chain.compared_with_logs:
        said.insert(0, say("compared", count=chain.compared_with_logs))
    if chain.head_number:
        later = say("check_later", number=chain.head_number, sha256=chain.head_sha256)
        said.insert(0, later)
    return Section(say("record"), tuple(said), points=chain.wrong)


def _section(
    say: Say, key: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *more: str
) -> Section:
    """A table, or the sentence that there is nothing to show."""
    if not rows:
        return Section(say(key), (*more, say(f"{key}_none")))
    return Section(say(key), more, tuple(say(column) for column in columns), tuple(rows))


def _end(say: Say, told: Spell | GapTold) -> str:
    if told.end is End.OPEN:
        return say("end.open")
    if told.to_unix_s is None:
        return say("end.unknown")
    at = moment(told.to_unix_s)
    return at if told.end is End.GONE else say("end.latest", at=at)


def _findings(report: Report, say: Say, language: Language) -> Section:
    rows = [
        (
            moment(finding.from_unix_s),
            _end(say, finding),
            f"{finding.way}: {way_text(finding.way, language)}",
            finding.host,
            finding.subject,
            finding.detail,
        )
        for finding in report.findings
    ]
    return _section(say, "findings", ("from", "to", "way", "host", "subject", "detail"), rows)


def _cuts(report: Report, say: Say, language: Language) -> Section:
    rows = [
        (
            moment(cut.at_unix_s),
            f"{cut.way}: {way_text(cut.way, language)}",
            cut.host,
            cut.subject,
            cut.detail,
        )
        for cut in report.cuts
    ]
    more = () if report.cuts_enabled else (say("cuts_off"),)
    return _section(say, "cuts", ("at", "way", "host", "subject", "detail"), rows, *more)


def _gaps(report: Report, say: Say) -> Section:
    rows = [
        (
            moment(gap.from_unix_s),
            _end(say, gap),
            gap.host,
            gap.why,
        )
        for gap in report.gaps
    ]
    return _section(say, "gaps", ("from", "to", "host", "why"), rows)


# --------------------------------------------------------------------------- what is declared


def _until(say: Say, expires: str | None, over: bool) -> str:
    if expires is None:
        return say("no_end")
    return say("is_over", day=expires) if over else expires


def _purposes(say: Say, purposes: tuple[str, ...]) -> str:
    return ", ".join(say(f"purpose.{purpose}") for purpose in purposes)


def _exceptions(report: Report, say: Say) -> Section:
    columns = ("network", "owner", "country", "purpose", "approver", "reason", "expires")
    rows = [
        (
            each.network,
            each.owner,
            each.country,
            _purposes(say, each.purposes),
            each.approver,
            each.reason,
            _until(say, each.expires, each.over),
        )
        for each in report.exceptions
    ]
    return _section(say, "exceptions", columns, rows)


def _accepted(report: Report, say: Say, language: Language) -> Section:
    rows = [
        (
            f"{each.way}: {way_text(each.way, language)}",
            each.subject,
            each.approver,
            each.reason,
            _until(say, each.expires, each.over),
        )
        for each in report.accepted
    ]
    return _section(say, "accepted", ("way", "subject", "approver", "reason", "expires"), rows)


def _networks(report: Report, say: Say) -> Section:
    columns = ("network", "site", "country", "owner", "purpose", "expires")
    rows = [
        (
            each.network,
            each.site,
            each.country,
            each.owner,
            _purposes(say, each.purposes),
            _until(say, each.expires, each.over),
        )
        for each in report.networks
    ]
    return _section(say, "networks", columns, rows)


def _hosts(report: Report, say: Say) -> Section:
    columns = ("name", "kind", "site", "cluster", "address", "in_network")
    rows = [
        (
            each.name,
            say(f"kind.{each.kind}"),
            each.site,
            each.cluster or "",
            each.address,
            each.network or say("outside"),
        )
        for each in report.hosts
    ]
    return _section(say, "hosts", columns, rows)


def _receivers(report: Report, say: Say) -> Section:
    rows = [
        (
            each.name,
            say(f"kind.{each.kind}"),
            say(f"purpose.{each.purpose}"),
            each.place,
            each.site or "",
        )
        for each in report.receivers
    ]
    columns = ("name", "kind", "purpose", "place", "site")
    return _section(say, "receivers", columns, rows, say("receivers_are"))


def _settings(report: Report, say: Say) -> Section:
    rows = [(each.name, each.sha256) for each in report.settings]
    columns = ("setting", "sha256")
    return _section(say, "settings", columns, rows, say("settings_are"))


# --------------------------------------------------------------------------- what is not said


def _unobservable(report: Report, say: Say, language: Language) -> Section:
    rows = [
        (code, way_text(code, language), say(f"instead.{code}"), say(f"closed.{code}"))
        for code in report.unobservable
    ]
    columns = ("way", "what", "seen_instead", "closed_by")
    return _section(say, "unobservable", columns, rows, say("unobservable_are"))


def _limits(report: Report, say: Say) -> Section:
    points = tuple(say(f"limit.{limit.code}", count=limit.count) for limit in report.limits)
    return Section(say("limits"), points=points)


def _rules(say: Say) -> Section:
    rows = tuple(
        (name, say(f"rule.{name}"), ", ".join(say(section) for section in sections))
        for name, sections in RULES.items()
    )
    columns = tuple(say(column) for column in ("rule", "about", "sections"))
    return Section(say("rules"), (say("rules_are"),), columns, rows)
