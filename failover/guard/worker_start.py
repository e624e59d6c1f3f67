"""Start a worker, with nothing to load first: the guard does it before it loads its own libraries.

Both take a second or more on a busy machine, and a primary whose guard is lost has three until its
deadline.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartedWorker:
    """``loaded``: it has had its time to load its libraries, and waits for the first word."""

    process: subprocess.Popen[bytes]
    ours: socket.socket
    loaded: bool


def worker_command(config: str, host: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "failover.guard.worker", "--config", config, "--host", host)


def start_first_worker(config: str, host: str) -> StartedWorker | None:
    """None where there is no process or descriptor to be had; the guard tries again."""
    try:
        return start_worker(worker_command(config, host), waits=True)
    except OSError:
        return None


def start_worker(command: tuple[str, ...], *, waits: bool, loaded: bool = False) -> StartedWorker:
    """``waits``: for the minder's first word; it does nothing before. OSError where there is no
    process or descriptor to be had."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [
                *command,
                *("--fd", str(theirs.fileno()), "--minder", str(os.getpid())),
                *(["--spare"] if waits else []),
            ],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
    return StartedWorker(process, ours, loaded)
