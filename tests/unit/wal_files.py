"""Segments of WAL as files: a first page, and nothing behind it."""

from __future__ import annotations

from pathlib import Path

from failover.guard.wal_segments import _FIRST_PAGE, _LONG_HEADER, segment_name

SEGMENT_BYTES = 16 * 1024**2
PAGE_BYTES = 8192


def first_page(timeline: int, address: int, segment_bytes: int = SEGMENT_BYTES) -> bytes:
    header = (0xD116, _LONG_HEADER, timeline, address, 0, 7, segment_bytes, PAGE_BYTES)
    return _FIRST_PAGE.pack(*header).ljust(PAGE_BYTES, b"\0")


def write_segment(
    wal: Path,
    timeline: int,
    number: int,
    *,
    address: int | None = None,
    segment_bytes: int = SEGMENT_BYTES,
) -> str:
    """Its name. ``address`` of another one: a recycled file."""
    name = segment_name(timeline, number, segment_bytes)
    at = number * segment_bytes if address is None else address
    (wal / name).write_bytes(first_page(timeline, at, segment_bytes))
    return name
