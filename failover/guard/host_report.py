"""What the guard sees of its own host, for ``failover check``: files, disks, Patroni's process.

Nothing here decides anything. Invariant: one look at a time, in a thread of its own and only when
somebody asks; a disk that hangs costs the asker his answer and nobody else anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import yaml

from failover import __version__
from failover.checks.flat import flat, only
from failover.checks.host_report import (
    BARRIER_DIRECTORY,
    BARRIERS,
    PATRONI_FILE,
    PATRONI_KEYS,
    RENDERED_FILES,
    Asked,
    Disk,
    HostReport,
    PatroniOnHost,
)
from failover.guard.records import Places
from failover.timing import LeaseTiming

LOOK_LIMIT_S = 2.0
DOOR_LIMIT_S = 1.0
ASKERS_MAX = 64
_PATRONI = "PATRONI_"


class HostReporter:
    """One guard's. ``asked`` is called for every question of a proxy, ``report`` by its door."""

    def __init__(
        self,
        places: Places,
        timing: LeaseTiming,
        config: Path,
        *,
        root: Path = Path("/"),
        proc: Path = Path("/proc"),
    ) -> None:
        self._places = places
        self._timing = timing
        self._config = config
        self._root = root
        self._proc = proc
        self._loaded_sha256 = _sha256(config)
        self._asked_s: dict[str, float] = {}
        self._thread = ThreadPoolExecutor(1, "host-report")
        self._looking: Future[HostReport] | None = None

    def asked(self, address: str) -> None:
        if address in self._asked_s or len(self._asked_s) < ASKERS_MAX:
            self._asked_s[address] = time.monotonic()

    async def report(self) -> HostReport | None:
        """None: the look takes too long. While one hangs no other is begun."""
        if self._looking is None or self._looking.done():
            self._looking = self._thread.submit(self.look)
        looking = asyncio.wrap_future(self._looking)
        try:
            found = await asyncio.wait_for(asyncio.shield(looking), LOOK_LIMIT_S)
        except TimeoutError:
            return None
        now_s = time.monotonic()
        asked = tuple(Asked(who, round(now_s - at_s, 1)) for who, at_s in self._asked_s.items())
        return replace(found, at_unix_s=time.time(), asked=asked)

    def look(self) -> HostReport:
        """Waits for disks, and for the guard's own door."""
        return HostReport(
            at_unix_s=time.time(),
            version=__version__,
            session_ms=self._timing.session_ms,
            deadline_s=self._timing.deadline_s,
            configuration_loaded_sha256=self._loaded_sha256,
            configuration_sha256=_sha256(self._config),
            disks=self._disks(),
            salvage_held_bytes=_bytes_below(self._places.salvage),
            barriers_missing=self._barriers_missing(),
            door_problem=_door_problem(self._places.socket),
            patroni=self._patroni(),
            files=tuple(
                (path, digest) for path in RENDERED_FILES if (digest := _sha256(self._root / path))
            ),
        )

    def _disks(self) -> tuple[Disk, ...]:
        places = (
            ("data", self._places.data_dir),
            ("wal", self._places.wal),
            ("salvage", self._places.durable_dir),
        )
        found = []
        for what, path in places:
            try:
                usage = shutil.disk_usage(path)
            except OSError:
                continue
            found.append(Disk(what, str(path.resolve()), usage.total, usage.free))
        return tuple(found)

    def _barriers_missing(self) -> tuple[tuple[str, str], ...]:
        directory = self._root / BARRIER_DIRECTORY.lstrip("/")
        found = ((name, _barrier_problem(directory / name)) for name in BARRIERS)
        return tuple((name, problem) for name, problem in found if problem)

    def _patroni(self) -> PatroniOnHost:
        file = self._root / PATRONI_FILE.lstrip("/")
        problem, changed_unix_s = "", None
        settings: tuple[tuple[str, str], ...] = ()
        try:
            changed_unix_s = file.stat().st_mtime
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            settings = tuple(sorted(only(flat(document), PATRONI_KEYS).items()))
        except (OSError, ValueError, yaml.YAMLError) as error:
            problem = f"{type(error).__name__}: {file}"  # never what stands in it
        pid, by_guard = self._patroni_process()
        return PatroniOnHost(
            problem=problem,
            settings=settings,
            changed_unix_s=changed_unix_s,
            started_unix_s=None if pid is None else self._started_unix_s(pid),
            by_guard=by_guard,
            environment=None if pid is None else self._environment(pid),
        )

    def _patroni_process(self) -> tuple[int | None, bool | None]:
        """The process that has Patroni's file for its argument, and whether the guard's program
        started it."""
        for entry in sorted(self._proc.glob("[0-9]*"), key=lambda path: int(path.name)):
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if PATRONI_FILE in words:
                at = words.index(PATRONI_FILE)
                return int(entry.name), words[max(0, at - 2) : at] == ["guard", "patroni"]
        return None, None

    def _environment(self, pid: int) -> tuple[str, ...] | None:
        """Names only: the values are secrets."""
        try:
            raw = (self._proc / str(pid) / "environ").read_bytes().decode(errors="replace")
        except OSError:
            return None
        names = (line.partition("=")[0] for line in raw.split("\0"))
        return tuple(sorted(name for name in names if name.startswith(_PATRONI)))

    def _started_unix_s(self, pid: int) -> float | None:
        try:
            stat = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            ticks = int(stat.rpartition(")")[2].split()[19])  # proc(5): starttime, field 22
            boot = (self._proc / "stat").read_text(encoding="ascii").split("btime ", 1)[1]
        except (OSError, ValueError, IndexError):
            return None
        return int(boot.split("\n", 1)[0]) + ticks / os.sysconf("SC_CLK_TCK")


def _sha256(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _barrier_problem(path: Path) -> str:
    if not path.exists():
        return "a broken link" if path.is_symlink() else "missing"
    return "" if os.access(path, os.X_OK) else "not executable"


def _bytes_below(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _door_problem(door: Path) -> str:
    """As a barrier asks: a line for a line."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(DOOR_LIMIT_S)
            link.connect(str(door))
            link.sendall(b"ping\n")
            answer = link.recv(256)
    except OSError as error:
        return f"{door}: {error.strerror or error}"
    return "" if answer else f"{door}: an empty answer"
