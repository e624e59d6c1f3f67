"""A group in memory as a controller finds it: state, scopes, claim, and what observers say."""

from __future__ import annotations

import json
from dataclasses import replace

from memory_store import MemoryStore, World

from failover.controller import Controller, TickResult
from failover.coordination.init import initialise
from failover.executor import CommandEnded
from failover.health.observation import (
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    Round,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
)
from failover.health.scope import slot_name
from failover.model import Automation, ClusterName, Epoch, HostName, Lsn, SiteName, TimelineId
from failover.policy import DatabaseHost, Policy
from failover.state import GroupState, WriterClaim, decode_state, encode_record
from failover.znode import Create, Delete, GroupPaths, ScopePaths

CLUSTER = ClusterName("marketplace")
JAKARTA, MAKASSAR, SURABAYA = (SiteName(n) for n in ("jakarta", "makassar", "surabaya"))
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer within 1 s")
START_UNIX_S = 1_800_000_000.0


class Commands:
    """Notes what would have been run."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, command: str, boottime_s: float) -> None:
        self.started.append(command)

    def ended(self, boottime_s: float) -> CommandEnded | None:
        return None


class Group:
    """Jakarta active, Makassar streaming. ``lsn`` grows with every tick while Jakarta lives."""

    def __init__(self, policy: Policy, automation: Automation = Automation.AUTO) -> None:
        self.policy = replace(policy, automation=automation)
        self.paths = GroupPaths(policy.group)
        self.world = World()
        self.guard = self.world.session()
        self.patroni = self.world.session()
        self.now_s = 1000.0
        self.lsn = 0x3000000
        self.primary = HostName("jkt-db1")
        self.jakarta_reachable = True
        self.zookeeper_leader = HostName("sby-zk1")
        self.zookeeper_silent: set[HostName] = set()
        self.commands = Commands()
        self._sequence = 0
        initialise(self.guard, self.policy, now_unix_s=START_UNIX_S, by="test")
        self._scopes()
        self.claim(self.primary)
        self.stores: dict[SiteName, MemoryStore] = {}
        self.controllers: dict[SiteName, Controller] = {}
        for site in (JAKARTA, MAKASSAR, SURABAYA):
            self.start(site)

    def start(self, site: SiteName) -> None:
        """A controller (again), with a session of its own."""
        self.stores[site] = self.world.session()
        self.controllers[site] = Controller(
            self.policy, site, self.stores[site], commands=self.commands
        )

    def stop(self, site: SiteName) -> None:
        self.stores[site].expire()
        del self.controllers[site]

    # ------------------------------------------------------------------ time

    def run(self, duration_s: float) -> list[TickResult]:
        """Half a second at a time, every controller once, in the order of the sites."""
        results = []
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            self.now_s += 0.5
            self._sequence += 1
            if self.jakarta_reachable:
                self.lsn += 1000
            for site, controller in list(self.controllers.items()):
                now_unix_s = START_UNIX_S + self.now_s
                local = Round(self.observation(site), self.now_s)
                results.append(controller.tick(now_unix_s, self.now_s, local))
        return results

    # ------------------------------------------------------------------ what is there

    @property
    def state(self) -> GroupState:
        found = self.guard.read(self.paths.state)
        assert found is not None
        return decode_state(found.data)

    def scope(self, site: SiteName) -> ScopePaths:
        return ScopePaths("/service", self.policy.cluster(CLUSTER).scope(site))

    def config(self, site: SiteName) -> dict[str, object]:
        found = self.guard.read(self.scope(site).config)
        assert found is not None
        document: dict[str, object] = json.loads(found.data)
        return document

    def history(self) -> list[str]:
        found = (
            self.guard.read(f"{self.paths.history}/{name}")
            for name in self.guard.children(self.paths.history)
        )
        return [json.loads(znode.data)["event"] for znode in found if znode is not None]

    # ------------------------------------------------------------------ what happens to it

    def claim(self, host: HostName) -> None:
        site = self.policy.host(host).site
        claim = WriterClaim(host, site, Epoch(self.state.epoch))
        path = self.paths.writer(CLUSTER)
        self.guard.commit((Create(path, encode_record(claim), ephemeral=True),))
        self.primary = host

    def release(self) -> None:
        self.guard.commit((Delete(self.paths.writer(CLUSTER)),))

    def lose_jakarta(self) -> None:
        self.jakarta_reachable = False
        self.controllers.pop(JAKARTA, None)

    # ------------------------------------------------------------------ what observers see

    def observation(self, observer: SiteName) -> SiteObservation:
        hosts = tuple(h for c in self.policy.clusters for h in c.hosts)
        return SiteObservation(
            observer=observer,
            sequence=self._sequence,
            taken_unix_s=START_UNIX_S + self.now_s,
            round_duration_s=0.05,
            hosts=tuple(self._host(host) for host in hosts),
            zookeeper=tuple(
                ZooKeeperObservation(server.name, self._zookeeper(server.name))
                for server in self.policy.zookeeper_servers
            ),
        )

    def _zookeeper(self, server: HostName) -> ZooKeeperSeen | NoAnswer:
        if server in self.zookeeper_silent:
            return SILENT
        leads = server == self.zookeeper_leader
        return ZooKeeperSeen(ZooKeeperMode.LEADER if leads else ZooKeeperMode.FOLLOWER, epoch=1)

    def _host(self, host: DatabaseHost) -> HostObservation:
        if host.site == JAKARTA and not self.jakarta_reachable:
            return HostObservation(host.name, SILENT, SILENT, SILENT)
        primary = host.name == self.primary
        position = Lsn(self.lsn)
        leads_standby = not primary and host.name.endswith("db1")
        return HostObservation(
            host.name,
            PostgresSeen(
                in_recovery=not primary,
                timeline=TimelineId(1),
                current_lsn=position if primary else None,
                received_lsn=None if primary else position,
                replayed_lsn=None if primary else position,
                receiver_streaming=None if primary else True,
                receiver_host=None,
            ),
            PatroniSeen(
                role="primary" if primary else "standby_leader" if leads_standby else "replica",
                state="running",
                timeline=TimelineId(1),
                paused=False,
            ),
            GuardSeen(
                armed=True,
                granted=primary,
                writable=primary,
                worker_alive=True,
                server_alive=True,
                epoch=int(self.state.epoch) if primary else None,
                deadline_in_s=4.0 if primary else None,
                salvaged_epoch=None,
            ),
        )

    def _scopes(self) -> None:
        for path in ("/service", *(self.scope(s).root for s in (JAKARTA, MAKASSAR))):
            self.patroni.commit((Create(path, b""),))
        active, standby = self.scope(JAKARTA), self.scope(MAKASSAR)
        config = {"ttl": 20, "loop_wait": 1}
        upstream = {
            "host": str(self.policy.host(self.primary).address),
            "port": 5432,
            "primary_slot_name": slot_name(MAKASSAR),
            "create_replica_methods": ["basebackup"],
        }
        follower = {**config, "standby_cluster": upstream}
        self.patroni.commit(
            (
                Create(active.leader, b"jkt-db1", ephemeral=True),
                Create(active.config, json.dumps(config).encode()),
                Create(active.status, b"{}"),
                Create(standby.leader, b"mks-db1", ephemeral=True),
                Create(standby.config, json.dumps(follower).encode()),
            )
        )
