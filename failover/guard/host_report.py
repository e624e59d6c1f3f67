"""What the guard sees of its own host, for ``failover check``: files, disks, Patroni's process.

A thread of the worker: the minder has a deadline to keep, and passes the question and the answer on
(``host_question``). Nothing here decides anything. Invariant: one look at a time and only when
somebody asks, of no more than ``FILE_MAX_BYTES`` of a file; a disk that hangs costs the asker his
answer and nobody else anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import structlog
import yaml
from pydantic import TypeAdapter

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
from failover.guard.backup_status import backup_status
from failover.guard.egress import egress_problem
from failover.guard.messages import HOST_REPORT_MAX, FromWorker, HostAnswer, HostAsk
from failover.guard.nftables import Nftables
from failover.guard.own_certificate import own_certificate
from failover.guard.records import Places
from failover.guard.writable_places import read_only_places
from failover.policy import BackupPromise
from failover.timing import LeaseTiming
from failover.transport import NO_TLS, TransportSecurity

DOOR_LIMIT_S = 1.0
SHIPPED = Path(__file__).parent  # what the barriers of this version are
FILE_MAX_BYTES = 1024**2  # what is longer is none of ours, and is not as rendered
_PATRONI = "PATRONI_"
_REPORT: TypeAdapter[HostReport] = TypeAdapter(HostReport)

log = structlog.get_logger(__name__)


class HostReporter:
    """One guard's. ``ask`` from any thread; ``run`` in its own."""

    def __init__(
        self,
        places: Places,
        timing: LeaseTiming,
        config: Path,
        send: Callable[[FromWorker], None],
        *,
        tls: TransportSecurity = NO_TLS,
        backup: BackupPromise | None = None,
        root: Path = Path("/"),
        proc: Path = Path("/proc"),
    ) -> None:
        self._places = places
        self._timing = timing
        self._config = config
        self._send = send
        self._tls = tls
        self._backup = backup
        self._root = root
        self._proc = proc
        self._nft: Nftables | None = None
        self._asked: HostAsk | None = None
        self._wake = threading.Event()

    def ask(self, ask: HostAsk) -> None:
        """While a look hangs only the latest question is kept."""
        self._asked = ask
        self._wake.set()

    def run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if (ask := self._asked) is not None:
                self._answer(ask)

    def _answer(self, ask: HostAsk) -> None:
        """Whatever goes wrong here: a report is not worth the end of a worker."""
        try:
            report = _REPORT.dump_json(self.look(ask)).decode()
        except Exception:
            log.exception("no_host_report")
            return
        if len(report) > HOST_REPORT_MAX:
            log.error("no_host_report", characters=len(report), most=HOST_REPORT_MAX)
            return
        self._send(HostAnswer(ask.request, report))

    def look(self, ask: HostAsk) -> HostReport:
        """Waits for disks, and for the guard's own door."""
        seen = HostReport(
            at_unix_s=0.0,
            version=ask.version,
            session_ms=self._timing.session_ms,
            deadline_s=ask.deadline_s,
            configuration_loaded_sha256=ask.configuration_sha256,
            configuration_sha256=sha256_of(self._config),
            disks=self._disks(),
            salvage_held_bytes=_bytes_below(self._places.salvage),
            barriers_missing=self._barriers_missing(),
            door_problem=_door_problem(self._places.socket),
            patroni=self._patroni(),
            files=tuple(
                (path, digest)
                for path in RENDERED_FILES
                if (digest := sha256_of(self._root / path))
            ),
            asked=tuple(Asked(who, ago_s) for who, ago_s in ask.asked),
            barriers=tuple(
                (name, digest)
                for name in BARRIERS
                if (digest := sha256_of(self._barrier_directory / name))
            ),
            certificate=own_certificate(self._tls, self._root),
            backup=backup_status(self._backup, self._root),
            read_only=self._read_only(),
            egress=egress_problem(self._root, self._packet_filter),
        )
        return replace(seen, at_unix_s=time.time())  # who asked still waits for it

    def _packet_filter(self) -> Nftables:
        """One for all looks: the library keeps a socket for each."""
        if self._nft is None:
            self._nft = Nftables()
        return self._nft

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

    @property
    def _barrier_directory(self) -> Path:
        return self._root / BARRIER_DIRECTORY.lstrip("/")

    def _barriers_missing(self) -> tuple[tuple[str, str], ...]:
        found = (
            (name, _barrier_problem(self._barrier_directory / name, SHIPPED / shipped))
            for name, shipped in BARRIERS.items()
        )
        return tuple((name, problem) for name, problem in found if problem)

    def _patroni(self) -> PatroniOnHost:
        file = self._root / PATRONI_FILE.lstrip("/")
        problem, changed_unix_s = "", None
        settings: tuple[tuple[str, str], ...] = ()
        try:
            changed_unix_s = file.stat().st_mtime
            document = yaml.load(_read(file).decode("utf-8"), _WithoutAliases)
            settings = tuple(sorted(only(flat(document), PATRONI_KEYS).items()))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
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
                before = words[: words.index(PATRONI_FILE)]  # options stand there as well
                return int(entry.name), ("guard", "patroni") in pairwise(before)
        return None, None

    def _read_only(self) -> tuple[str, ...] | None:
        pid, _ = self._patroni_process()
        return None if pid is None else read_only_places(self._places.data_dir, pid, self._proc)

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


class _WithoutAliases(yaml.SafeLoader):
    """What is rendered has none; a few of them can stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _read(path: Path) -> bytes:
    """OSError where it cannot be read, or is too long."""
    with path.open("rb") as file:
        found = file.read(FILE_MAX_BYTES + 1)
    if len(found) > FILE_MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return found


def sha256_of(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return hashlib.sha256(_read(path)).hexdigest()
    except OSError:
        return ""


def _barrier_problem(path: Path, shipped: Path) -> str:
    if not path.exists():
        return "a broken link" if path.is_symlink() else "missing"
    if not os.access(path, os.X_OK):
        return "not executable"
    return "" if sha256_of(path) == sha256_of(shipped) else "not the program of this version"


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
