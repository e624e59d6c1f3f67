"""What a guard says of its own host: real files, a real socket, real processes."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_world import CLUSTER, CONFIG, POLICY
from pydantic import TypeAdapter

from failover.checks.host_report import BARRIERS, PATRONI_FILE, RENDERED_FILES, Asked, HostReport
from failover.guard import host_report
from failover.guard.host_report import HostReporter, sha256_of
from failover.guard.messages import HOST_REPORT_MAX, FromWorker, HostAnswer, HostAsk
from failover.guard.own_certificate import own_certificate
from failover.guard.records import Places
from failover.pki.directory import Directory
from failover.render.expected import expected
from failover.render.files import render
from failover.timing import lease_timing
from failover.transport import HostNames, TransportSecurity, Wire

HOST = POLICY.cluster(CLUSTER).hosts[0]
SECRET = "never-to-be-shown"
ASK = HostAsk(3, "1.2.3", 4.5, sha256_of(CONFIG), (("10.77.1.41", 0.5),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's files as they are rendered, and barriers in their places."""
    for path, text in render(POLICY).items():
        if path.parts[1] == HOST.name:
            target = tmp_path.joinpath(*path.parts[2:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    directory = tmp_path / "usr/lib/failover/barrier"
    directory.mkdir(parents=True)
    for name, shipped in BARRIERS.items():
        shutil.copy(host_report.SHIPPED / shipped, directory / name)
        (directory / name).chmod(0o755)
    (tmp_path / "data/pg_wal").mkdir(parents=True)
    (tmp_path / "state/salvage/3").mkdir(parents=True)
    (tmp_path / "state/salvage/3/segment").write_bytes(b"x" * 1000)
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def places(root: Path) -> Places:
    return Places(CLUSTER, root / "data", root / "run", root / "state")


@pytest.fixture
def door(places: Places) -> Iterator[socket.socket]:
    """Somebody who answers the barriers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(places.socket))
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    link.recv(64)
                    link.sendall(b"yes armed\n")

        threading.Thread(target=answer, daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def sent() -> queue.SimpleQueue[FromWorker]:
    return queue.SimpleQueue()


@pytest.fixture
def reporter(root: Path, places: Places, sent: queue.SimpleQueue[FromWorker]) -> HostReporter:
    return HostReporter(places, lease_timing(POLICY.lease_s), CONFIG, sent.put, root=root)


@pytest.mark.usefixtures("door")
def test_a_host_as_it_is_rendered(reporter: HostReporter) -> None:
    found = reporter.look(ASK)
    wanted = expected(POLICY, CONFIG.read_bytes()).host(HOST.name)
    assert found.files == wanted.files
    assert [path for path, _ in found.files] == list(RENDERED_FILES)
    assert dict(found.patroni.settings) == dict(wanted.patroni)
    assert found.patroni.problem == ""
    assert found.barriers_missing == ()
    assert found.barriers == expected(POLICY, CONFIG.read_bytes()).barriers
    assert found.door_problem == ""
    assert found.salvage_held_bytes == 1000
    assert {disk.what for disk in found.disks} == {"data", "wal", "salvage"}
    assert all(0 < disk.free_bytes <= disk.size_bytes for disk in found.disks)
    assert found.configuration_sha256 == found.configuration_loaded_sha256
    assert found.configuration_sha256 == expected(POLICY, CONFIG.read_bytes()).configuration_sha256


def test_what_is_not_there_is_said(reporter: HostReporter, root: Path) -> None:
    directory = root / "usr/lib/failover/barrier"
    (directory / "postgres").unlink()
    (directory / "pg_ctl").chmod(0o644)
    (directory / "promote").write_text('#!/bin/sh\nexec pg_ctl "$@"\n', encoding="utf-8")
    (directory / "pre_promote").unlink()
    (directory / "pre_promote").symlink_to("/nowhere")
    (root / RENDERED_FILES[0]).unlink()
    found = reporter.look(ASK)
    assert dict(found.barriers_missing) == {
        "postgres": "missing",
        "pg_ctl": "not executable",
        "promote": "not the program of this version",
        "pre_promote": "a broken link",
    }
    assert "No such file" in found.door_problem
    assert [path for path, _ in found.files] == list(RENDERED_FILES[1:])


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (lambda _, host, __: host.chmod(0o644), "its mode is 0644"),
        (lambda _, host, __: host.chmod(0o400), ""),
        (lambda _, host, __: host.unlink(), "No such file"),
        (lambda _, __, ca: ca.unlink(), "No such file"),
        (lambda _, host, __: host.write_text("nonsense"), "PEM"),
        (lambda other, host, __: host.write_bytes(mixed(other, host)), "key values mismatch"),
    ],
)
def test_what_postgresql_would_have_at_its_next_start(
    tmp_path: Path, breaks: Callable[[Path, Path, Path], object], said: str
) -> None:
    tls = TransportSecurity(postgresql=Wire.REQUIRE)
    pki = Directory(tmp_path / "pki", tls.directory)
    pki.init("marketplace", datetime.now(UTC))
    mine, other = (HostNames("jakarta", name, HOST.address) for name in ("jkt-db1", "jkt-db2"))
    for names in (mine, other):
        pki.issue(names, datetime.now(UTC))
    host, ca = pki.host_file(mine), pki.authority_file(mine)
    host.chmod(0o600)
    root = tmp_path / "pki/jakarta/jkt-db1"
    before = own_certificate(tls, root)
    assert before is not None
    assert before.file == "/etc/failover/tls/host.pem"
    assert before.until_unix_s is not None
    assert 360 < (before.until_unix_s - time.time()) / 86400 < 366
    breaks(pki.host_file(other), host, ca)
    found = own_certificate(tls, root)
    assert found is not None
    assert said in found.problem
    assert (found.until_unix_s is None) is bool(said)
    assert own_certificate(TransportSecurity(), root) is None


def mixed(other: Path, host: Path) -> bytes:
    """The key of one and the certificate of another."""
    begin = b"-----BEGIN CERT"
    return other.read_bytes().partition(begin)[0] + begin + host.read_bytes().partition(begin)[2]


def test_no_secret_is_in_it(reporter: HostReporter, root: Path) -> None:
    file = root / PATRONI_FILE.lstrip("/")
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("username: patroni", f"username: patroni\n    password: {SECRET}"), "utf-8"
    )
    assert SECRET in file.read_text(encoding="utf-8")
    found = reporter.look(ASK)
    assert found.patroni.problem == ""
    assert SECRET.encode() not in TypeAdapter(HostReport).dump_json(found)
    file.write_text(f"a: [{SECRET}", encoding="utf-8")
    broken = reporter.look(ASK)
    assert broken.patroni.problem
    assert SECRET.encode() not in TypeAdapter(HostReport).dump_json(broken)


@pytest.mark.parametrize(
    ("words", "by_guard"),
    [
        (("guard", "patroni"), True),
        (("guard", "patroni", "--config", "failover.yaml", "--host", "jkt-db1"), True),
        ((), False),
    ],
)
def test_patronis_process_its_start_and_the_names_in_its_environment(
    places: Places, root: Path, words: tuple[str, ...], by_guard: bool
) -> None:
    """Of a host with no other process: a lab on this machine has Patronis of its own."""
    proc = root / "proc"
    proc.mkdir()
    (proc / "stat").symlink_to("/proc/stat")
    reporter = HostReporter(
        *(places, lease_timing(POLICY.lease_s), CONFIG, lambda _: None), root=root, proc=proc
    )
    command = [sys.executable, "-c", "import time; time.sleep(60)", *words, PATRONI_FILE]
    environment = {**os.environ, "PATRONI_POSTGRESQL_BIN_POSTGRES": SECRET}
    assert reporter.look(ASK).patroni.started_unix_s is None
    before_s = time.time()
    with subprocess.Popen(command, env=environment) as process:
        (proc / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        try:
            found = reporter.look(ASK).patroni
        finally:
            process.kill()
    assert found.by_guard is by_guard
    assert found.environment == ("PATRONI_POSTGRESQL_BIN_POSTGRES",)
    assert found.started_unix_s is not None
    assert abs(found.started_unix_s - before_s) < 5.0  # the kernel's boot time is a whole second
    assert SECRET not in str(found)


def test_what_the_minder_alone_knows_is_passed_on(reporter: HostReporter) -> None:
    found = reporter.look(ASK)
    assert (found.version, found.deadline_s) == ("1.2.3", 4.5)
    assert found.asked == (Asked("10.77.1.41", 0.5),)
    assert found.session_ms == lease_timing(POLICY.lease_s).session_ms


def test_a_file_with_no_end_is_read_to_a_limit(reporter: HostReporter, root: Path) -> None:
    for path in (RENDERED_FILES[0], PATRONI_FILE.lstrip("/")):
        (root / path).unlink()
        (root / path).symlink_to("/dev/zero")
    found = reporter.look(ASK)
    assert RENDERED_FILES[0] not in dict(found.files)
    assert found.patroni.problem


def test_aliases_that_stand_for_more_than_any_memory_holds(
    reporter: HostReporter, root: Path
) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 30))]
    (root / PATRONI_FILE.lstrip("/")).write_text("\n".join(lines), encoding="utf-8")
    assert reporter.look(ASK).patroni.problem.startswith("YAMLError")


def test_a_look_that_fails_or_is_too_long_ends_no_worker(
    reporter: HostReporter,
    root: Path,
    sent: queue.SimpleQueue[FromWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = root / PATRONI_FILE.lstrip("/")
    file.write_text(f"scope: {'x' * HOST_REPORT_MAX}", encoding="utf-8")
    reporter._answer(ASK)
    file.write_text("[" * 5000, encoding="utf-8")
    monkeypatch.setattr(host_report, "_bytes_below", lambda _: 1 / 0)
    reporter._answer(ASK)
    assert sent.empty()


def test_a_look_that_hangs_is_not_begun_twice_and_the_latest_question_is_kept(
    reporter: HostReporter, root: Path, sent: queue.SimpleQueue[FromWorker]
) -> None:
    """A pipe that nobody writes to: reading it waits, as a disk that hangs."""
    pipe = root / RENDERED_FILES[0]
    pipe.unlink()
    os.mkfifo(pipe)
    threading.Thread(target=reporter.run, daemon=True).start()
    reporter.ask(ASK)
    with pipe.open("wb"):  # waits until somebody reads: the look hangs here
        threads = threading.active_count()
        reporter.ask(replace(ASK, request=4))
        reporter.ask(replace(ASK, request=5))
        assert threading.active_count() == threads
        assert sent.empty()
        pipe.unlink()  # a look that begins now does not wait
    answers = [sent.get(timeout=30.0), sent.get(timeout=30.0)]
    assert [a.request for a in answers if isinstance(a, HostAnswer)] == [3, 5]
