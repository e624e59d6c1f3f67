"""A notification as JSON: our own document, and Alertmanager's. Pure.

Of Alertmanager it is what it sends to a webhook (version 4,
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config), so whatever understands
that understands this. An event does not end: it is ``firing`` and never ``resolved``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, assert_never

from failover.notifications.due import Notification
from failover.policy import WebhookFormat

SCHEMA = 1
NEVER = "0001-01-01T00:00:00Z"  # Alertmanager's word for no end


def body(format: WebhookFormat, notification: Notification, left_out: int, receiver: str) -> bytes:
    """``left_out``: how many older ones the target will not get, because too much waited."""
    match format:
        case WebhookFormat.JSON:
            document = _plain(notification, left_out)
        case WebhookFormat.ALERTMANAGER:
            document = _alertmanager(notification, left_out, receiver)
        case _:
            assert_never(format)
    return json.dumps(document, ensure_ascii=False).encode()


def _plain(told: Notification, left_out: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": told.id,
        "group": told.group,
        "kind": told.kind,
        "event": told.event,
        "severity": told.severity,
        "epoch": told.epoch,
        "number": told.number,
        "at": _time(told.at_unix_s),
        "at_unix_s": told.at_unix_s,
        "summary": told.summary,
        "by": told.by,
        "left_out": left_out,
    }


def _alertmanager(told: Notification, left_out: int, receiver: str) -> dict[str, Any]:
    words = "".join(word.capitalize() for word in told.event.split("_"))
    labels = {
        "alertname": f"FailoverEvent{words}",
        "group": str(told.group),
        "kind": str(told.kind),
        "event": told.event,
        "severity": str(told.severity),
        "epoch": str(told.epoch),
        "id": told.id,
    }
    annotations = {"summary": told.summary, "by": told.by, "left_out": str(left_out)}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": _time(told.at_unix_s),
        "endsAt": NEVER,
        "generatorURL": "",
        "fingerprint": sha256(told.id.encode()).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": told.id,
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": receiver,
        "groupLabels": {"alertname": labels["alertname"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
