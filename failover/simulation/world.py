"""Two data sites and a witness, built from one seed and a policy, with everything that runs there.

The world starts the way a real one does: ``failover init`` has created ``state``, Patroni's
configurations stand in ZooKeeper, the hosts boot. Time passes only in ``run``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

from failover.coordination.init import initialise
from failover.coordination.protection import Protection
from failover.coordination.requests import ask
from failover.coordination.settings import Setting, apply_setting
from failover.coordination.store import StoreUnavailable
from failover.guard.permits import Member
from failover.health.scope import slot_name
from failover.model import ProtectionMode, SiteName
from failover.policy import Cluster, DatabaseHost, Policy
from failover.simulation.checker import Checker
from failover.simulation.client import Client
from failover.simulation.controller import ROUND_S, UNIX_EPOCH_S, SiteController, Stack
from failover.simulation.coverage import Coverage
from failover.simulation.ensemble import Ensemble, Server
from failover.simulation.guard import Guard
from failover.simulation.kernel import Kernel, Process
from failover.simulation.network import Network
from failover.simulation.patroni import Patroni
from failover.simulation.policies import policy as default_policy
from failover.simulation.postgres import Acknowledgement, Postgres
from failover.simulation.wal import Branch
from failover.state import (
    GroupState,
    OperatorRequest,
    PlanKind,
    decode_record,
    decode_state,
)
from failover.timing import LeaseTiming, lease_timing
from failover.znode import Committed, Create, GroupPaths, ScopePaths, Set

BEAT_S = 0.1  # clients write, standbys stream, invariants are looked at
SUPERVISION_S = 0.3


class World:
    """See the module. ``round_s``: how often controllers look and observers probe.

    ``timing``: of the guards; by the policy's lease where not given.
    ``lost_answers_p``: the chance that ZooKeeper's answer to a write is lost.
    """

    def __init__(
        self,
        seed: int,
        policy: Policy | None = None,
        *,
        log: bool = False,
        round_s: float = ROUND_S,
        timing: LeaseTiming | None = None,
    ) -> None:
        self.policy = policy if policy is not None else default_policy()
        self.seed = seed
        self.timing = timing if timing is not None else lease_timing(self.policy.lease_s)
        self.kernel = Kernel(seed)
        if log:
            self.kernel.log = []
        self.network = Network(self.kernel)
        self.paths = GroupPaths(self.policy.group)
        self.lost_answers_p = 0.0
        self.round_s = round_s
        servers = [
            Server(self.network.add(server.name, server.site), server.myid)
            for server in self.policy.zookeeper_servers
        ]
        self.ensemble = Ensemble(self.kernel, self.network, servers)
        self.checker = Checker(self)
        self.coverage = Coverage()
        self.ensemble.on_commit.append(self.checker.committed)
        self.stacks: dict[str, Stack] = {}
        self._patches: list[tuple[str, Callable[[bytes], bytes]]] = []
        self._servers: dict[str, tuple[Postgres, ...]] = {}
        self._addresses = {
            str(host.address): host.name
            for cluster in self.policy.clusters
            for host in cluster.hosts
        }
        self._acknowledgements: dict[str, list[Acknowledgement]] = {}
        self._initialise()
        self.coverage.begun()
        for cluster in self.policy.clusters:
            self._add_cluster(cluster)
        self.controllers = {site.name: self._controller(site.name) for site in self.policy.sites}
        for controller in self.controllers.values():
            controller.on_turn = self.coverage.turn
            controller.launch()
        self.kernel.every(BEAT_S, self._beat)
        self.kernel.every(SUPERVISION_S, self._supervise)

    def run(self, duration_s: float) -> None:
        self.kernel.run(self.kernel.now + duration_s)

    def close(self) -> None:
        self.kernel.close()

    # ------------------------------------------------------------------ what is there

    @property
    def state(self) -> GroupState:
        """The committed ``state``, as nobody in the world can see it for sure."""
        return decode_state(self.ensemble.tree[self.paths.state].znode.data)

    def servers(self, cluster: str) -> tuple[Postgres, ...]:
        return self._servers[cluster]

    def acknowledgements(self, cluster: str) -> list[Acknowledgement]:
        """All of them, in the order of time."""
        return self._acknowledgements[cluster]

    def at(self, site: str) -> Iterator[Stack]:
        return (stack for stack in self.stacks.values() if stack.host.site == site)

    def scope(self, cluster: Cluster, site: SiteName) -> ScopePaths:
        return ScopePaths(self.policy.patroni_namespace, cluster.scope(site))

    def writable(self, cluster: str) -> tuple[Stack, ...]:
        """The hosts that HAProxy would send clients to."""
        return tuple(
            s for s in self.stacks.values() if s.server.cluster == cluster and s.guard.writable()
        )

    # ------------------------------------------------------------------ what is done to it

    def power_off(self, name: str) -> None:
        """A host loses its power: every process on it, and every client's connection."""
        host = self.network.hosts[name]
        if not host.up:
            return
        stack = self.stacks.get(name)
        if stack is not None:
            stack.patroni.kill()
            stack.guard.kill()
            stack.server.power_off()
        for controller in self.controllers.values():
            if controller.host is host:
                controller.kill()
        host.kill()

    def power_on(self, name: str) -> None:
        host = self.network.hosts[name]
        if not host.up:
            host.boot()  # systemd does the rest

    def freeze(self, name: str) -> None:
        host = self.network.hosts[name]
        if host.up:
            host.freeze()

    def thaw(self, name: str) -> None:
        host = self.network.hosts[name]
        if host.frozen:
            self.checker.thawed(name)
            host.thaw()

    def heal(self) -> None:
        """Whatever is still broken works again."""
        self.lost_answers_p = 0.0
        self.network.heal()
        for name in self.network.hosts:
            self.thaw(name)
            self.power_on(name)
        for stack in self.stacks.values():
            stack.patroni.enabled = stack.guard.enabled = True
            stack.patroni.stuck = False
            stack.patroni.thaw()
            stack.server.end_stall()
            stack.server.thaw()
        for controller in self.controllers.values():
            controller.enabled = True

    def operator_patches(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """An operator changes a znode; one change after the other, each until it has happened."""
        self._patches.append((path, change))
        if len(self._patches) == 1:
            self.kernel.spawn("operator", self._operate)

    def operator_asks(
        self, to_site: str, *, limit_s: float = 15.0, kind: PlanKind = PlanKind.SWITCHOVER
    ) -> None:
        """``failover switchover --to``, or ``failover takeover --to --accept-data-loss``: put
        before the controllers, whatever comes of it."""

        def go() -> None:
            store = Client(self.ensemble, self._operator, self.ensemble.servers, session_s=8.0)
            self.kernel.sleep(0.2)
            now_unix_s = UNIX_EPOCH_S + self.kernel.now
            request = OperatorRequest(
                id=f"s-{self.kernel.random.getrandbits(32):08x}",
                kind=kind,
                to_site=SiteName(to_site),
                by="operator",
                reason="it is broken",
                at_unix_s=now_unix_s,
                answer_by_unix_s=now_unix_s + 10.0,
                limit_s=limit_s,
                accept_data_loss=kind is PlanKind.TAKEOVER,
            )
            with suppress(StoreUnavailable):
                ask(store, self.paths, request, now_unix_s=now_unix_s)
            store.close()

        self.kernel.spawn("operator asks", go)

    def operator_gives_up_protection(self) -> None:
        """``failover protection max-performance --accept-data-loss``."""
        protection = Protection(self.policy, ProtectionMode.MAX_PERFORMANCE, accept_data_loss=True)
        setting = Setting(
            "protection",
            "protection is max-performance from now on",
            "operator",
            {},
            protection.change,
            protection.beside,
        )

        def go() -> None:
            store = Client(self.ensemble, self._operator, self.ensemble.servers, session_s=8.0)
            self.kernel.sleep(0.2)
            now_unix_s = UNIX_EPOCH_S + self.kernel.now
            with suppress(StoreUnavailable):
                apply_setting(store, self.policy, setting, now_unix_s=now_unix_s)
            store.close()

        self.kernel.spawn("operator gives protection up", go)

    @property
    def request(self) -> OperatorRequest | None:
        """The operator's request as it stands."""
        node = self.ensemble.tree.get(self.paths.request)
        if node is None:
            return None
        return decode_record(OperatorRequest, node.znode.data, path=self.paths.request)

    def _operate(self) -> None:
        store = Client(self.ensemble, self._operator, self.ensemble.servers, session_s=8.0)
        while self._patches:
            path, change = self._patches[0]
            self.kernel.sleep(0.2)
            with suppress(StoreUnavailable):
                store.sync()
                found = store.read(path)
                assert found is not None
                patch = Set(path, change(found.data), found.version)
                if isinstance(store.commit((patch,)), Committed):
                    self._patches.pop(0)
        store.close()

    # ------------------------------------------------------------------ building

    def _initialise(self) -> None:
        self._operator = self.network.add("operator", "surabaya")
        store = Client(self.ensemble, self._operator, self.ensemble.servers, session_s=8.0)
        store.commit((Create("/service", b""),))
        done = initialise(store, self.policy, now_unix_s=UNIX_EPOCH_S, by="init")
        self.checker.state_created(done.state)  # type: ignore[union-attr]
        first = self.policy.initial_site
        other = self.policy.other_data_site(first).name
        for cluster in self.policy.clusters:
            slot = {slot_name(other): {"type": "physical", "cluster_type": "primary"}}
            standby = {
                "host": str(cluster.at(first)[0].address),
                "port": 5432,
                "primary_slot_name": slot_name(other),
                "create_replica_methods": ["basebackup"],
            }
            for site, config in ((first, {"slots": slot}), (other, {"standby_cluster": standby})):
                paths = self.scope(cluster, site)
                data = json.dumps(config).encode()
                store.commit((Create(paths.root, b""), Create(paths.config, data)))
        store.close()

    def _add_cluster(self, cluster: Cluster) -> None:
        branch = Branch(1)
        self._acknowledgements[cluster.name] = []
        hosts = {
            config.name: self.network.add(config.name, config.site) for config in cluster.hosts
        }
        servers = {
            name: Postgres(self.kernel, self.network, host, cluster.name, branch)
            for name, host in hosts.items()
        }
        self._servers[cluster.name] = tuple(servers.values())
        for config in cluster.hosts:
            server = servers[config.name]
            server.acknowledged = self._acknowledgements[cluster.name]
            server.standby_names = frozenset(name for name in servers if name != config.name)
            server.peers = tuple(one for one in servers.values() if one is not server)
            server.became_writable = self.checker.became_writable
            server.is_rewound = self.checker.rewound
            stack = self._stack(cluster, config, server)
            self.stacks[config.name] = stack
            stack.guard.launch()
            stack.patroni.launch()

    def _stack(self, cluster: Cluster, config: DatabaseHost, server: Postgres) -> Stack:
        scope = self.scope(cluster, config.site)
        listed = [
            server for server in self.ensemble.servers if server.host.site in self._data_sites()
        ]
        host = server.host

        def connect(process: Process, session_s: float, resume: int | None = None) -> Client:
            return Client(
                self.ensemble,
                host,
                listed,
                session_s=session_s,
                limit_s=self.timing.answer_limit_s,
                owner=process,
                resume=resume,
                lost_answers=self._loses_answer,
            )

        guard = Guard(
            self.kernel,
            server,
            Member(config.name, config.site, cluster.name, self.paths),
            self.timing,
            scope,
            lambda process, resume: connect(process, self.timing.session_ms / 1000, resume),
        )
        patroni = Patroni(
            self.kernel,
            self.network,
            server,
            scope,
            self.timing,
            lambda process: connect(process, self.timing.patroni_ttl_s),
            guard,
            lambda: self._peers(cluster, config.site),
            lambda address: self._by_address(cluster, address),
        )
        server.answers_leave = lambda: guard.door.opens
        return Stack(config, server, patroni, guard)

    def _controller(self, site: SiteName) -> SiteController:
        host = self.network.add(self.policy.site(site).controller.name, site)
        return SiteController(
            self.kernel,
            self.network,
            self.ensemble,
            self.policy,
            site,
            host,
            self.stacks,
            self._loses_answer,
            self.round_s,
        )

    def _data_sites(self) -> tuple[SiteName, ...]:
        return tuple(site.name for site in self.policy.data_sites)

    def _peers(self, cluster: Cluster, site: SiteName) -> tuple[Patroni, ...]:
        return tuple(self.stacks[host.name].patroni for host in cluster.at(site))

    def _by_address(self, cluster: Cluster, address: str) -> Postgres | None:
        name = self._addresses.get(address)
        found = self.stacks[name].server if name is not None else None
        return found if found is not None and found.cluster == cluster.name else None

    def _loses_answer(self) -> bool:
        return self.lost_answers_p > 0 and self.kernel.random.random() < self.lost_answers_p

    # ------------------------------------------------------------------ time

    def _beat(self) -> None:
        for cluster, servers in self._servers.items():
            for server in servers:
                server.write()
            for server in servers:
                server.stream()
            for server in servers:
                server.miss_standbys()
            self.checker.single_writer(cluster)
            self.checker.sync.look(cluster)

    def _supervise(self) -> None:
        """systemd on every host."""
        for stack in self.stacks.values():
            stack.guard.supervise()
            if stack.host.answers and not stack.patroni.alive and stack.patroni.enabled:
                stack.patroni.launch()
        for controller in self.controllers.values():
            if controller.enabled and controller.host.answers and not controller.alive:
                controller.launch()
