"""The guard's metrics. Help texts name the invariant that the number watches.

Invariant: they stand in ``GUARD_METRICS`` and nowhere else; docs/metrics.md is made from it.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from failover.guard.logic import KillReason
from failover.metrics.table import Kind, Metric
from failover.model import Invariant

_SAFE, _FAULT = Invariant.SINGLE_WRITER, Invariant.ONE_FAULT_NO_HARM
_LOSS = Invariant.NOTHING_LOST_SILENTLY
CONSTANT_LABELS = ("cluster", "host")


def _gauge(name: str, text: str) -> Metric:
    return Metric(f"failover_guard_{name}", Kind.GAUGE, text)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"failover_guard_{name}_total", Kind.COUNTER, text, labels)


GUARD_METRICS = (
    _gauge("grant", f"1 while this host counts as writable ({_SAFE})."),
    _gauge("writable", f"1 while it may take writes ({_SAFE})."),
    _gauge("armed", f"1 where `failover init` was done ({_SAFE})."),
    _gauge(
        "deadline_left_seconds",
        "Until the server is killed without a renewal: what is left of the permit; without a grant "
        f"there is none ({_SAFE}).",
    ),
    _gauge(
        "acknowledgement_barrier",
        f"1 while the kernel holds acknowledgements to the lease, 0 where it cannot ({_SAFE}).",
    ),
    _gauge("worker_alive", f"1 while the worker answers ({_FAULT})."),
    _gauge("server_alive", "1 while a process of the server lives."),
    _gauge("salvaged_epoch", f"Newest epoch salvaged here, where one is known ({_LOSS})."),
    _counter("kills", f"Servers killed ({_SAFE}).", "reason"),
    _counter("permits", f"Permits asked for ({_SAFE}).", "purpose", "answer", "reason"),
    _counter("renewals", f"Committed renewals ({_SAFE})."),
    _counter("worker_restarts", f"Workers replaced ({_FAULT})."),
)
_TABLE = {metric.name: metric for metric in GUARD_METRICS}


class GuardMetrics:
    """One registry per minder."""

    def __init__(self, cluster: str, host: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"cluster": cluster, "host": host}
        self.grant = self._gauge("grant")
        self.writable = self._gauge("writable")
        self.armed = self._gauge("armed")
        self.worker_alive = self._gauge("worker_alive")
        self.server_alive = self._gauge("server_alive")
        self._deadline_left = self._family("deadline_left_seconds")
        self._salvaged_epoch = self._family("salvaged_epoch")
        self._barrier = self._family("acknowledgement_barrier")
        self._kills = self._counter("kills")
        for reason in KillReason:
            self._kills.labels(**self._labels, reason=reason)  # from 0, for alerts
        self._permits = self._counter("permits")
        self._renewals = self._counter("renewals")
        self._restarts = self._counter("worker_restarts")

    def deadline_left(self, seconds: float | None) -> None:
        self._known(self._deadline_left, seconds)

    def barrier(self, enforced: bool | None) -> None:
        self._known(self._barrier, None if enforced is None else float(enforced))

    def salvaged(self, epoch: int | None) -> None:
        self._known(self._salvaged_epoch, epoch)

    def killed(self, reason: str) -> None:
        self._kills.labels(**self._labels, reason=reason).inc()

    def permit(self, purpose: str, answer: str, reason: str) -> None:
        self._permits.labels(**self._labels, purpose=purpose, answer=answer, reason=reason).inc()

    def renewed(self) -> None:
        self._renewals.labels(**self._labels).inc()

    def worker_restarted(self) -> None:
        self._restarts.labels(**self._labels).inc()

    def _known(self, family: Gauge, value: float | None) -> None:
        """A value that is not known has no series: 0 would be one that is known."""
        if value is None:
            family.clear()
        else:
            family.labels(**self._labels).set(value)

    def _gauge(self, name: str) -> Gauge:
        return self._family(name).labels(**self._labels)

    def _family(self, name: str) -> Gauge:
        metric = _TABLE[f"failover_guard_{name}"]
        return Gauge(metric.name, metric.help, CONSTANT_LABELS, registry=self.registry)

    def _counter(self, name: str) -> Counter:
        metric = _TABLE[f"failover_guard_{name}_total"]
        names = (*CONSTANT_LABELS, *metric.labels)
        return Counter(metric.name, metric.help, names, registry=self.registry)
