"""How a controller's turns and rounds of probes set its metrics. What they are: ``names``.

What only says how things are is made from the newest turn when somebody reads it: ten turns end
between two scrapes. What counts or times is told as it happens.
"""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Callable, Iterable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from failover import __version__
from failover.checks.found import CertificateFound
from failover.controller import TickResult
from failover.executor import Execution
from failover.health import predicates as ask
from failover.health.cluster_view import ClusterView
from failover.health.observation import NoAnswer, PostgresSeen, SiteObservation
from failover.health.probes import Answered
from failover.health.sightings import HostView
from failover.health.view import View
from failover.metrics.names import CONSTANT_LABELS, METRICS
from failover.metrics.table import Kind
from failover.model import Automation, ClusterName, ProtectionMode
from failover.phases import Move
from failover.planning.gates import takeover_gates
from failover.planning.plan import Gate, Plan, StepName
from failover.policy import Policy
from failover.replication.loss import LossUnknown, cluster_loss
from failover.residency.ways import ACCEPTABLE
from failover.state import ENDED, OperatorRequest, PlanKind, RequestPhase
from failover.znode import Committed, Conflict, OutcomeUnknown

_LABELS = {metric.name: metric.labels for metric in METRICS}


class Instruments(Collector):
    """The table as metrics of one registry, shared by the groups of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refresh: list[Callable[[], None]] = []  # before the registry is read
        registry.register(self)  # first: a registry reads in this order
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
                        name, text, labels, registry=registry, buckets=metric.buckets
                    )

    def collect(self) -> Iterable[Metric]:
        """Nothing of its own: what is read next is up to date."""
        for refresh in self.refresh:
            refresh()
        return ()


class ControllerMetrics:
    """The metrics of one group. Call everything, and read the registry, on one thread."""

    def __init__(self, policy: Policy, site: str, instruments: Instruments) -> None:
        self._constant = (str(policy.group), site)
        self._instruments = instruments
        self._wanted: dict[tuple[str, tuple[str, ...]], float] = {}
        self._shown: set[tuple[str, tuple[str, ...]]] = set()
        self._moves: tuple[Move, ...] = ()
        self._certificates: tuple[CertificateFound, ...] = ()
        self._looked = False
        self._request_counted = ""
        self._newest: TickResult | None = None  # a turn that is not shown yet
        instruments.refresh.append(self._refresh)
        for metric in METRICS:
            if metric.kind is Kind.COUNTER and not metric.labels:
                instruments.counters[metric.name].labels(*self._constant)  # from 0, for alerts
        for kind, phase in product(PlanKind, RequestPhase):
            if phase in ENDED:
                instruments.counters["failover_requests_total"].labels(*self._constant, kind, phase)
        instruments.gauges["failover_build_info"].labels(*self._constant, __version__).set(1)

    def tick_done(self, result: TickResult, duration_s: float) -> None:
        """Count and time one turn; what it says of how things are is shown when that is read."""
        self._newest = result
        self._execution(result, duration_s)
        self._request(result.view)
        for cut in result.residency_recorded.cut:
            self._count("failover_residency_cuts_total", kind=cut.way, host=cut.host)
        self._observe("failover_tick_seconds", duration_s)
        self._now("failover_last_tick_timestamp_seconds", time.time())

    def _refresh(self) -> None:
        """Set everything from the newest turn, and remove what it does not say any more."""
        result = self._newest
        if result is None:
            return
        self._wanted = {}
        self._verdict(result)
        self._gates(result)
        self._group(result.view)
        self._settings(result.view)
        self._newest_moves()
        self._zookeeper(result.view)
        answers = result.view.store_forbidden or not result.view.store_problem
        self._set("failover_leader", float(result.leading))
        self._set("failover_zookeeper_reachable", float(answers))
        for cluster in result.view.clusters:
            self._cluster(cluster)
            self._loss(result.view, cluster)
        self._residency(result)
        self._proven()
        self._show()
        self._newest = None

    def tick_failed(self) -> None:
        self._count("failover_tick_failures_total")

    def round_done(self, seen: SiteObservation, answered: Iterable[Answered]) -> None:
        """One round of this site's own probes."""
        self._now("failover_probe_round_seconds", seen.round_duration_s)
        for answer in answered:
            self._observe("failover_probe_seconds", answer.seconds, part=answer.part)
        for target, part, missing in _unanswered(seen):
            self._count(
                "failover_probe_failures_total", target=target, part=part, kind=missing.kind
            )

    def history_read(self, moves: tuple[Move, ...]) -> None:
        """The changes of the active site that are on record, oldest first."""
        self._moves = moves

    def certificates_seen(self, found: tuple[CertificateFound, ...]) -> None:
        """What servers showed where their wire has TLS, as it is from now on."""
        self._certificates = found

    def _proven(self) -> None:
        for each in self._certificates:
            labels = {"target": str(each.host), "wire": each.wire}
            if each.answered:
                self._set("failover_certificate_believed", float(not each.problem), **labels)
            if each.until_unix_s is not None:
                name = "failover_certificate_expires_timestamp_seconds"
                self._set(name, each.until_unix_s, **labels)

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
        self._set("failover_missing_evidence", float(len(result.view.missing)))

    def _gates(self, result: TickResult) -> None:
        """Those of a takeover always: whether it would be possible is asked while all is well."""
        decision = result.decision
        step = decision.step if isinstance(decision, Plan) else decision.wanted
        if step is not StepName.TAKEOVER:
            self._gates_of(StepName.TAKEOVER, takeover_gates(result.view))
        if step is not None:
            self._gates_of(step, decision.gates)
        if not isinstance(decision, Plan) and decision.wanted is not None:
            self._set("failover_hold", 1.0, step=decision.wanted)

    def _gates_of(self, step: StepName, gates: Iterable[Gate]) -> None:
        for gate in gates:
            self._set(
                "failover_gate_passing",
                -1.0 if gate.passes is None else float(gate.passes),
                step=step,
                gate=gate.name,
                cluster=gate.cluster or "",
                invariant=gate.invariant,
            )

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

    def _settings(self, view: View) -> None:
        """What the operator wants, as far as it is on record."""
        budget = view.policy.loss_budget
        self._set("failover_loss_budget_bytes", float(budget.bytes))
        self._set("failover_loss_budget_seconds", budget.seconds)
        if (state := view.state) is None:
            return
        for automation in Automation:
            self._set("failover_automation", float(automation is state.automation), mode=automation)
        for mode in ProtectionMode:
            self._set("failover_protection", float(mode is state.protection), mode=mode)
        cooldown_s = max(0.0, state.cooldown_until_unix_s - view.now_unix_s)
        self._set("failover_cooldown_remaining_seconds", cooldown_s)
        pause_s = max(0.0, state.paused_until_unix_s - view.now_unix_s)
        self._set("failover_pause_remaining_seconds", pause_s)

    def _newest_moves(self) -> None:
        for move in {move.kind: move for move in self._moves}.values():
            at_unix_s = move.committed_unix_s
            self._set("failover_last_move_timestamp_seconds", at_unix_s, kind=move.kind)
            for phase in move.phases:
                if phase.seconds is not None:
                    self._set(
                        "failover_last_move_phase_seconds",
                        phase.seconds,
                        kind=move.kind,
                        phase=phase.name,
                    )

    def _residency(self, result: TickResult) -> None:
        residency = result.view.residency
        counts = Counted(each.finding.way for each in residency.open)
        if residency.scans:
            self._set("failover_residency_gaps", float(len(residency.gaps)))
        looked = residency.scans and not residency.gaps  # else what is not open is not known
        for way in (*ACCEPTABLE, *counts) if looked else counts:
            self._set("failover_residency_findings", float(counts[way]), kind=way)
        for scan in sorted(residency.scans, key=lambda scan: -(scan.age_s or 0.0)):
            if scan.age_s is not None:  # the youngest of several is set last
                self._set("failover_residency_scan_age_seconds", scan.age_s, host=scan.host)

    def _zookeeper(self, view: View) -> None:
        for seen in view.zookeeper if view.living_observers else ():
            name, site = seen.server.name, seen.server.site
            serving = float(seen.serving is True)
            self._set("failover_zookeeper_serving", serving, server=name, site=site)
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
        guard = cluster.holder.guard if cluster.holder is not None else None
        if guard is not None and guard.granted and guard.deadline_in_s is not None:
            left_s = max(0.0, guard.deadline_in_s)
            self._set("failover_lease_remaining_seconds", left_s, cluster=cluster.name)
        primary = cluster.primary.postgres if cluster.primary is not None else None
        for side in cluster.sides:
            for host in side.hosts:
                self._host(cluster.name, host, primary)

    def _host(self, cluster: ClusterName, host: HostView, primary: PostgresSeen | None) -> None:
        labels = {"cluster": cluster, "host": host.host.name}
        if host.reached is not None:
            reached = float(host.reached)
            self._set("failover_host_reached", reached, site=host.host.site, **labels)
        postgres = host.postgres
        if postgres is None or postgres.received_lsn is None:
            return
        end = primary.current_lsn if primary is not None else None
        # A position on another timeline is not behind, nor level: nothing is known.
        if primary is not None and end is not None and postgres.timeline == primary.timeline:
            lag = max(0, end - postgres.received_lsn)
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

    def _request(self, view: View) -> None:
        """One that had ended before this process looked for the first time is not counted."""
        request = view.request.request if view.request is not None else None
        if view.store_problem:
            return
        if request is not None and request.ended and request.id != self._request_counted:
            self._request_counted = request.id
            if self._looked:
                self._count("failover_requests_total", **_ended(request))
        self._looked = True

    def _now(self, name: str, value: float) -> None:
        """Of the process, whatever a turn says."""
        self._instruments.gauges[name].labels(*self._constant).set(value)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._wanted[name, self._labels(name, labels)] = value

    def _count(self, name: str, **labels: str) -> None:
        self._instruments.counters[name].labels(*self._labels(name, labels)).inc()

    def _observe(self, name: str, value: float, **labels: str) -> None:
        self._instruments.histograms[name].labels(*self._labels(name, labels)).observe(value)

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


def _ended(request: OperatorRequest) -> dict[str, str]:
    return {"kind": request.kind, "outcome": request.phase}


def _unanswered(seen: SiteObservation) -> Iterable[tuple[str, str, NoAnswer]]:
    """(target, part, why) of every question of one round that got no answer, or a no."""
    for host in seen.hosts:
        parts = (("postgres", host.postgres), ("patroni", host.patroni), ("guard", host.guard))
        yield from ((host.host, part, a) for part, a in parts if isinstance(a, NoAnswer))
    for server in seen.zookeeper:
        if isinstance(server.answer, NoAnswer):
            yield server.server, "zookeeper", server.answer
