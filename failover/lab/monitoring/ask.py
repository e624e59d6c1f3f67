"""What the operations host says: answers of Prometheus, and what Alertmanager notified. Reads only.

An alert is here its name with the labels that tell it from others of that name; severity and the
group are left out, because they are the same for all of one name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from failover.lab.errors import LabError
from failover.lab.hosts import LabHost
from failover.lab.monitoring.host import PROMETHEUS_PORT, RECEIVER_PORT
from failover.lab.stages import http_get

POLL_S = 1.0
LABELS_OF_ALL = frozenset({"alertname", "alertstate", "severity", "group", "job", "__name__"})


@dataclass(frozen=True, slots=True, order=True)
class Alert:
    name: str
    labels: tuple[str, ...]  # values, in the order of their names

    @classmethod
    def of(cls, labels: dict[str, str]) -> Alert:
        told = (value for name, value in sorted(labels.items()) if name not in LABELS_OF_ALL)
        return cls(labels["alertname"], tuple(told))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.labels)})"


@dataclass(frozen=True, slots=True)
class Notified:
    """One alert in one notification."""

    at_unix_s: float
    receiver: str
    alert: Alert
    firing: bool  # else it is told that it is over
    runbook: str


class Monitoring:
    """Of one lab, whose operations host is up."""

    def __init__(self, host: LabHost) -> None:
        self._address = str(host.address)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series, now. LabError where Prometheus refuses."""
        found = self._api(f"query?query={quote(expression)}")
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(row["metric"], float(row["value"][1])) for row in found["result"]]

    def firing(self) -> frozenset[Alert]:
        """By Prometheus's own view, now."""
        return frozenset(
            Alert.of(labels) for labels, _ in self.query('ALERTS{alertstate="firing"}')
        )

    def fired_since(self, since_unix_s: float) -> frozenset[Alert]:
        """Every alert that was firing at an evaluation since then."""
        seconds = max(1, int(time.time() - since_unix_s))
        found = self.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])')
        return frozenset(Alert.of(labels) for labels, _ in found)

    def notified(self, since_unix_s: float = 0.0) -> tuple[Notified, ...]:
        """What reached the receiver, oldest first."""
        code, text = http_get(self._address, RECEIVER_PORT, "/")
        if code != 200:
            raise LabError(f"the receiver of notifications does not answer: {text}")
        rows = [json.loads(line) for line in text.splitlines()]
        return tuple(one for row in rows for one in _notified(row) if one.at_unix_s > since_unix_s)

    def wait(self, what: str, holds: Callable[[], bool], limit_s: float) -> float:
        """How many seconds it took. LabError after the limit."""
        began_s = time.monotonic()
        while not holds():
            if time.monotonic() - began_s > limit_s:
                firing = ", ".join(map(str, sorted(self.firing())))
                raise LabError(f"not within {limit_s:g} s: {what}; firing: {firing or 'nothing'}")
            time.sleep(POLL_S)
        return time.monotonic() - began_s

    def _api(self, path: str) -> Any:
        code, text = http_get(self._address, PROMETHEUS_PORT, f"/api/v1/{path}")
        try:
            answer = json.loads(text)
        except ValueError:
            raise LabError(f"Prometheus answers {code}: {text[:200]}") from None
        if answer["status"] != "success":
            raise LabError(f"Prometheus refuses {path}: {answer.get('error')}")
        return answer["data"]


def _notified(row: dict[str, Any]) -> Iterator[Notified]:
    for alert in row["notification"]["alerts"]:
        yield Notified(
            row["received_unix_s"],
            row["receiver"],
            Alert.of(alert["labels"]),
            alert["status"] == "firing",
            alert["annotations"]["runbook"],
        )
