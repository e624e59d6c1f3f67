"""Wheels for the hosts' Python, fetched on a machine that may reach the package index.

The hosts themselves may not. Invariant: what a lock names with a hash is what is fetched.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from failover.lab.errors import LabError

PYTHON = "3.13"  # of Debian 13
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
LIMIT_S = 900.0


def fetch(lock: Path, target: Path, machine: str = "") -> None:
    """A wheel of everything in a lock into a directory that is there. LabError.

    ``machine``: the hosts' processors as ``uname -m`` says it; empty: those of this machine.
    """
    platforms = [f"--platform={one}_{machine or platform.machine()}" for one in PLATFORMS]
    wanted = ["download", "--no-deps", "--implementation=cp", f"--python-version={PYTHON}"]
    run_pip([*wanted, *platforms, "-d", str(target), "-r", str(lock)])
    for source in target.glob("*.tar.gz"):  # published as source only: pure Python
        build(source, target)
        source.unlink()


def build(source: Path, target: Path) -> None:
    """The wheel of one source, without what it depends on. LabError."""
    run_pip(["wheel", "--no-deps", "-w", str(target), str(source)])


def run_pip(arguments: list[str]) -> None:
    """pip of this Python. LabError with the end of what it said."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise LabError(
            f"pip {arguments[0]} is not done after {LIMIT_S:g} s",
            todo="is the package index reached? `pip config list` says which one is asked",
        ) from None
    if ended.returncode != 0:
        lines = (ended.stdout + ended.stderr).rstrip().splitlines()
        log = "\n".join(lines[-25:])
        raise LabError(f"pip {arguments[0]} failed (exit {ended.returncode})", log=log)
