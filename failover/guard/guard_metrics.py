"""The guard's metrics. Help texts name the invariant that the number watches."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from failover.model import Invariant


class GuardMetrics:
    """One registry per minder."""

    def __init__(self, cluster: str, host: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"cluster": cluster, "host": host}
        writer, fault = Invariant.SINGLE_WRITER, Invariant.ONE_FAULT_NO_HARM
        self.grant = self._gauge("grant", f"1: this host counts as writable ({writer})")
        self.writable = self._gauge("writable", f"1: it may take writes now ({writer})")
        self.armed = self._gauge("armed", f"1: `failover init` was done ({writer})")
        self.deadline_left_s = self._gauge(
            "deadline_left_seconds", f"until the server is killed without a renewal ({writer})"
        )
        self.worker_alive = self._gauge("worker_alive", f"1: the worker answers ({fault})")
        self.server_alive = self._gauge("server_alive", "1: a process of the server lives")
        self.salvaged_epoch = self._gauge(
            "salvaged_epoch", f"newest epoch salvaged here ({Invariant.NOTHING_LOST_SILENTLY})"
        )
        self._kills = self._counter("kills", f"servers killed, by reason ({writer})", "reason")
        self._permits = self._counter(
            "permits", f"permits asked for, by answer ({writer})", "purpose", "answer", "reason"
        )
        self._renewals = self._counter("renewals", f"committed renewals ({writer})")
        self._restarts = self._counter("worker_restarts", f"workers replaced ({fault})")

    def killed(self, reason: str) -> None:
        self._kills.labels(**self._labels, reason=reason).inc()

    def permit(self, purpose: str, answer: str, reason: str) -> None:
        self._permits.labels(**self._labels, purpose=purpose, answer=answer, reason=reason).inc()

    def renewed(self) -> None:
        self._renewals.labels(**self._labels).inc()

    def worker_restarted(self) -> None:
        self._restarts.labels(**self._labels).inc()

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"failover_guard_{name}", text, list(self._labels), registry=self.registry)
        return gauge.labels(**self._labels)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        names = [*self._labels, *labels]
        return Counter(f"failover_guard_{name}", text, names, registry=self.registry)
