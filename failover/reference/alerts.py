"""docs/alerts.md, from the rules in deploy/prometheus. `make reference` writes it anew. Pure."""

from __future__ import annotations

import re

import yaml

from failover.reference.markdown import link, table

_TOP = """\
# Alerts

Made from `deploy/prometheus/alerts.rules.yml` by `make reference`; do not edit. How they are set
up: [Prometheus](../deploy/prometheus/README.md).

**page**: a human is needed now. **warn**: something is broken, and the service goes on. **info**:
somebody should know.
"""
_LABEL = re.compile(r"\{\{ *\$labels\.(\w+) *\}\}")


def page(rules: str) -> str:
    """The whole page, of the text of that file."""
    document = yaml.safe_load(rules)
    rows = [_row(rule) for group in document["groups"] for rule in group["rules"]]
    return f"{_TOP}\n{table(('alert', 'severity', 'after', 'says', 'runbook'), rows)}"


def _row(rule: dict[str, object]) -> tuple[str, ...]:
    labels, words = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(words, dict)
    summary = _LABEL.sub(lambda found: found[1].upper(), str(words["summary"]))
    return (
        f"`{rule['alert']}`",
        str(labels["severity"]),
        str(rule.get("for", "at once")),
        summary.replace("{{ $value }}", "N"),
        link(str(words["runbook"]).removeprefix("docs/")),
    )
