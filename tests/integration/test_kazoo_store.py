"""The Store protocol on a real ZooKeeper server."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl
from policies import policy
from single_container import ZooKeeperContainer

from failover.coordination.connect import Connection, open_store
from failover.coordination.init import Initialised, Refused, initialise
from failover.coordination.kazoo_store import PATHS_PER_REQUEST_MAX, KazooStore
from failover.coordination.store import StoreUnavailable
from failover.model import SiteName
from failover.policy import Policy
from failover.state import StateError
from failover.znode import (
    Check,
    Committed,
    Conflict,
    Create,
    Delete,
    GroupPaths,
    OutcomeUnknown,
    Set,
)
from tests.simulation.store_contract import End, Opener, StoreContract

pytestmark = pytest.mark.lab


@pytest.fixture
def group(zookeeper: ZooKeeperContainer) -> Policy:
    return policy(f"g{uuid.uuid4().hex[:8]}", zookeeper.address)


@pytest.fixture
def store(group: Policy) -> Iterator[KazooStore]:
    with open_store(group) as opened:
        yield opened


@pytest.fixture
def root(store: KazooStore) -> str:
    path = f"/t{uuid.uuid4().hex[:8]}"
    assert isinstance(store.commit((Create(path, b"root"),)), Committed)
    return path


def test_a_missing_znode_is_none_and_has_no_children(store: KazooStore) -> None:
    assert store.read("/nowhere") is None
    assert store.children("/nowhere") == ()


def test_what_was_written_is_read_with_its_version(store: KazooStore, root: str) -> None:
    assert store.commit((Set(root, b"one", 0), Create(f"{root}/b", b""), Create(f"{root}/a", b"")))
    store.sync()
    found = store.read(root)
    assert found is not None
    assert (found.data, found.version, found.ephemeral_owner, found.children_count) == (
        b"one",
        1,
        0,
        2,
    )
    assert store.children(root) == ("a", "b")


def test_many_are_read_at_once_each_with_its_own_answer(store: KazooStore, root: str) -> None:
    """More than go into one request, every other one missing."""
    there = [f"{root}/{number:03d}" for number in range(0, 2 * PATHS_PER_REQUEST_MAX, 2)]
    outcome = store.commit(tuple(Create(path, path.encode(), ephemeral=True) for path in there))
    assert isinstance(outcome, Committed)
    asked = [f"{root}/{number:03d}" for number in range(2 * PATHS_PER_REQUEST_MAX)]
    found = store.read_many([*asked, root])
    assert list(found) == [*asked, root]
    for path in asked:
        znode = found[path]
        if path not in there:
            assert znode is None
            continue
        assert znode is not None
        assert (znode.path, znode.data, znode.version) == (path, path.encode(), 0)
        assert znode.ephemeral_owner == store.session_id
    parent = found[root]
    assert parent is not None
    assert parent.children_count == len(there)


def test_one_that_may_not_be_read_is_no_answer(store: KazooStore, root: str) -> None:
    kazoo = store._client
    kazoo.create(f"{root}/hidden", acl=[make_digest_acl("somebody", "else", all=True)])
    with pytest.raises(StoreUnavailable, match=f"{root}/hidden.*NoAuthError"):
        store.read_many((root, f"{root}/hidden"))
    assert store.read(root) is not None


def test_ephemeral_and_sequence(store: KazooStore, root: str) -> None:
    outcome = store.commit(
        (Create(f"{root}/mine", b"", ephemeral=True), Create(f"{root}/e-", b"", sequence=True))
    )
    assert outcome == Committed((f"{root}/mine", f"{root}/e-0000000001"))
    mine = store.read(f"{root}/mine")
    assert mine is not None
    assert mine.ephemeral_owner == store.session_id


def test_a_conflict_names_its_operation_and_nothing_happened(store: KazooStore, root: str) -> None:
    wrong = Check(root, 7)
    outcome = store.commit((Create(f"{root}/a", b""), wrong, Delete(f"{root}/none")))
    assert outcome == Conflict(1, wrong, "has another version")
    assert store.read(f"{root}/a") is None


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_index_of_a_conflict(store: KazooStore, root: str, index: int) -> None:
    ops = [Create(f"{root}/x", b""), Check(root, 0), Create(f"{root}/y", b"")]
    ops[index] = Create(root, b"")
    outcome = store.commit(tuple(ops))
    assert outcome == Conflict(index, ops[index], "exists already")


def test_reasons_of_refusal(store: KazooStore, root: str) -> None:
    store.commit((Create(f"{root}/a", b""),))
    for op, reason in (
        (Delete(root), "has children"),
        (Delete(f"{root}/none"), "does not exist"),
        (Set(root, b"", 9), "has another version"),
    ):
        assert store.commit((op,)) == Conflict(0, op, reason)


def test_create_and_delete_of_one_path_proves_its_absence(store: KazooStore, root: str) -> None:
    claim = f"{root}/claim"
    proof = (Create(claim, b""), Delete(claim))
    assert isinstance(store.commit(proof), Committed)
    store.commit((Create(claim, b"held", ephemeral=True),))
    assert store.commit(proof) == Conflict(0, proof[0], "exists already")


def test_an_unconditional_write_is_a_bug(store: KazooStore, root: str) -> None:
    with pytest.raises(ValueError, match="unconditional"):
        store.commit((Set(root, b"", -1),))


def test_a_change_wakes(store: KazooStore, root: str) -> None:
    woken = threading.Event()
    assert store.read(root) is not None
    store.wake_on(root, woken.set)
    store.sync()  # the watch is set once a later request was answered
    store.commit((Set(root, b"x", 0),))
    assert woken.wait(2)


def test_an_unreachable_ensemble_is_said_in_time() -> None:
    nowhere = policy("g", "10.255.255.1")
    started = time.monotonic()
    with (
        pytest.raises(StoreUnavailable, match=r"sur-zk1 \(10\.255\.255\.1:2181\)"),
        open_store(nowhere, timeout_s=3.0),
    ):
        pass
    assert time.monotonic() - started < 5.0


def test_a_frozen_server_costs_a_second_then_everything_goes_on(
    zookeeper: ZooKeeperContainer, store: KazooStore, root: str
) -> None:
    session = store.session_id
    zookeeper.pause()
    try:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.read(root)
        assert time.monotonic() - started < 1.5
        assert isinstance(store.commit((Set(root, b"late", 0),)), OutcomeUnknown)
    finally:
        zookeeper.unpause()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            assert store.read(root) is not None
            break
        except StoreUnavailable:
            time.sleep(0.05)
    assert store.session_id == session  # short: the session outlived it


def test_init_is_idempotent_and_never_overwrites(store: KazooStore, group: Policy) -> None:
    first = initialise(store, group, now_unix_s=1.0, by="test")
    assert isinstance(first, Initialised)
    assert first.created
    again = initialise(store, group, now_unix_s=2.0, by="test")
    assert again == Initialised(first.state, created=False)
    paths = GroupPaths(group.group)
    assert len(store.children(paths.history)) == 1
    for parent in paths.all_parents:
        assert store.read(parent) is not None


def test_init_refuses_another_state(store: KazooStore, group: Policy) -> None:
    from dataclasses import replace

    initialise(store, group, now_unix_s=1.0, by="test")
    other = replace(group, initial_site=SiteName("makassar"))
    refused = initialise(store, other, now_unix_s=2.0, by="test")
    assert isinstance(refused, Refused)
    assert "active_site: there jakarta, wanted makassar" in refused.reason


def test_init_leaves_a_corrupt_state_alone(store: KazooStore, group: Policy) -> None:
    paths = GroupPaths(group.group)
    initialise(store, group, now_unix_s=1.0, by="test")
    store.commit((Set(paths.state, b"{", 0),))
    with pytest.raises(StateError):
        initialise(store, group, now_unix_s=2.0, by="test")


def test_closing_ends_the_session(group: Policy, store: KazooStore, root: str) -> None:
    connection = Connection(group)
    connection.wait(5).commit((Create(f"{root}/e", b"", ephemeral=True),))
    assert store.read(f"{root}/e") is not None
    connection.close()
    assert store.read(f"{root}/e") is None


class TestRealStore(StoreContract):
    """What the simulated ensemble promises, promised by the real one too."""

    @pytest.fixture
    def opener(self, group: Policy) -> Iterator[Opener]:
        connections: list[Connection] = []

        def open_one() -> KazooStore:
            connections.append(Connection(group))
            return connections[-1].wait(5)

        yield open_one
        for connection in connections:
            connection.close()

    @pytest.fixture
    def end(self) -> End:
        return lambda store: store._client.stop()  # type: ignore[attr-defined]

    @pytest.fixture(autouse=True)
    def _clean(self, zookeeper: ZooKeeperContainer) -> Iterator[None]:
        yield
        client = KazooClient(f"{zookeeper.address}:2181")
        client.start()
        client.delete("/t", recursive=True)
        client.stop()
        client.close()
