"""Random schedules: a few of the first seeds, and every seed that ever failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.model import ProtectionMode
from failover.simulation.schedule import run_schedule
from tests.simulation.stories import seeds

REGRESSIONS = Path(__file__).with_name("regressions.txt")


def regressions() -> list[tuple[int, int, ProtectionMode]]:
    """``seed steps``, and the mode where it is not ``max-performance``, per line; # begins a
    comment."""
    lines = (line.partition("#")[0].split() for line in REGRESSIONS.read_text().splitlines())
    asynchronous = ProtectionMode.MAX_PERFORMANCE
    return [
        (int(words[0]), int(words[1]), ProtectionMode(words[2]) if words[2:] else asynchronous)
        for words in lines
        if words
    ]


@pytest.mark.parametrize("seed", seeds(5, 20))
def test_random_faults(seed: int) -> None:
    result = run_schedule(seed, 200)
    assert not result.failure, f"make sim SEED={seed} SCHEDULES=1: {result.failure}"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "steps", "mode"), regressions())
def test_what_failed_once(seed: int, steps: int, mode: ProtectionMode) -> None:
    result = run_schedule(seed, steps, mode)
    assert not result.failure, result.failure


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (run_schedule(42, 120, log=True) for _ in range(2))
    assert first.log == second.log
    assert first.events == second.events
