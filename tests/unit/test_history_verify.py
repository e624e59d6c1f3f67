"""failover history verify: whatever was changed or removed is found, and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cli_world import CONFIG, POLICY
from click.testing import CliRunner, Result
from memory_store import MemoryStore, World

from failover.cli.exit_codes import ExitCode
from failover.cli.history_verify import read_whole
from failover.cli.main import cli
from failover.coordination import connect, recent_history
from failover.coordination.history import record
from failover.coordination.store import StoreUnavailable
from failover.history import digest, head_seen
from failover.history_check import Wrong, check_history
from failover.model import Epoch
from failover.state import HistoryEntry, HistoryHead, decode_record, encode_record
from failover.znode import Create, Delete, GroupPaths, Set, Znode

PATHS = GroupPaths(POLICY.group)
ENTRY = HistoryEntry(1.0, Epoch(1), "following", "makassar follows jkt-db2", "test", {})
OLD = b'{"at_unix_s":1.0,"epoch":1,"event":"x","summary":"y","by":"z","details":{}}'
ENTRIES = 5

Run = Callable[..., Result]


@pytest.fixture
def store() -> MemoryStore:
    """Five entries, number 1 in the znode e-0000000000."""
    found = World().session()
    found.commit(tuple(Create(path, b"") for path in PATHS.all_parents))
    for number in range(1, ENTRIES + 1):
        record(found, PATHS, replace(ENTRY, summary=f"number {number}"))
    return found


@pytest.fixture
def run(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Run:
    @contextmanager
    def open_store(_policy: object) -> Iterator[MemoryStore]:
        yield store

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    return lambda *a: CliRunner().invoke(cli, ["history", *a], prog_name="failover")


def path_of(number: int) -> str:
    return f"{PATHS.history}/e-{number - 1:010d}"


def znode(store: MemoryStore, path: str) -> Znode:
    found = store.read(path)
    assert found is not None
    return found


def entry(store: MemoryStore, number: int) -> HistoryEntry:
    return decode_record(HistoryEntry, znode(store, path_of(number)).data, path="")


def write(store: MemoryStore, path: str, data: bytes) -> None:
    store.commit((Set(path, data, znode(store, path).version),))


def change(store: MemoryStore, place: int, /, **fields: object) -> None:
    changed = replace(entry(store, place), **fields)  # type: ignore[arg-type]
    write(store, path_of(place), encode_record(changed))


def remove(store: MemoryStore, *numbers: int) -> None:
    store.commit(tuple(Delete(path_of(number)) for number in numbers))


def add(store: MemoryStore, data: bytes) -> None:
    store.commit((Create(PATHS.history_entry, data, sequence=True),))


def head_of(store: MemoryStore, number: int) -> HistoryHead:
    """As a controller logged it right after that entry."""
    return HistoryHead(number, digest(znode(store, path_of(number)).data))


def write_anew(store: MemoryStore, number: int) -> None:
    """Somebody changes an entry and makes all that follows fit, the head too."""
    change(store, number, summary="nothing happened")
    for later in range(number + 1, ENTRIES + 1):
        change(store, later, previous=head_of(store, later - 1).sha256)
    write(store, PATHS.history_head, encode_record(head_of(store, ENTRIES)))


def findings(store: MemoryStore, *logged: HistoryHead) -> list[tuple[Wrong, int | None]]:
    entries, head = read_whole(store, PATHS)
    return [(finding.wrong, finding.number) for finding in check_history(entries, head, logged)]


# --------------------------------------------------------------------------- what is found


def test_a_chain_as_it_was_written_is_whole(store: MemoryStore) -> None:
    assert findings(store, *(head_of(store, number) for number in range(1, 6))) == []


Spoil = Callable[[MemoryStore], object]

SPOILT: dict[str, tuple[Spoil, list[tuple[Wrong, int | None]]]] = {
    "changed": (lambda s: change(s, 3, summary="else"), [(Wrong.CHANGED, 3)]),
    "the oldest changed": (lambda s: change(s, 1, summary="else"), [(Wrong.CHANGED, 1)]),
    "the newest changed": (lambda s: change(s, 5, summary="else"), [(Wrong.CHANGED, 5)]),
    "only spaces changed": (
        lambda s: write(s, path_of(2), znode(s, path_of(2)).data + b" "),
        [(Wrong.CHANGED, 2)],
    ),
    "what it follows changed": (lambda s: change(s, 4, previous="0" * 64), [
        (Wrong.DOUBTFUL, 3), (Wrong.CHANGED, 4),
    ]),
    "spoilt": (lambda s: write(s, path_of(3), b"{"), [
        (Wrong.UNREADABLE, None), (Wrong.MISSING, 4),
    ]),
    "removed": (lambda s: remove(s, 3), [(Wrong.MISSING, 4)]),
    "several removed": (lambda s: remove(s, 2, 3), [(Wrong.MISSING, 4)]),
    "the oldest removed": (lambda s: remove(s, 1, 2), [(Wrong.MISSING, 3)]),
    "the newest removed": (lambda s: remove(s, 4, 5), [(Wrong.MISSING, 4)]),
    "all removed": (lambda s: remove(s, 1, 2, 3, 4, 5), [(Wrong.MISSING, 1)]),
    "taken out of the chain": (lambda s: change(s, 3, number=0), [
        (Wrong.NOT_CHAINED, None), (Wrong.MISSING, 4),
    ]),
    "one added by hand": (lambda s: add(s, OLD), [(Wrong.NOT_CHAINED, None)]),
    "garbage added": (lambda s: add(s, b"{"), [(Wrong.UNREADABLE, None)]),
    "a copy added": (
        lambda s: add(s, znode(s, path_of(2)).data), [(Wrong.OUT_OF_ORDER, 2)],
    ),
    "moved to the end": (
        lambda s: (add(s, znode(s, path_of(2)).data), remove(s, 2)),
        [(Wrong.OUT_OF_ORDER, 2), (Wrong.MISSING, 3)],
    ),
    "head gone": (lambda s: s.commit((Delete(PATHS.history_head),)), [(Wrong.HEAD, None)]),
    "head spoilt": (lambda s: write(s, PATHS.history_head, b"{"), [(Wrong.HEAD, None)]),
    "head set back": (
        lambda s: write(s, PATHS.history_head, encode_record(head_of(s, 3))),
        [(Wrong.HEAD, None)],
    ),
    "head of another": (
        lambda s: write(s, PATHS.history_head, encode_record(HistoryHead(5, "0" * 64))),
        [(Wrong.CHANGED, 5)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_what_was_done_to_it_is_found(store: MemoryStore, what: str) -> None:
    spoil, wanted = SPOILT[what]
    spoil(store)
    assert findings(store) == wanted


def test_a_chain_written_anew_is_found_with_the_logs_only(store: MemoryStore) -> None:
    logged = [head_of(store, number) for number in range(1, 6)]
    write_anew(store, 3)
    assert findings(store) == []
    assert findings(store, *logged[:2]) == []  # before what was changed
    assert findings(store, *logged[2:]) == [(Wrong.LOG, 3), (Wrong.LOG, 4), (Wrong.LOG, 5)]


def test_a_chain_cut_short_is_found_with_the_logs_only(store: MemoryStore) -> None:
    logged, shorter = head_of(store, 5), head_of(store, 3)
    remove(store, 4, 5)
    write(store, PATHS.history_head, encode_record(shorter))
    assert findings(store, shorter) == []
    assert findings(store, logged) == [(Wrong.LOG, 5)]


def test_a_new_chain_is_a_finding_and_the_old_one_is_checked_too(store: MemoryStore) -> None:
    logged = head_of(store, 2)
    write(store, PATHS.history_head, b"{")
    record(store, PATHS, ENTRY)
    record(store, PATHS, ENTRY)
    entries, head = read_whole(store, PATHS)
    (found,) = check_history(entries, head, [logged])
    assert (found.wrong, found.number) == (Wrong.NEW_CHAIN, 1)
    assert "after entry 5 (e-0000000004)" in found.what
    assert "not a HistoryHead" in found.what
    change(store, 2, summary="else")
    assert (Wrong.CHANGED, 2) in findings(store)


def test_entries_from_before_the_chain_are_not_wrong() -> None:
    store = World().session()
    store.commit(tuple(Create(path, b"") for path in PATHS.all_parents))
    assert findings(store) == [(Wrong.MISSING, None)]  # `failover init` writes the first one
    add(store, OLD)
    assert findings(store) == []
    record(store, PATHS, ENTRY)
    record(store, PATHS, ENTRY)
    assert findings(store) == []


# --------------------------------------------------------------------------- the command


def test_whole(run: Run, store: MemoryStore) -> None:
    wanted = head_of(store, 4)
    result = run("verify", "--head", f"{wanted.number}:{wanted.sha256.upper()}")
    head = head_of(store, 5)
    assert result.exit_code == ExitCode.OK, result.output
    assert result.stdout == (
        "the history of group marketplace is whole: 5 entries in the chain; "
        f"1 of the logs found in it; head 5:{head.sha256}\n"
    )


def test_findings_say_which_entry_what_and_what_to_do(run: Run, store: MemoryStore) -> None:
    change(store, 3, summary="else")
    result = run("verify", "--head", f"9:{'0' * 64}")
    assert result.exit_code == ExitCode.FINDINGS
    assert result.stdout == (
        "entry 3 (e-0000000002) was changed after it was written: entry 4 (e-0000000003) has "
        "another SHA-256 of it\n"
        "  what to do: find out who may write there; what was done then is in the controllers' "
        "logs\n"
        "entry 9 was logged and is not there\n"
        "  what to do: trust the logs: take this history and the logs of all three sites away "
        "before anything else, and find out who may write in ZooKeeper\n"
        "the history of group marketplace is NOT whole: 2 findings\n"
    )


def test_json(run: Run, store: MemoryStore) -> None:
    remove(store, 3)
    result = run("verify", "-o", "json")
    assert result.exit_code == ExitCode.FINDINGS
    document = json.loads(result.stdout)
    head = head_of(store, 5)
    (found,) = document.pop("findings")
    assert document == {
        "schema": 1,
        "group": "marketplace",
        "whole": False,
        "chained": 4,
        "unchained": 0,
        "head": {"number": 5, "sha256": head.sha256},
    }
    assert (found["wrong"], found["name"], found["number"]) == ("missing", "e-0000000003", 4)
    assert "entry 3 is missing" in found["what"]


@pytest.mark.parametrize("text", ["5", "5:abc", f"0:{'0' * 64}", f"x:{'0' * 64}", f"5:{'g' * 64}"])
def test_a_head_that_is_none_is_bad_input(run: Run, text: str) -> None:
    result = run("verify", "--head", text)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "NUMBER:SHA256" in result.stderr


def test_the_list_works_as_before_and_its_options_belong_to_it(run: Run) -> None:
    assert "number 5" in run("--limit", "1").stdout
    assert "number 4" not in run("--limit", "1").stdout
    refused = run("-o", "json", "verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "come after it" in refused.stderr


def test_a_group_that_does_not_exist_is_refused(run: Run, store: MemoryStore) -> None:
    store._world.tree = World().tree
    assert run("verify").exit_code == ExitCode.STATE_UNREADABLE


def test_an_entry_that_comes_while_it_is_read_is_no_finding(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again; where it never stands still, that is said."""
    monkeypatch.setattr(recent_history, "READ_AT_ONCE", 2)
    others = 1
    children = store.children

    def slow(path: str) -> tuple[str, ...]:
        nonlocal others
        names = children(path)
        if others > 0:
            others -= 1
            record(store, PATHS, ENTRY)
        return names

    monkeypatch.setattr(store, "children", slow)
    entries, head = read_whole(store, PATHS)
    assert [stored.number for stored in entries] == [1, 2, 3, 4, 5, 6]
    assert head == head_seen(store.read(PATHS.history_head))
    others = 99
    with pytest.raises(StoreUnavailable, match="changed while it was read"):
        read_whole(store, PATHS)
