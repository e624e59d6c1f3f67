"""The operations host of the lab: its files, its receiver of notifications, and what is read."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from cli_world import POLICY

from failover.config import load
from failover.lab.hosts import Role, hosts_of
from failover.lab.lab import CONFIG
from failover.lab.monitoring import host as monitoring
from failover.lab.monitoring.ask import Alert, Monitoring
from failover.lab.monitoring.receiver import make_server

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
NOTIFICATION = {
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "FailoverGuardDown",
                "severity": "warn",
                "group": "g",
                "job": "failover-guard",
                "site": "jakarta",
                "instance": "jkt-db1",
            },
            "annotations": {"summary": "…", "runbook": "docs/operations/guard-down.md"},
        },
        {
            "status": "resolved",
            "labels": {"alertname": "FailoverQuorumLost", "severity": "page", "group": "g"},
            "annotations": {"summary": "…", "runbook": "docs/operations/quorum-lost.md"},
        },
    ]
}


def test_the_operations_host_stands_at_the_witness_and_is_nobody_else() -> None:
    host = monitoring.operations_host(POLICY)
    assert (host.name, host.site, host.role) == ("sby-ops1", "surabaya", Role.OPERATIONS)
    assert host.address == ip_address("10.77.3.61")
    others = hosts_of(POLICY)
    assert host.address not in {one.address for one in others}
    assert Role.OPERATIONS not in {one.role for one in others}


def test_it_reads_the_very_files_of_the_repository() -> None:
    files = {str(file.path): file.data for file in monitoring.files(load(CONFIG), CONFIG)}
    for name in ("recording.rules.yml", "alerts.rules.yml", "alertmanager.yml"):
        assert files[f"/etc/prometheus/{name}"] == (PROMETHEUS / name).read_bytes()
    scrapes = (PROMETHEUS / "prometheus-tls.yml").read_bytes()
    assert files["/etc/prometheus/prometheus.yml"] == scrapes
    wanted = yaml.safe_load(files["/etc/prometheus/prometheus.yml"])
    targets = {
        file for job in wanted["scrape_configs"] for file in job["file_sd_configs"][0]["files"]
    }
    assert targets < set(files)


def test_every_severity_has_a_receiver_of_its_own() -> None:
    config = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text(encoding="utf-8"))
    receivers = {one["name"]: one["webhook_configs"][0]["url"] for one in config["receivers"]}
    assert set(receivers) == {"page", "warn", "info"}
    for name, url in receivers.items():
        assert url == f"http://127.0.0.1:{monitoring.RECEIVER_PORT}/{name}"
    assert config["route"]["receiver"] == "info"
    told = {route["matchers"][0]: route["receiver"] for route in config["route"]["routes"]}
    assert told == {'severity="page"': "page", 'severity="warn"': "warn"}


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    server = make_server(("127.0.0.1", 0), tmp_path / "notified.jsonl")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = server.server_address[1]
    monkeypatch.setattr("failover.lab.monitoring.ask.RECEIVER_PORT", port)
    yield port
    server.shutdown()
    server.server_close()
    thread.join(10)


def post(port: int, body: bytes) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/page", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def test_what_is_notified_is_on_record_and_can_be_read(receiver: int) -> None:
    host = monitoring.operations_host(POLICY)
    ask = Monitoring(type(host)(host.name, host.site, ip_address("127.0.0.1"), host.role))
    assert ask.notified() == ()
    assert post(receiver, json.dumps(NOTIFICATION).encode()) == 200
    down, lost = ask.notified()
    assert (down.receiver, down.firing, lost.firing) == ("page", True, False)
    assert down.alert == Alert("FailoverGuardDown", ("jkt-db1", "jakarta"))
    assert lost.alert == Alert("FailoverQuorumLost", ())
    assert lost.runbook == "docs/operations/quorum-lost.md"
    assert ask.notified(down.at_unix_s) == ()


def test_what_is_no_notification_is_refused_and_not_recorded(receiver: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(receiver, b"no JSON")
    assert refused.value.code == 400
    with urllib.request.urlopen(f"http://127.0.0.1:{receiver}/", timeout=10) as answer:
        assert answer.read() == b""
