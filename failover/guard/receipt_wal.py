"""Read what was copied of the WAL, with ``pg_waldump``, in bounded time.

Invariant: what was not read is said. The copy is read, not ``pg_wal``: nothing changes there, and
the receipt then says what whoever has the copy can see for himself.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.guard import waldump
from failover.guard.wal_segments import Segment, segments_in
from failover.model import Lsn
from failover.receipt.branch import BranchReader
from failover.receipt.compose import WalRead
from failover.receipt.document import FromIs
from failover.receipt.waldump import RESOURCE_MANAGERS, NotUnderstood

_ERROR_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive segments of one timeline, by file name, and the WAL that they are for."""

    first: str
    last: str
    begin: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class _Dumped:
    stopped_at: Lsn | None  # where pg_waldump found no further record; None: it did not say
    error: str


def stretches(segments: Iterable[Segment]) -> tuple[Stretch, ...]:
    """The segments to read, so that every position is read once, on the newest timeline that has
    it: its first segment repeats what it shares with the timeline before."""
    found: list[Stretch] = []
    until: Lsn | None = None
    whole = sorted((each for each in segments if not each.partial), key=lambda each: each.name)
    for timeline in sorted({each.timeline for each in whole}, reverse=True):
        own = [each for each in whole if each.timeline == timeline]
        own = [each for each in own if until is None or each.start < until]
        if own:
            found.append(Stretch(own[0].name, own[-1].name, own[0].start, own[-1].end))
            until = own[0].start
    return tuple(reversed(found))


def read_wal(
    bin_dir: Path,
    directory: Path,
    from_lsn: Lsn,
    from_is: FromIs,
    end_of_wal: Lsn,
    limit_s: float,
) -> WalRead:
    """What was committed at or after ``from_lsn``. OSError where pg_waldump cannot be started."""
    parts = stretches(segments_in(directory))
    rows_from = parts[0].begin if parts else from_lsn
    reader = BranchReader(from_lsn)
    read_to, problem, dumped = rows_from, "", _Dumped(None, "no segment was copied")
    give_up = threading.Event()
    timer = threading.Timer(limit_s, give_up.set)
    timer.start()
    try:
        for part in parts:
            if part.begin > read_to and not problem:  # what comes after does not make up for it
                problem = f"the WAL from {read_to} to {part.begin} was not read: {_why(dumped)}"
            dumped = _dump(bin_dir, directory, part, reader, give_up)
            read_to = max(read_to, dumped.stopped_at or reader.branch().last_read)
            if give_up.is_set():
                problem = f"the WAL was read for {limit_s:g} s only, up to {read_to}"
                break
    except NotUnderstood as line:
        read_to = reader.branch().last_read
        problem = f"a record after {read_to} is not understood: {line}"
    finally:
        timer.cancel()
    if not problem and rows_from > from_lsn:
        problem = f"the copy begins at {rows_from} only"
    if not problem and not end_of_wal.bytes:
        problem = f"where the WAL ends is not known; it was read up to {read_to}"
    if not problem and read_to < end_of_wal:
        problem = f"the WAL ends at {end_of_wal}, and pg_waldump stopped at {read_to}"
        problem += f": {_why(dumped)}"
    return WalRead(reader.branch(), from_is, rows_from, read_to, end_of_wal, problem)


def _dump(
    bin_dir: Path, directory: Path, part: Stretch, reader: BranchReader, give_up: threading.Event
) -> _Dumped:
    """Every line to the reader. Killed when the time is up, or a line is not understood."""
    managers = (f"--rmgr={manager}" for manager in RESOURCE_MANAGERS)
    command = waldump.command(bin_dir, directory, *managers, part.first, part.last)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env=dict(waldump.ENVIRONMENT),
        )
        watch = threading.Thread(target=_kill_when, args=(give_up, process), daemon=True)
        watch.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.endswith("\n"):  # a torn one, of who was killed, may name another row
                    reader.take(line)
        except NotUnderstood:
            process.kill()
            raise
        finally:
            process.wait()
        errors.seek(0)
        said = errors.read(_ERROR_BYTES_MAX).decode(errors="replace").strip()
    # Without an error it has read all of the last segment, whose rest a switch may have left empty.
    stopped_at = waldump.stopped_at(said) if process.returncode else part.end
    return _Dumped(stopped_at, said)


def _why(dumped: _Dumped) -> str:
    if dumped.error:
        return dumped.error
    ended = dumped.stopped_at is None
    return "pg_waldump ended without a word" if ended else "no segment of it was copied"


def _kill_when(give_up: threading.Event, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if give_up.wait(0.05):
            process.kill()
            return
