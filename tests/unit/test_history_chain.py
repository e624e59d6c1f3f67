"""Every entry of the history follows the one before it, whoever writes, and holds nothing up."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from controller_world import Group
from memory_store import MemoryStore, World
from structlog.testing import capture_logs

from failover.config import load
from failover.coordination import history
from failover.coordination.history import record
from failover.coordination.init import initialise
from failover.coordination.settings import Setting, apply_setting
from failover.events import EventLog
from failover.history import NUMBER_MAX, head_seen
from failover.model import Automation, Epoch, HostName
from failover.policy import Policy
from failover.state import HistoryEntry, HistoryHead, decode_record
from failover.znode import Check, Committed, Conflict, Create, Delete, GroupPaths, Outcome, Set

POLICY: Policy = load(Path("tests/open.yaml"))
PATHS = GroupPaths(POLICY.group)
ENTRY = HistoryEntry(1.0, Epoch(1), "following", "makassar follows jkt-db2", "test", {"a": "b"})


@pytest.fixture
def store() -> MemoryStore:
    found = World().session()
    initialise(found, POLICY, now_unix_s=1.0, by="test")
    return found


def stored(store: MemoryStore) -> list[tuple[HistoryEntry, bytes]]:
    found = [store.read(f"{PATHS.history}/{name}") for name in store.children(PATHS.history)]
    return [
        (decode_record(HistoryEntry, znode.data, path=znode.path), znode.data)
        for znode in found
        if znode is not None
    ]


def head(store: MemoryStore) -> HistoryHead:
    found = head_seen(store.read(PATHS.history_head)).head
    assert found is not None
    return found


def assert_one_chain(store: MemoryStore) -> None:
    before = ""
    for number, (entry, data) in enumerate(stored(store), start=1):
        assert (entry.number, entry.previous) == (number, before)
        before = sha256(data).hexdigest()
    assert (head(store).number, head(store).sha256) == (len(stored(store)), before)


def write_head(store: MemoryStore, data: bytes) -> None:
    found = store.read(PATHS.history_head)
    assert found is not None
    store.commit((Set(PATHS.history_head, data, found.version),))


# --------------------------------------------------------------------------- writers


def test_the_first_entry_starts_the_chain_and_others_follow(store: MemoryStore) -> None:
    for summary in ("two", "three"):
        assert isinstance(record(store, PATHS, replace(ENTRY, summary=summary)), Committed)
    assert [entry.number for entry, _ in stored(store)] == [1, 2, 3]
    assert stored(store)[0][0].details["chain_starts"] == "there was no head"
    assert stored(store)[1][0].details == {"a": "b"}
    assert_one_chain(store)


class Raced(MemoryStore):
    """Another writer is quicker, that many times; after the head was read."""

    others = 1

    def commit(self, transaction: tuple) -> Outcome:  # type: ignore[type-arg]
        if self.others > 0 and any(op.path == PATHS.history_head for op in transaction):
            self.others -= 1
            record(self._world.session(), PATHS, replace(ENTRY, summary="quicker"))
        return super().commit(transaction)


def raced(store: MemoryStore, others: int) -> Raced:
    found = Raced(store._world, 0x9000)
    found.others = others
    return found


def test_two_writers_in_the_same_instant_make_one_chain(store: MemoryStore) -> None:
    slower = raced(store, others=3)
    assert isinstance(record(slower, PATHS, replace(ENTRY, summary="slower")), Committed)
    assert [entry.summary for entry, _ in stored(store)][1:] == ["quicker"] * 3 + ["slower"]
    assert_one_chain(store)


def test_a_setting_is_on_record_whoever_else_writes(store: MemoryStore) -> None:
    observe = Setting(
        "automation", "observe", "sari@ops", {}, lambda s: replace(s, automation=Automation.OBSERVE)
    )
    assert apply_setting(raced(store, others=2), POLICY, observe, now_unix_s=2.0) is not None
    assert stored(store)[-1][0].event == "automation"
    assert_one_chain(store)


def test_a_writer_gives_up_after_so_many_tries(store: MemoryStore) -> None:
    outcome = record(raced(store, others=99), PATHS, ENTRY)
    assert isinstance(outcome, Conflict)
    assert outcome.op.path == PATHS.history_head
    assert len(stored(store)) == 1 + history.TRIES


def test_what_stands_beside_the_entry_is_not_tried_again(store: MemoryStore) -> None:
    """Its caller judged it: the caller has to look again."""
    outcome = record(store, PATHS, ENTRY, Check(PATHS.state, 99))
    assert isinstance(outcome, Conflict)
    assert outcome.op.path == PATHS.state
    assert len(stored(store)) == 1


def test_a_lost_answer_is_not_written_twice(store: MemoryStore) -> None:
    store.lose_answers = True
    record(store, PATHS, ENTRY)
    assert len(stored(store)) == 2
    assert_one_chain(store)


def test_entries_from_before_the_chain_are_understood(store: MemoryStore) -> None:
    old = b'{"at_unix_s":1.0,"epoch":1,"event":"x","summary":"y","by":"z","details":{}}'
    store.commit((Create(PATHS.history_entry, old, sequence=True),))
    entry, _ = stored(store)[-1]
    assert (entry.number, entry.previous) == (0, "")


# --------------------------------------------------------------------------- a spoilt head

SPOILT = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"number": 0, "sha256": "' + b"0" * 64 + b'"}',
    b'{"number": 3, "sha256": "short"}',
    b'{"number": 3, "sha256": "' + b"0" * 64 + b'", "more": 1}',
    b'{"number": 9%s, "sha256": "%s"}' % (b"9" * 4000, b"0" * 64),
    b'{"number": %d, "sha256": "%s"}' % (NUMBER_MAX, b"0" * 64),
]


@pytest.mark.parametrize("data", SPOILT, ids=range(len(SPOILT)))
def test_a_head_that_cannot_be_understood_starts_a_new_chain(
    store: MemoryStore, data: bytes
) -> None:
    write_head(store, data)
    assert isinstance(record(store, PATHS, ENTRY), Committed)
    newest, found = stored(store)[-1]
    assert (newest.number, newest.previous) == (1, "")
    assert PATHS.history_head in newest.details["chain_starts"]
    assert head(store) == HistoryHead(1, sha256(found).hexdigest())


def test_a_head_that_is_gone_starts_a_new_chain(store: MemoryStore) -> None:
    store.commit((Delete(PATHS.history_head),))
    record(store, PATHS, ENTRY)
    record(store, PATHS, ENTRY)
    assert [entry.number for entry, _ in stored(store)] == [1, 1, 2]


@pytest.mark.parametrize("data", [*SPOILT, None], ids=range(len(SPOILT) + 1))
def test_a_takeover_does_not_wait_for_the_head(data: bytes | None) -> None:
    group = Group(POLICY)
    group.run(10)
    if data is None:
        group.guard.commit((Delete(PATHS.history_head),))
    else:
        write_head(group.guard, data)
    group.lose_jakarta()
    group.run(6)
    group.release()
    group.run(0.5)
    assert group.state.epoch == 2
    group.claim(HostName("mks-db1"))
    group.run(1.5)
    assert [(e.event, e.number) for e, _ in stored(group.guard)] == [
        ("initialised", 1),
        ("takeover", 1),
        ("promoted", 2),
    ]


def test_another_entry_in_the_instant_of_a_takeover_costs_a_moment() -> None:
    group = Group(POLICY)
    group.run(10)
    group.lose_jakarta()
    group.run(6)
    group.release()
    for site, controller in group.controllers.items():
        slower = raced(group.stores[site], others=1)
        slower._session_id = group.stores[site].session_id
        controller._store = slower
    refused = [result.execution for result in group.run(0.5) if result.leading]
    assert [type(execution) for execution in refused] == [Conflict]
    assert group.state.epoch == 1
    group.run(0.5)
    assert group.state.epoch == 2
    assert_one_chain(group.guard)


# --------------------------------------------------------------------------- the logs


def test_every_site_logs_the_head_when_it_changes() -> None:
    group = Group(POLICY)
    logs = {site: EventLog(site=site) for site in group.stores}
    with capture_logs() as said:
        for _ in range(3):
            for result in group.run(5):
                logs[result.view.reader].report(result)
            record(group.guard, PATHS, ENTRY)
    heads = [(line["site"], line["number"]) for line in said if line["event"] == "history_head"]
    assert sorted(heads) == [(site, number) for site in sorted(logs) for number in (1, 2, 3)]
    last = next(line for line in reversed(said) if line["event"] == "history_head")
    assert last["sha256"] == sha256(stored(group.guard)[2][1]).hexdigest()


def test_a_silent_ensemble_is_no_change_of_the_head_and_a_spoilt_one_is() -> None:
    group = Group(POLICY)
    site, found = next(iter(group.stores.items()))
    log = EventLog(site=site)

    def heads() -> list[object]:
        with capture_logs() as said:
            for result in group.run(2):
                if result.view.reader == site:
                    log.report(result)
        lines = [line for line in said if line["event"] == "history_head"]
        return [line.get("number", line.get("problem")) for line in lines]

    assert heads() == [1]
    found.silent = True
    assert heads() == []
    found.silent = False
    assert heads() == []
    write_head(group.guard, b"{")
    (problem,) = heads()
    assert "not a HistoryHead" in str(problem)
    group.guard.commit((Delete(PATHS.history_head),))
    assert heads() == ["it is gone"]
