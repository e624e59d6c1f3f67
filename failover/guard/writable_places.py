"""Where PostgreSQL has to write, and whether what Patroni starts may write there.

Units run in sandboxes (docs/decisions/0022-hardened-units.md): what lies outside of the service's
own directories is read-only unless a drop-in says otherwise. A running server keeps the mounts that
it was started with, so a tablespace or WAL elsewhere may work until the next start: at the next
failover. Patroni's own mounts are what the next server gets, and they are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_ESCAPED = re.compile(r"\\([0-7]{3})")


def read_only_places(data_dir: Path, patroni: int, proc: Path) -> tuple[str, ...] | None:
    """What PostgreSQL has to write and could not, started by the process ``patroni``.

    None where that process, or the data directory, cannot be looked into.
    """
    try:
        lines = (proc / str(patroni) / "mountinfo").read_text(encoding="utf-8").splitlines()
        places = tuple(_places(data_dir))
    except (OSError, ValueError, RuntimeError):  # the last one: links that lead in a circle
        return None
    mounts = [_mount(line) for line in lines]
    return tuple(str(place) for place in places if not _writable(place, mounts))


def _places(data_dir: Path) -> Iterator[Path]:
    """As they are without links; what is not there yet is none."""
    yield data_dir.resolve()
    links = [data_dir / "pg_wal"]
    if (tablespaces := data_dir / "pg_tblspc").exists():
        links += sorted(tablespaces.iterdir())  # raises where it may not be read; glob would not
    for link in links:
        if link.is_symlink():
            yield link.resolve()


def _mount(line: str) -> tuple[Path, bool]:
    """Where, and whether it may be written (proc(5): fields 5, 6 and the last one)."""
    fields = line.split()
    point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
    return Path(point), "ro" not in fields[5].split(",") and "ro" not in fields[-1].split(",")


def _writable(place: Path, mounts: list[tuple[Path, bool]]) -> bool:
    """By the mount that it lies in: the deepest one, and of several in one place the last."""
    under = [
        (len(point.parts), number)
        for number, (point, _) in enumerate(mounts)
        if place.is_relative_to(point)
    ]
    return bool(under) and mounts[max(under)[1]][1]
