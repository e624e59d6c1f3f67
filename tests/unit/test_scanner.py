"""What a scanner takes for a look, without a server (with one: tests/integration)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

from failover.model import HostName
from failover.residency.findings import Finding
from failover.scanner import HostWatch
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
