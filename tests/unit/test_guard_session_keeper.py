"""What the worker reports as a renewal: committed, in that session, sent no earlier than said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from memory_store import MemoryStore, World
from test_guard_desk import create

from failover.coordination.session import SavedSession, Server
from failover.coordination.store import StoreUnavailable
from failover.guard import session_keeper as module
from failover.guard.messages import FromWorker, Renewed, SessionOpened
from failover.guard.permits import Member
from failover.guard.session_keeper import SessionKeeper
from failover.model import ClusterName, GroupName, HostName, SiteName
from failover.timing import lease_timing
from failover.znode import Committed, Delete, GroupPaths, Set

PATHS = GroupPaths(GroupName("marketplace"))
ME = Member(HostName("jkt-db1"), SiteName("jakarta"), ClusterName("marketplace"), PATHS)
TIMING = lease_timing(6.0)


@dataclass
class Worker:
    """A keeper on ZooKeeper in memory, and everything that it did, in order."""

    store: MemoryStore
    keeper: SessionKeeper
    done: list[str] = field(default_factory=list)
    said: list[FromWorker] = field(default_factory=list)

    @property
    def saved(self) -> SavedSession:
        return SavedSession(self.store.session_id or 0, b"\x01\xff")

    @property
    def token(self) -> str:
        return PATHS.session(self.saved.session_id)

    def renew(self, sent_s: float) -> None:
        self.keeper._renew(self.saved, sent_s)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    store = World().session()
    said: list[FromWorker] = []
    done: list[str] = []

    def announce(sent_s: float) -> bool:
        done.append(f"announced {sent_s:g}")
        return True

    def renewed(_client: object, write: Set) -> bool:
        done.append("sent")
        if store.silent:
            raise StoreUnavailable("silent")
        return store.read(write.path) is not None

    monkeypatch.setattr(module, "renew", renewed)
    keeper = SessionKeeper(ME, (Server("127.0.0.1", 1),), TIMING, None, said.append, announce)
    monkeypatch.setattr(keeper, "store", store)
    monkeypatch.setattr(keeper._client, "negotiated_ms", TIMING.session_ms)
    create_parents(store)
    return Worker(store, keeper, done, said)


def create_parents(store: MemoryStore) -> None:
    """As `failover init` makes them."""
    create(store, f"{PATHS.session(0).rpartition('/')[0]}/first", b"")  # type: ignore[arg-type]


def test_the_token_first_then_renewals_each_announced_before_it_is_sent(worker: Worker) -> None:
    for sent_s in (10.0, 10.5):
        worker.renew(sent_s)
    session_id = worker.saved.session_id
    assert worker.said == [
        SessionOpened(session_id, "01ff"),
        Renewed(session_id, 10.0, announced=True),
        Renewed(session_id, 10.5, announced=True),
    ]
    assert worker.done == ["announced 10", "sent", "announced 10.5", "sent"]
    found = worker.store.read(worker.token)
    assert found is not None
    assert found.ephemeral_owner == session_id


def test_without_an_answer_nothing_is_reported(worker: Worker) -> None:
    worker.renew(10.0)
    worker.said.clear()
    worker.store.silent = True
    with pytest.raises(StoreUnavailable):
        worker.keeper._renew(SavedSession(0x1001, b""), 10.5)
    assert worker.said == []


def test_a_session_that_is_over_renews_nothing_and_a_new_one_begins_anew(worker: Worker) -> None:
    worker.renew(10.0)
    over = worker.saved
    worker.store.expire()
    worker.said.clear()
    worker.keeper._renew(over, 10.5)
    assert worker.said == [], "its token is gone"
    worker.renew(11.0)
    session_id = worker.saved.session_id
    assert worker.said == [SessionOpened(session_id, "01ff"), Renewed(session_id, 11.0, True)]


def test_a_token_that_was_removed_is_made_anew(worker: Worker) -> None:
    worker.renew(10.0)
    assert isinstance(worker.store.commit((Delete(worker.token),)), Committed)
    worker.said.clear()
    worker.renew(10.5)
    assert worker.said == []
    worker.renew(11.0)
    session_id = worker.saved.session_id
    assert worker.said == [SessionOpened(session_id, "01ff"), Renewed(session_id, 11.0, True)]


def test_a_token_that_is_somebody_elses_is_not_taken(worker: Worker) -> None:
    somebody = MemoryStore(worker.store._world, 0x2002)
    create(somebody, worker.token, b"")  # type: ignore[arg-type]
    worker.renew(10.0)
    assert worker.said == []


def test_a_session_that_ends_before_the_deadline_is_no_lease(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.keeper._client, "negotiated_ms", 4000)
    worker.renew(10.0)
    assert [type(message) for message in worker.said] == [SessionOpened]
    assert worker.done == []


def test_a_connection_that_has_ended_for_good_ends_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker has one that lives; this one would never renew again."""
    client = worker.keeper._client
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    monkeypatch.setattr(client, "start_async", lambda: None)
    monkeypatch.setattr(client._connection, "_connection_routine", ended)
    with pytest.raises(RuntimeError, match="ended for good"):
        worker.keeper.run()
