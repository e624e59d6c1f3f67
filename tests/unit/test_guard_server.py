"""Who is killed with the server: whatever inherited its lock, under whichever name."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from guard_world import Host

from failover.guard.server import kill_once, lock_holders, lock_is_free


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.end()


@contextmanager
def holder(host: Host, *, of_the_guard: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """As an `archive_command` that outlives the server has the lock."""
    descriptor = os.open(host.places.lock, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    process = subprocess.Popen(
        ["sleep", "300"], pass_fds=(descriptor,), start_new_session=not of_the_guard
    )
    os.close(descriptor)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_program_that_is_not_postgres_is_killed_too(host: Host) -> None:
    with holder(host) as process:
        assert not lock_is_free(host.places)
        assert list(lock_holders(host.places)) == [process.pid]
        assert kill_once(host.places) == 1
        assert process.wait(60.0) == -signal.SIGKILL
        assert lock_is_free(host.places)


def test_the_guards_own_process_is_not(host: Host) -> None:
    """It holds the lock for a moment, to see whether it is free."""
    with holder(host, of_the_guard=True) as process:
        assert kill_once(host.places) == 0
        assert process.poll() is None
