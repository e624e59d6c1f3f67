"""A small healthy world for the tests of the command line, as inputs of a view."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from failover.config import load
from failover.health.inputs import (
    ClaimSeen,
    ConfigSeen,
    LeaderKeySeen,
    LsnSample,
    ObserverSeen,
    ScopeSeen,
    StateSeen,
    ViewInputs,
)
from failover.health.observation import (
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
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
from failover.policy import Policy
from failover.residency.findings import HostScan
from failover.state import (
    ClusterState,
    GroupState,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    WriterClaim,
)

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"
POLICY: Policy = load(CONFIG)
CLUSTER = ClusterName("marketplace")
NOW_UNIX_S = 1_760_000_000.0
JAKARTA, MAKASSAR, SURABAYA = (SiteName(n) for n in ("jakarta", "makassar", "surabaya"))
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer within 1 s")
REFUSED = NoAnswer(NoAnswerKind.REFUSED, "connection refused")

STATE = GroupState(
    group=POLICY.group,
    epoch=Epoch(3),
    active_site=JAKARTA,
    clusters={
        CLUSTER: ClusterState(
            min_lsn=Lsn.parse("0/3000148"),
            timeline=TimelineId(3),
            promoted=True,
            standby=StandbyScope.FOLLOWING,
        )
    },
    protection=ProtectionMode.MAX_PERFORMANCE,
    in_sync=False,
    automation=Automation.AUTO,
)


def primary(lsn: str = "0/5000148") -> PostgresSeen:
    return PostgresSeen(
        in_recovery=False,
        timeline=TimelineId(3),
        current_lsn=Lsn.parse(lsn),
        received_lsn=None,
        replayed_lsn=None,
        receiver_streaming=None,
        receiver_host=None,
    )


def standby(lsn: str = "0/5000148", replayed: str | None = None) -> PostgresSeen:
    return PostgresSeen(
        in_recovery=True,
        timeline=TimelineId(3),
        current_lsn=None,
        received_lsn=Lsn.parse(lsn),
        replayed_lsn=Lsn.parse(replayed or lsn),
        receiver_streaming=True,
        receiver_host="10.77.1.11",
    )


def patroni(role: str) -> PatroniSeen:
    state = "running" if role in ("primary", "standby_leader") else "streaming"
    return PatroniSeen(role=role, state=state, timeline=TimelineId(3), paused=False)


def guard(*, writable: bool = False) -> GuardSeen:
    return GuardSeen(
        armed=True,
        granted=writable,
        writable=writable,
        worker_alive=True,
        server_alive=True,
        epoch=3 if writable else None,
        deadline_in_s=4.2 if writable else None,
        salvaged_epoch=None,
    )


HOSTS = {
    "jkt-db1": HostObservation(
        HostName("jkt-db1"), primary(), patroni("primary"), guard(writable=True)
    ),
    "jkt-db2": HostObservation(HostName("jkt-db2"), standby(), patroni("replica"), guard()),
    "mks-db1": HostObservation(
        HostName("mks-db1"), standby("0/5000000"), patroni("standby_leader"), guard()
    ),
    "mks-db2": HostObservation(
        HostName("mks-db2"), standby("0/4000000"), patroni("replica"), guard()
    ),
}


def silent(name: str) -> HostObservation:
    return HostObservation(HostName(name), SILENT, SILENT, SILENT)


def observer(
    site: SiteName,
    hosts: dict[str, HostObservation],
    *,
    leader: str = "sby-zk1",
    silent_servers: tuple[str, ...] = (),
    age_s: float = 0.4,
) -> ObserverSeen:
    servers = tuple(
        ZooKeeperObservation(
            server.name,
            SILENT
            if server.name in silent_servers
            else ZooKeeperSeen(
                ZooKeeperMode.LEADER if server.name == leader else ZooKeeperMode.FOLLOWER, 7
            ),
        )
        for server in POLICY.zookeeper_servers
    )
    observation = SiteObservation(
        observer=site,
        sequence=1,
        taken_unix_s=NOW_UNIX_S,
        round_duration_s=0.1,
        hosts=tuple(hosts.values()),
        zookeeper=servers,
        residency=tuple(
            HostScan(name, 0.5, 12.0, "", (), ())
            for name in (seen.host for seen in hosts.values())
            if POLICY.host(name).site == site
        ),
    )
    return ObserverSeen(site, observation, age_s)


def scope(
    site: SiteName,
    leader: str,
    *,
    upstream: str | None = None,
    quarantine: bool = False,
    fenced: bool = False,
) -> ScopeSeen:
    document: dict[str, object] = {"ttl": 20}
    if upstream:
        document["standby_cluster"] = {"host": upstream, "port": 5432}
    if quarantine:
        document["standby_cluster"] = {"restore_command": "false"}
    owner, children = (0, 1) if fenced else (0x1000, 0)
    return ScopeSeen(
        cluster=CLUSTER,
        site=site,
        leader=LeaderKeySeen(leader, 4, owner, children),
        config=ConfigSeen(json.dumps(document), 2),
    )


def healthy() -> ViewInputs:
    """Everything as it should be; Jakarta is active."""
    return ViewInputs(
        now_unix_s=NOW_UNIX_S,
        reader=SURABAYA,
        state=StateSeen(STATE, version=11),
        claims=(
            ClaimSeen(
                CLUSTER,
                WriterClaim(HostName("jkt-db1"), JAKARTA, Epoch(3)),
                unchanged_for_s=120.0,
                session_id=0x2000,
            ),
        ),
        scopes=(
            scope(JAKARTA, "jkt-db1"),
            scope(MAKASSAR, "mks-db1", upstream="10.77.1.11"),
        ),
        observers=tuple(observer(site.name, HOSTS) for site in POLICY.sites),
        samples=tuple(
            LsnSample(CLUSTER, HostName("jkt-db1"), age_s, Lsn.parse(lsn), TimelineId(3))
            for age_s, lsn in ((0.5, "0/5000148"), (1.5, "0/5000000"), (31.0, "0/3000000"))
        ),
    )


def jakarta_gone() -> ViewInputs:
    """Nobody reaches Jakarta, its claim is gone; Makassar has not taken over yet."""
    hosts = {**HOSTS, "jkt-db1": silent("jkt-db1"), "jkt-db2": silent("jkt-db2")}
    living = tuple(
        observer(site, hosts, silent_servers=("jkt-zk1",)) for site in (MAKASSAR, SURABAYA)
    )
    return replace(
        healthy(),
        claims=(ClaimSeen(CLUSTER, None, unchanged_for_s=1.5),),
        observers=(ObserverSeen(JAKARTA, None, 0.0), *living),
    )


def jakarta_returned() -> ViewInputs:
    """Makassar is active in epoch 4; Jakarta's hosts are back and stand in quarantine."""
    makassar = WriterClaim(HostName("mks-db1"), MAKASSAR, Epoch(4))
    active = replace(
        STATE.clusters[CLUSTER], standby=StandbyScope.QUARANTINE, timeline=TimelineId(4)
    )
    state = replace(STATE, epoch=Epoch(4), active_site=MAKASSAR).with_cluster(CLUSTER, active)
    on_four = replace(primary("0/6000000"), timeline=TimelineId(4))
    stands = replace(standby("0/5000200"), receiver_streaming=False)
    hosts = {
        "mks-db1": HostObservation(
            HostName("mks-db1"), on_four, patroni("primary"), guard(writable=True)
        ),
        "mks-db2": HostObservation(
            HostName("mks-db2"),
            replace(standby("0/6000000"), timeline=TimelineId(4)),
            patroni("replica"),
            guard(),
        ),
        "jkt-db1": HostObservation(HostName("jkt-db1"), stands, patroni("replica"), guard()),
        "jkt-db2": HostObservation(HostName("jkt-db2"), REFUSED, patroni("replica"), guard()),
    }
    return replace(
        healthy(),
        state=StateSeen(state, version=13),
        claims=(ClaimSeen(CLUSTER, makassar, unchanged_for_s=300.0, session_id=0x3000),),
        scopes=(
            scope(JAKARTA, "fenced by failover, epoch 4", quarantine=True, fenced=True),
            scope(MAKASSAR, "mks-db1"),
        ),
        observers=tuple(observer(s.name, hosts, leader="mks-zk1") for s in POLICY.sites),
        samples=(
            LsnSample(CLUSTER, HostName("mks-db1"), 0.5, Lsn.parse("0/6000000"), TimelineId(4)),
        ),
        salvage=(
            SalvageProgress(
                host=HostName("jkt-db1"),
                site=JAKARTA,
                epoch=Epoch(4),
                phase=SalvagePhase.COPYING,
                from_lsn=Lsn.parse("0/5000000"),
                end_of_wal=Lsn.parse("0/5000200"),
                segments=1,
                bytes=16 * 1024**2,
                directory="/var/lib/failover/salvage/4",
            ),
        ),
    )
