"""Disks of their own for database hosts, small enough to be filled: an ext4 file system in a file.

Only a lab that is asked for them has them: they need root on this machine, and a loop device is
slower than the machine's own disk. Everything that PostgreSQL and the guard keep lies on one.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from failover.lab.errors import LabError

SIZE_BYTES = 4 * 1024**3  # sparse: it takes what is written
KEPT = ("postgresql", "failover")  # below /var/lib
BALLAST = "/var/lib/postgresql/ballast"
COMMAND_LIMIT_S = 60.0

_AVAILABLE = "$(df --output=avail -B1 /var/lib/postgresql | tail -n 1)"
# Most of it in one piece, which takes no time; then what that left, and what was freed meanwhile.
FILL = (
    f"fallocate -l $(({_AVAILABLE} - 16777216)) {BALLAST}; "
    f"dd if=/dev/zero of={BALLAST}.rest bs=1M 2>/dev/null; "
    f"dd if=/dev/zero of={BALLAST}.last bs=4k 2>/dev/null; "
    f"test {_AVAILABLE} -lt 65536"
)
EMPTY = f"rm -f {BALLAST} {BALLAST}.rest {BALLAST}.last"


class Disks:
    """Of one lab, in its directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "disks"

    def make(self, host: str) -> dict[Path, str]:
        """A new disk, mounted: what a container mounts where. LabError where that cannot be."""
        image, mounted = self._directory / f"{host}.img", self._directory / host
        mounted.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(mounted))
        for name in KEPT:
            (mounted / name).mkdir()
        return {mounted / name: f"/var/lib/{name}" for name in KEPT}

    def remove(self) -> None:
        """All of them, of a crashed lab too; the containers are gone already. LabError."""
        if not self._directory.exists():
            return
        for mounted in self._directory.iterdir():
            while not mounted.is_symlink() and mounted.is_mount():
                _run("umount", str(mounted))
        shutil.rmtree(self._directory)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_LIMIT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(
            f"no disk of its own for a host: {command[0]} failed",
            todo="run as root, on a machine with loop devices and e2fsprogs",
            log=str(getattr(error, "stderr", "") or error),
        ) from None
