"""A real ZooKeeper server keeps each role to its own znodes; a tree is closed under a live session,
and a key is replaced under one."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE
from policies import JAKARTA, policy
from single_container import ZooKeeperContainer, zookeeper_container

from failover import host_secrets
from failover.access import Access, Role, ZooKeeperAccess
from failover.access_lists import made_first
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.output import UserError
from failover.cli.roles import as_approver
from failover.coordination.access_tree import LocksOut, apply, differences
from failover.coordination.connect import Connection
from failover.coordination.history import record
from failover.coordination.init import Initialised, initialise
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.keys import KeyRing, ring_of
from failover.coordination.requests import ask, look
from failover.coordination.session import SavedSession, Server, SessionClient, renew
from failover.coordination.setting_desk import answer_settings
from failover.coordination.store import FORBIDDEN, StoreForbidden
from failover.guard.permits import Member, open_session, renewal
from failover.model import Epoch
from failover.policy import Policy
from failover.state import HistoryEntry, OperatorRequest, PlanKind, decode_record, decode_state
from failover.znode import (
    Check,
    Committed,
    Conflict,
    Create,
    Delete,
    GroupPaths,
    Op,
    ScopePaths,
    Set,
    Transaction,
)

pytestmark = pytest.mark.lab

LIMIT_S = 30.0


@dataclass
class World:
    """One group on one server, and where its keys were laid out."""

    server: ZooKeeperContainer
    directory: Path
    base: Policy

    def policy(self, position: Access, place: str = "people/admin") -> Policy:
        access = ZooKeeperAccess(position, str(self.directory / place))
        return dataclasses.replace(self.base, access=access)

    def make_keys(self) -> None:
        wanted, made = self.policy(Access.USE), self.directory / "passwords"
        host_secrets.generate(made)
        host_secrets.generate_keys(wanted, made)
        host_secrets.lay_out(wanted, made, self.directory)

    @contextlib.contextmanager
    def store(self, place: str, position: Access = Access.REQUIRE) -> Iterator[KazooStore]:
        connection = Connection(self.policy(position, place))
        try:
            yield connection.wait(LIMIT_S)
        finally:
            connection.close()

    @contextlib.contextmanager
    def stranger(self) -> Iterator[Any]:
        client = KazooClient(self.server.address, timeout=5)
        client.start(LIMIT_S)
        try:
            yield client
        finally:
            client.stop()
            client.close()


PEOPLE = {role: f"people/{role}" for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER)}
CONTROLLER = f"surabaya/sur-ctl1/{host_secrets.PLACE}"
DATABASE = f"jakarta/jak-db1/{host_secrets.PLACE}"
OTHER_SITE = f"makassar/mak-db1/{host_secrets.PLACE}"
PATHS = GroupPaths(policy("shop", "127.0.0.1").group)
CLUSTER = policy("shop", "127.0.0.1").clusters[0]
SCOPE = ScopePaths("/service", CLUSTER.scope(JAKARTA))
ME = Member(CLUSTER.hosts[0].name, JAKARTA, CLUSTER.name, PATHS)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """Nothing is closed and nothing made yet."""
    with zookeeper_container() as server:
        world = World(server, tmp_path, policy("shop", server.address))
        world.make_keys()
        yield world


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Made with access lists from the beginning."""
    with zookeeper_container() as server:
        base = policy("shop", server.address)
        world = World(server, tmp_path_factory.mktemp("keys"), base)
        world.make_keys()
        start(world, Access.REQUIRE)
        yield world


def start(world: World, position: Access) -> None:
    wanted = world.policy(position)
    with world.store("people/admin", position) as store:
        assert isinstance(initialise(store, wanted, now_unix_s=1.0, by="test"), Initialised)
        if position.closed:
            apply(wanted, store)
            assert differences(wanted, store) == ()


def one(store: KazooStore, *ops: Op) -> Any:
    return store.commit(ops)


def version(store: KazooStore, path: str) -> int:
    found = store.read(path)
    assert found is not None
    return found.version


def refused(store: KazooStore, *ops: Op) -> bool:
    outcome = store.commit(ops)
    return isinstance(outcome, Conflict) and outcome.reason == FORBIDDEN


def entry() -> HistoryEntry:
    return HistoryEntry(
        at_unix_s=1.0, epoch=Epoch(1), event="test", summary="test", by="test", details={}
    )


def request() -> OperatorRequest:
    now = time.time()
    return OperatorRequest(
        id=f"s-{now}",
        kind=PlanKind.SWITCHOVER,
        to_site=CLUSTER.hosts[-1].site,
        by="test",
        reason="test",
        at_unix_s=now,
        answer_by_unix_s=now,
        limit_s=30.0,
    )


# --------------------------------------------------------------------------- who may do what


def test_who_shows_no_key_reads_nothing_and_writes_nothing(closed: World) -> None:
    with closed.stranger() as client:
        for path in ("/", *made_first(closed.policy(Access.REQUIRE)), PATHS.state):
            for act, *more in (
                (client.get,),
                (client.get_children,),
                (client.set, b"x"),
                (client.set_acls, OPEN_ACL_UNSAFE),
                (client.get_acls,),
            ):
                with pytest.raises(NoAuthError):
                    act(path, *more)
            with pytest.raises(NoAuthError):
                client.create(f"{path.rstrip('/')}/x", b"")
        client.add_auth("digest", "controller:a guess")
        with pytest.raises(NoAuthError):
            client.get(PATHS.state)


def test_a_controller_moves_a_group_and_only_controllers_write_the_state(closed: World) -> None:
    with closed.store(CONTROLLER) as store:
        state = store.read(PATHS.state)
        assert state is not None
        change = Set(PATHS.state, state.data, state.version)
        claim = PATHS.writer(CLUSTER.name)
        proof: Transaction = (Create(claim, b""), Delete(claim))
        assert isinstance(record(store, PATHS, entry(), change, *proof), Committed)
        fence = (Create(SCOPE.leader, b"fence"), Create(SCOPE.leader_child, b""))
        assert isinstance(one(store, *fence, Create(SCOPE.config, b"{}")), Committed)
        assert refused(store, Create(PATHS.session(1), b"", ephemeral=True))
        newest = f"{PATHS.history}/{store.children(PATHS.history)[-1]}"
        assert refused(store, Set(newest, b"forged", 0))
        assert refused(store, Delete(newest))
        for place in (*PEOPLE.values(), DATABASE, OTHER_SITE):
            with closed.store(place) as other:
                assert refused(other, Set(PATHS.state, b"", version(store, PATHS.state)))
                assert refused(other, Create(PATHS.history_entry, b"", sequence=True))
        lifted = (Delete(SCOPE.leader_child), Delete(SCOPE.leader), Delete(SCOPE.config))
        assert isinstance(one(store, *lifted), Committed)
    with closed.store("people/admin") as store:
        assert differences(closed.policy(Access.REQUIRE), store) == ()


def test_a_guard_gets_a_permit_and_nobody_else_has_its_claim(closed: World) -> None:
    keys = closed.policy(Access.REQUIRE, DATABASE)
    with contextlib.ExitStack() as stack:
        guard = Guard(keys)
        stack.callback(guard.end)
        store, claim = guard.store, PATHS.writer(CLUSTER.name)
        permit: Transaction = (
            Check(PATHS.state, version(store, PATHS.state)),
            Check(PATHS.session(guard.session_id), -1),
            Create(claim, b"mine", ephemeral=True),
            Create(PATHS.last_writer(CLUSTER.name), b"me"),
        )
        assert isinstance(store.commit(permit), Committed)
        for place in (CONTROLLER, *PEOPLE.values()):
            other = stack.enter_context(closed.store(place))
            assert refused(other, Set(claim, b"", 0))
            assert refused(other, Set(PATHS.session(guard.session_id), b"", 0))
        controller = stack.enter_context(closed.store(CONTROLLER))
        proof = (Create(claim, b""), Delete(claim))
        assert controller.commit(proof) == Conflict(0, proof[0], "exists already")
        admin = stack.enter_context(closed.store("people/admin"))
        assert differences(closed.policy(Access.REQUIRE), admin) == ()
        assert isinstance(one(store, Delete(claim, 0)), Committed)


def test_patroni_has_its_own_scope_alone(closed: World) -> None:
    own = closed.policy(Access.REQUIRE, DATABASE)
    keys = KeyRing(own, Role.PATRONI, makes_at=SCOPE.root)
    with closed.stranger() as client:
        keys.show(client)
        for credential in keys.credentials:
            client.add_auth("digest", credential)
        client.create(f"{SCOPE.members}/jak-db1", b"{}", ephemeral=True, makepath=True)
        client.create(SCOPE.leader, b"jak-db1", ephemeral=True)
        client.create(SCOPE.config, b"{}")
        client.set(SCOPE.config, b"{} ")
        for path in (PATHS.state, SCOPE.root.replace("jakarta", "makassar")):
            with pytest.raises(NoAuthError):
                client.get(path)
            with pytest.raises(NoAuthError):
                client.create(f"{path}/x", b"")
        with closed.store("people/admin") as store:
            assert differences(own, store) == ()
        client.delete(SCOPE.leader)
        with closed.store(CONTROLLER) as store:
            fence = (Create(SCOPE.leader, b"fence"), Create(SCOPE.leader_child, b""))
            assert isinstance(store.commit(fence), Committed)
            for act, *what in (
                (client.delete, SCOPE.leader_child),
                (client.set, SCOPE.leader, b"jak-db1"),
                (client.create, f"{SCOPE.leader}/x", b""),
            ):
                with pytest.raises(NoAuthError):
                    act(*what)
            assert client.get(SCOPE.leader)[0] == b"fence"
            lifted = (Delete(SCOPE.leader_child), Delete(SCOPE.leader))
            assert isinstance(store.commit(lifted), Committed)


@pytest.mark.parametrize(
    ("role", "may_ask", "may_approve"),
    [(Role.VIEWER, False, False), (Role.OPERATOR, True, False), (Role.APPROVER, True, True)],
)
def test_people_write_requests_and_nothing_else(
    closed: World, role: Role, may_ask: bool, may_approve: bool
) -> None:
    with closed.store(PEOPLE[role]) as store:
        if may_ask:
            assert ask(store, PATHS, (asked := request()), now_unix_s=time.time() + 1) is None
            assert look(store, PATHS.request) == asked
        else:
            with pytest.raises(StoreForbidden, match=PATHS.request):
                ask(store, PATHS, request(), now_unix_s=time.time())
        there = version(store, PATHS.approvers_request)
        assert refused(store, Set(PATHS.approvers_request, b"", there)) is not may_approve
        assert refused(store, Delete(PATHS.approvers_request))
        for path in (PATHS.requests, PATHS.state, PATHS.history, PATHS.observers, SCOPE.root):
            assert store.read(path) is not None
            with pytest.raises(NoAuthError):  # kazoo's own: ours knows no list for such a path
                store._client.create(f"{path}/x", b"")
        with pytest.raises(StoreForbidden, match="no admin"):
            apply(closed.policy(Access.REQUIRE, PEOPLE[role]), store)


@contextlib.contextmanager
def controller_that_answers(world: World) -> Iterator[KazooStore]:
    """What the leading one does of a turn: it carries out what people ask for."""
    over = threading.Event()
    with world.store(CONTROLLER) as store:

        def answer() -> None:
            while not over.wait(0.1):
                answer_settings(store, world.policy(Access.REQUIRE), now_unix_s=time.time())

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield store
        finally:
            over.set()
            thread.join()


def failover(world: World, role: Role, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    """A command as a person of this role gives it."""
    monkeypatch.setattr(
        "failover.cli.settings.load_policy", lambda: world.policy(Access.REQUIRE, PEOPLE[role])
    )
    return CliRunner().invoke(cli, list(words))


def test_a_person_has_a_controller_set_what_only_controllers_write(
    closed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with controller_that_answers(closed) as store:
        for role in (Role.OPERATOR, Role.APPROVER):
            words = ("pause", "--for", f"{1 + len(role)}min", "--reason", "a drill")
            done = failover(closed, role, monkeypatch, *words)
            assert done.exit_code == ExitCode.OK, done.output
            newest = f"{PATHS.history}/{store.children(PATHS.history)[-1]}"
            found = store.read(newest)
            assert found is not None
            entry = decode_record(HistoryEntry, found.data, path=newest)
            assert (entry.event, entry.details["role"]) == ("paused", role)
        done = failover(closed, Role.VIEWER, monkeypatch, "pause", "--end", "--reason", "mine")
        assert done.exit_code == ExitCode.FORBIDDEN
        assert PATHS.setting(approver=False) in done.output
        state = store.read(PATHS.state)
        assert state is not None
        assert decode_state(state.data).paused_until_unix_s > time.time()


def test_what_the_admin_changes_stands_in_the_history(
    closed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = closed.policy(Access.REQUIRE, "people/admin")
    monkeypatch.setattr("failover.cli.zookeeper.load_policy", lambda: policy)

    def applied() -> tuple[str, list[str]]:
        done = CliRunner().invoke(cli, ["zookeeper", "acl", "apply"])
        assert done.exit_code == ExitCode.OK, done.output
        with closed.store("people/admin") as store:
            assert differences(policy, store) == (), "the entry has its own list at once"
            return done.output, sorted(store.children(PATHS.history))

    _, before = applied()
    with closed.store("people/admin") as store:
        store._client.set_acls(PATHS.requests, OPEN_ACL_UNSAFE)
    said, after = applied()
    assert "1 access lists changed" in said
    (made,) = set(after) - set(before)
    with closed.store("people/viewer") as store:
        found = store.read(f"{PATHS.history}/{made}")
        assert found is not None
        written = decode_record(HistoryEntry, found.data, path=made)
    assert (written.event, written.details["changed"]) == ("access_lists", "1")
    assert applied() == (said.replace("1 access", "0 access"), after), "nothing to put on record"


def test_what_an_approver_answers_for_is_refused_to_an_operator_at_once(closed: World) -> None:
    wanted = closed.policy(Access.REQUIRE)
    with closed.store(PEOPLE[Role.OPERATOR]) as store, pytest.raises(UserError) as refusal:
        as_approver(wanted, store, needed=True)
    assert refusal.value.exit_code == ExitCode.FORBIDDEN
    assert "takes the key of the role approver; shown here: operator" in str(refusal.value)
    with closed.store(PEOPLE[Role.APPROVER]) as store:
        assert as_approver(wanted, store, needed=True)


# --------------------------------------------------------------------------- under a live session


class Guard:
    """What a guard has of ZooKeeper: one session, its token renewed ten times a second."""

    def __init__(self, own: Policy, saved: SavedSession | None = None) -> None:
        keys = ring_of(own, Role.GUARD)
        (server,) = own.zookeeper_servers
        self.client = SessionClient(
            [Server(str(server.address), server.client_port)],
            session_ms=6000,
            answer_limit_s=5.0,
            saved=saved,
            keys=keys,
        )
        self.keys = keys
        self.store = KazooStore(
            self.client, servers="it", limit_s=5.0, drop_socket=self.client.drop_socket, keys=keys
        )
        assert self.client.start_async().wait(LIMIT_S)
        session_id = self.client.session_id
        assert session_id is not None
        self.session_id: int = session_id
        if saved is None:
            assert isinstance(self.store.commit(open_session(ME, session_id)), Committed)
        self.failed: list[str] = []
        self.renewals = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew)
        self._thread.start()

    def _renew(self) -> None:
        while not self._over.wait(0.1):
            try:
                if not renew(self.client, renewal(ME, self.session_id)):
                    self.failed.append("the token is gone")
                self.renewals += 1
            except Exception as error:
                self.failed.append(repr(error))

    def restarted(self, own: Policy) -> Guard:
        """Another process takes the session up, as after a restart of the unit."""
        saved = self.client.saved_session
        assert saved is not None
        self._stop_renewing()
        # A client that dials again would take the session back: from here on it has another one.
        self.client._session_id, self.client._session_passwd = None, b"\0" * 16
        self.client.drop_socket()
        after = Guard(own, saved)
        assert after.session_id == self.session_id
        self.client.stop()
        self.client.close()
        return after

    def _stop_renewing(self) -> None:
        wait_for(lambda: self.renewals > 0 or bool(self.failed))
        self._over.set()
        self._thread.join()
        assert self.failed == []
        assert self.renewals > 0

    def end(self) -> None:
        self._stop_renewing()
        if self.keys is not None:
            self.keys.stop()
        self.client.stop()
        self.client.close()


def wait_for(so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not so():
        assert time.monotonic() < until_s
        time.sleep(0.1)


def test_a_tree_is_closed_and_opened_again_under_a_live_session(fresh: World) -> None:
    start(fresh, Access.OFF)
    claim = PATHS.writer(CLUSTER.name)
    guard = Guard(fresh.policy(Access.OFF, DATABASE))
    session_id = guard.session_id
    assert isinstance(one(guard.store, Create(claim, b"mine", ephemeral=True)), Committed)
    for position in (Access.USE, Access.REQUIRE):
        guard = guard.restarted(fresh.policy(position, DATABASE))
        # One of each position at once, each with what the other one makes.
        with fresh.store(CONTROLLER, Access.USE) as before, fresh.store(CONTROLLER) as after:
            for number, store in enumerate((before, after)):
                assert isinstance(record(store, PATHS, entry()), Committed)
                made = Create(f"{PATHS.observers}/{position}{number}", b"", ephemeral=True)
                assert isinstance(store.commit((made,)), Committed)
                for path in (claim, f"{PATHS.observers}/{position}0", PATHS.history_head):
                    assert before.read(path) is not None
                    assert after.read(path) is not None
    wanted = fresh.policy(Access.REQUIRE)
    with fresh.store("people/admin") as admin, fresh.stranger() as stranger:
        assert stranger.get(PATHS.state)
        assert differences(wanted, admin)
        apply(wanted, admin)
        assert differences(wanted, admin) == ()
        for path in (PATHS.state, claim, PATHS.request):
            with pytest.raises(NoAuthError):
                stranger.get(path)
        found = guard.store.read(claim)
        assert found is not None
        assert found.ephemeral_owner == session_id
        assert isinstance(one(guard.store, Set(claim, b"still", found.version)), Committed)
    with fresh.store("people/admin", Access.USE) as admin, fresh.stranger() as stranger:
        apply(fresh.policy(Access.USE), admin)
        assert differences(fresh.policy(Access.USE), admin) == ()
        assert stranger.get(PATHS.state)
    guard.end()


def test_a_key_is_replaced_without_an_outage(closed: World) -> None:
    wanted, made = closed.policy(Access.REQUIRE), closed.directory / "passwords"
    guard = Guard(closed.policy(Access.REQUIRE, DATABASE))
    keys = guard.keys
    assert keys is not None
    (old,) = keys.credentials

    def copied_and_applied(how_many: int) -> None:
        host_secrets.lay_out(wanted, made, closed.directory)
        wait_for(lambda: len(keys.credentials) == how_many)
        guard.store.sync()  # after what was shown, in the same connection
        with closed.store("people/admin") as admin:
            assert differences(wanted, admin)
            apply(wanted, admin)
            assert differences(wanted, admin) == ()

    shutil.copytree(closed.directory / "people/admin", closed.directory / "people/behind")
    host_secrets.rotate_key(wanted, made, Role.GUARD)
    copied_and_applied(2)
    guard.client.drop_socket()  # and with a connection that is made meanwhile
    host_secrets.finish_key(wanted, made, Role.GUARD)
    copied_and_applied(1)
    assert keys.credentials != (old,)
    count = guard.renewals
    wait_for(lambda: guard.renewals > count + 5)
    # Another admin, who has not got the new ids.
    with closed.store("people/behind") as admin, pytest.raises(LocksOut, match=r"^guard$"):
        apply(wanted, admin)
    with closed.store("people/admin") as admin:
        assert differences(wanted, admin) == ()
    guard.failed = [each for each in guard.failed if "connection lost" not in each]
    guard.end()
    with closed.stranger() as thief:
        thief.add_auth("digest", old)
        with pytest.raises(NoAuthError):
            thief.get(PATHS.state)
