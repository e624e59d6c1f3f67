"""deploy/grafana: the committed dashboard is that of its code, and asks for what is exported.

That its queries return data is shown on the lab: tests/integration/test_monitoring.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard
from test_prometheus import DEPLOY, PROMTOOL, known

from failover.lab.monitoring.dashboard import AFTER_AN_EVENT, Query, queries_of

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "grafana" / "failover.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
QUERIES = queries_of(DOCUMENT, "marketplace")
PANELS = [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]
BY_PROMETHEUS = {"ALERTS", "up", "process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_the_committed_file_is_what_the_code_makes(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import dashboard; print(dashboard.rendered(), end='')"],
        cwd=FILE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == FILE.read_text(encoding="utf-8"), "run `make dashboard`"


def test_it_is_a_dashboard_by_the_schema() -> None:
    read = Dashboard.from_json(DOCUMENT)
    assert (read.uid, len(read.panels or ())) == ("failover", len(DOCUMENT["panels"]))


def test_the_first_row_answers_what_is_asked_first() -> None:
    first = [panel["title"] for panel in PANELS if panel["gridPos"]["y"] == 1]
    assert first[:2] == ["Active site", "Standby ready"]
    assert {"Would be lost", "Forbidden"} < set(first)
    assert sum(panel["gridPos"]["w"] for panel in PANELS if panel["gridPos"]["y"] == 1) == 24


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_is_and_asks_each_thing_once(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    refs = [target["refId"] for target in panel["targets"]]
    assert refs
    assert len(set(refs)) == len(refs)


def test_titles_are_told_apart_and_no_panel_covers_another() -> None:
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in DOCUMENT["panels"]):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_queries_ask_for_what_is_exported(query: Query) -> None:
    names = re.findall(r"(?<![\w:$\"])(?:\w+:)?(?:failover|process)_\w+(?::\w+)?", query.expression)
    names += re.findall(r"\b(?:ALERTS|up)(?={)", query.expression)
    assert names
    assert [name for name in names if not known(name) and name not in BY_PROMETHEUS] == []


@pytest.mark.slow
def test_promtool_parses_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"q:{place}", "expr": q.expression} for place, q in enumerate(QUERIES)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(
        [PROMTOOL, "check", "rules", file],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(QUERIES)} rules found" in ran.stdout


# What each event leaves behind, by the table of the metrics, and what is to be seen of it.
_G = 'group="marketplace",reader="surabaya"'
EVENTS: dict[tuple[str, str], tuple[str, str, str, float]] = {
    ("Alerts that fire", "A"): (
        'ALERTS{group="marketplace",alertname="FailoverNoWriter",alertstate="firing",severity="page"}',
        "1x20",
        '{alertname="FailoverNoWriter", severity="page"}',
        1,
    ),
    ("Steps that are wanted and held", "A"): (
        f'failover_hold{{{_G},step="takeover"}}',
        "1x20",
        '{step="takeover"}',
        1,
    ),
    ("Questions without an answer", "A"): (
        f'failover_probe_failures_total{{{_G},target="jkt-db1",part="guard",kind="timed_out"}}',
        "0+10x20",
        '{reader="surabaya", target="jkt-db1", part="guard", kind="timed_out"}',
        2,
    ),
    ("Takeover last proven", "A"): (
        f"failover_last_proven_timestamp_seconds{{{_G}}}",
        "40x20",
        "{}",
        20,
    ),
    ("Newest takeover", "A"): (
        f'failover_last_move_timestamp_seconds{{{_G},kind="takeover"}}',
        "40x20",
        "{}",
        40000,
    ),
    ("Phases of the newest change of the active site", "A"): (
        f'failover_last_move_phase_seconds{{{_G},kind="takeover",phase="promoting"}}',
        "0.25x20",
        '{kind="takeover", phase="promoting"}',
        0.25,
    ),
    ("Sessions of strangers ended", "A"): (
        f'failover_residency_cuts_total{{{_G},kind="client",host="jkt-db1"}}',
        "0 0 0 0 0 0 1x20",
        '{kind="client", host="jkt-db1"}',
        1,
    ),
}


@pytest.mark.slow
def test_what_has_data_only_after_an_event_has_it_then(tmp_path: Path) -> None:
    assert set(EVENTS) == set(AFTER_AN_EVENT)
    by_name = {(query.panel, query.ref_id): query.expression for query in QUERIES}
    file = tmp_path / "events_test.yml"
    tests = [
        {
            "interval": "5s",
            "input_series": [{"series": series, "values": values}],
            "promql_expr_test": [
                {
                    "expr": by_name[query],
                    "eval_time": "1m",
                    "exp_samples": [{"labels": labels, "value": value}],
                }
            ],
        }
        for query, (series, values, labels, value) in EVENTS.items()
    ]
    file.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": tests}))
    ran = subprocess.run(
        [PROMTOOL, "test", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
