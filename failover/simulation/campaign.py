"""``python -m failover.simulation.campaign --schedules 100000``: many schedules, resumed at will.

What is done stands in a file, a line per batch of seeds, with a digest of the sources: a campaign
goes on where it stopped, and begins anew when the code has changed. Ends with 0 where every
schedule was clean and all that is demanded was reached (demands.py), with 1 otherwise.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from failover.simulation import demands
from failover.simulation.coverage import Coverage
from failover.simulation.quick import make_values_quickly
from failover.simulation.regressions import REGRESSIONS, Failed, keep
from failover.simulation.schedule import Result, mode_of, run_schedule

RESULTS = Path("results/sim-campaign.jsonl")
BATCH = 50
REPORT_S = 60.0
PRODUCT = (__package__ or "").partition(".")[0]


@dataclass(slots=True)
class Batch:
    """Some seeds, one after another, and what came of them. ``took_s``: of one process."""

    first: int
    schedules: int
    steps: int
    code: str
    took_s: float = 0.0
    virtual_s: float = 0.0
    lost_writes: int = 0
    healed_after_s_max: float = 0.0
    failed: list[Failed] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    def take(self, result: Result) -> None:
        self.virtual_s += result.virtual_s
        self.lost_writes += result.lost_writes
        self.healed_after_s_max = max(self.healed_after_s_max, result.healed_after_s)
        self.coverage.add(result.coverage)
        if result.failure:
            mode = str(result.protection)
            self.failed.append(Failed(result.seed, result.steps, mode, result.failure))


def run_batch(first: int, schedules: int, steps: int, code: str) -> Batch:
    """In a process of its own. What raises is a failure like any other."""
    batch = Batch(first, schedules, steps, code)
    started_s = time.monotonic()
    for seed in range(first, first + schedules):
        try:
            batch.take(run_schedule(seed, steps, mode_of(seed)))
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            batch.failed.append(Failed(seed, steps, str(mode_of(seed)), failure))
    batch.took_s = time.monotonic() - started_s
    gc.collect()
    return batch


def digest_of_sources() -> str:
    """Of the simulation and of the product in it: seeds tell another story when they change."""
    found = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] == PRODUCT and module.__file__:
            found.update(name.encode() + b"\0" + Path(module.__file__).read_bytes())
    return found.hexdigest()[:16]


# --------------------------------------------------------------------------- the file


def write(results: Path, batch: Batch) -> None:
    """One more line."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_document(batch)) + "\n")


def _document(batch: Batch) -> dict[str, Any]:
    found = {each.name: getattr(batch, each.name) for each in fields(batch)}
    coverage = {each.name: getattr(batch.coverage, each.name) for each in fields(batch.coverage)}
    return {**found, "failed": [asdict(one) for one in batch.failed], "coverage": coverage}


def read(results: Path, steps: int, code: str) -> Iterator[Batch]:
    """What was done before by the same code, with as many steps. A line that was cut off while it
    was written is left out, and so done again."""
    if not results.exists():
        return
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found["steps"] == steps and found["code"] == code:
            yield _batch(found)


def _batch(found: dict[str, Any]) -> Batch:
    counted = found["coverage"]
    coverage = Coverage(counted["schedules"], counted["takeovers"])
    for name in ("verdicts", "edges", "steps", "faults"):
        setattr(coverage, name, Counter(counted[name]))
    failed = [Failed(**one) for one in found["failed"]]
    return Batch(**{**found, "failed": failed, "coverage": coverage})


# --------------------------------------------------------------------------- the campaign


@dataclass(slots=True)
class Campaign:
    """All batches that are done, by their first seed; ``ran`` of them in this run."""

    done: dict[int, Batch] = field(default_factory=dict)
    ran: int = 0
    started_s: float = field(default_factory=time.monotonic)

    @property
    def coverage(self) -> Coverage:
        total = Coverage()
        for batch in self.done.values():
            total.add(batch.coverage)
        return total

    @property
    def schedules(self) -> int:
        return sum(batch.schedules for batch in self.done.values())

    @property
    def failed(self) -> list[Failed]:
        return [one for batch in self.done.values() for one in batch.failed]

    def rate(self, steps: int) -> str:
        """Of this run."""
        per_s = self.ran / max(1e-9, time.monotonic() - self.started_s)
        return f"{per_s:.2f} schedules/s, {per_s * steps:.0f} steps/s"


@click.command()
@click.option("--schedules", type=int, default=100_000, show_default=True, help="In all.")
@click.option("--steps", type=int, default=200, show_default=True, help="Per schedule.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first one.")
@click.option("--jobs", type=int, default=2, show_default=True, help="Processes.")
@click.option("--batch", type=int, default=BATCH, show_default=True, help="Schedules per line.")
@click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="File."
)
@click.option("--times", type=int, default=demands.TIMES_MIN, show_default=True, help="Demanded.")
def main(
    schedules: int, steps: int, seed: int, jobs: int, batch: int, results: Path, times: int
) -> None:
    """Run so many schedules in all, those that an earlier run has done included."""
    code = digest_of_sources()
    campaign = Campaign()
    firsts = {
        first: min(batch, seed + schedules - first)
        for first in range(seed, seed + schedules, batch)
    }
    for one in read(results, steps, code):
        if firsts.get(one.first) == one.schedules:
            campaign.done[one.first] = one
    todo = {first: size for first, size in firsts.items() if first not in campaign.done}
    click.echo(
        f"{schedules} schedules of {steps} steps, seeds from {seed}; code {code}; "
        f"{campaign.schedules} done before, in {results}"
    )
    _run(campaign, todo, steps, jobs, code, results)
    sys.exit(_report(campaign, steps, times))


def _run(
    campaign: Campaign, todo: dict[int, int], steps: int, jobs: int, code: str, results: Path
) -> None:
    reported_s = time.monotonic()
    with ProcessPoolExecutor(jobs, initializer=make_values_quickly) as pool:
        work = [pool.submit(run_batch, first, size, steps, code) for first, size in todo.items()]
        try:
            for future in as_completed(work):
                batch = future.result()
                write(results, batch)
                keep(REGRESSIONS, batch.failed)
                campaign.done[batch.first] = batch
                campaign.ran += batch.schedules
                for failed in batch.failed:
                    click.echo(f"FAILED {failed}", err=True)
                if time.monotonic() - reported_s > REPORT_S:
                    reported_s = time.monotonic()
                    click.echo(f"{campaign.schedules} done, {campaign.rate(steps)}")
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            click.echo("stopped; the same command goes on from here", err=True)
            sys.exit(130)


def _report(campaign: Campaign, steps: int, times: int) -> int:
    coverage, failed = campaign.coverage, campaign.failed
    lacking = demands.missing(coverage, times)
    batches = campaign.done.values()
    click.echo(demands.table(coverage))
    click.echo(
        f"{campaign.schedules} schedules of {steps} steps, {len(failed)} failed; "
        f"{sum(b.virtual_s for b in batches):.0f} virtual seconds, healed after "
        f"{max((b.healed_after_s_max for b in batches), default=0.0):.0f} s at worst, "
        f"{sum(b.lost_writes for b in batches)} writes lost within the budget; "
        f"{sum(b.took_s for b in batches):.0f} s of one process"
    )
    if campaign.ran:
        click.echo(f"this run: {campaign.ran} schedules, {campaign.rate(steps)}")
    for one in failed:
        click.echo(f"FAILED {one}", err=True)
    for line in lacking:
        click.echo(f"not reached: {line}", err=True)
    if not lacking:
        click.echo(f"coverage: everything demanded was reached, each in {times} schedules or more")
    return 1 if failed or lacking else 0


if __name__ == "__main__":
    main()
