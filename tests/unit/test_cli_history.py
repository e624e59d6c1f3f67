"""failover history: newest last, unreadable entries shown, an unknown group refused."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from cli_world import CONFIG, POLICY
from click.testing import CliRunner
from golden import check_golden, text_of
from memory_store import MemoryStore, World

from failover.cli.exit_codes import ExitCode
from failover.cli.history import as_table, read_history
from failover.cli.main import cli
from failover.coordination import connect
from failover.model import Epoch
from failover.state import HistoryEntry, encode_record
from failover.znode import Create, GroupPaths

PATHS = GroupPaths(POLICY.group)

INIT = HistoryEntry(
    at_unix_s=1_760_000_000.0,
    epoch=Epoch(1),
    event="initialised",
    summary="jakarta is active",
    by="root@jkt-ctl1",
    details={},
)
TAKEOVER = HistoryEntry(
    at_unix_s=1_760_003_600.0,
    epoch=Epoch(2),
    event="takeover",
    summary="makassar took over from jakarta: no writer claim, no host reached",
    by="controller at surabaya",
    details={"claim_gone": "no writer claim for 1.5 s", "loss": "328 bytes / 1.0 s"},
)


@pytest.fixture
def store() -> MemoryStore:
    store = World().session()
    store.commit(tuple(Create(path, b"") for path in PATHS.all_parents))
    return store


def add(store: MemoryStore, *entries: HistoryEntry | bytes) -> None:
    for entry in entries:
        data = entry if isinstance(entry, bytes) else encode_record(entry)
        store.commit((Create(PATHS.history_entry, data, sequence=True),))


def test_newest_last_and_limited(store: MemoryStore) -> None:
    add(store, INIT, TAKEOVER)
    assert [r.entry.event for r in read_history(store, PATHS, 10) if r.entry] == [
        "initialised",
        "takeover",
    ]
    assert [r.entry.event for r in read_history(store, PATHS, 1) if r.entry] == ["takeover"]


def test_table(store: MemoryStore) -> None:
    add(store, INIT, TAKEOVER, b"{}")
    rows = read_history(store, PATHS, 10)
    check_golden("history", text_of(as_table(rows[:2], details=True)))
    assert "unreadable" in text_of(as_table(rows, details=False))
    assert "328 bytes" not in text_of(as_table(rows, details=False))


@pytest.fixture
def run(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def open_store(_policy):
        yield store

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    return lambda *a: CliRunner().invoke(cli, ["history", *a], prog_name="failover")


def test_json(run, store: MemoryStore) -> None:
    add(store, INIT, TAKEOVER)
    result = run("-o", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == ExitCode.OK
    assert (document["schema"], document["group"]) == (1, "marketplace")
    newest = document["entries"][-1]
    assert newest["name"] == "e-0000000001"
    assert newest["at"] == "2025-10-09T09:53:20Z"
    assert newest["details"]["loss"] == "328 bytes / 1.0 s"


def test_an_unreadable_entry_is_a_finding_and_hides_no_other(run, store: MemoryStore) -> None:
    add(store, INIT, b"not json", TAKEOVER)
    result = run()
    assert result.exit_code == ExitCode.FINDINGS
    assert "takeover" in result.stdout
    assert "unreadable" in result.stdout


def test_no_entries(run) -> None:
    result = run()
    assert result.exit_code == ExitCode.OK
    assert "nothing has happened yet" in result.stdout


def test_a_group_that_does_not_exist_is_refused(run, store: MemoryStore, monkeypatch) -> None:
    monkeypatch.setattr(connect, "open_store", lambda _policy: _opened(World().session()))
    result = run()
    assert result.exit_code == ExitCode.STATE_UNREADABLE
    assert "failover init" in result.stderr


@contextmanager
def _opened(store: MemoryStore):
    yield store
