"""Seeds that failed are kept: a bug is first a failing seed, then a fix (test_schedules.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.model import ProtectionMode

ASYNCHRONOUS = str(ProtectionMode.MAX_PERFORMANCE)  # where a line names no mode
REGRESSIONS = Path("tests/simulation/regressions.txt")


@dataclass(frozen=True, slots=True)
class Failed:
    """One schedule that did not end well. ``protection``: the mode, which the seed chose or not."""

    seed: int
    steps: int
    protection: str
    failure: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed} ({self.protection}): {self.failure}\n"
            f"  replay: make sim SEED={self.seed} STEPS={self.steps} SCHEDULES=1"
        )


def keep(regressions: Path, failed: Iterable[Failed]) -> None:
    """Append those that are not there yet, where the file is."""
    if not regressions.exists():
        return
    words = (line.partition("#")[0].split() for line in regressions.read_text().splitlines())
    known = {(*found, ASYNCHRONOUS)[:3] for found in words}
    lines = [(str(one.seed), str(one.steps), one.protection) for one in failed]
    with regressions.open("a") as file:
        file.writelines(f"{' '.join(line)}\n" for line in lines if line not in known)
