"""The database server as the guard sees it from outside: lock, note, control file, processes.

No SQL, no ZooKeeper. The proof that no process of the server lives is the lock that the start
barrier took and every process inherited (``flock``); a server started around the barrier has no
lock and is found by its processes. Invariant: ``kill`` returns only when nothing is left, and
nothing here waits for a disk on the way to a kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

from failover.fields import NotExactly, read_exactly
from failover.guard.control_file import ControlFileError, DbState, parse_control, read_control
from failover.guard.logic import Note, ServerSeen, StartMode
from failover.guard.records import Places


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(allow_inf_nan=False))
class NoteFile:
    """What the start barrier wrote, lock in hand. ``control``: the control file, hexadecimal."""

    mode: StartMode
    at_s: float
    boot_id: str
    control: str

    @property
    def control_bytes(self) -> bytes:
        try:
            return bytes.fromhex(self.control)
        except ValueError:
            return b""


_NOTE: TypeAdapter[NoteFile] = TypeAdapter(NoteFile)

# Of postmaster.pid: PostgreSQL's LOCK_FILE_LINE_PM_STATUS, counted from 0, and PM_STATUS_STOPPING.
_STATUS_LINE = 7
_STOPPING = "stopping"


def read_note(places: Places, boot: str) -> NoteFile | None:
    """The note of this boot's latest start; None where there is none."""
    try:
        note = read_exactly(_NOTE, places.note.read_bytes())
    except (OSError, NotExactly):
        return None
    return note if note.boot_id == boot else None


@contextlib.contextmanager
def lock_if_free(places: Places) -> Iterator[bool]:
    """Take the server's lock for as long as the block runs; False: a process of it lives."""
    descriptor = _open_lock(places)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _open_lock(places: Places) -> int:
    """Read-only: opening it to make or to write it would wait, in the kernel, for a disk that hangs
    (for the lock of its directory, where a record is being written; for a frozen file system)."""
    try:
        return os.open(places.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(places.lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o660)


def lock_is_free(places: Places) -> bool:
    with lock_if_free(places) as free:
        return free


def lives(places: Places) -> bool:
    """By its lock, or by a process that was started around it; what cannot be looked at counts."""
    try:
        return not lock_is_free(places) or next(processes_in_directory(places), None) is not None
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class FilesSeen:
    """What the files say; reading them may wait for a disk."""

    note: NoteFile | None = None
    control: bytes | None = None
    postmaster_pid: int | None = None
    stopping: bool = False  # a shutdown was asked for; its sessions may still write

    def in_production(self, control_when_down: bytes | None) -> bool:
        """Out of recovery. A file still as it was before this start says nothing about it."""
        if self.control is None or self.control == control_when_down:
            return False
        if self.note is not None and self.note.control_bytes == self.control:
            return False
        try:
            return parse_control(self.control).state is DbState.IN_PRODUCTION
        except ControlFileError:
            return False


def look_at_files(places: Places, boot: str) -> FilesSeen:
    # The note first: a control file read after it cannot be older than the one it describes.
    note = read_note(places, boot)
    control = read_control(places.control_file)
    postmaster_pid, stopping = _postmaster(places.data_dir)
    return FilesSeen(note, control, postmaster_pid, stopping)


def server_seen(
    places: Places,
    files: FilesSeen,
    control_when_down: bytes | None,
    *,
    lock_free: bool,
    was_alive: bool = False,
) -> ServerSeen:
    """The lock is the fresher witness; a server started around the barrier has none.

    Waits for no disk. ``control_when_down``: as this guard last read it while nothing lived; it
    covers the instant between the barrier's lock and its note. With the lock free the note is about
    a server that is gone, so it says nothing about one that lives all the same.
    """
    noted = None if files.note is None else Note(files.note.mode, files.note.at_s)
    note = None if lock_free else noted
    pid = files.postmaster_pid
    around = (
        pid if lock_free and pid is not None and _is_postgres_in(pid, places.data_dir) else None
    )
    # Without a lock a backend may outlive its postmaster unseen: looked for once it was alive.
    left = lock_free and around is None and was_alive and any(processes_in_directory(places))
    alive = not lock_free or around is not None or left
    in_production = alive and files.in_production(control_when_down)
    return ServerSeen(alive, in_production, note, around)


def _postmaster(data_dir: Path) -> tuple[int | None, bool]:
    """Its process id, and whether it was told to stop: that it writes there before it ends the
    first session. The control file says so only when the last one has ended."""
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="ascii").split("\n")
        return int(lines[0]), len(lines) > _STATUS_LINE and lines[_STATUS_LINE] == _STOPPING
    except (OSError, ValueError):
        return None, False


def _is_postgres_in(pid: int, data_dir: Path) -> bool:
    """By the working directory and the program's name: both can be read of a stuck process."""
    try:
        if Path(f"/proc/{pid}/cwd").readlink() != data_dir:
            return False
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    name = status[status.index("(") + 1 : status.rindex(")")]
    state = status[status.rindex(")") + 2]
    return name.startswith("postgres") and state not in "ZX"


def _holds(pid: int, path: Path) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    if Path(descriptor.path).readlink() == path:
                        return True
    except OSError:
        return False
    return False


def processes_in_directory(places: Places) -> Iterator[int]:
    """The server's processes by directory and name, however they were started."""
    return (pid for pid in _all_processes() if _is_postgres_in(pid, places.data_dir))


def lock_holders(places: Places) -> Iterator[int]:
    """Whoever holds the server's lock open, but for this guard: its programs' children too."""
    lock = places.lock.resolve()
    return (pid for pid in _all_processes() if _holds(pid, lock) and not _is_guard(pid))


def _all_processes() -> Iterator[int]:
    """The oldest first: the postmaster before its children."""
    numbers = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208
    own = {os.getpid(), os.getppid()}
    return (pid for pid in sorted(numbers) if pid not in own)


def _is_guard(pid: int) -> bool:
    """The other process of the guard may hold the lock for a moment."""
    with contextlib.suppress(OSError):
        return os.getpgid(pid) == os.getpgid(0)
    return False


def ask_to_stop(places: Places, postmaster_pid: int | None) -> bool:
    """SIGINT to the postmaster: a fast shutdown. False: there is none that could be asked."""
    if postmaster_pid is None or not _is_postgres_in(postmaster_pid, places.data_dir):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(postmaster_pid, signal.SIGINT)
        return True
    return False


def kill_once(places: Places) -> int:
    """SIGKILL to all of them; how many there were. Those that are told quickest first."""
    found = 0
    for processes in (processes_in_directory, lock_holders):
        for pid in processes(places):
            found += 1
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    return found


async def kill(places: Places) -> None:
    """Kill until nothing lives. A process stuck in the kernel dies when its system call ends."""
    rounds = 0
    while kill_once(places) > 0 or not lock_is_free(places):
        rounds += 1
        await asyncio.sleep(0.01 if rounds < 100 else 0.2)
