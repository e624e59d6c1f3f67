"""When a replica streams from the other site before it is promoted. On real parts in the drills."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from failover.config import load
from failover.guard.catch_up import Surplus, _password, passfile_line, surplus
from failover.guard.permits import Member, WalEnd
from failover.health.observation import (
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    SiteObservation,
)
from failover.model import (
    Automation,
    ClusterName,
    Epoch,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.state import ClusterState, GroupState, StandbyScope
from failover.znode import GroupPaths

POLICY = load(Path(__file__).parents[2] / "tests" / "open.yaml")
CLUSTER = POLICY.clusters[0]
ME = Member(HostName("jkt-db2"), SiteName("jakarta"), CLUSTER.name, GroupPaths(POLICY.group))
OWN = WalEnd(Lsn(1000), TimelineId(3))
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer")


def state(
    *,
    active: str = "jakarta",
    standby: StandbyScope = StandbyScope.FOLLOWING,
    promoted: bool = True,
) -> GroupState:
    recorded = ClusterState(Lsn(0), TimelineId(1), promoted, standby)
    return GroupState(
        group=POLICY.group,
        epoch=Epoch(1),
        active_site=SiteName(active),
        clusters={ClusterName("marketplace"): recorded},
        protection=ProtectionMode.MAX_PERFORMANCE,
        in_sync=False,
        automation=Automation.AUTO,
    )


def host(
    name: str, lsn: int | None, timeline: int = 3, role: str = "standby_leader"
) -> HostObservation:
    received = Lsn(lsn) if lsn is not None else None
    postgres = PostgresSeen(True, TimelineId(timeline), None, received, received, False, None)
    patroni = PatroniSeen(role, "running", TimelineId(timeline), paused=False)
    return HostObservation(HostName(name), postgres, patroni, SILENT)


def observed(*hosts: HostObservation) -> SiteObservation:
    return SiteObservation(SiteName("makassar"), 1, 1.0, 0.1, hosts, ())


def test_what_the_other_sites_leader_has_more() -> None:
    seen = [observed(host("mks-db1", 1400)), observed(host("mks-db1", 1500), host("mks-db2", 1500))]
    assert surplus(ME, CLUSTER, state(), seen, OWN) == Surplus(HostName("mks-db1"), Lsn(1500))


@pytest.mark.parametrize(
    "seen",
    [
        host("mks-db1", 1000),
        host("mks-db1", 900),
        host("mks-db1", None),
        host("mks-db1", 1500, timeline=2),
        host("mks-db2", 1500, role="replica"),
        host("jkt-db1", 1500, role="primary"),
        replace(host("mks-db1", 1500), postgres=SILENT),
        replace(host("mks-db1", 1500), patroni=SILENT),
    ],
    ids=[
        "as far",
        "behind",
        "says nothing",
        "another timeline",
        "no leader",
        "own site",
        "down",
        "?",
    ],
)
def test_nothing_to_fetch(seen: HostObservation) -> None:
    assert surplus(ME, CLUSTER, state(), [observed(seen)], OWN) is None


@pytest.mark.parametrize(
    "recorded",
    [
        state(active="makassar"),
        state(standby=StandbyScope.QUARANTINE),
        state(promoted=False),
        replace(state(), clusters={}),
    ],
    ids=["not active", "in quarantine", "not promoted yet", "unknown cluster"],
)
def test_only_between_standbys_of_one_primary(recorded: GroupState) -> None:
    seen = [observed(host("mks-db1", 1500))]
    assert surplus(ME, CLUSTER, recorded, seen, OWN) is None


def test_each_role_has_its_own_password_while_two_take_turns(tmp_path: Path) -> None:
    """Patroni's file as it is between its writing and the reload of PostgreSQL."""
    file = tmp_path / "pgpass"
    file.write_text("fd00\\:\\:1:5432:*:replicator_2:n\\:w\nfd00\\:\\:1:5432:*:replicator:old\n")
    assert _password(file, "replicator") == "old"
    assert _password(file, "replicator_2") == "n\\:w"
    with pytest.raises(ValueError, match="no password of rewinder"):
        _password(file, "rewinder")


def test_the_line_for_an_ipv6_host_is_found_again(tmp_path: Path) -> None:
    source = replace(CLUSTER.hosts[0], address=ip_address("fd00::1"))
    passfile = tmp_path / "pgpass"
    passfile.write_text(passfile_line(source, "replicator", r"a\:b"), encoding="utf-8")
    assert passfile.read_text(encoding="utf-8").startswith(r"fd00\:\:1:5432:*:replicator:")
    assert _password(passfile, "replicator") == r"a\:b"
