"""What the dashboard of deploy/grafana asks, as Grafana would send it to Prometheus. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RATE_INTERVAL = "1m"  # Grafana's own choice for a scrape interval of 5 to 15 s

# Queries (panel, refId) without data while nothing has happened, and what makes them have some.
AFTER_AN_EVENT = {
    ("Alerts that fire", "A"): "an alert",
    ("Steps that are wanted and held", "A"): "a step that a gate holds",
    ("Questions without an answer", "A"): "a host that does not answer",
    ("Takeover last proven", "A"): "a change of the active site that came to its end",
    ("Newest takeover", "A"): "a takeover",
    ("Phases of the newest change of the active site", "A"): "a change of the active site",
    ("Sessions of strangers ended", "A"): "a stranger's session, cut",
}


@dataclass(frozen=True, slots=True)
class Query:
    panel: str
    ref_id: str
    expression: str  # with every variable of the dashboard in it replaced

    def __str__(self) -> str:
        return f"{self.panel} {self.ref_id}"


def queries_of(document: dict[str, Any], group: str) -> tuple[Query, ...]:
    """Every query of a rendered dashboard for one failover group."""
    return tuple(
        Query(panel["title"], target["refId"], _filled(target["expr"], group))
        for panel in document["panels"]
        for target in panel.get("targets", ())
    )


def _filled(expression: str, group: str) -> str:
    return expression.replace("$group", group).replace("$__rate_interval", RATE_INTERVAL)
