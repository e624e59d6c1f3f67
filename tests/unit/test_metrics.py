"""The metrics: linted, documented, bounded, and set to what the turns say."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import cli_world
import golden
import pytest
from controller_world import JAKARTA, SURABAYA, Group
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from failover.checks.found import CertificateFound
from failover.config import load
from failover.controller import TickResult
from failover.coordination.recent_history import RecentHistory
from failover.guard import guard_metrics
from failover.guard.guard_metrics import GUARD_METRICS, GuardMetrics
from failover.guard.logic import KillReason
from failover.guard.messages import Purpose
from failover.health.probes import Answered
from failover.health.residency import Gap
from failover.health.view import View, build_view
from failover.metrics import names
from failover.metrics.controller import ControllerMetrics, Instruments
from failover.metrics.names import CHAPTERS, METRICS
from failover.metrics.page import page
from failover.metrics.table import LABELS, Kind, Metric
from failover.model import HostName, TimelineId
from failover.phases import moves
from failover.planning.decision import decide
from failover.policy import Policy
from failover.residency.findings import HostScan
from tests.scenarios.language import build
from tests.scenarios.test_scenarios import CASES
from tests.scenarios.test_scenarios import load as load_case

ROOT = Path(__file__).parents[2]
ALL = (*METRICS, *GUARD_METRICS)
SERIES_MAX = 1000  # of one controller with one group


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(ROOT / "tests" / "open.yaml")


# --------------------------------------------------------------------------- the linter

_OTHER_UNITS = re.compile(
    r"_(ms|us|ns|msec|millis|milliseconds|microseconds|minutes|hours|days|kb|mb|gb|kib|mib|gib"
    r"|kilobytes|megabytes|percent|sec|secs)(_|$)"
)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_asks(metric: Metric) -> None:
    """https://prometheus.io/docs/practices/naming/"""
    assert re.fullmatch(r"failover(_[a-z0-9]+)+", metric.name)
    assert not _OTHER_UNITS.search(metric.name), "base units: seconds and bytes"
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created", "_info_total"))
    for word in ("seconds", "bytes"):
        if f"_{word}" in metric.name:
            assert metric.name.removesuffix("_total").endswith(f"_{word}"), "the unit stands last"
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith(("_seconds", "_bytes"))
        assert list(metric.buckets) == sorted(set(metric.buckets))
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_the_help_is_a_sentence_and_the_labels_are_bounded(metric: Metric) -> None:
    assert metric.help[0].isupper() or metric.help[0].isdigit()
    assert metric.help.endswith(".")
    assert set(metric.labels) <= set(LABELS), "say in LABELS what bounds its values"
    assert not set(metric.labels) & {*names.CONSTANT_LABELS, "le", "quantile", "job", "instance"}


def test_no_name_twice() -> None:
    found = [metric.name for metric in ALL]
    assert len(found) == len(set(found))


@pytest.mark.reference
def test_the_page_is_current() -> None:
    labels = names.CONSTANT_LABELS, guard_metrics.CONSTANT_LABELS
    golden.check_page("metrics.md", page(CHAPTERS, GUARD_METRICS, *labels))


# --------------------------------------------------------------------------- what is exported


def samples(registry: CollectorRegistry) -> list[Sample]:
    text = generate_latest(registry).decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    found = [
        s.value for s in samples(registry) if s.name == name and labels.items() <= s.labels.items()
    ]
    assert len(found) < 2, f"{name} {labels} is not one series"
    return found[0] if found else None


class Exported:
    """A controller's metrics, fed by the turns of one site."""

    def __init__(self, policy: Policy) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ControllerMetrics(policy, SURABAYA, Instruments(self.registry))

    def feed(self, results: list[TickResult]) -> None:
        for result in results:
            if result.view.reader == SURABAYA:
                self.metrics.tick_done(result, 0.01)

    def __call__(self, name: str, **labels: str) -> float | None:
        return value(self.registry, f"failover_{name}", **labels)


def test_a_takeover_is_told_with_its_phases(policy: Policy) -> None:
    group = Group(policy)
    shown = Exported(group.policy)
    shown.feed(group.run(10))
    assert shown("lease_remaining_seconds", cluster="marketplace") == 4.0
    assert shown("gate_passing", step="takeover", gate="standby_leader_ready") == 1.0
    assert shown("gate_passing", step="takeover", gate="claim_gone") == 0.0
    assert shown("protection", mode=group.state.protection) == 1.0
    assert shown("residency_findings") is None, "nothing looks for them"
    assert shown("residency_gaps") is None
    assert shown("last_move_timestamp_seconds") is None, "nothing has moved"

    group.lose_jakarta()
    shown.feed(group.run(6))
    group.release()
    shown.feed(group.run(1))
    group.claim(HostName("mks-db1"))
    shown.feed(group.run(2))
    history = RecentHistory(group.stores[SURABAYA], group.paths)
    assert history.outdated(group.run(0.5)[-1].view.history_head)
    history.read(group.run(0.5)[-1].view.history_head)
    shown.metrics.history_read(moves(s.entry for s in history.entries if s.entry is not None))
    shown.feed(group.run(0.5))
    promoting = shown("last_move_phase_seconds", kind="takeover", phase="promoting")
    without = shown("last_move_phase_seconds", kind="takeover", phase="without_claim")
    assert promoting == 1.0  # of the group in memory: a turn and the claim
    assert without is not None
    assert 0.0 <= without <= 1.0
    assert shown("last_move_phase_seconds", phase="reinstating") is None, "not on record yet"
    assert shown("lease_remaining_seconds", cluster="marketplace") == 4.0


def test_a_standby_on_another_branch_has_no_lag(policy: Policy) -> None:
    """One that a takeover left ahead, in quarantine, is not level with the new primary."""
    away = replace(cli_world.standby("0/6000000"), timeline=TimelineId(2))
    hosts = {
        **cli_world.HOSTS,
        "mks-db1": replace(cli_world.HOSTS["mks-db1"], postgres=away),
    }
    inputs = replace(
        cli_world.healthy(), observers=(cli_world.observer(cli_world.MAKASSAR, hosts),)
    )
    shown = Exported(policy)
    shown.metrics._cluster(build_view(policy, inputs).clusters[0])
    shown.metrics._show()
    assert shown("replication_lag_bytes", host="mks-db1") is None
    assert shown("replication_lag_bytes", host="jkt-db2") == 0.0


def test_no_kind_of_finding_is_said_to_be_none_while_a_host_was_not_looked_at(
    policy: Policy,
) -> None:
    group = Group(policy)
    (result,) = [r for r in group.run(0.5) if r.view.reader == SURABAYA][-1:]
    shown = Exported(policy)
    scan = HostScan(HostName("jkt-db1"), 0.5, 10.0, "", (), ())
    for gaps, expected in (((Gap(HostName("jkt-db2"), "silent"),), None), ((), 0.0)):
        residency = replace(result.view.residency, scans=(scan,), gaps=gaps)
        shown.feed([replace(result, view=replace(result.view, residency=residency))])
        assert shown("residency_findings", kind="walsender") == expected
        assert shown("residency_gaps") == len(gaps)


def test_what_is_read_is_of_the_newest_turn_and_counted_is_every_turn(policy: Policy) -> None:
    group = Group(policy)
    shown = Exported(group.policy)
    turns = [r for r in group.run(2) if r.view.reader == SURABAYA]
    *_, last = turns
    gone = replace(last, view=replace(last.view, store_problem="nobody answers", clusters=()))
    shown.feed([*turns, gone])
    assert shown("zookeeper_reachable") == 0.0
    assert shown("lease_held", cluster="marketplace") is None, "only an earlier turn said so"
    assert shown("tick_seconds_count") == len(turns) + 1
    refused = replace(gone, view=replace(gone.view, store_forbidden=True))
    shown.feed([refused])
    assert shown("zookeeper_reachable") == 1.0, "it answers: no quorum is lost"
    shown.feed([last])
    assert shown("zookeeper_reachable") == 1.0
    assert shown("lease_held", cluster="marketplace") == 1.0
    assert shown("lease_held", cluster="marketplace") == 1.0, "read twice, said twice"


def test_certificates_are_told_as_they_were_last_seen(policy: Policy) -> None:
    group = Group(policy)
    shown = Exported(group.policy)
    turns = group.run(2)
    name, wire = HostName("jkt-db1"), "postgresql"
    labels = {"target": name, "wire": wire}

    def told(until_unix_s: float | None, problem: str, *, answered: bool) -> list[float | None]:
        found = CertificateFound(name, wire, until_unix_s, problem, answered)
        shown.metrics.certificates_seen((found,))
        shown.feed(turns)
        names = "certificate_expires_timestamp_seconds", "certificate_believed"
        return [shown(each, **labels) for each in names]

    assert told(2e9, "", answered=True) == [2e9, 1.0]
    assert told(None, "certificate has expired", answered=True) == [None, 0.0]
    assert told(None, "no answer", answered=False) == [None, None], "not known"


def test_a_turn_that_cannot_be_shown_fails_the_scrape_and_not_the_turn(policy: Policy) -> None:
    """Until a turn comes that can: a page that keeps an old one's figures would say all is well."""
    group = Group(policy)
    shown = Exported(group.policy)
    (result,) = [r for r in group.run(0.5) if r.view.reader == SURABAYA]
    broken = replace(result, view=replace(result.view, clusters=(None,)))  # type: ignore[arg-type]
    shown.feed([result, broken])
    for _ in range(2):
        with pytest.raises(AttributeError):
            shown("leader")
    shown.feed([result])
    assert shown("leader") is not None


def test_probes_are_counted_by_vantage_point(policy: Policy) -> None:
    group = Group(policy)
    shown = Exported(group.policy)
    shown.metrics.round_done(group.observation(SURABAYA), [Answered("guard", 0.004)])
    assert shown("probe_failures_total", target="jkt-db1") is None
    group.lose_jakarta()
    shown.metrics.round_done(group.observation(SURABAYA), [])
    lost = {"target": "jkt-db1", "part": "postgres", "kind": "timed_out", "reader": SURABAYA}
    assert shown("probe_failures_total", **lost) == 1.0
    assert shown("probe_seconds_count", part="guard") == 1.0
    assert shown("probe_round_seconds") == 0.05


def test_labels_are_words_of_the_program_or_names_of_the_configuration(policy: Policy) -> None:
    """No data: every value that any scenario brings about is a literal of the source or stands in
    failover.yaml; and there are few enough series."""
    words = _literals() | {""}
    most = 0
    for case in CASES:
        view = build(load_case(case).world).view()
        registry = CollectorRegistry()
        metrics = ControllerMetrics(view.policy, SURABAYA, Instruments(registry))
        metrics.tick_done(_turn(view), 0.01)
        known = words | _names(view.policy)
        found = samples(registry)
        most = max(most, len(found))
        strangers = {
            (s.name, label, text)
            for s in found
            for label, text in s.labels.items()
            if label not in ("le", "version") and text not in known
        }
        assert strangers == set(), case.stem
    assert 100 < most < SERIES_MAX


def _turn(view: View) -> TickResult:
    decided = decide(view)
    return TickResult(
        view,
        decided.verdict,
        decided.next_step,
        decided.problems,
        False,
        None,
        None,
        None,
        False,
        0.5,
        0.0,
        0.0,
    )


def _literals() -> set[str]:
    """Every text that stands in the source as a whole."""
    found: set[str] = set()
    for path in (ROOT / "failover").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def _names(policy: Policy) -> set[str]:
    found = {str(policy.group)}
    found |= {str(site.name) for site in policy.sites}
    found |= {str(server.name) for server in policy.zookeeper_servers}
    for cluster in policy.clusters:
        found |= {str(cluster.name), *(str(host.name) for host in cluster.hosts)}
    return found


def test_the_guards_metrics_are_those_of_its_table() -> None:
    metrics = GuardMetrics("marketplace", "jkt-db1")
    metrics.killed(KillReason.DEADLINE)
    metrics.permit(Purpose.START, "no", "claim_held")
    metrics.renewed()
    metrics.worker_restarted()
    metrics.deadline_left(4.2)
    metrics.salvaged(2)
    metrics.barrier(True)
    exported = {s.name for s in samples(metrics.registry)} - {
        f"{m.name.removesuffix('_total')}_created" for m in GUARD_METRICS
    }
    assert exported == {metric.name for metric in GUARD_METRICS}


def test_a_guard_exports_no_number_that_it_does_not_know() -> None:
    """On a standby there is no deadline: 0 would be one that has passed."""
    metrics = GuardMetrics("marketplace", "jkt-db2")
    unknown = {
        "failover_guard_acknowledgement_barrier",
        "failover_guard_deadline_left_seconds",
        "failover_guard_salvaged_epoch",
    }
    assert unknown.isdisjoint(s.name for s in samples(metrics.registry))
    metrics.deadline_left(4.2)
    metrics.salvaged(2)
    metrics.barrier(False)
    assert unknown <= {s.name for s in samples(metrics.registry)}
    metrics.deadline_left(None)
    metrics.salvaged(None)
    metrics.barrier(None)
    assert unknown.isdisjoint(s.name for s in samples(metrics.registry))


def test_a_takeover_at_jakarta_moves_the_lease(policy: Policy) -> None:
    """The remaining time is the holder's, never one that another guard says."""
    group = Group(policy)
    shown = Exported(group.policy)
    group.run(5)
    group.release()
    shown.feed(group.run(0.5))
    assert shown("lease_remaining_seconds") is None
    assert shown("lease_held", cluster="marketplace") == 0.0
    assert shown("host_reached", site=JAKARTA, host="jkt-db1") == 1.0
