"""Answers of ZooKeeper and HAProxy, as `failover check` reads them, and quantities of
PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.checks.flat import differences, extra, flat
from failover.checks.quantities import in_bytes, in_ms, same_value
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.sites.haproxy import servers
from failover.sites.zookeeper_status import settings

RECORDED = Path(__file__).parent / "recorded"


def test_conf_is_read_with_its_members() -> None:
    found = settings((RECORDED / "zookeeper_conf.txt").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    assert (found["tickTime"], found["syncLimit"], found["serverId"]) == ("500", "3", "3")
    assert found["server.1"].startswith("10.77.1.21:2888:3888")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("conf is not executed because it is not in the whitelist.\n", NoAnswerKind.REJECTED),
        ("", NoAnswerKind.MALFORMED),
        ("HTTP/1.1 400 Bad Request\n", NoAnswerKind.MALFORMED),
    ],
)
def test_conf_that_is_not_given(text: str, kind: NoAnswerKind) -> None:
    found = settings(text)
    assert isinstance(found, NoAnswer)
    assert found.kind is kind


def test_haproxys_page_is_read() -> None:
    found = servers((RECORDED / "haproxy.csv").read_text(encoding="utf-8"))
    assert isinstance(found, tuple)
    assert [(s.cluster, s.host) for s in found] == [
        ("marketplace", name) for name in ("jkt-db1", "jkt-db2", "mks-db1", "mks-db2")
    ]
    assert [s.status.split()[0] for s in found] == ["UP", "DOWN", "DOWN", "DOWN"]
    assert [(s.rise, s.fall) for s in found] == [(1, 3)] * 4
    assert [s.check for s in found] == ["L7OK", "L7STS", "L7STS", "L7STS"]


@pytest.mark.parametrize("text", ["", "<html>", "a,b\n1,2\n"])
def test_a_page_that_is_none(text: str) -> None:
    assert isinstance(servers(text), NoAnswer)


@pytest.mark.parametrize(
    ("written", "shown", "unit", "same"),
    [
        ("64MB", "8192", "8kB", True),
        ("65536MB", "65536", "MB", True),
        ("5s", "5000", "ms", True),
        ("500ms", "500", "ms", True),
        ("1min", "60", "s", True),
        ("5s", "6000", "ms", False),
        ("on", "on", "", True),
        ("true", "on", "", True),
        ("off", "on", "", False),
        ("100", "100", "", True),
        ("nonsense", "5000", "ms", False),
        ("5MB", "5", "ms", False),
    ],
)
def test_quantities(written: str, shown: str, unit: str, same: bool) -> None:
    assert same_value(written, shown, unit) is same


def test_sizes_and_times_of_settings() -> None:
    assert in_bytes("65536", "MB") == 64 * 1024**3
    assert in_bytes("-1", "MB") is None
    assert in_ms("10000", "ms") == 10_000.0
    assert in_ms("1", "MB") is None


def test_documents_are_compared_flat() -> None:
    found = flat({"a": {"b": True, "c": "yes"}, "d": [1], "e": None, "f": {}})
    assert found == {"a.b": "on", "a.c": "on", "d": "[1]", "f": "{}"}
    assert differences(found, {"a.b": "off", "g": "1"}) == (
        "a.b is on, not off",
        "g is not set (1)",
    )
    assert extra(found, {"a.b": "on", "a.c": "on", "d": "[1]"}) == ("f is {}",)
