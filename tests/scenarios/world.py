"""A small world that scenarios change line by line, and the inputs that a gatherer reads of it.

It begins healthy: Jakarta active in epoch 1 on jkt-db1, Makassar streaming through mks-db1, the
ensemble led by the witness. It knows no rules of the core: it only says what would be seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from failover.config import parse
from failover.health.inputs import (
    ClaimSeen,
    ConfigSeen,
    Glanced,
    HostSilence,
    LastWriterSeen,
    LeaderKeySeen,
    LsnSample,
    ObserverSeen,
    RequestSeen,
    ScopeSeen,
    StateSeen,
    StoppedSeen,
    SyncSeen,
    ViewInputs,
)
from failover.health.observation import (
    FlushSeen,
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
from failover.health.view import View, build_view
from failover.history import HeadSeen
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
from failover.policy import DatabaseHost, Policy
from failover.residency.findings import Finding, HostScan
from failover.state import (
    ClusterState,
    GroupState,
    HistoryHead,
    SalvageProgress,
    StandbyScope,
    WriterClaim,
)

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"
JAKARTA, MAKASSAR, SURABAYA = (SiteName(n) for n in ("jakarta", "makassar", "surabaya"))
NOW_UNIX_S = 1_800_000_000.0
STATE_VERSION = 7
HEAD = HeadSeen(HistoryHead(number=12, sha256="5f" * 32), version=11)
CONFIG_VERSION = 4
WRITER_VERSION = 2
END_OF_WAL = Lsn.parse("0/5000000")
FIRST_RUN, SECOND_RUN = "1799000000.5", "1799999990.5"

TIMED_OUT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer within 1 s")
REFUSED = NoAnswer(NoAnswerKind.REFUSED, "connection refused")
GUARD = GuardSeen(
    armed=True,
    granted=False,
    writable=False,
    worker_alive=True,
    server_alive=True,
    epoch=None,
    deadline_in_s=None,
    salvaged_epoch=None,
)


@cache
def policy_of(clusters: int = 1, hosts: int = 2) -> Policy:
    """The lab's policy; with two clusters ``escrow`` lives beside ``marketplace``. ``hosts``: of
    one cluster, at each site."""
    document = yaml.safe_load(CONFIG.read_text())
    if hosts == 3:
        at = document["clusters"]["marketplace"]["hosts"]
        at["jakarta"].append({"name": "jkt-db3", "address": "10.77.1.13"})
        at["makassar"].append({"name": "mks-db3", "address": "10.77.2.13"})
    if clusters == 2:
        document["clusters"]["escrow"] = {
            "proxy_port": 5001,
            "hosts": {
                "jakarta": [
                    {"name": "jkt-db3", "address": "10.77.1.13"},
                    {"name": "jkt-db4", "address": "10.77.1.14"},
                ],
                "makassar": [
                    {"name": "mks-db3", "address": "10.77.2.13"},
                    {"name": "mks-db4", "address": "10.77.2.14"},
                ],
            },
        }
    return parse(yaml.safe_dump(document))


def primary(timeline: int = 1) -> PostgresSeen:
    return PostgresSeen(
        in_recovery=False,
        timeline=TimelineId(timeline),
        current_lsn=END_OF_WAL,
        received_lsn=None,
        replayed_lsn=None,
        receiver_streaming=None,
        receiver_host=None,
    )


def standby(upstream: str, timeline: int = 1) -> PostgresSeen:
    return PostgresSeen(
        in_recovery=True,
        timeline=TimelineId(timeline),
        current_lsn=None,
        received_lsn=END_OF_WAL,
        replayed_lsn=END_OF_WAL,
        receiver_streaming=True,
        receiver_host=upstream,
        started=FIRST_RUN,
    )


@dataclass
class Scope:
    """One Patroni scope as its znodes say."""

    leader: LeaderKeySeen | None
    config: dict[str, Any] | None
    status_version: int | None = 3
    failover_version: int | None = None
    failover_candidate: str = ""
    sync_version: int | None = None


@dataclass
class Host:
    postgres: PostgresSeen | NoAnswer
    patroni: PatroniSeen | NoAnswer
    guard: GuardSeen | NoAnswer = GUARD


@dataclass
class World:
    """Everything that can be seen. Change it, then ask for its ``view()``."""

    policy: Policy
    state: GroupState | None
    state_problem: str = ""
    store_problem: str = ""
    store_forbidden: bool = False
    hosts: dict[HostName, Host] = field(default_factory=dict)
    claims: dict[ClusterName, ClaimSeen] = field(default_factory=dict)
    scopes: dict[tuple[ClusterName, SiteName], Scope] = field(default_factory=dict)
    observer_age_s: dict[SiteName, float | None] = field(default_factory=dict)
    zookeeper: dict[HostName, ZooKeeperSeen | NoAnswer] = field(default_factory=dict)
    cut: set[tuple[SiteName, SiteName]] = field(default_factory=set)  # observer, site not reached
    silent_s: dict[HostName, float] = field(default_factory=dict)
    last_timeline: dict[HostName, TimelineId | None] = field(default_factory=dict)
    samples: list[LsnSample] = field(default_factory=list)
    flushed: list[FlushSeen] = field(default_factory=list)
    salvage: list[SalvageProgress] = field(default_factory=list)
    stopped: list[StoppedSeen] = field(default_factory=list)
    glances: list[Glanced] = field(default_factory=list)
    writers: dict[ClusterName, LastWriterSeen] = field(default_factory=dict)
    sync: dict[ClusterName, SyncSeen] = field(default_factory=dict)
    zookeeper_restarts_s_ago: tuple[float, ...] = ()
    ensemble_unchanged_for_s: float = 3600.0
    request: RequestSeen | None = None
    history_head: HeadSeen = HEAD
    findings: list[Finding] = field(default_factory=list)
    reader: SiteName = SURABAYA

    @classmethod
    def healthy(cls, clusters: int = 1, hosts: int = 2) -> World:
        policy = policy_of(clusters, hosts)
        world = cls(policy=policy, state=_state(policy))
        world.observer_age_s = {site.name: 0.4 for site in policy.sites}
        for server in policy.zookeeper_servers:
            mode = ZooKeeperMode.LEADER if server.site == SURABAYA else ZooKeeperMode.FOLLOWER
            world.zookeeper[server.name] = ZooKeeperSeen(mode, epoch=3)
        for cluster in policy.clusters:
            world.arrange(cluster.name, JAKARTA, Epoch(1))
        return world

    def arrange(self, name: ClusterName, active: SiteName, epoch: Epoch) -> None:
        """The cluster works at ``active``; the other site streams from its first host."""
        cluster = self.policy.cluster(name)
        other = self.policy.other_data_site(active).name
        first, *others = cluster.at(active)
        held = replace(
            GUARD,
            granted=True,
            writable=True,
            epoch=int(epoch),
            deadline_in_s=4.0,
            answered_s_ago=2.0,
        )
        self.hosts[first.name] = Host(primary(epoch), _patroni("primary", epoch), held)
        self.claims[name] = ClaimSeen(
            cluster=name,
            claim=WriterClaim(host=first.name, site=active, epoch=epoch),
            unchanged_for_s=3600.0,
            session_id=0x1001,
        )
        self.writers[name] = LastWriterSeen(name, first.name, WRITER_VERSION)
        self._stream(tuple(others), first, "replica", epoch)
        leader, *replicas = cluster.at(other)
        self._stream((leader,), first, "standby_leader", epoch)
        self._stream(tuple(replicas), leader, "replica", epoch)
        self.scopes[name, active] = Scope(_key(first), {"ttl": 20, "loop_wait": 1})
        self.scopes[name, other] = Scope(_key(leader), _standby_config(first, other))
        self.samples += [
            LsnSample(
                name,
                first.name,
                float(age_s),
                Lsn(END_OF_WAL.bytes - 1024 * age_s),
                TimelineId(epoch),
            )
            for age_s in range(61)
        ]

    def _stream(
        self, hosts: tuple[DatabaseHost, ...], source: DatabaseHost, role: str, epoch: Epoch
    ) -> None:
        for host in hosts:
            seen = standby(str(source.address), epoch)
            self.hosts[host.name] = Host(seen, _patroni(role, epoch))

    def age_samples(self, seconds: float, cluster: str | None = None) -> None:
        self.samples = [
            replace(s, age_s=s.age_s + seconds) if cluster in (None, s.cluster) else s
            for s in self.samples
        ]

    def inputs(self) -> ViewInputs:
        """What the gatherer at ``reader`` would hand over."""
        return ViewInputs(
            now_unix_s=NOW_UNIX_S,
            reader=self.reader,
            state=StateSeen(
                self.state,
                STATE_VERSION if self.state or self.state_problem else None,
                self.state_problem,
            ),
            claims=tuple(self.claims.values()),
            scopes=tuple(self._scope(key) for key in self.scopes),
            observers=tuple(
                ObserverSeen(site, self._observation(site), age_s)
                for site, age_s in self.observer_age_s.items()
                if age_s is not None
            ),
            stopped=tuple(self.stopped),
            salvage=tuple(self.salvage),
            silences=tuple(
                HostSilence(
                    host,
                    self.silent_s.get(host, 0.0),
                    self.last_timeline.get(host, TimelineId(1)),
                )
                for host in self.hosts
            ),
            samples=tuple(self.samples),
            flushed=tuple(self.flushed),
            last_writers=tuple(self.writers.values()),
            glances=tuple(self.glances),
            sync=tuple(self.sync.values()),
            store_problem=self.store_problem,
            store_forbidden=self.store_forbidden,
            zookeeper_restarts_s_ago=self.zookeeper_restarts_s_ago,
            ensemble_unchanged_for_s=self.ensemble_unchanged_for_s,
            request=self.request,
            history_head=self.history_head,
        )

    def view(self) -> View:
        return build_view(self.policy, self.inputs())

    def _scope(self, key: tuple[ClusterName, SiteName]) -> ScopeSeen:
        scope = self.scopes[key]
        config = None
        if scope.config is not None:
            config = ConfigSeen(json.dumps(scope.config), CONFIG_VERSION)
        return ScopeSeen(
            cluster=key[0],
            site=key[1],
            leader=scope.leader,
            config=config,
            status_version=scope.status_version,
            failover_version=scope.failover_version,
            failover_candidate=scope.failover_candidate,
            sync_version=scope.sync_version,
        )

    def _observation(self, observer: SiteName) -> SiteObservation:
        hosts = [host for cluster in self.policy.clusters for host in cluster.hosts]
        return SiteObservation(
            observer=observer,
            sequence=1,
            taken_unix_s=NOW_UNIX_S,
            round_duration_s=0.1,
            hosts=tuple(self._host(observer, host) for host in hosts),
            zookeeper=tuple(
                ZooKeeperObservation(
                    server.name,
                    TIMED_OUT
                    if (observer, server.site) in self.cut
                    else self.zookeeper[server.name],
                )
                for server in self.policy.zookeeper_servers
            ),
            residency=tuple(
                HostScan(
                    host.name,
                    0.5,
                    12.0,
                    "",
                    tuple(found for found in self.findings if found.host == host.name),
                    (),
                )
                for host in hosts
                if host.site == observer
            ),
        )

    def _host(self, observer: SiteName, host: DatabaseHost) -> HostObservation:
        if (observer, host.site) in self.cut:
            return HostObservation(host.name, TIMED_OUT, TIMED_OUT, TIMED_OUT)
        seen = self.hosts[host.name]
        return HostObservation(host.name, seen.postgres, seen.patroni, seen.guard)


def _state(policy: Policy) -> GroupState:
    return GroupState(
        group=policy.group,
        epoch=Epoch(1),
        active_site=JAKARTA,
        clusters={
            cluster.name: ClusterState(
                min_lsn=Lsn(0),
                timeline=TimelineId(1),
                promoted=True,
                standby=StandbyScope.FOLLOWING,
            )
            for cluster in policy.clusters
        },
        protection=ProtectionMode.MAX_PERFORMANCE,
        in_sync=False,
        automation=Automation.AUTO,
        epoch_started_unix_s=NOW_UNIX_S - 86_400,
    )


def _patroni(role: str, timeline: int) -> PatroniSeen:
    state = "running" if role == "primary" else "streaming"
    return PatroniSeen(role=role, state=state, timeline=TimelineId(timeline), paused=False)


def _key(host: DatabaseHost) -> LeaderKeySeen:
    return LeaderKeySeen(str(host.name), version=0, ephemeral_owner=0x2001, children_count=0)


def _standby_config(upstream: DatabaseHost, own: SiteName) -> dict[str, Any]:
    return {
        "ttl": 20,
        "loop_wait": 1,
        "standby_cluster": {
            "host": str(upstream.address),
            "port": upstream.postgres_port,
            "primary_slot_name": f"failover_{own}",
            "create_replica_methods": ["basebackup"],
        },
    }
