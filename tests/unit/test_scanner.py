"""What a scanner takes for a look, without a server (with one: tests/integration)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from ipaddress import ip_address

import pytest

from failover.model import HostName, SiteName
from failover.residency.findings import Finding
from failover.scanner import HostWatch, Scanner
from tests.scenarios.world import policy_of

POLICY = policy_of()
HOST = replace(POLICY.host(HostName("jkt-db1")), address=ip_address("203.0.113.9"))
SLOT = Finding("physical_slot", HOST.name, "forgotten", "")


def test_a_host_that_is_not_dialled_was_not_looked_at() -> None:
    """Its network has run out: what was found there before stays until somebody looks again."""
    watch = HostWatch(POLICY, HOST, None)
    watch._findings = (SLOT,)
    for _ in range(2):
        asyncio.run(watch.turn())
    scan = watch.scan()
    assert scan.age_s is None
    assert [(f.way, f.subject) for f in scan.findings] == [
        ("physical_slot", "forgotten"),
        ("host_outside", "203.0.113.9"),
    ]
    assert "in no network for replication that counts now" in scan.problem


def test_a_mistake_in_the_scanner_is_a_gap_and_not_the_end_of_the_controller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def mistaken(_watch: HostWatch) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(HostWatch, "turn", mistaken)
    monkeypatch.setattr(HostWatch, "turn_into", mistaken)
    scanner = Scanner(POLICY, SiteName("jakarta"), password_file=None)

    async def story() -> None:
        running = asyncio.create_task(scanner.run())
        async with asyncio.timeout(60):
            while not all(scan.problem for scan in scanner.scans()):  # noqa: ASYNC110 - state
                await asyncio.sleep(0.01)
        assert not running.done()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())
    for scan in scanner.scans():
        assert "nobody thought of it" in scan.problem
        assert scan.age_s is None
