"""What a leading controller says about each target of notifications. What it is: ``names``."""

from __future__ import annotations

import contextlib

from failover.metrics.controller import Instruments
from failover.policy import Policy

_PENDING = "failover_notifications_pending"
_OLDEST = "failover_notifications_oldest_pending_timestamp_seconds"


class TargetMetrics:
    """One target's. Who does not lead knows nothing of what waits, and exports none of it."""

    def __init__(self, policy: Policy, site: str, target: str, instruments: Instruments) -> None:
        self._labels = (str(policy.group), site, target)
        self._gauges, self._counters = instruments.gauges, instruments.counters
        for name in ("delivered", "failed", "left_out"):
            self._count(name, 0)  # from 0, for alerts

    def delivered(self) -> None:
        self._count("delivered", 1)

    def failed(self) -> None:
        self._count("failed", 1)

    def left_out(self, entries: int) -> None:
        self._count("left_out", entries)

    def waiting(self, pending: int, oldest_unix_s: float | None) -> None:
        self._gauges[_PENDING].labels(*self._labels).set(pending)
        if oldest_unix_s is not None:
            self._gauges[_OLDEST].labels(*self._labels).set(oldest_unix_s)
        else:
            self._forget(_OLDEST)

    def not_leading(self) -> None:
        self._forget(_PENDING)
        self._forget(_OLDEST)

    def _count(self, name: str, by: int) -> None:
        self._counters[f"failover_notifications_{name}_total"].labels(*self._labels).inc(by)

    def _forget(self, name: str) -> None:
        with contextlib.suppress(KeyError):
            self._gauges[name].remove(*self._labels)
