"""failover rehearse: its files, what stands in the history, the guards it asks, the command."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cli_world import (
    CLUSTER,
    CONFIG,
    JAKARTA,
    POLICY,
)
from click.testing import CliRunner
from memory_store import MemoryStore, World
from rehearsal_world import Group, entry, run

from failover.cli import rehearse, roles, settings
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.output import UserError
from failover.cli.report_files import usable_directory, write
from failover.clock import boottime_s
from failover.coordination import connect
from failover.coordination.init import initialise
from failover.coordination.sign_off import sign_off
from failover.coordination.stopped_watch import StoppedWatch
from failover.coordination.store import StoreUnavailable
from failover.model import HostName, Lsn, TimelineId
from failover.rehearsal.report import file_stem
from failover.sites.writable import watching_writable
from failover.state import (
    HistoryEntry,
    StopKind,
    StoppedProof,
    decode_record,
    encode_record,
)
from failover.znode import Create, GroupPaths

# --------------------------------------------------------------------------- files and sign-off


def test_earlier_reports_stay(tmp_path: Path) -> None:
    stem = file_stem(run(Group()))
    assert stem == "rehearsal-marketplace-19700101T001640Z"
    first = write(tmp_path, stem, "{}\n", "one\n")
    second = write(tmp_path, stem, "{}\n", "two\n")
    assert [one.path.name for one in (*first, *second)] == [
        f"{stem}.json",
        f"{stem}.md",
        f"{stem}-2.json",
        f"{stem}-2.md",
    ]
    assert first[1].path.read_text() == "one\n"
    assert first[0].sha256 == hashlib.sha256(b"{}\n").hexdigest()


def test_a_directory_that_is_not_there_is_found_out_beforehand(tmp_path: Path) -> None:
    assert usable_directory(tmp_path) == tmp_path
    with pytest.raises(UserError, match="no report can be written"):
        usable_directory(tmp_path / "reports")


@pytest.fixture
def store() -> MemoryStore:
    store = World().session()
    initialise(store, POLICY, now_unix_s=1.0, by="test")
    return store


PATHS = GroupPaths(POLICY.group)


def events(store: MemoryStore) -> list[str]:
    found = [store.read(f"{PATHS.history}/{name}") for name in store.children(PATHS.history)]
    return [decode_record(HistoryEntry, z.data, path=z.path).event for z in found if z is not None]


@pytest.mark.parametrize("lose_answers", [False, True])
def test_it_is_signed_off_once(store: MemoryStore, lose_answers: bool) -> None:
    store.lose_answers = lose_answers
    sign_off(store, PATHS, entry("rehearsed", 5.0, 3, rehearsal="r-17"))
    assert events(store) == ["initialised", "rehearsed"]


def test_without_an_answer_it_is_not_signed_off(store: MemoryStore) -> None:
    store.silent = True
    with pytest.raises(StoreUnavailable, match="not on record"):
        sign_off(store, PATHS, entry("rehearsed", 5.0, 3, rehearsal="r-17"))


def test_the_proof_of_this_plan_is_noticed(store: MemoryStore) -> None:
    watch = StoppedWatch(store, PATHS, [CLUSTER], "s-1")
    watch.look()
    assert watch.all_unix_s is None
    proof = StoppedProof(
        plan_id="s-1",
        host=HostName("jkt-db1"),
        site=JAKARTA,
        kind=StopKind.SHUT_DOWN,
        end_of_wal=Lsn.parse("0/5000148"),
        timeline=TimelineId(3),
    )
    store.commit((Create(PATHS.stopped(CLUSTER), encode_record(proof)),))
    watch.look()
    assert watch.all_unix_s is not None
    other = StoppedWatch(store, PATHS, [CLUSTER], "s-2")
    other.look()
    assert other.all_unix_s is None


# --------------------------------------------------------------------------- asking the guards


class Guard(BaseHTTPRequestHandler):
    """Says whether ``writable`` is asked for and this host takes writes."""

    yes = True

    def do_GET(self) -> None:
        says = self.path == "/writable" and self.yes
        self.send_response(200 if says else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_only_a_yes_is_kept_and_silence_is_none() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        local = ip_address("127.0.0.1")
        there = replace(POLICY.host(HostName("jkt-db1")), address=local)
        answers = replace(there, guard_port=server.server_port)
        silent = replace(there, name=HostName("jkt-db2"), guard_port=1)
        with watching_writable([answers, silent]) as watch:
            assert within(lambda: len(watch.said) >= 3)
            Guard.yes = False
            assert within(lambda: boottime_s() - watch.said[-1].answered_s > 0.3)
        server.shutdown()
    assert {one.host.name for one in watch.said} == {"jkt-db1"}
    assert all(one.sent_s <= one.answered_s for one in watch.said)


def within(holds: Callable[[], bool], limit_s: float = 5.0) -> bool:
    give_up_s = boottime_s() + limit_s
    while not holds() and boottime_s() < give_up_s:
        time.sleep(0.01)
    return holds()


# --------------------------------------------------------------------------- the command


@pytest.fixture
def command(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., object]:
    @contextmanager
    def opened(_policy: object, timeout_s: float = 3.5) -> Iterator[MemoryStore]:
        yield store

    monkeypatch.setattr(connect, "open_store", opened)
    words = ["--config", str(CONFIG), "rehearse", "--report", str(tmp_path)]
    return lambda *more: CliRunner().invoke(cli, [*words, *more])


def test_without_a_leader_it_is_refused(command, store, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: False)
    before = len(store.committed)
    done = command("--yes")
    assert done.exit_code == ExitCode.REFUSED
    assert "no controller leads" in done.output
    assert "systemctl start failover-controller" in done.output
    assert (len(store.committed), list(tmp_path.iterdir())) == (before, [])


def test_a_group_that_is_not_healthy_is_refused_with_every_reason(
    command, store, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: True)
    before = len(store.committed)
    done = command("--yes")
    assert done.exit_code == ExitCode.REFUSED, done.output
    for words in ("the group is not healthy", "claim_held", "guards_work", "rehearsal.md"):
        assert words in done.output
    assert (len(store.committed), list(tmp_path.iterdir())) == (before, [])


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    group = Group()
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: True)
    monkeypatch.setattr(rehearse, "_hands", lambda *_world: group.hands())
    return group


def test_the_name_of_the_group_is_asked_for(command, group) -> None:
    done = command()
    assert (done.exit_code, group.asked) == (ExitCode.REFUSED, [])
    assert "Type marketplace to go on" in done.output


@pytest.mark.parametrize(("pause_s", "code"), [(0.4, ExitCode.OK), (1.4, ExitCode.FINDINGS)])
def test_the_report_is_signed_off_in_the_history(
    command, group, store, tmp_path, pause_s: float, code: ExitCode
) -> None:
    group.pause_s = pause_s
    done = command("--yes", "--reason", "quarterly", "-o", "json")
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    files = {Path(one["path"]): one["sha256"] for one in document.pop("files")}
    on_disk = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert files == on_disk
    name = store.children(PATHS.history)[-1]
    found = store.read(f"{PATHS.history}/{name}")
    signed = decode_record(HistoryEntry, found.data, path=name)
    assert (signed.event, signed.epoch) == ("rehearsed", 5)
    assert signed.details["result"] == document["result"] == ("failed" if code else "passed")
    by_name = {path.name: sha256 for path, sha256 in on_disk.items()}
    assert signed.details["report_sha256"] == by_name[signed.details["report"]]
    assert signed.details["text_sha256"] == by_name[signed.details["text"]]
    assert json.loads((tmp_path / signed.details["report"]).read_text()) == document


def test_a_report_that_no_controller_signs_is_still_told(
    command, group, tmp_path, monkeypatch
) -> None:
    """The group was moved twice: that is no "refused, nothing was touched"."""

    def refused(*_: object) -> str:
        raise UserError("the controller refuses: too late", code=ExitCode.REFUSED)

    monkeypatch.setattr(roles, "writes_state", lambda _policy, _store: False)
    monkeypatch.setattr(settings, "ask_for", refused)
    done = command("--yes", "--reason", "quarterly")
    assert done.exit_code == ExitCode.FINDINGS
    assert "not signed off: the controller refuses: too late" in done.stderr
    for path in tmp_path.iterdir():
        assert path.name in done.stderr.replace("\n", "")
