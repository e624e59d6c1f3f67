"""The report on data residency as Markdown, as one HTML file for printing, and as JSON.

Invariant: what is quoted from the record is text, never markup; the HTML names nothing outside of
itself.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from failover.residency.report.document import REPORT_SCHEMA, Report
from failover.residency.report.pages import Pages
from failover.residency.report.texts import RULES, TEXTS, Language, way_text
from failover.residency.report.times import iso_utc

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(pages: Pages) -> str:
    return _environment(autoescape=False).get_template("residency-report.md.j2").render(p=pages)


def html(pages: Pages) -> str:
    return _environment(autoescape=True).get_template("residency-report.html.j2").render(p=pages)


def _environment(*, autoescape: bool) -> Environment:
    found = Environment(
        loader=PackageLoader("failover.render"),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["cell"] = cell
    return found


def cell(text: str) -> str:
    """Text in one line of Markdown that no reader and no terminal takes for markup."""
    plain = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return _MARKDOWN_SPECIAL.sub(r"\\\1", plain)


def document(report: Report, language: Language) -> dict[str, Any]:
    """The documented shape (docs/cli.md): codes and Unix times, beside them the words."""
    texts, period = TEXTS[language], report.period
    found = asdict(report)
    del found["period"], found["unobservable"], found["limits"]
    return {
        "schema": REPORT_SCHEMA,
        "language": language.value,
        "reliable": report.reliable,
        "made_at": iso_utc(report.made_unix_s),
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "from_unix_s": period.from_unix_s,
        "to_unix_s": period.to_unix_s,
        **found,
        "unobservable": [
            {
                "way": code,
                "what": way_text(code, language),
                "seen_instead": texts[f"instead.{code}"],
                "closed_by": texts[f"closed.{code}"],
            }
            for code in report.unobservable
        ],
        "limits": [
            {
                "code": limit.code,
                "count": limit.count,
                "text": texts[f"limit.{limit.code}"].format(count=limit.count),
            }
            for limit in report.limits
        ],
        "rules": [{"rule": name, "about": texts[f"rule.{name}"]} for name in RULES],
        "rules_note": texts["rules_are"],
    }
