"""What a client was told about one transaction, and the files that keep it.

Invariant: a line is written only after the client knows the outcome, by a single write to a file
opened for appending; ``acked`` means that the server answered COMMIT to COMMIT without a warning.
The file lives outside of every database, so that a failover cannot change the record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from failover.model import SiteName


class Outcome(StrEnum):
    ACKED = "acked"
    FAILED = "failed"  # known not to be committed
    INDETERMINATE = "indeterminate"  # COMMIT was sent; what became of it is not known


class Via(StrEnum):
    PROXY = "proxy"  # through the HAProxy of the client's site
    DIRECT = "direct"  # straight to a database host, whatever HAProxy thinks of it


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transaction, tried once. Times are boot time in seconds, comparable across hosts."""

    id: str
    run: str
    client: str  # unique in a run: site/via/number
    site: SiteName  # where the client is
    via: Via
    kind: str
    started_s: float
    ended_s: float
    outcome: Outcome
    server: str | None  # the address that the server itself named; None without a session
    server_site: SiteName | None
    backend_pid: int | None
    session: int  # counts the sessions of this client; 1 is the first one
    detail: str = ""
    xid: int | None = None  # as the WAL has it: 32 bits, of that server's branch; None: not told


class RecordError(ValueError):
    """A record file is damaged. The message says where."""


class Recorder:
    """Appends attempts to one file. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append(self, attempt: Attempt) -> None:
        """Write one line. OSError when the disk refuses: the client must then stop."""
        line = encode_attempt(attempt)
        if os.write(self._fd, line) != len(line):
            raise OSError("short write to the record of attempts")

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def encode_attempt(attempt: Attempt) -> bytes:
    """One JSON line."""
    return json.dumps(asdict(attempt), separators=(",", ":")).encode() + b"\n"


def decode_attempt(line: bytes) -> Attempt:
    """The attempt of one line. RecordError when it is not one."""
    try:
        raw: dict[str, Any] = json.loads(line)
        return Attempt(**{**raw, "outcome": Outcome(raw["outcome"]), "via": Via(raw["via"])})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"not an attempt: {line[:80]!r}: {error}") from None


class RecordReader:
    """Reads a growing file of attempts; each call gives what is new since the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_attempts(self) -> Iterator[Attempt]:
        """The complete lines not read yet. A last line without its end is left for later.

        A file that does not exist (yet) has no lines. RecordError where a line is damaged.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                try:
                    yield decode_attempt(line)
                except RecordError as error:
                    raise RecordError(f"{self.path}, byte {self._offset}: {error}") from None


def read_attempts(directory: Path) -> list[Attempt]:
    """Every attempt of every record in a directory and below, in order of their end."""
    attempts = [
        attempt
        for path in sorted(directory.rglob("*.jsonl"))
        for attempt in RecordReader(path).new_attempts()
    ]
    return sorted(attempts, key=lambda attempt: attempt.ended_s)
