"""The barriers' files on a database host: what stands in /usr/lib/failover/barrier.

Copies, not links into the package: while pip replaces the package nothing of it is there for a
moment, and a start or a promotion in that moment would find no barrier, which is a no. Invariant:
each file is replaced whole by one rename, so this may run beside a server at any time; who has
begun to read the old one reads on in it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from failover.checks.host_report import BARRIERS
from failover.durable import replace_file

MODE = 0o755


def stale(directory: Path) -> tuple[str, ...]:
    """The barriers that are absent, of another version, or cannot be executed by everybody."""
    return tuple(name for name in BARRIERS if not _in_order(directory / name, _wanted(name)))


def place(directory: Path) -> tuple[str, ...]:
    """Make every barrier that of this version; those that were not. OSError as it comes."""
    directory.mkdir(mode=MODE, parents=True, exist_ok=True)
    changed = stale(directory)
    for name in changed:
        replace_file(directory / name, _wanted(name), MODE)
    return changed


def _wanted(name: str) -> bytes:
    return files("failover.guard").joinpath(BARRIERS[name]).read_bytes()


def _in_order(path: Path, wanted: bytes) -> bool:
    try:
        mode = path.lstat().st_mode
        return mode == 0o100000 | MODE and path.read_bytes() == wanted
    except OSError:
        return False
