"""`make sim-campaign`: it resumes, keeps what fails, and says what was not reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from failover.health import observation
from failover.simulation import campaign, demands, regressions
from failover.simulation.coverage import Coverage
from failover.simulation.policies import policy
from failover.simulation.quick import make_values_quickly
from failover.simulation.regressions import Failed, keep
from failover.simulation.schedule import run_schedule
from failover.simulation.world import World


def run(results: Path, schedules: int) -> tuple[int, str]:
    arguments = ["--schedules", str(schedules), "--steps", "20", "--batch", "2", "--jobs", "1"]
    done = CliRunner().invoke(campaign.main, [*arguments, "--results", str(results)])
    return done.exit_code, done.output


def test_it_goes_on_where_it_stopped_and_tells_what_is_missing(tmp_path: Path) -> None:
    results = tmp_path / "campaign.jsonl"
    code, said = run(results, 2)
    assert code == 1  # two schedules reach next to nothing
    assert "not reached: fault kill_site" in said
    with results.open("a") as file:
        file.write('{"first": 3, "sch')  # it was stopped in the middle of a line
    _, said = run(results, 4)
    assert "2 done before" in said
    assert "this run: 2 schedules" in said
    assert "4 schedules of 20 steps, 0 failed" in said


def test_other_code_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "campaign.jsonl"
    run(results, 2)
    monkeypatch.setattr(campaign, "digest_of_sources", lambda: "another")
    assert "0 done before" in run(results, 2)[1]


def test_what_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "run_schedule", lambda *_: 1 // 0)
    (failed,) = campaign.run_batch(7, 1, 20, "code").failed
    assert (failed.seed, failed.failure[:17]) == (7, "ZeroDivisionError")


def test_a_failing_seed_is_kept_once(tmp_path: Path) -> None:
    kept = tmp_path / "regressions.txt"
    kept.write_text("5 200  # known\n")
    failed = [Failed(n, 200, regressions.ASYNCHRONOUS, "I1") for n in (5, 6)]
    keep(kept, failed)
    keep(kept, failed)
    assert kept.read_text() == "5 200  # known\n6 200 max-performance\n"


def test_nothing_is_missing_only_where_all_was_reached_often_enough() -> None:
    full = Coverage(schedules=10, takeovers=2)
    full.verdicts, full.edges = Counter(demands.VERDICTS), Counter(demands.EDGE_NAMES)
    full.steps, full.faults = Counter(demands.STEPS), Counter(demands.FAULT_NAMES)
    assert demands.missing(full, times_min=1) == ()
    assert len(demands.missing(full, times_min=2)) > 50
    full.takeovers = 1
    assert demands.missing(full, times_min=1) == (
        "a takeover: in 10.0% of the schedules, 20% demanded",
    )


def test_an_observation_comes_back_from_its_bytes_as_it_was() -> None:
    """The simulation takes that for granted (memory.py)."""
    world = World(1, policy())
    world.run(3.0)
    world.network.isolate("jakarta")
    world.run(3.0)
    seen = [c._local.observation for c in world.controllers.values() if c._local is not None]
    assert len(seen) == 3
    for one in seen:
        data = observation.encode_observation(one)
        assert observation.decode_observation(data, path="/") == one
    world.close()


def test_values_made_quickly_tell_the_same_history() -> None:
    """In processes of their own: what was made quick stays so."""
    seeds = (3, 42)
    with ProcessPoolExecutor(1, initializer=make_values_quickly) as pool:
        quick = [pool.submit(run_schedule, seed, 120, log=True).result() for seed in seeds]
    for seed, one in zip(seeds, quick, strict=True):
        plain = run_schedule(seed, 120, log=True)
        assert (one.log, one.events) == (plain.log, plain.events)
        assert one.coverage == plain.coverage


def test_the_trace_does_not_depend_on_the_order_of_hashes() -> None:
    command = [sys.executable, "-m", "failover.simulation.trace", "--schedules=1", "--steps=20"]
    told = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
