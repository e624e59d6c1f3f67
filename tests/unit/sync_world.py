"""A group whose PostgreSQL servers wait for standbys, as far as that can go wrong. For one test.

The controllers, the gatherer, the plans and the permits are the real ones, on a store in memory;
only the servers are played. Each part of a server takes in a new list by itself: the server shows
it first, each walsender releases commits by what it has read itself, and the checkpointer, which
may be busy for any time, sets the mark without which a commit does not wait at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from controller_world import CLUSTER, JAKARTA, MAKASSAR, SILENT, Group
from memory_store import MemoryStore

from failover.guard.permits import AskPermit, Member, PermitInputs, decide_permit, open_session
from failover.health.listed import listed_hosts
from failover.health.observation import HostObservation, PostgresSeen, WalsenderSeen
from failover.health.relisting import WAIT_S_MAX
from failover.model import Automation, HostName, Lsn, ProtectionMode, SiteName, TimelineId
from failover.policy import DatabaseHost, Policy
from failover.state import decode_state
from failover.znode import Committed, Delete, Outcome, OutcomeUnknown, Set, Transaction

RECORD_BYTES = 0x100


@dataclass
class Server:
    """One PostgreSQL. ``log``: the commits in its WAL, in order. Texts are lists, as set."""

    host: DatabaseHost
    log: list[int] = field(default_factory=list)
    up: bool = True
    silent: bool = False
    shown: str = ""
    taken_in: str = ""  # by the checkpointer
    read_by: dict[HostName, str] = field(default_factory=dict)  # by the walsender of each standby
    has: dict[HostName, int] = field(default_factory=dict)  # what each standby said it has
    waiting: list[int] = field(default_factory=list)
    shown_at: int = 0
    timeline: int = 1
    run: int = 1

    @property
    def answers(self) -> bool:
        return self.up and not self.silent

    def shut_down(self) -> None:
        self.up, self.read_by, self.has, self.waiting = False, {}, {}, []

    def start(self) -> None:
        """PostgreSQL 17.5 and later know the mark before the first commit."""
        self.up, self.taken_in = True, self.shown
        self.run += 1


class SyncGroup(Group):
    """Jakarta active. ``acknowledged``: every commit that a client was told of."""

    def __init__(self, policy: Policy, random: Random, mode: ProtectionMode) -> None:
        self.random = random
        self.number = 0
        self.tick = 0
        self.acknowledged: set[int] = set()
        hosts = policy.cluster(CLUSTER).hosts
        self.servers = {host.name: Server(host) for host in hosts}
        self.sessions: dict[HostName, MemoryStore] = {}
        self.leads_makassar = HostName("mks-db1")
        self.late_p = 0.0  # so often a controller stands still with its step in hand
        self.late: list[tuple[MemoryStore, Transaction]] = []
        self.lateness = Random(0)
        super().__init__(replace(policy, protection=mode), Automation.MANUAL)  # it stays there

    def start(self, site: SiteName) -> None:
        super().start(site)
        store = self.stores[site]
        commit = store.commit

        def sometimes_late(transaction: Transaction) -> Outcome:
            if len(transaction) < 2 or self.lateness.random() >= self.late_p:
                return commit(transaction)
            self.late.append((store, transaction))
            return OutcomeUnknown("it stands still")

        store.commit = sometimes_late  # type: ignore[method-assign]

    def send_what_is_late(self) -> None:
        for held in [held for held in self.late if self.lateness.random() < 0.2]:
            self.late.remove(held)
            MemoryStore.commit(*held)
            self.check()

    # ------------------------------------------------------------------ the claim

    def claim(self, host: HostName) -> None:
        assert self.ask_permit(host, promotion=False)

    def ask_permit(self, host: HostName, *, promotion: bool) -> bool:
        """By the guard's own rules. Whoever gets it must have all that was acknowledged."""
        session = self.sessions[host] = self.world.session()
        me = Member(host, self.policy.host(host).site, CLUSTER, self.paths)
        assert session.session_id is not None
        assert isinstance(session.commit(open_session(me, session.session_id)), Committed)
        seen = PermitInputs(
            session_id=session.session_id,
            state=session.read(self.paths.state),
            claim=session.read(self.paths.writer(CLUSTER)),
            last_writer=session.read(self.paths.last_writer(CLUSTER)),
            wal_end=None,
            known_timeline=TimelineId(1),
            promotion=promotion,
            lease_holds=True,
            armed=True,
        )
        decision = decide_permit(me, seen)
        if not isinstance(decision, AskPermit):
            return False
        assert isinstance(session.commit(decision.transaction), Committed)
        lacks = self.acknowledged - set(self.servers[host].log)
        assert not lacks, f"{host} may write and lacks {lacks}"
        self.primary = host
        return True

    @property
    def serving(self) -> Server | None:
        server = self.servers[self.primary]
        held = self.guard.read(self.paths.writer(CLUSTER)) is not None
        return server if held and server.up else None

    # ------------------------------------------------------------------ what can happen

    def weather(self) -> list[tuple[Callable[[], None], float]]:
        """What happens in one storm, and how often: some of it not at all, some of it much."""
        usual = {
            self.write: 6.0,
            self.stream: 12.0,
            self.take_in_list: 6.0,
            self.checkpointer: 4.0,
            self.walsender: 4.0,
            self.fall_silent: 0.5,
            self.come_back: 1.0,
            self.die: 0.5,
            self.recover: 4.0,
            self.change_leader_of_makassar: 0.3,
            self.restart_in_makassar: 0.3,
            self.older_disk_in_makassar: 0.3,
            self.restart_controller: 0.2,
        }
        return [(what, often * self.random.choice((0, 1, 1, 4))) for what, often in usual.items()]

    def write(self) -> None:
        server = self.serving
        if server is None:
            return
        self.number += 1
        server.log.append(self.number)
        if server.taken_in:
            server.waiting.append(self.number)
        else:
            self.acknowledged.add(self.number)

    def stream(self) -> None:
        """One standby receives, and says so; its walsender releases what it thinks it may."""
        server, standby = self.serving, self._some_standby()
        if server is None or standby is None:
            return
        if standby.log != server.log[: len(standby.log)]:  # rewound to where they part
            self._says_what_it_has_elsewhere(server, standby)
            common = 0
            for mine, theirs in zip(standby.log, server.log, strict=False):
                if mine != theirs:
                    break
                common += 1
            del standby.log[common:]
            return
        standby.timeline = server.timeline
        upto = self.random.randint(len(standby.log), len(server.log))
        standby.log.extend(server.log[len(standby.log) : upto])
        name = standby.host.name
        server.read_by.setdefault(name, server.shown)
        server.has[name] = len(standby.log)
        self._release(server, name)

    def _says_what_it_has_elsewhere(self, server: Server, standby: Server) -> None:
        """On another branch: it is turned away, but its position was heard."""
        name = standby.host.name
        server.read_by[name], server.has[name] = server.shown, len(standby.log)
        self._release(server, name)
        del server.read_by[name], server.has[name]

    def _some_standby(self) -> Server | None:
        """Of those that stream from the primary itself."""
        found = [
            s
            for s in self.servers.values()
            if s.answers
            and s.host.name != self.primary
            and (s.host.site == JAKARTA or s.host.name == self.leads_makassar)
        ]
        return self.random.choice(found) if found else None

    def _release(self, server: Server, standby: HostName) -> None:
        """By the list that this one walsender has read, and those whose own has them in it."""
        names = listed_hosts(server.read_by[standby]) or ()
        if standby not in names:
            return
        counted = [n for n in names if n in (listed_hosts(server.read_by.get(n, "")) or ())]
        if len(counted) < len(names):
            return
        upto = min(server.has[name] for name in names)
        done = set(server.log[:upto])
        self.acknowledged |= done & set(server.waiting)
        server.waiting = [number for number in server.waiting if number not in done]

    def take_in_list(self) -> None:
        """Patroni on one host reads its scope and tells its server."""
        server = self.random.choice(list(self.servers.values()))
        if not server.up or server.host.site != JAKARTA:
            return
        server.shown, server.shown_at = self.list_in_zookeeper, self.tick

    def checkpointer(self) -> None:
        server = self.random.choice(list(self.servers.values()))
        if not server.up:
            return
        server.taken_in = server.shown
        if not server.shown:
            self.acknowledged |= set(server.waiting)
            server.waiting = []

    def walsender(self) -> None:
        server = self.servers[self.primary]
        if server.read_by:
            server.read_by[self.random.choice(sorted(server.read_by))] = server.shown

    def fall_silent(self) -> None:
        host = self.random.choice(list(self.servers.values()))
        if host.host.name != self.primary:
            host.silent = True
            self._forget(host.host.name)

    def come_back(self) -> None:
        for server in self.servers.values():
            if server.silent and self.random.random() < 0.5:
                server.silent = False

    def _forget(self, name: HostName) -> None:
        for server in self.servers.values():
            server.read_by.pop(name, None)
            server.has.pop(name, None)

    def die(self) -> None:
        server = self.serving
        if server is not None and self.random.random() < 0.5:
            server.shut_down()
            session = self.sessions[self.primary]
            session.commit((Delete(self.paths.writer(CLUSTER)),))

    def recover(self) -> None:
        """Some host of Jakarta asks for the permit: the old primary, or the replica."""
        if self.guard.read(self.paths.writer(CLUSTER)) is not None:
            return
        host = self.random.choice([HostName("jkt-db1"), HostName("jkt-db2")])
        server, same = self.servers[host], host == self.primary
        if server.silent or not self.ask_permit(host, promotion=not same):
            return
        old = self.servers[[n for n in ("jkt-db1", "jkt-db2") if n != host][0]]  # noqa: RUF015
        if not server.up:
            server.start()
        if not same:
            server.timeline += 1
        if not old.up:
            old.start()  # as a standby
        for name in self.servers:
            self._forget(name)

    def change_leader_of_makassar(self) -> None:
        self._forget(self.leads_makassar)
        names = [host.name for host in self.policy.cluster(CLUSTER).at(MAKASSAR)]
        self.leads_makassar = self.random.choice(names)
        path = self.scope(MAKASSAR).leader
        key = self.patroni.read(path)
        assert key is not None
        self.patroni.commit((Set(path, self.leads_makassar.encode(), key.version),))

    def restart_in_makassar(self) -> Server:
        """A new run, by a restart or a reboot."""
        hosts = self.policy.cluster(CLUSTER).at(MAKASSAR)
        server = self.servers[self.random.choice(hosts).name]
        server.run += 1
        self._forget(server.host.name)
        return server

    def older_disk_in_makassar(self) -> None:
        """A new run on what was there some time ago, or on a copy of a host that has less."""
        server = self.restart_in_makassar()
        del server.log[self.random.randint(len(server.log) // 2, len(server.log)) :]

    def restart_controller(self) -> None:
        site = self.random.choice(list(self.controllers))
        self.stop(site)
        self.start(site)

    # ------------------------------------------------------------------ time

    @property
    def list_in_zookeeper(self) -> str:
        found = self.config(JAKARTA).get("postgresql") or {}
        assert isinstance(found, dict)
        return str((found.get("parameters") or {}).get("synchronous_standby_names", ""))

    def storm(self, half_seconds: int) -> None:
        happenings, often = zip(*[*self.weather(), (lambda: None, 0.1)], strict=True)
        for _ in range(half_seconds):
            many = self.random.randint(0, 20)
            self.half_a_second(self.random.choices(happenings, often, k=many))

    def half_a_second(self, happenings: Sequence[Callable[[], None]]) -> None:
        """Anything, in any order; then every observer looks and every controller decides."""
        self.tick += 1
        for happens in happenings:
            happens()
            self.check()
            self.send_what_is_late()
        for server in self.servers.values():  # a signal takes no longer than that
            if server.shown_at < self.tick:
                server.read_by = dict.fromkeys(server.read_by, server.shown)
        self.run(0.5)
        self.check()

    def quiet(self, seconds: int) -> None:
        """After a long time without anything everything works, both parts of a half second."""
        self.now_s += WAIT_S_MAX
        for _ in range(2 * seconds):
            for server in self.servers.values():
                server.silent = False
                if server.host.site == JAKARTA and server.up:
                    server.shown, server.shown_at = self.list_in_zookeeper, self.tick
            self.recover()
            self.write()
            for _ in range(12):
                self.stream()
            for server in self.servers.values():
                server.taken_in = server.shown
            self.half_a_second(())

    def check(self) -> None:
        """Invariant S: whoever is on record, in the run of its server that is on record, has all
        that was acknowledged."""
        found = self.guard.read(self.paths.state)
        assert found is not None
        recorded = decode_state(found.data).clusters[CLUSTER]
        for host in recorded.have:
            if recorded.runs.get(host) != str(self.servers[host].run):
                continue
            lacks = self.acknowledged - set(self.servers[host].log)
            assert not lacks, f"{host} is on record and lacks {sorted(lacks)}"

    # ------------------------------------------------------------------ what observers see

    def _host(self, host: DatabaseHost) -> HostObservation:
        server, seen = self.servers[host.name], super()._host(host)
        if not server.answers:
            return HostObservation(host.name, SILENT, SILENT, SILENT)
        assert isinstance(seen.postgres, PostgresSeen)
        primary = self.serving is server
        end = _lsn(len(server.log))
        names = listed_hosts(server.shown) or ()
        postgres = replace(
            seen.postgres,
            in_recovery=not primary,
            timeline=TimelineId(server.timeline),
            current_lsn=end if primary else None,
            received_lsn=None if primary else end,
            replayed_lsn=None if primary else end,
            sync_names=server.shown,
            checkpointer_idle=server.taken_in == server.shown,
            started=str(server.run),
            walsenders=tuple(
                WalsenderSeen(
                    name,
                    "streaming",
                    _lsn(server.has[name]),
                    "sync" if name in names and name in (listed_hosts(text) or ()) else "async",
                )
                for name, text in sorted(server.read_by.items())
                if primary
            ),
        )
        role = "primary" if primary else "replica"
        if host.name == self.leads_makassar:
            role = "standby_leader"
        assert not isinstance(seen.patroni, type(SILENT))
        return replace(seen, postgres=postgres, patroni=replace(seen.patroni, role=role))


def _lsn(commits: int) -> Lsn:
    return Lsn(0x3000000 + commits * RECORD_BYTES)
