"""``make wheel``: everything that a host without internet installs, into dist/.

The wheel of failover, a wheel of everything it needs (requirements-hosts.lock, fetched by its
hashes) and dist/requirements.txt, which names each of these files by its hash. On the host:

    pip install --no-index --no-deps --require-hashes --find-links dist -r dist/requirements.txt
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from failover.lab import wheels
from failover.lab.errors import LabError

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-hosts.lock"
DIST = ROOT / "dist"


def make(target: Path = DIST, lock: Path | None = LOCK, machine: str = "") -> Path:
    """Build into a directory, which is replaced as a whole; the wheel of failover. LabError.

    ``lock``: None builds failover alone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".wheel-"))
    try:
        wheels.build(ROOT, scratch)
        (made,) = scratch.glob("failover-*.whl")
        if lock is not None:
            wheels.fetch(lock, scratch, machine)
        (scratch / "requirements.txt").write_text(requirements(scratch), encoding="utf-8")
        scratch.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target / made.name


def requirements(directory: Path) -> str:
    """Every wheel of a directory by name, version and hash, for ``pip --require-hashes``."""
    return "".join(sorted(_line(path) for path in directory.glob("*.whl")))


def _line(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n"


def main() -> int:
    try:
        made = make(machine=os.environ.get("MACHINE", ""))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    count = len(list(DIST.glob("*.whl"))) - 1
    print(f"{made.relative_to(ROOT)}, {count} wheels that it needs, and requirements.txt")
    print("on a host: pip install --no-index --no-deps --require-hashes --find-links dist \\")
    print("               -r dist/requirements.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
