"""deploy/prometheus: what can be told without Prometheus here, the rest by its own promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from failover.guard.guard_metrics import GUARD_METRICS
from failover.metrics.names import METRICS
from failover.metrics.table import Kind

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
PROMTOOL = ROOT / ".build" / "tools" / "usr" / "bin" / "promtool"
EXPORTED = {metric.name: metric for metric in (*METRICS, *GUARD_METRICS)}


def rules(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


RECORDED = {rule["record"]: rule["expr"] for rule in rules("recording.rules.yml")}
JOBS = {
    scrape["job_name"]
    for scrape in yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
}
ALERTS = {rule["alert"]: rule for rule in rules("alerts.rules.yml")}


def known(name: str) -> bool:
    series = {f"{m.name}{end}" for m in EXPORTED.values() if m.kind is Kind.HISTOGRAM
              for end in ("_bucket", "_sum", "_count")}  # fmt: skip
    return name in EXPORTED or name in RECORDED or name in series


@pytest.mark.parametrize("expression", [*RECORDED.values(), *(r["expr"] for r in ALERTS.values())])
def test_rules_ask_for_what_is_exported(expression: str) -> None:
    named = re.findall(r"(?<![\w:])(?:\w+:)?failover_\w+(?::\w+)?", expression)
    jobs = set(re.findall(r'up\{job="([\w-]+)"\}', expression))
    assert named or jobs
    assert jobs <= JOBS
    assert [name for name in named if not known(name)] == []


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "warn", "info")
    assert alert["annotations"]["summary"]
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page.startswith("docs/operations/")
    text = (ROOT / page).read_text(encoding="utf-8")
    heads = {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert not anchor or anchor in heads, f"{page} has no {anchor}"


def test_every_alert_is_tested_for_firing() -> None:
    document = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text(encoding="utf-8"))
    fired = {
        case["alertname"]
        for test in document["tests"]
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert fired == set(ALERTS)


def test_with_tls_it_is_the_same_and_believes_the_group() -> None:
    plain, sealed = (
        yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
        for name in ("prometheus.yml", "prometheus-tls.yml")
    )
    believed = [job.pop("tls_config") for job in sealed["scrape_configs"]]
    assert believed == [{"ca_file": "/etc/failover/tls/ca.pem"}] * 2
    assert sealed == plain


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "config", "--syntax-only", "prometheus-tls.yml"),
        ("check", "rules", "recording.rules.yml", "alerts.rules.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [PROMTOOL, *words], cwd=DEPLOY, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SUCCESS" in ran.stdout
