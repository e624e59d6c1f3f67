"""What a guard says of its own host: real files, a real socket, real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import CLUSTER, CONFIG, POLICY
from pydantic import TypeAdapter

from failover.checks.host_report import BARRIERS, PATRONI_FILE, RENDERED_FILES, HostReport
from failover.guard import host_report
from failover.guard.host_report import HostReporter
from failover.guard.records import Places
from failover.render.expected import expected
from failover.render.files import render
from failover.timing import lease_timing

HOST = POLICY.cluster(CLUSTER).hosts[0]
SECRET = "never-to-be-shown"


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
    for name in BARRIERS:
        (directory / name).write_text("#!/bin/sh\n", encoding="utf-8")
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
def reporter(root: Path, places: Places) -> HostReporter:
    return HostReporter(places, lease_timing(POLICY.lease_s), CONFIG, root=root)


@pytest.mark.usefixtures("door")
def test_a_host_as_it_is_rendered(reporter: HostReporter) -> None:
    found = reporter.look()
    wanted = expected(POLICY, CONFIG.read_bytes()).host(HOST.name)
    assert found.files == wanted.files
    assert [path for path, _ in found.files] == list(RENDERED_FILES)
    assert dict(found.patroni.settings) == dict(wanted.patroni)
    assert found.patroni.problem == ""
    assert found.barriers_missing == ()
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
    (directory / "pre_promote").unlink()
    (directory / "pre_promote").symlink_to("/nowhere")
    (root / RENDERED_FILES[0]).unlink()
    found = reporter.look()
    assert dict(found.barriers_missing) == {
        "postgres": "missing",
        "pg_ctl": "not executable",
        "pre_promote": "a broken link",
    }
    assert "No such file" in found.door_problem
    assert [path for path, _ in found.files] == list(RENDERED_FILES[1:])


def test_no_secret_is_in_it(reporter: HostReporter, root: Path) -> None:
    file = root / PATRONI_FILE.lstrip("/")
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("username: patroni", f"username: patroni\n    password: {SECRET}"), "utf-8"
    )
    assert SECRET in file.read_text(encoding="utf-8")
    found = reporter.look()
    assert found.patroni.problem == ""
    assert SECRET.encode() not in TypeAdapter(HostReport).dump_json(found)
    file.write_text(f"a: [{SECRET}", encoding="utf-8")
    broken = reporter.look()
    assert broken.patroni.problem
    assert SECRET.encode() not in TypeAdapter(HostReport).dump_json(broken)


@pytest.mark.parametrize(("words", "by_guard"), [(("guard", "patroni"), True), ((), False)])
def test_patronis_process_its_start_and_the_names_in_its_environment(
    places: Places, root: Path, words: tuple[str, ...], by_guard: bool
) -> None:
    """Of a host with no other process: a lab on this machine has Patronis of its own."""
    proc = root / "proc"
    proc.mkdir()
    (proc / "stat").symlink_to("/proc/stat")
    reporter = HostReporter(places, lease_timing(POLICY.lease_s), CONFIG, root=root, proc=proc)
    command = [sys.executable, "-c", "import time; time.sleep(60)", *words, PATRONI_FILE]
    environment = {**os.environ, "PATRONI_POSTGRESQL_BIN_POSTGRES": SECRET}
    assert reporter.look().patroni.started_unix_s is None
    before_s = time.time()
    with subprocess.Popen(command, env=environment) as process:
        (proc / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        try:
            found = reporter.look().patroni
        finally:
            process.kill()
    assert found.by_guard is by_guard
    assert found.environment == ("PATRONI_POSTGRESQL_BIN_POSTGRES",)
    assert found.started_unix_s is not None
    assert abs(found.started_unix_s - before_s) < 5.0  # the kernel's boot time is a whole second
    assert SECRET not in str(found)


def test_who_asked_for_writability_is_remembered_up_to_a_number(reporter: HostReporter) -> None:
    for number in range(host_report.ASKERS_MAX + 10):
        reporter.asked(f"10.0.0.{number}")
    found = asyncio.run(reporter.report())
    assert found is not None
    assert len(found.asked) == host_report.ASKERS_MAX
    assert found.asked[0].address == "10.0.0.0"


def test_a_look_that_hangs_costs_the_asker_his_answer_and_is_not_begun_twice(
    reporter: HostReporter, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody writes to: reading it waits, as a disk that hangs."""
    monkeypatch.setattr(host_report, "LOOK_LIMIT_S", 0.2)
    pipe = root / RENDERED_FILES[0]
    pipe.unlink()
    os.mkfifo(pipe)
    threads = threading.active_count()
    assert asyncio.run(reporter.report()) is None
    assert asyncio.run(reporter.report()) is None
    assert threading.active_count() <= threads + 1
    held = root / "held"
    os.link(pipe, held)
    (root / "file").write_bytes(b"a file again")
    (root / "file").replace(pipe)  # a look that begins now does not wait
    held.write_bytes(b"at last")  # and the one that waits goes on
    monkeypatch.setattr(host_report, "LOOK_LIMIT_S", 20.0)
    assert asyncio.run(reporter.report()) is not None
