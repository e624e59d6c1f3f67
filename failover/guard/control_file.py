"""PostgreSQL's control file and timelines, read directly: a few bytes, no process, no SQL.

The fields read here have had their places since PostgreSQL 9.3 (``src/include/catalog/
pg_control.h``): state at byte 16, checkpoint at 32, the checkpoint's redo at 40 and timeline at
48. What has another layout version than the known ones is refused, never guessed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from failover.guard.wal_segments import SEGMENT_BYTES_MAX
from failover.model import LSN_MAX, TIMELINE_MAX, Lsn, TimelineId

CONTROL_BYTES = 512
_HISTORY_NAME = re.compile(r"([0-9A-F]{8})\.history")
_CHECKPOINT_MAX = LSN_MAX - SEGMENT_BYTES_MAX  # what comes after it has a position too
_KNOWN_VERSIONS = frozenset({1300, 1700, 1800})  # 13 to 16, 17, 18


class DbState(IntEnum):
    """``DBState`` of pg_control.h."""

    STARTUP = 0
    SHUT_DOWN = 1
    SHUT_DOWN_IN_RECOVERY = 2
    SHUTTING_DOWN = 3
    IN_CRASH_RECOVERY = 4
    IN_ARCHIVE_RECOVERY = 5
    IN_PRODUCTION = 6


class ControlFileError(ValueError):
    """Not a control file of a known version."""


@dataclass(frozen=True, slots=True)
class ControlFile:
    state: DbState
    system_identifier: int
    checkpoint: Lsn  # where its record begins
    redo: Lsn
    timeline: TimelineId


def parse_control(raw: bytes) -> ControlFile:
    """The control file's fields. ControlFileError when it is not one of a known version."""
    if len(raw) < 56:
        raise ControlFileError(f"a control file of {len(raw)} bytes")
    system_identifier, version, _catalog, state = struct.unpack_from("<QIII", raw)
    if version not in _KNOWN_VERSIONS or state not in DbState.__members__.values():
        raise ControlFileError(f"control file version {version}, state {state}: not known here")
    checkpoint, redo, timeline = struct.unpack_from("<QQI", raw, 32)
    if timeline == 0 or not redo <= checkpoint <= _CHECKPOINT_MAX:
        raise ControlFileError(f"a checkpoint at {checkpoint} of timeline {timeline}: spoilt")
    return ControlFile(
        DbState(state), system_identifier, Lsn(checkpoint), Lsn(redo), TimelineId(timeline)
    )


def read_control(path: Path) -> bytes | None:
    """The file's bytes, read twice until they agree (a write may be under way); None without."""
    before = b""
    for _ in range(5):
        try:
            with path.open("rb") as file:
                raw = file.read(CONTROL_BYTES)
        except OSError:
            return None
        if raw == before:
            return raw
        before = raw
    return before


def newest_timeline(control_file: Path, wal: Path) -> TimelineId | None:
    """The newest timeline that this host has, or has heard of; None when its files do not say.

    The control file is as old as the last checkpoint. A history file comes before any WAL of its
    timeline; one that the promotion barrier put there (barrier.py) is a number promised elsewhere.
    """
    raw = read_control(control_file)
    try:
        own = None if raw is None else parse_control(raw).timeline
        names = [_HISTORY_NAME.fullmatch(file.name) for file in wal.iterdir()]
    except (OSError, ControlFileError):
        return None
    if own is None:
        return None
    newest = max([own, *(TimelineId(int(name[1], 16)) for name in names if name is not None)])
    return newest if newest < TIMELINE_MAX else None  # no number is left to promise
