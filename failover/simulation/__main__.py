"""``python -m failover.simulation --seed 1 --schedules 200 --steps 200``: random schedules.

Prints every failing seed, keeps it in tests/simulation/regressions.txt, and exits with 1 if there
was one. ``--seed N --schedules 1 --log`` tells one schedule's story.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import click

from failover.model import ProtectionMode
from failover.simulation.quick import make_values_quickly
from failover.simulation.regressions import REGRESSIONS, Failed, keep
from failover.simulation.schedule import Result, mode_of, run_schedule


@click.command()
@click.option("--seed", type=int, default=None, help="The first seed; by chance where not given.")
@click.option("--steps", type=int, default=200, show_default=True, help="Per schedule.")
@click.option(
    "--schedules", type=int, default=1, show_default=True, help="Seeds, one after another."
)
@click.option("--jobs", type=int, default=2, show_default=True, help="Processes.")
@click.option(
    "--protection",
    type=click.Choice([mode.value for mode in ProtectionMode]),
    default=None,
    help="Of all of them; by the seed where not given.",
)
@click.option("--log", is_flag=True, help="Print what happened, line by line.")
def main(
    seed: int | None,
    steps: int,
    schedules: int,
    jobs: int,
    protection: str | None,
    log: bool,
) -> None:
    """Run schedules of random faults against the simulated world."""
    first = seed if seed is not None else random.SystemRandom().randrange(10**9)
    click.echo(f"seed {first}, {schedules} schedule(s) of {steps} steps")
    started_s = time.monotonic()
    mode = ProtectionMode(protection) if protection else None
    results = _run(first, steps, schedules, jobs, mode, log=log)
    took_s = time.monotonic() - started_s
    failed = [
        Failed(result.seed, steps, str(result.protection), result.failure)
        for result in results
        if result.failure
    ]
    for result in results:
        if log:
            click.echo("\n".join(result.log))
    for one in failed:
        click.echo(f"FAILED {one}", err=True)
    keep(REGRESSIONS, failed)
    click.echo(_summary(results, took_s))
    sys.exit(1 if failed else 0)


def _run(
    first: int,
    steps: int,
    schedules: int,
    jobs: int,
    protection: ProtectionMode | None,
    *,
    log: bool,
) -> list[Result]:
    seeds = range(first, first + schedules)
    if jobs == 1 or schedules == 1:
        return [run_schedule(s, steps, protection or mode_of(s), log=log) for s in seeds]
    modes = [protection or mode_of(seed) for seed in seeds]
    with ProcessPoolExecutor(jobs, initializer=make_values_quickly) as pool:
        return list(pool.map(run_schedule, seeds, [steps] * schedules, modes, chunksize=4))


def _summary(results: list[Result], took_s: float) -> str:
    healed_s = sorted(result.healed_after_s for result in results if not result.failure)
    slowest = f"{healed_s[-1]:.0f}" if healed_s else "-"
    return (
        f"{len(results)} schedules in {took_s:.1f} s, "
        f"{sum(bool(r.failure) for r in results)} failed; "
        f"{sum(r.takeovers for r in results)} takeovers, "
        f"{sum(r.lost_writes for r in results)} writes lost within the budget, "
        f"{sum(r.virtual_s for r in results):.0f} virtual seconds, "
        f"healed after {slowest} s at worst"
    )


if __name__ == "__main__":
    main()
