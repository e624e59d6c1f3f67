"""WAL segments as files: what part of the WAL each one holds.

Their size is the cluster's own, chosen at its initdb (1 MB to 1 GB), and stands in the first page
of every segment. Invariant: a file counts as a segment only where that page is its own.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from failover.model import LSN_MAX, Lsn, TimelineId

SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX = 1024**2, 1024**3
_PER_LOG_BYTES = 1 << 32
_LONG_HEADER = 0x0002
# XLogLongPageHeaderData of access/xlog_internal.h: magic, flags, timeline, address, what is left of
# a record from before, system identifier, segment size, block size.
_FIRST_PAGE = struct.Struct("<HHIQI4xQII")


@dataclass(frozen=True, slots=True)
class Segment:
    """One file, and the stretch of WAL from ``start`` up to ``end`` that is its place."""

    file: Path
    timeline: TimelineId
    start: Lsn
    bytes: int

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def end(self) -> Lsn:
        return Lsn(self.start.bytes + self.bytes)

    @property
    def partial(self) -> bool:
        """What a promotion left of the timeline before, or an archiver has begun."""
        return self.name.endswith(".partial")

    @property
    def before(self) -> Path:
        """Where the segment before it is, on the same timeline."""
        number = self.start.bytes // self.bytes - 1
        return self.file.with_name(segment_name(self.timeline, number, self.bytes))


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The file that holds the WAL from ``number`` times ``segment_bytes`` on."""
    per_log = _PER_LOG_BYTES // segment_bytes
    return f"{timeline:08X}{number // per_log:08X}{number % per_log:08X}"


def segment_at(file: Path) -> Segment | None:
    """None where it is none: another file, a torn one, one that was recycled under a new name."""
    name = file.name.removesuffix(".partial")
    if not SEGMENT_NAME.fullmatch(name):
        return None
    try:
        with file.open("rb") as opened:
            header = opened.read(_FIRST_PAGE.size)
    except OSError:
        return None
    if len(header) < _FIRST_PAGE.size:
        return None
    _magic, flags, page_timeline, address, _left, _system, size, _block = _FIRST_PAGE.unpack(header)
    if not flags & _LONG_HEADER or not _is_size(size):
        return None
    own_timeline, high, low = (int(name[i : i + 8], 16) for i in (0, 8, 16))
    # The first page may carry the timeline before: the switch came inside this segment.
    if address != (high << 32) + low * size or not 0 < page_timeline <= own_timeline:
        return None
    if address > LSN_MAX - size:
        return None
    return Segment(file, TimelineId(own_timeline), Lsn(address), size)


def _is_size(size: int) -> bool:
    return SEGMENT_BYTES_MIN <= size <= SEGMENT_BYTES_MAX and size & (size - 1) == 0


def segments_in(directory: Path) -> list[Segment]:
    """By name. OSError where the directory cannot be read."""
    found = (segment_at(file) for file in sorted(directory.iterdir()))
    return [segment for segment in found if segment is not None]


def newest_segment(wal: Path) -> Segment | None:
    """The last whole one by name; None where there is none, or nothing can be read."""
    try:
        segments = [each for each in segments_in(wal) if not each.partial]
    except OSError:
        return None
    return segments[-1] if segments else None


def newest_wal_timeline(wal: Path) -> TimelineId | None:
    """Of the newest WAL that is here; None without any. The control file's is as old as the last
    checkpoint, and a history file may be of a promise to somebody else."""
    segment = newest_segment(wal)
    return None if segment is None else segment.timeline
