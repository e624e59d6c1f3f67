"""A database host in a directory: real barriers, real locks, real processes; a stand-in server.

The server is a script named ``postgres`` that does what matters here: it works in its data
directory, has a child, writes the control file's state, and keeps what it inherited.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from failover.guard import barrier
from failover.guard.control_file import DbState
from failover.guard.records import Places
from failover.model import ClusterName

CLUSTER = ClusterName("shop")

SERVER = """#!{python} -IS
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
if "-C" in sys.argv:
    print(os.environ.get(sys.argv[sys.argv.index("-C") + 1].upper(), ""))
    sys.exit()
data = sys.argv[sys.argv.index("-D") + 1]
os.chdir(data)
open("postmaster.pid", "w").write(str(os.getpid()) + "\\n")
if not os.path.exists("standby.signal"):
    with open("global/pg_control", "r+b") as control:
        control.seek(16)
        control.write((6).to_bytes(4, "little"))
if os.fork() == 0:
    open("child.pid", "w").write(str(os.getpid()))
time.sleep(60)
"""


def control_bytes(state: DbState, checkpoint: int = 0x1000060, timeline: int = 1) -> bytes:
    head = struct.pack("<QIII", 7_000_000_000_000_000_000, 1700, 202406281, state)
    raw = head.ljust(32, b"\0") + struct.pack("<QQI", checkpoint, checkpoint, timeline)
    return raw.ljust(8192, b"\0")


class Host:
    """Directories and barriers of one host below ``root``."""

    def __init__(self, root: Path, start_limit_s: float = barrier.START_LIMIT_S) -> None:
        """``start_limit_s``: longer where it is not the point, for machines that are busy."""
        self._start_limit_s = start_limit_s
        self.places = Places(
            cluster=CLUSTER,
            data_dir=root / "data" / CLUSTER,
            run_dir=root / "run",
            durable_dir=root / "lib",
            bin_dir=root / "bin",
        )
        for directory in (root / "run", root / "lib", root / "bin", root / "barrier"):
            directory.mkdir()
        (self.places.data_dir / "global").mkdir(parents=True)
        self.places.wal.mkdir()
        self.places.lock.touch()  # the guard has been here once
        self.places.control_file.write_bytes(control_bytes(DbState.SHUT_DOWN))
        dump = self.places.bin_dir / "pg_waldump"
        dump.write_text("#!/bin/sh\necho 'could not find a valid record after 0/0' >&2\nexit 1\n")
        dump.chmod(0o755)
        self._barriers = root / "barrier"
        self._install(root)
        self.processes: list[subprocess.Popen[str]] = []

    def _install(self, root: Path) -> None:
        source = Path(barrier.__file__).read_text()
        for name, value in (
            ("BIN_DIR", "bin"),
            ("RUN_DIR", "run"),
            ("STATE_DIR", "lib"),
            ("BARRIER_DIR", "barrier"),
        ):
            line = next(ln for ln in source.splitlines() if ln.startswith(f"{name} = "))
            source = source.replace(line, f'{name} = "{root / value}"')
        limit = f"START_LIMIT_S = {barrier.START_LIMIT_S}"
        assert limit in source
        source = source.replace(limit, f"START_LIMIT_S = {self._start_limit_s}")
        source = source.replace("#!/usr/bin/python3 -IS", f"#!{sys.executable} -IS")
        file = root / "barrier.py"
        file.write_text(source)
        file.chmod(0o755)
        for name in ("postgres", "promote", "pg_rewind", "pre_promote", "recovery_end"):
            (self._barriers / name).symlink_to(file)
        asks = Path(barrier.__file__).with_name("recovery_end.sh").read_text()
        assert f"RUN_DIR={barrier.RUN_DIR}" in asks
        script = self._barriers / "recovery_end.sh"
        script.write_text(asks.replace(f"RUN_DIR={barrier.RUN_DIR}", f"RUN_DIR={root / 'run'}"))
        script.chmod(0o755)
        pg_ctl = self._barriers / "pg_ctl"
        script = Path(barrier.__file__).with_name("pg_ctl.sh").read_text()
        for name, value, there in (
            ("BIN_DIR", barrier.BIN_DIR, "bin"),
            ("RUN_DIR", barrier.RUN_DIR, "run"),
        ):
            assert f"{name}={value}" in script
            script = script.replace(f"{name}={value}", f"{name}={root / there}")
        pg_ctl.write_text(
            script.replace("PASS_HOLDS=40", "PASS_HOLDS=6000")
        )  # a slow machine's time
        pg_ctl.chmod(0o755)
        server = root / "bin" / "postgres"
        server.write_text(SERVER.format(python=sys.executable))
        for name in ("pg_ctl", "pg_rewind"):
            (root / "bin" / name).write_text('#!/bin/sh\necho "real $0 $*"\n')
        for real in (root / "bin").iterdir():
            real.chmod(0o755)

    def begin(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Call a barrier and leave it running."""
        process = subprocess.Popen(
            [str(self._barriers / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def call(self, name: str, *arguments: str, **environment: str) -> tuple[int, str, float]:
        """Call a barrier that ends: exit code, output, seconds."""
        began_s = time.monotonic()
        process = self.begin(name, *arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err, time.monotonic() - began_s

    def start_server(self) -> subprocess.Popen[str]:
        """Through the barrier, until its child lives."""
        (self.places.data_dir / "child.pid").unlink(missing_ok=True)
        process = self.begin("postgres", "-D", str(self.places.data_dir))
        wait_for((self.places.data_dir / "child.pid").exists)
        return process

    @property
    def child_pid(self) -> int:
        wait_for(lambda: (self.places.data_dir / "child.pid").read_text() != "")
        return int((self.places.data_dir / "child.pid").read_text())

    def end(self) -> None:
        """Kill whatever lives; a child that has not said its number is of its parent's group."""
        for process in self.processes:
            for kill, number in ((os.killpg, process.pid), (os.kill, self._child_of())):
                with suppress(ProcessLookupError):
                    kill(number, signal.SIGKILL)
            process.communicate()

    def _child_of(self) -> int:
        try:
            return int((self.places.data_dir / "child.pid").read_text())
        except (OSError, ValueError):
            return 2**22  # above the largest process id there is


def wait_for(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Until it holds; fails when it does not within the limit."""
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.01)


@contextmanager
def guard_that_says(places: Places, *, yes: bool, reason: str = "said so") -> Iterator[list[str]]:
    """The other end of the socket: one answer to everything; the questions are kept."""
    asked: list[str] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(places.socket))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # A barrier may have given up by then, on a busy machine.
            with connection, contextlib.suppress(BrokenPipeError):
                asked.append(connection.makefile("r").readline().rstrip("\n"))
                connection.sendall(f"{'yes' if yes else 'no'} {reason}\n".encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        places.socket.unlink()
