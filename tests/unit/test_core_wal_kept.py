"""Who could still get the WAL that it lacks, and who needs a new copy."""

from __future__ import annotations

from dataclasses import replace

from failover.health.view import View
from failover.health.wal_kept import WalGone, member_slot, wal_gone
from failover.model import HostName, Lsn
from tests.scenarios.language import build

BEHIND = (
    "PostgreSQL on mks-db1 does not stream",
    "PostgreSQL on mks-db1 has received 0/3000000, replayed 0/3000000",
)


def gone(*lines: str) -> list[str]:
    view: View = build(list(lines)).view()
    found = (
        wal_gone(cluster, side, host)
        for cluster in view.clusters
        for side in cluster.sides
        for host in side.hosts
    )
    return [
        f"{one.host} at {one.source}, {'' if one.sure else 'perhaps '}reseed {one.reseed}"
        for one in found
        if one
    ]


def test_a_slot_that_keeps_from_later_on_is_of_no_use() -> None:
    kept = "jkt-db1 keeps WAL from 0/4000000 on, for slot failover_makassar"
    assert gone(*BEHIND, kept) == ["mks-db1 at jkt-db1, reseed mks-db2"]


def test_a_slot_that_says_it_keeps_what_is_needed_may_have_been_moved_back() -> None:
    kept = "jkt-db1 keeps WAL from 0/3000000 on, for slot failover_makassar"
    assert gone(*BEHIND, kept) == ["mks-db1 at jkt-db1, perhaps reseed mks-db2"]


def test_nothing_is_said_of_slots_that_nobody_saw() -> None:
    assert gone(*BEHIND) == []
    assert gone(*BEHIND, "PostgreSQL on jkt-db1 is silent for 3 s") == []


def test_who_streams_needs_nothing() -> None:
    assert gone("jkt-db1 keeps WAL from 0/5000000 on, for slot other") == []


def test_a_replica_is_measured_by_the_slot_of_its_own_leader() -> None:
    behind = (
        "PostgreSQL on jkt-db2 does not stream",
        "PostgreSQL on jkt-db2 has received 0/3000000, replayed 0/3000000",
    )
    kept = "jkt-db1 keeps WAL from 0/3000000 on, for slot jkt_db2"
    assert gone(*behind, kept) == ["jkt-db2 at jkt-db1, perhaps reseed jkt-db2"]
    assert gone(*behind, kept.replace("jkt_db2", "failover_makassar")) == [
        "jkt-db2 at jkt-db1, reseed jkt-db2"
    ]


def test_a_replica_of_a_leader_that_lacks_wal_itself_is_not_measured_by_it() -> None:
    behind = (
        "PostgreSQL on mks-db2 does not stream",
        "PostgreSQL on mks-db2 has received 0/3000000, replayed 0/3000000",
    )
    near = "mks-db1 keeps WAL from 0/4000000 on, for slot mks_db2"
    assert gone(*behind, near) == ["mks-db2 at mks-db1, reseed mks-db2"]
    far = "jkt-db1 keeps WAL from 0/4000000 on, for slot failover_makassar"
    assert gone(*BEHIND, *behind, near, far) == ["mks-db1 at jkt-db1, reseed mks-db2"]


def test_a_leader_without_a_neighbour_is_sent_to_the_runbook() -> None:
    end, later = Lsn.parse("0/3000000"), Lsn.parse("0/4000000")
    alone = WalGone(HostName("mks-db1"), HostName("jkt-db1"), "failover_makassar", end, later, None)
    assert "docs/operations/reinstate.md" in str(alone)
    assert "failover reseed" not in str(alone)
    claims = replace(alone, keeps_from=end)
    assert "which proves nothing" in str(claims)
    assert "docs/operations/reinstate.md" in str(claims)


def test_slots_are_named_as_patroni_names_them() -> None:
    assert member_slot("Jkt-db1.example") == "jkt_db1_example"
    assert member_slot("a b") == "au0032b"
    assert len(member_slot("x" * 80)) == 64
