"""``failover reseed`` on the lab: a replica of the standby site, and a site without its WAL.

The command runs on a controller's host, as an operator would run it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import pytest
from drill import explains, wait_until, whole

from failover.lab.lab import Lab
from failover.lab.stages import http_get
from failover.policy import DatabaseHost

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def reseed(lab: Lab, host: DatabaseHost, *options: str) -> tuple[int, str]:
    command = ["failover", "reseed", str(host.name), *options]
    ended = lab.exec("sby-ctl1", command)
    return ended.code, ended.out


def standby_hosts(lab: Lab) -> tuple[DatabaseHost, DatabaseHost]:
    """Of the standby site: the standby leader and the replica."""
    state = whole(lab)
    cluster = lab.policy.clusters[0]
    return by_role(cluster.at(lab.policy.other_data_site(state.active_site).name))


def by_role(hosts: Sequence[DatabaseHost]) -> tuple[DatabaseHost, DatabaseHost]:
    leader = next(host for host in hosts if member(host)["role"] == "standby_leader")
    return leader, next(host for host in hosts if host != leader)


def member(host: DatabaseHost) -> dict[str, Any]:
    status, text = http_get(str(host.address), host.patroni_port, "/patroni")
    return json.loads(text) if status else {}


def test_a_replica_of_the_standby_site_gets_a_new_copy(lab: Lab) -> None:
    leader, replica = standby_hosts(lab)
    before = member(replica)["postmaster_start_time"]

    code, out = reseed(lab, replica, "--dry-run", "-o", "json")
    assert code == 0, out
    predicted = json.loads(out)
    assert predicted["size_bytes"] > 10_000_000
    assert (predicted["source"], predicted["across"]) == (str(leader.name), False)
    assert member(replica)["postmaster_start_time"] == before

    code, out = reseed(lab, leader, "--reason", "drill", "--yes")
    assert code == 5, out
    assert "not_the_leader" in out

    code, out = reseed(lab, replica, "--reason", "drill", "--yes", "-o", "json")
    assert code == 0, out
    assert json.loads(out[out.index("{") :])["outcome"] == "streams"
    after = member(replica)
    assert after["postmaster_start_time"] != before
    assert after["replication_state"] == "streaming"
    whole(lab)
    history = lab.shell("sby-ctl1", "failover history --limit 2 -o json")
    events = [entry["event"] for entry in json.loads(history)["entries"]]
    assert events == ["reseed_started", "reseeded"]


@pytest.mark.full
@pytest.mark.skipif("FAILOVER_LAB_KEEP" in os.environ, reason="its failure leaves no whole lab")
def test_a_standby_site_whose_wal_is_gone_gets_new_copies(lab: Lab) -> None:
    """Patroni reinitializes no leader: the replica is copied across, leads, and is then copied.

    In a group that was moved there and back: its epoch is no reason to refuse.
    """
    _move_there_and_back(lab)
    hosts = standby_hosts(lab)
    for host in hosts:
        lab.faults.freeze(host.name)
    _lose_wal(lab)
    lab.faults.heal()

    leader, replica = _settled(lab, hosts)
    code, out = reseed(lab, leader, "--reason", "drill", "--yes")
    assert code == 5, out
    assert f"failover reseed {replica.name}" in out

    code, out = reseed(lab, replica, "--reason", "drill", "--yes")
    assert code == 0, out
    assert member(replica)["role"] == "standby_leader"
    code, out = reseed(lab, leader, "--reason", "drill", "--yes")
    assert code == 0, out
    whole(lab)


def _move_there_and_back(lab: Lab) -> None:
    for _ in range(2):
        to_site = lab.policy.other_data_site(whole(lab).active_site).name
        command = ["failover", "switchover", "--to", to_site, "--yes", "--reason", "drill"]
        ended = lab.exec("sby-ctl1", command)
        assert ended.code == 0, ended.out
    whole(lab)


def _settled(lab: Lab, hosts: Sequence[DatabaseHost]) -> tuple[DatabaseHost, DatabaseHost]:
    """Once the advice names who does not lead: whoever thaws first may take the key."""

    def advised() -> bool:
        evidence = explains(lab, "standby_not_streaming", 60.0)["verdict"]
        roles = [member(host).get("role") for host in hosts]
        if roles.count("standby_leader") != 1:
            return False
        return f"`failover reseed {by_role(hosts)[1].name}`" in json.dumps(evidence)

    wait_until("the advice is to copy the replica first", advised)
    return by_role(hosts)


def _lose_wal(lab: Lab) -> None:
    """The primary recycles what the other site needs, and more."""
    primary = lab.writable_host()
    assert primary is not None

    def sql(*statements: str) -> str:
        script = "; ".join(f'psql -XAtqc "{one}"' for one in statements)
        return lab.shell(primary.name, f"cd /; {script}", user="postgres")

    sql(
        "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'",
        "ALTER SYSTEM SET wal_keep_size = 0",
        "SELECT pg_reload_conf()",
    )
    try:
        for _ in range(4):
            sql("SELECT pg_logical_emit_message(false, 'drill', 'x')", "SELECT pg_switch_wal()")
        sql("CHECKPOINT")
        wait_until("the slot has lost its WAL", lambda: _slot_is_new(sql))
    finally:
        sql(
            "ALTER SYSTEM RESET max_slot_wal_keep_size",
            "ALTER SYSTEM RESET wal_keep_size",
            "SELECT pg_reload_conf()",
        )


def _slot_is_new(sql: Any) -> bool:
    """Lost, or dropped for that by Patroni and made anew, from the present on."""
    kept = sql(
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'failover_%' "
        "AND pg_current_wal_lsn() - restart_lsn "
        "> 3 * pg_size_bytes(current_setting('wal_segment_size')) AND wal_status <> 'lost'"
    )
    return kept.strip() == "0"
