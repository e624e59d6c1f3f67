"""Every metric of a controller, in one table, and how a tick's result sets them.

Invariant: names, labels and help stand in ``METRICS`` and nowhere else. A value that is not known
is not exported: absent, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from failover.controller import TickResult
from failover.executor import Execution
from failover.health import predicates as ask
from failover.health.sightings import HostView
from failover.health.view import ClusterView, View
from failover.model import ClusterName, Invariant, Lsn
from failover.planning.gates import takeover_gates
from failover.planning.plan import Plan, StepName
from failover.policy import Policy
from failover.replication.loss import LossUnknown, cluster_loss
from failover.znode import Committed, Conflict, OutcomeUnknown


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_SAFE = Invariant.SINGLE_WRITER
_LOSS = Invariant.NOTHING_LOST_SILENTLY
_DOUBT = Invariant.DOUBT_MEANS_HOLD
_HARM = Invariant.ONE_FAULT_NO_HARM
_PROOF = Invariant.PROOF_BEFORE_PROMOTION

METRICS: tuple[Metric, ...] = (
    Metric("failover_verdict", Kind.GAUGE, "1 for the present verdict.", ("code",)),
    Metric("failover_page", Kind.GAUGE, f"1 while a human is needed now ({_DOUBT})."),
    Metric("failover_epoch", Kind.GAUGE, f"Number of the present arrangement ({_SAFE})."),
    Metric("failover_active_site", Kind.GAUGE, "1 for the site that may write.", ("site",)),
    Metric(
        "failover_last_proven_timestamp_seconds",
        Kind.GAUGE,
        "When a change of the active site last came to its end, planned or not; 0: never "
        f"({_PROOF}).",
    ),
    Metric(
        "failover_in_sync",
        Kind.GAUGE,
        "1 while every acknowledged commit is at the other site as well, on record; absent in an "
        f"asynchronous mode ({_LOSS}).",
    ),
    Metric(
        "failover_gate",
        Kind.GAUGE,
        "Preconditions of the step that is wanted, of a takeover where none is: "
        "1 passes, 0 does not, -1 unknown.",
        ("gate", "cluster", "invariant"),
    ),
    Metric("failover_hold", Kind.GAUGE, f"1 while a wanted step is held ({_DOUBT}).", ("step",)),
    Metric(
        "failover_lease_held",
        Kind.GAUGE,
        f"1 while a host holds the writer claim ({_SAFE}).",
        ("cluster",),
    ),
    Metric(
        "failover_lease_absent_seconds",
        Kind.GAUGE,
        f"How long there has been no writer claim ({_SAFE}).",
        ("cluster",),
    ),
    Metric(
        "failover_replication_lag_bytes",
        Kind.GAUGE,
        f"WAL of the primary that a standby has not received ({_LOSS}).",
        ("cluster", "host"),
    ),
    Metric(
        "failover_replay_lag_bytes",
        Kind.GAUGE,
        "WAL that a standby has received and not replayed.",
        ("cluster", "host"),
    ),
    Metric(
        "failover_replication_lag_seconds",
        Kind.GAUGE,
        f"How long ago the primary was where the other site's standby leader is now ({_LOSS}).",
        ("cluster",),
    ),
    Metric(
        "failover_loss_estimate_bytes",
        Kind.GAUGE,
        f"What a takeover now would lose, at most; the isolation window included ({_LOSS}).",
        ("cluster",),
    ),
    Metric(
        "failover_loss_estimate_seconds",
        Kind.GAUGE,
        f"The same in seconds of acknowledged commits ({_LOSS}).",
        ("cluster",),
    ),
    Metric(
        "failover_host_reached",
        Kind.GAUGE,
        "1 while a living observer reaches the database host, 0 while none does.",
        ("cluster", "site", "host"),
    ),
    Metric("failover_observer_age_seconds", Kind.GAUGE, "Since an observer said news.", ("site",)),
    Metric(
        "failover_zookeeper_leader",
        Kind.GAUGE,
        f"1 for the leading ZooKeeper server ({_HARM}).",
        ("server", "site"),
    ),
    Metric(
        "failover_zookeeper_leader_misplaced",
        Kind.GAUGE,
        f"1 while the ensemble's leader stands in a data site ({_HARM}).",
    ),
    Metric("failover_zookeeper_reachable", Kind.GAUGE, "1 while ZooKeeper answers this process."),
    Metric("failover_leader", Kind.GAUGE, "1 while this controller leads."),
    Metric(
        "failover_steps_total",
        Kind.COUNTER,
        f"Steps that were tried, by outcome ({_PROOF}).",
        ("step", "outcome"),
    ),
    Metric(
        "failover_takeovers_total", Kind.COUNTER, f"Takeovers committed by this process ({_PROOF})."
    ),
    Metric(
        "failover_takeover_decision_seconds",
        Kind.HISTOGRAM,
        "From this controller's first sight of the missing claim to the committed takeover.",
    ),
    Metric("failover_tick_seconds", Kind.HISTOGRAM, "Duration of one turn of the controller."),
    Metric("failover_tick_failures_total", Kind.COUNTER, "Turns that ended with a bug."),
    Metric("failover_probe_round_seconds", Kind.GAUGE, "Duration of the last round of probes."),
)

CONSTANT_LABELS = ("group", "reader")  # reader: the site of the controller that says so
_LABELS = {metric.name: metric.labels for metric in METRICS}
_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 60.0)


class Instruments:
    """The table as metrics of one registry, shared by the groups of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.gauges: dict[str, Gauge] = {}
        self.counters: dict[str, Counter] = {}
        self.histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            name, text, labels = metric.name, metric.help, (*CONSTANT_LABELS, *metric.labels)
            match metric.kind:
                case Kind.GAUGE:
                    self.gauges[name] = Gauge(name, text, labels, registry=registry)
                case Kind.COUNTER:
                    self.counters[name] = Counter(name, text, labels, registry=registry)
                case Kind.HISTOGRAM:
                    self.histograms[name] = Histogram(
                        name, text, labels, registry=registry, buckets=_BUCKETS_S
                    )


class ControllerMetrics:
    """The metrics of one group. What a tick does not say any more is removed after the rest is
    set, so that a scrape in between never misses what is still true."""

    def __init__(self, policy: Policy, site: str, instruments: Instruments) -> None:
        self._constant = (str(policy.group), site)
        self._instruments = instruments
        self._wanted: dict[tuple[str, tuple[str, ...]], float] = {}
        self._shown: set[tuple[str, tuple[str, ...]]] = set()
        for metric in METRICS:
            if metric.kind is Kind.COUNTER and not metric.labels:
                instruments.counters[metric.name].labels(*self._constant)  # from 0, for alerts

    def tick_done(self, result: TickResult, duration_s: float) -> None:
        """Set everything from one tick's result."""
        self._wanted = {}
        self._verdict(result)
        self._gates(result)
        self._group(result.view)
        self._zookeeper(result.view)
        self._set("failover_leader", float(result.leading))
        self._set("failover_zookeeper_reachable", float(not result.view.store_problem))
        for cluster in result.view.clusters:
            self._cluster(cluster)
            self._loss(result.view, cluster)
        self._show()
        self._execution(result, duration_s)
        self._observe("failover_tick_seconds", duration_s)

    def tick_failed(self) -> None:
        self._count("failover_tick_failures_total")

    def round_done(self, duration_s: float) -> None:
        gauge = self._instruments.gauges["failover_probe_round_seconds"]
        gauge.labels(*self._constant).set(duration_s)

    def _show(self) -> None:
        for (name, labels), value in self._wanted.items():
            self._instruments.gauges[name].labels(*labels).set(value)
        for name, labels in self._shown - self._wanted.keys():
            self._instruments.gauges[name].remove(*labels)
        self._shown = set(self._wanted)

    # ------------------------------------------------------------------ parts

    def _verdict(self, result: TickResult) -> None:
        self._set("failover_verdict", 1.0, code=result.verdict.code)
        self._set("failover_page", float(result.verdict.page))

    def _gates(self, result: TickResult) -> None:
        decision = result.decision
        for gate in decision.gates or takeover_gates(result.view):
            value = -1.0 if gate.passes is None else float(gate.passes)
            self._set(
                "failover_gate",
                value,
                gate=gate.name,
                cluster=gate.cluster or "",
                invariant=gate.invariant,
            )
        if not isinstance(decision, Plan) and decision.wanted is not None:
            self._set("failover_hold", 1.0, step=decision.wanted)

    def _group(self, view: View) -> None:
        if view.state is not None:
            self._set("failover_epoch", float(view.state.epoch))
            self._set("failover_last_proven_timestamp_seconds", view.state.proven_unix_s)
            if view.state.protection.synchronous:
                self._set("failover_in_sync", float(view.state.in_sync))
            for site in view.policy.data_sites:
                self._set(
                    "failover_active_site",
                    float(site.name == view.state.active_site),
                    site=site.name,
                )
        for observer in view.observers:
            if observer.age_s is not None:
                self._set("failover_observer_age_seconds", observer.age_s, site=observer.site)

    def _zookeeper(self, view: View) -> None:
        leader = view.zookeeper_leader
        if leader is None:
            return
        misplaced = ask.zookeeper_leader_misplaced(view)
        self._set("failover_zookeeper_leader_misplaced", float(misplaced))
        self._set("failover_zookeeper_leader", 1.0, server=leader.name, site=leader.site)

    def _cluster(self, cluster: ClusterView) -> None:
        if cluster.claim_held is not None:
            self._set("failover_lease_held", float(cluster.claim_held), cluster=cluster.name)
            self._set(
                "failover_lease_absent_seconds", cluster.claim_absent_for_s, cluster=cluster.name
            )
        primary = cluster.primary.postgres if cluster.primary is not None else None
        end = primary.current_lsn if primary is not None else None
        for side in cluster.sides:
            for host in side.hosts:
                self._host(cluster.name, host, end)

    def _host(self, cluster: ClusterName, host: HostView, end_of_wal: Lsn | None) -> None:
        labels = {"cluster": cluster, "host": host.host.name}
        if host.reached is not None:
            reached = float(host.reached)
            self._set("failover_host_reached", reached, site=host.host.site, **labels)
        postgres = host.postgres
        if postgres is None or postgres.received_lsn is None:
            return
        if end_of_wal is not None:
            lag = max(0, end_of_wal - postgres.received_lsn)
            self._set("failover_replication_lag_bytes", float(lag), **labels)
        if postgres.replayed_lsn is not None:
            behind = max(0, postgres.received_lsn - postgres.replayed_lsn)
            self._set("failover_replay_lag_bytes", float(behind), **labels)

    def _loss(self, view: View, cluster: ClusterView) -> None:
        loss = cluster_loss(view, cluster)
        if isinstance(loss, LossUnknown):
            return
        labels = {"cluster": cluster.name}
        self._set("failover_loss_estimate_bytes", float(loss.bytes), **labels)
        self._set("failover_loss_estimate_seconds", loss.seconds, **labels)
        self._set("failover_replication_lag_seconds", loss.behind_s, **labels)

    def _execution(self, result: TickResult, duration_s: float) -> None:
        execution, decision = result.execution, result.decision
        if execution is None or not isinstance(decision, Plan):
            return
        self._count("failover_steps_total", step=decision.step, outcome=_outcome(execution))
        if decision.step is StepName.TAKEOVER and isinstance(execution, Committed):
            self._count("failover_takeovers_total")
            waited = [cluster.claim_absent_for_s for cluster in result.view.clusters]
            first_sight_s = max(waited, default=0.0)
            self._observe("failover_takeover_decision_seconds", first_sight_s + duration_s)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._wanted[name, self._labels(name, labels)] = value

    def _count(self, name: str, **labels: str) -> None:
        self._instruments.counters[name].labels(*self._labels(name, labels)).inc()

    def _observe(self, name: str, value: float) -> None:
        self._instruments.histograms[name].labels(*self._constant).observe(value)

    def _labels(self, name: str, labels: dict[str, str]) -> tuple[str, ...]:
        """The values in the order of the table. KeyError where the table says otherwise."""
        assert set(labels) == set(_LABELS[name]), f"{name}: labels {sorted(labels)}"
        return (*self._constant, *(str(labels[label]) for label in _LABELS[name]))


def _outcome(execution: Execution) -> str:
    match execution:
        case Committed():
            return "committed"
        case Conflict():
            return "conflict"
        case OutcomeUnknown():
            return "unknown"
        case _:
            return type(execution).__name__
