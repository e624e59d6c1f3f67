"""The worker's desk against ZooKeeper in memory: what it reports and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from guard_world import Host
from memory_store import MemoryStore, World

from failover.config import load
from failover.coordination.init import initialise
from failover.guard.desk import Desk, _Waiting
from failover.guard.messages import (
    ClaimRead,
    FromWorker,
    MinderStatus,
    PermitAsk,
    Purpose,
    StateRead,
)
from failover.guard.permits import Member
from failover.guard.records import boot_id
from failover.model import ClusterName, GroupName, HostName, SiteName
from failover.policy import Policy
from failover.state import GroupState, PlanKind, PlanRecord, encode_state
from failover.znode import Committed, Create, GroupPaths, ScopePaths, Set, Znode
from tests.scenarios.world import World as Seen

CLUSTER = ClusterName("marketplace")
GRANTED = MinderStatus(
    granted=True,
    permits_seen=0,
    session_id=0x1001,
    deadline_s=1e12,
    server_alive=True,
    in_production=True,
    demoted=False,
)


class Connection(MemoryStore):
    """One that may be lost right after a read, like kazoo's: then it names no session."""

    lost_after_read = False
    on_sync: Callable[[], None] | None = None

    def sync(self) -> None:
        super().sync()
        if self.on_sync is not None:
            self.on_sync()

    def read_many(self, paths: Iterable[str]) -> dict[str, Znode | None]:
        found = {path: self.read(path) for path in paths}
        self.silent = self.lost_after_read
        return found

    def wake_on(self, path: str, callback: Callable[[], None]) -> None:
        pass


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(Path(__file__).parents[2] / "tests" / "open.yaml")


@pytest.fixture
def connection() -> Connection:
    return Connection(World(), GRANTED.session_id or 0)


@pytest.fixture
def said() -> list[FromWorker]:
    return []


@pytest.fixture
def prepared() -> list[GroupState]:
    """With which state a promotion was prepared."""
    return []


@pytest.fixture
def lists() -> list[str]:
    """Every time the desk said that the configuration of its scope is another one."""
    return []


@pytest.fixture
def desk(
    policy: Policy,
    tmp_path: Path,
    connection: Connection,
    said: list[FromWorker],
    prepared: list[GroupState],
    lists: list[str],
) -> Desk:
    host = policy.host(HostName("jkt-db1"))
    me = Member(host.name, host.site, host.cluster, GroupPaths(policy.group))
    scope = ScopePaths(policy.patroni_namespace, policy.cluster(host.cluster).scope(host.site))
    places = Host(tmp_path).places
    made = Desk(
        me,
        host,
        scope,
        places,
        boot_id(),
        connection,  # type: ignore[arg-type]
        said.append,
        lambda state: None,
        prepared.append,
        lambda: lists.append("changed"),
        armed=True,
    )
    made.status(GRANTED)
    return made


def create(connection: Connection, path: str, data: bytes) -> None:
    parents = [str(parent) for parent in PurePosixPath(path).parents][-2::-1]
    missing = [Create(parent, b"") for parent in parents if connection.read(parent) is None]
    outcome = connection.commit((*missing, Create(path, data, ephemeral=True)))
    assert isinstance(outcome, Committed)


def claims_read(said: list[FromWorker]) -> list[bool]:
    return [message.own for message in said if isinstance(message, ClaimRead)]


class TestTheClaimUnderAGrant:
    def hold(self, policy: Policy, connection: Connection) -> None:
        """The claim, and Patroni's key, which would otherwise be asked for a second time."""
        cluster = policy.cluster(ClusterName("marketplace"))
        scope = ScopePaths(policy.patroni_namespace, cluster.scope(SiteName("jakarta")))
        create(connection, GroupPaths(policy.group).writer(cluster.name), b"")
        create(connection, scope.leader, b"jkt-db1")

    def test_is_told_as_its_own(
        self, policy: Policy, desk: Desk, connection: Connection, said: list[FromWorker]
    ) -> None:
        self.hold(policy, connection)
        desk._round()
        assert claims_read(said) == [True]

    def test_is_told_as_lost_when_it_is_gone(self, desk: Desk, said: list[FromWorker]) -> None:
        desk._round()
        assert claims_read(said) == [False]

    def test_is_not_lost_with_the_connection(
        self, policy: Policy, desk: Desk, connection: Connection, said: list[FromWorker]
    ) -> None:
        """Between two connections there is no session to compare with: that kills nobody."""
        self.hold(policy, connection)
        connection.lost_after_read = True
        desk._round()
        assert claims_read(said) == []


PLAN = PlanRecord(
    "t-1-7", PlanKind.TAKEOVER, SiteName("jakarta"), SiteName("makassar"), 9e9, "automation"
)


def put_state(connection: Connection, plan: PlanRecord | None) -> None:
    state, path = Seen.healthy().state, GroupPaths(GroupName("marketplace")).state
    assert state is not None
    data, found = encode_state(replace(state, plan=plan)), connection.read(path)
    if found is None:
        create(connection, path, data)
    else:
        assert isinstance(connection.commit((Set(path, data, found.version),)), Committed)


class TestAPlanThatHasTheGuardStopIt:
    def told(self, desk: Desk, said: list[FromWorker]) -> list[bool]:
        said.clear()
        desk._round()
        return [message.stop_here for message in said if isinstance(message, StateRead)]

    def test_is_told(self, desk: Desk, said: list[FromWorker], connection: Connection) -> None:
        put_state(connection, PLAN)
        assert self.told(desk, said) == [True]
        put_state(connection, replace(PLAN, kind=PlanKind.SWITCHOVER))
        assert self.told(desk, said) == [False]

    def test_is_believed_only_after_a_sync(
        self, desk: Desk, said: list[FromWorker], connection: Connection
    ) -> None:
        """The follower that is asked lags behind: the plan has gone back already."""
        put_state(connection, PLAN)
        connection.on_sync = lambda: put_state(connection, None)
        assert self.told(desk, said) == [False]


STANDBY = replace(GRANTED, granted=False, in_production=False)


class TestBeforeAPromotion:
    def lose_the_primary(self, policy: Policy, connection: Connection) -> None:
        """Somebody had the claim, and has it no more."""
        initialise(connection, policy, now_unix_s=1.0, by="test")  # type: ignore[arg-type]
        create(connection, GroupPaths(policy.group).last_writer(CLUSTER), b"{}")

    def test_when_the_claim_is_gone_and_once_more_when_it_is_asked_for(
        self, policy: Policy, desk: Desk, connection: Connection, prepared: list[GroupState]
    ) -> None:
        self.lose_the_primary(policy, connection)
        desk.status(STANDBY)
        desk._round()
        desk._round()
        assert len(prepared) == 1
        desk._waiting[7] = _Waiting(PermitAsk(7, Purpose.PRE_PROMOTE, 30.0), 1e12)
        desk._round()
        desk._waiting[8] = _Waiting(PermitAsk(8, Purpose.PRE_PROMOTE, 30.0), 1e12)
        desk._round()
        assert len(prepared) == 2

    def test_a_record_that_was_made_anew_is_another_occasion(
        self, policy: Policy, desk: Desk, connection: Connection, prepared: list[GroupState]
    ) -> None:
        """Of a pair that was armed again it begins at version 0."""
        self.lose_the_primary(policy, connection)
        desk.status(STANDBY)
        desk._prepared_for = (7, True)
        desk._round()
        desk._round()
        assert len(prepared) == 1

    def test_a_living_primary_is_not_left(
        self, policy: Policy, desk: Desk, connection: Connection, prepared: list[GroupState]
    ) -> None:
        """While its claim is held it may acknowledge."""
        self.lose_the_primary(policy, connection)
        somebody = Connection(connection._world, 0x2002)
        create(somebody, GroupPaths(policy.group).writer(CLUSTER), b"")
        desk.status(STANDBY)
        desk.ask(PermitAsk(7, Purpose.PRE_PROMOTE, 30.0))
        desk._round()
        assert prepared == []

    @pytest.mark.parametrize(
        "status",
        [GRANTED, replace(STANDBY, server_alive=False), replace(STANDBY, in_production=True)],
        ids=["the primary", "down", "out of recovery"],
    )
    def test_only_a_running_standby_fetches(
        self,
        policy: Policy,
        desk: Desk,
        connection: Connection,
        prepared: list[GroupState],
        status: MinderStatus,
    ) -> None:
        self.lose_the_primary(policy, connection)
        desk.status(status)
        desk._round()
        assert prepared == []


def test_another_list_of_whom_commits_wait_for_is_noticed_once(
    policy: Policy, desk: Desk, connection: Connection, lists: list[str]
) -> None:
    """So that WAL is written: only that makes PostgreSQL let go who waits for a host dropped."""
    scope = ScopePaths(
        policy.patroni_namespace,
        policy.cluster(ClusterName("marketplace")).scope(SiteName("jakarta")),
    )
    create(connection, scope.config, b'{"ttl": 20}')
    desk._round()
    desk._round()
    assert lists == []
    changed = b'{"postgresql": {"parameters": {"synchronous_standby_names": "1 (\\"jkt-db2\\")"}}}'
    assert isinstance(connection.commit((Set(scope.config, changed, 0),)), Committed)
    desk._round()
    desk._round()
    assert lists == ["changed"]
