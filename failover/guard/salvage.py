"""Copy the WAL that a rewind would remove (invariant I3).

Everything from the divergence point on is copied before anything else touches it, with history
files and control file, and is on the disk before the salvage counts as done. Invariant: a salvage
says ``done`` only when all of it is there; too little space is reported, never hidden.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import Count, NotExactly, read_exactly
from failover.guard.control_file import ControlFileError, parse_control, read_control
from failover.guard.records import Places
from failover.guard.wal_end import end_of_files_of
from failover.guard.wal_segments import segments_in
from failover.model import Epoch, Lsn
from failover.state import LsnField

_DONE = "DONE"
_EPOCH = re.compile("[1-9][0-9]{0,8}")
_SPACE_LEFT_BYTES_MIN = 256 * 1024**2


@dataclass(frozen=True, slots=True, config=ConfigDict(arbitrary_types_allowed=True))
class Copied:
    """What a salvage found and did. ``detail`` says what is missing and why; where it is ``ok`` all
    the same, that was gone before."""

    ok: bool
    from_lsn: LsnField
    end_of_wal: LsnField
    segments: Count
    bytes: Count
    directory: Path
    detail: str


_COPIED: TypeAdapter[Copied] = TypeAdapter(Copied)


def is_done(places: Places, epoch: Epoch) -> bool:
    return (places.salvage / str(epoch) / _DONE).exists()


def read_done(places: Places, epoch: Epoch) -> Copied | None:
    """What was copied, once it is done; also where an operator did it by hand."""
    directory = places.salvage / str(epoch)
    try:
        return read_exactly(_COPIED, (directory / _DONE).read_bytes())
    except OSError:
        return None
    except NotExactly:
        return Copied(True, Lsn(0), Lsn(0), 0, 0, directory, "marked as done by hand")


def newest_done(places: Places) -> Epoch | None:
    try:
        done = [int(d.name) for d in places.salvage.iterdir() if _EPOCH.fullmatch(d.name)]
    except OSError:
        return None
    return max((Epoch(n) for n in done if is_done(places, Epoch(n))), default=None)


def salvage(places: Places, name: str, from_lsn: Lsn | None, bytes_max: int) -> Copied:
    """Copy all WAL from ``from_lsn`` (None: all) to ``salvage/<name>``. May be repeated."""
    target = places.salvage / name
    target.mkdir(parents=True, exist_ok=True)
    segments = [each for each in segments_in(places.wal) if from_lsn is None or each.end > from_lsn]
    others = [*sorted(places.wal.glob("*.history")), places.control_file]
    copied_from = min((each.start for each in segments), default=None)
    first = from_lsn or copied_from or Lsn(0)
    end = _end(places)
    files = (*(each.file for each in segments), *others)
    needed = sum(f.stat().st_size for f in files if f.exists())
    refusal = _no_room(target, needed, _held_elsewhere(target), bytes_max)
    if refusal is not None:
        return Copied(False, first, end, 0, 0, target, refusal)
    for each in segments:  # one that is gone by now, recycled, is an error: not all of it is there
        _copy(each.file, target / each.name)
    for file in others:
        if file.exists():
            _copy(file, target / file.name)
    gone = _gone(from_lsn, copied_from)
    done = Copied(True, first, end, len(segments), needed, target, gone)
    _write(target / _DONE, _COPIED.dump_json(done))
    _sync_directory(target)
    _sync_directory(target.parent)
    return done


def _gone(from_lsn: Lsn | None, copied_from: Lsn | None) -> str:
    """What the server had removed before anybody copied it; empty where nothing is missing."""
    if from_lsn is None or copied_from is None or copied_from <= from_lsn:
        return ""
    return f"the WAL from {from_lsn} to {copied_from} was gone before it could be copied"


def _end(places: Places) -> Lsn:
    raw = read_control(places.control_file)
    try:
        end = None if raw is None else end_of_files_of(places, parse_control(raw))
    except ControlFileError:
        end = None
    return Lsn(0) if end is None else end.lsn


def end_of_wal(places: Places) -> Lsn:
    """Where this host's WAL ends by its files; 0/0 when that cannot be told."""
    return _end(places)


def _held_elsewhere(target: Path) -> int:
    """Bytes in earlier salvages: the limit is for all of them. None is ever removed by itself."""
    others = (each for each in target.parent.iterdir() if each != target)
    files = (f for each in others for f in (each, *each.rglob("*")))  # an operator's archive too
    return sum(f.stat().st_size for f in files if f.is_file())


def _no_room(target: Path, needed: int, held: int, bytes_max: int) -> str | None:
    if needed + held > bytes_max:
        return (
            f"{needed} bytes of WAL to copy, {held} held by earlier salvages, salvage_size_max is "
            f"{bytes_max}: raise it, or archive what is in {target.parent}"
        )
    free = shutil.disk_usage(target).free
    if needed > free - _SPACE_LEFT_BYTES_MIN:
        return (
            f"{needed} bytes of WAL to copy, {free} bytes free in {target} (256 MiB stay free): "
            f"make room, or copy pg_wal by hand and create {target / _DONE}"
        )
    return None


def _copy(source: Path, target: Path) -> None:
    new = target.with_name(f"{target.name}.new")
    shutil.copyfile(source, new)
    _sync(new)
    new.replace(target)


def _write(target: Path, data: bytes) -> None:
    target.write_bytes(data)
    _sync(target)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    _sync(directory)
