"""The Grafana dashboard as code: `make dashboard` writes failover.json beside this file.

Its first row answers what is asked at three in the morning: which site is active, is the standby
ready, what would be lost, is anything forbidden. What several controllers say is asked for through
the recording rules of deploy/prometheus.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from panels import (
    BAD,
    PASSING,
    PLAIN,
    SOURCE,
    THERE,
    WELL,
    YES_NO,
    Panel,
    called,
    lines,
    name,
    number,
    states,
    steps,
)

FILE = Path(__file__).with_name("failover.json")
OF_GROUP = '{group="$group"}'

# --------------------------------------------------------------------------- the rows


def at_a_glance() -> list[Panel]:
    loss = "group_cluster:failover_loss_estimate"
    return [
        name(
            "Active site",
            "The site whose epoch is current: the only one that may write.",
            f"group_site:failover_active_site:max{OF_GROUP} == 1",
            "site",
        ),
        number(
            "Standby ready",
            "Every gate of a takeover that is about the other site passes, for every cluster.",
            f"min(group_cluster:failover_standby_ready:min{OF_GROUP})",
        )
        .mappings(called({"1": ("ready", WELL), "0": ("NOT READY", BAD)}))
        .no_value("not known"),
        number(
            "Would be lost",
            "Acknowledged WAL that a takeover now would lose, at most.",
            f"max({loss}_bytes:max{OF_GROUP})",
            "bytes",
        ).no_value("not known"),
        number(
            "Would be lost, in seconds",
            "The same in seconds of acknowledged commits.",
            f"max({loss}_seconds:max{OF_GROUP})",
            "s",
        )
        .decimals(1)
        .no_value("not known"),
        number(
            "Forbidden",
            "Ways out of the country that stand open.",
            f"sum(max by (kind) (failover_residency_findings{OF_GROUP}))",
        )
        .mappings(called({"0": ("nothing", WELL)}))
        .thresholds(steps((None, PLAIN), (1, BAD)))
        .no_value("not looked for"),
        name(
            "Verdict",
            "The named failure scenario that the best informed controllers see.",
            f"group_code:failover_verdict:max{OF_GROUP}",
            "code",
        ),
    ]


def decided() -> list[Panel]:
    return [
        states(
            "Gates of a takeover",
            "Whether a takeover would be possible now. While the active site lives, `claim_gone` "
            "and its like do not pass: that is as it should be.",
            f"group_cluster_gate:failover_takeover_gate_passing:max{OF_GROUP}",
            "{{cluster}} {{gate}}",
            PASSING,
        ).height(10),
        states(
            "Verdicts",
            "What was seen when.",
            f"group_code:failover_verdict:max{OF_GROUP}",
            "{{code}}",
            {"1": ("so", WELL)},
            width=12,
        ).height(10),
        states(
            "Alerts that fire",
            "Each names its runbook in Alertmanager's message.",
            'max by (alertname, severity) (ALERTS{alertstate="firing", group=~"$group|"})',
            "{{severity}} {{alertname}}",
            THERE,
        ),
        states(
            "Steps that are wanted and held",
            "`failover explain` says by which gate.",
            f"max by (step) (failover_hold{OF_GROUP})",
            "{{step}}",
            THERE,
        ),
    ]


def lag() -> list[Panel]:
    return [
        lines(
            "Not received",
            "WAL of the primary that a standby has not received.",
            "bytes",
            (f"group_cluster_host:failover_replication_lag_bytes:max{OF_GROUP}", "{{host}}"),
            width=6,
        ),
        lines(
            "Received and not replayed",
            "A promotion waits for it.",
            "bytes",
            (f"max by (host) (failover_replay_lag_bytes{OF_GROUP})", "{{host}}"),
            width=6,
        ),
        lines(
            "A takeover would lose, and may",
            "Outside the budget automation holds.",
            "bytes",
            (f"group_cluster:failover_loss_estimate_bytes:max{OF_GROUP}", "{{cluster}}"),
            (f"max(failover_loss_budget_bytes{OF_GROUP})", "budget"),
            width=6,
        ),
        lines(
            "The same in seconds",
            "Behind: how long ago the primary was where the other site's standby leader is.",
            "s",
            (f"group_cluster:failover_loss_estimate_seconds:max{OF_GROUP}", "{{cluster}}"),
            (f"max(failover_loss_budget_seconds{OF_GROUP})", "budget"),
            (
                f"max by (cluster) (failover_replication_lag_seconds{OF_GROUP})",
                "{{cluster}} behind",
            ),
            width=6,
        ),
    ]


def leases() -> list[Panel]:
    return [
        lines(
            "Lease of the active site",
            "What is left without a renewal, when the holder's guard was last asked.",
            "s",
            (f"group_cluster:failover_lease_remaining_seconds:max{OF_GROUP}", "{{cluster}}"),
            width=6,
        ),
        states(
            "May take writes",
            "By each guard itself. Never two hosts of one cluster.",
            f"max by (host) (failover_guard_writable{OF_GROUP})",
            "{{host}}",
            {"1": ("writable", WELL), "0": ("no", PLAIN)},
            width=6,
        ),
        lines(
            "Until the guard kills",
            "Without a renewal; only where there is a grant.",
            "s",
            (f"max by (host) (failover_guard_deadline_left_seconds{OF_GROUP})", "{{host}}"),
            width=6,
        ),
        lines(
            "Renewals, and servers killed",
            "Renewals a second; kills within the interval.",
            "none",
            (
                f"sum by (host) (rate(failover_guard_renewals_total{OF_GROUP}[$__rate_interval]))",
                "{{host}} renewals/s",
            ),
            (
                f"sum by (host) (increase(failover_guard_kills_total{OF_GROUP}[$__rate_interval]))",
                "{{host}} kills",
            ),
            width=6,
        ),
    ]


def probes() -> list[Panel]:
    slow = "sum by (le, part) (rate(failover_probe_seconds_bucket"
    turns = "sum by (le, reader) (rate(failover_tick_seconds_bucket"
    return [
        lines(
            "Answers take (95 %)",
            "Of all vantage points, by what was asked.",
            "s",
            (f"histogram_quantile(0.95, {slow}{OF_GROUP}[$__rate_interval])))", "{{part}}"),
        ),
        lines(
            "Questions without an answer",
            "A second, by who did not answer whom.",
            "none",
            (
                "sum by (reader, target, part, kind) (rate("
                f"failover_probe_failures_total{OF_GROUP}[$__rate_interval])) > 0",
                "{{reader}} asks {{target}} {{part}}: {{kind}}",
            ),
        ),
        lines(
            "Age of observations",
            "Since each observer said news, as the best informed controller sees it.",
            "s",
            (f"min by (site) (failover_observer_age_seconds{OF_GROUP})", "{{site}}"),
        ),
        states(
            "Database hosts reached",
            "By a living observer.",
            f"max by (host) (failover_host_reached{OF_GROUP})",
            "{{host}}",
            YES_NO,
            width=8,
        ),
        states(
            "ZooKeeper servers that serve",
            "The loss of two of three ends every decision.",
            f"max by (server) (failover_zookeeper_serving{OF_GROUP})",
            "{{server}}",
            YES_NO,
            width=8,
        ),
        lines(
            "A controller's turn takes (95 %)",
            "Reading, judging and, at the leader, acting.",
            "s",
            (f"histogram_quantile(0.95, {turns}{OF_GROUP}[$__rate_interval])))", "{{reader}}"),
        ),
    ]


def takeovers() -> list[Panel]:
    return [
        number(
            "Epoch",
            "Raised by every change of the active site.",
            f"group:failover_epoch:max{OF_GROUP}",
        ),
        number(
            "Takeover last proven",
            "How long ago a change of the active site, planned or not, came to its end.",
            f"time() - max(failover_last_proven_timestamp_seconds{OF_GROUP} > 0)",
            "s",
        )
        .thresholds(steps((None, WELL), (92 * 86400, BAD)))
        .no_value("never"),
        number(
            "Newest takeover",
            "When it was committed.",
            '1000 * max(failover_last_move_timestamp_seconds{group="$group", kind="takeover"})',
            "dateTimeFromNow",
        ).no_value("none"),
        lines(
            "Phases of the newest change of the active site",
            "As the history has them: without a claim or stopping, promoting, reinstating.",
            "s",
            (
                f"max by (kind, phase) (failover_last_move_phase_seconds{OF_GROUP})",
                "{{kind}} {{phase}}",
            ),
            width=12,
        ),
    ]


def residency() -> list[Panel]:
    return [
        lines(
            "Ways out that stand open",
            "docs/residency.md says what each is and what closes it.",
            "none",
            (f"max by (kind) (failover_residency_findings{OF_GROUP})", "{{kind}}"),
        ),
        lines(
            "Since a host was looked at",
            "Every second while a controller reaches it.",
            "s",
            (f"min by (host) (failover_residency_scan_age_seconds{OF_GROUP})", "{{host}}"),
        ),
        lines(
            "Sessions of strangers ended",
            "Within the interval.",
            "none",
            (
                "sum by (kind, host) (increase("
                f"failover_residency_cuts_total{OF_GROUP}[$__rate_interval]))",
                "{{host}} {{kind}}",
            ),
        ),
    ]


def programs() -> list[Panel]:
    of_controllers = '{job="failover-controller", group="$group"}'
    return [
        lines(
            "CPU of the controllers",
            "Of one core.",
            "percentunit",
            (f"rate(process_cpu_seconds_total{of_controllers}[$__rate_interval])", "{{instance}}"),
        ),
        lines(
            "Memory of the controllers",
            "Resident.",
            "bytes",
            (f"process_resident_memory_bytes{of_controllers}", "{{instance}}"),
        ),
        states(
            "Answers Prometheus",
            "Controllers and guards.",
            f"up{OF_GROUP}",
            "{{instance}}",
            YES_NO,
            width=8,
        ),
    ]


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("At a glance", at_a_glance()),
    ("What is decided", decided()),
    ("Lag and loss", lag()),
    ("Leases and writers", leases()),
    ("Probes: what is seen, and from where", probes()),
    ("Takeovers and their phases", takeovers()),
    ("Indonesia only", residency()),
    ("The programs themselves", programs()),
)


def dashboard() -> build.Dashboard:
    made = (
        build.Dashboard("failover")
        .uid("failover")
        .description("Made by deploy/grafana/dashboard.py: change that, and run `make dashboard`.")
        .tags(["failover", "postgresql"])
        .readonly()
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(
            build.QueryVariable("group")
            .label("Failover group")
            .datasource(SOURCE)
            .query("label_values(failover_epoch, group)")
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    for title, panels in ROWS:
        made = made.with_row(build.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def rendered() -> str:
    """The file's text. Panels are numbered in order: Grafana links to them by number."""
    built = dashboard().build()
    for place, panel in enumerate(built.panels or (), start=1):
        panel.id_val = place
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"written: {FILE}\n")
