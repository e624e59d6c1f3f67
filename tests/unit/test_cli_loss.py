"""failover loss: counts from ZooKeeper, the list from the host's own file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cli_world import CONFIG, POLICY
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.cli import loss
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.coordination import connect
from failover.model import Epoch, HostName, Lsn, SiteName
from failover.state import ReceiptRecord, SalvagePhase, SalvageProgress, encode_record
from failover.znode import Create, GroupPaths

PATHS = GroupPaths(POLICY.group)
RECEIPT = ReceiptRecord(
    path="/var/lib/failover/salvage/2/receipt.json",
    from_lsn=Lsn.parse("0/19461E0"),
    read_to_lsn=Lsn.parse("0/197C908"),
    exact=True,
    complete=True,
    transactions=13,
    aborted=3,
    unfinished=1,
    relations=11,
    keys_state="partly",
    keys=15,
    keys_missing=1,
)
RECORD = SalvageProgress(
    host=HostName("jkt-db1"),
    site=SiteName("jakarta"),
    epoch=Epoch(2),
    phase=SalvagePhase.DONE,
    from_lsn=Lsn.parse("0/1900000"),
    end_of_wal=Lsn.parse("0/197C908"),
    segments=1,
    bytes=16 * 1024**2,
    directory="/var/lib/failover/salvage/2",
    receipt=RECEIPT,
)
LOCAL = "local-20261126T052502Z"


@pytest.fixture
def store() -> MemoryStore:
    store = World().session()
    store.commit(tuple(Create(path, b"") for path in PATHS.all_parents))
    return store


def add(store: MemoryStore, record: SalvageProgress, name: str = "2.marketplace.jkt-db1") -> None:
    store.commit((Create(f"{PATHS.salvage}/{name}", encode_record(record)),))


@pytest.fixture
def run(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def open_store(_policy):
        yield store

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))
    return lambda *a: CliRunner().invoke(cli, ["loss", *a], prog_name="failover")


def test_show(run, store: MemoryStore) -> None:
    add(store, RECORD)
    add(store, replace(RECORD, epoch=Epoch(21)), "21.marketplace.jkt-db1")
    result = run("show", "2")
    assert result.exit_code == ExitCode.OK
    assert result.stdout.splitlines() == [
        "jkt-db1 (jakarta), takeover of epoch 2: salvage done",
        "  13 committed transactions left behind, 11 relations touched (3 aborted and 1 unfinished"
        " ones not counted)",
        "  WAL from 0/19461E0 to 0/197C908, 16.0 MiB copied",
        "  keys of rows: partly, 15 read, 1 missing",
        "  the list: `failover loss export 2` on jkt-db1"
        " (/var/lib/failover/salvage/2/receipt.json)",
    ]


@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        (None, "no receipt"),
        (replace(RECEIPT, complete=False), "NOT COMPLETE"),
        (replace(RECEIPT, exact=False), "NOT EXACT"),
    ],
)
def test_a_doubt_is_said_and_is_a_finding(
    run, store: MemoryStore, receipt: ReceiptRecord | None, told: str
) -> None:
    add(store, replace(RECORD, receipt=receipt))
    result = run("show", "2")
    assert result.exit_code == ExitCode.FINDINGS
    assert told in result.stdout


def test_nothing_lost_is_exact_wherever_it_begins(run, store: MemoryStore) -> None:
    nothing = replace(RECEIPT, exact=False, transactions=0, keys_state="nothing_lost")
    add(store, replace(RECORD, receipt=nothing))
    result = run("show", "2")
    assert result.exit_code == ExitCode.OK
    assert "nothing was lost" in result.stdout


def test_show_has_what_was_left_behind_inside_a_site(run, store: MemoryStore) -> None:
    directory = f"/var/lib/failover/salvage/{LOCAL}"
    add(store, replace(RECORD, directory=directory), f"2.marketplace.jkt-db1.{LOCAL}")
    result = run("show", "2")
    assert "inside its site" in result.stdout
    assert f"failover loss export {LOCAL}" in result.stdout


def test_show_as_json(run, store: MemoryStore) -> None:
    add(store, RECORD)
    document = json.loads(run("show", "2", "-o", "json").stdout)
    assert (document["schema"], document["group"], document["epoch"]) == (1, "marketplace", 2)
    (salvaged,) = document["salvages"]
    assert (salvaged["name"], salvaged["host"], salvaged["phase"]) == ("2", "jkt-db1", "done")
    assert salvaged["receipt"]["from_lsn"] == "0/19461E0"
    assert set(salvaged["receipt"]) == set(ReceiptRecord.__dataclass_fields__)


def test_nothing_salvaged(run) -> None:
    result = run("show", "7")
    assert result.exit_code == ExitCode.OK
    assert "no host has salvaged anything in epoch 7" in result.stdout


# --------------------------------------------------------------------------- export


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "2").mkdir()
    path = tmp_path / "2" / "receipt.json"
    path.write_bytes(b'{"schema": 1}')
    monkeypatch.setattr(loss, "SALVAGE", tmp_path)
    return path


def test_export_prints_the_file_of_this_host(run, here: Path) -> None:
    result = run("export", "2")
    assert result.exit_code == ExitCode.OK
    assert result.stdout == '{"schema": 1}\n'


def test_export_into_a_new_private_file(run, here: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert run("export", "2", "--to", str(target)).exit_code == ExitCode.OK
    assert target.read_bytes() == here.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert run("export", "2", "--to", str(target)).exit_code == ExitCode.BAD_INPUT


def test_export_elsewhere_names_the_host(run, here: Path, store: MemoryStore) -> None:
    add(store, replace(RECORD, epoch=Epoch(3)), "3.marketplace.jkt-db1")
    result = run("export", "3")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "run it on jkt-db1" in result.stderr


def test_export_elsewhere_without_zookeeper_says_who_knows(
    run, here: Path, store: MemoryStore
) -> None:
    store.silent = True
    assert "`failover loss show 3`" in run("export", "3").stderr
    assert "`failover loss show EPOCH`" in run("export", LOCAL).stderr


@pytest.mark.parametrize("name", ["../2", "0", "local", "2/.."])
def test_export_of_what_is_no_name_of_a_salvage(run, here: Path, name: str) -> None:
    assert run("export", name).exit_code == ExitCode.BAD_INPUT


def test_a_receipt_of_another_user_says_who_may_read_it(
    run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert "sudo -u postgres failover loss export 2" in run("export", "2").stderr
