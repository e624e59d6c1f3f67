"""``python -m tests.mutations``: breaks the protocol in one way after another; what sees it?

For each: the stories that aim at it, then random schedules, until something does. Ends with 1 where
a mutation survives that is not declared to be out of the simulation's sight.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import click
import pytest

from failover.simulation.schedule import mode_of, run_schedule
from tests.mutations.controller_mutations import CONTROLLER
from tests.mutations.guard_mutations import GUARD
from tests.mutations.mutation import Mutation, planted

MUTATIONS = (*CONTROLLER, *GUARD)
STEPS = 200


@dataclass
class Verdict:
    """``by`` empty: nothing saw it. ``schedules``: random ones that it took; 0: a story did."""

    name: str
    by: str = ""
    where: str = ""
    schedules: int = 0
    refused: str = ""  # by the plan checks, were they not blind
    took_s: float = 0.0

    def __str__(self) -> str:
        seen = f"caught by {self.by}\n    in {self.where}" if self.by else "SURVIVES"
        checks = f"\n    the plan checks refuse it as well: {self.refused}" if self.refused else ""
        return f"{self.name}: {seen}{checks}\n    {self.took_s:.0f} s"


def tried(name: str) -> Verdict:
    """Plant it, and look until something sees it."""
    mutation = next(one for one in MUTATIONS if one.name == name)
    verdict, started_s = Verdict(name), time.monotonic()
    with planted(mutation) as found:
        _by_story(mutation, verdict)
        if not verdict.by:
            _by_chance(mutation, verdict)
    verdict.refused = ", ".join(sorted(found.refused))
    verdict.took_s = time.monotonic() - started_s
    return verdict


def _by_story(mutation: Mutation, verdict: Verdict) -> None:
    for story in mutation.stories:
        try:
            story()
        except (Exception, pytest.fail.Exception) as error:
            verdict.by = _first_line(error)
            verdict.where = f"the story {story.__name__}"
            return


def _by_chance(mutation: Mutation, verdict: Verdict) -> None:
    for seed in range(1, mutation.seeds + 1):
        failure = run_schedule(seed, STEPS, mode_of(seed)).failure
        if failure:
            verdict.by, verdict.schedules = failure, seed
            verdict.where = f"seed {seed}, the {seed}. random schedule"
            return


def _first_line(error: BaseException) -> str:
    text = (str(error) or "an assertion of the story").splitlines()[0][:160]
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"


@click.command()
@click.option("--jobs", type=int, default=2, show_default=True, help="Processes.")
@click.option("--only", default="", help="Mutations with this in their name.")
def main(jobs: int, only: str) -> None:
    """Every mutation, one after another."""
    started_s = time.monotonic()
    chosen = [one for one in MUTATIONS if only in one.name]
    survive, unseen = [], []
    with ProcessPoolExecutor(jobs) as pool:
        for mutation, verdict in zip(
            chosen, pool.map(tried, [one.name for one in chosen]), strict=True
        ):
            click.echo(str(verdict))
            if not verdict.by:
                (unseen if mutation.unseen else survive).append(mutation)
    caught = len(chosen) - len(survive) - len(unseen)
    click.echo(
        f"{caught} of {len(chosen)} mutations caught, in {time.monotonic() - started_s:.0f} s"
    )
    for mutation in unseen:
        click.echo(f"out of sight here, not counted: {mutation.name}: {mutation.unseen}")
    for mutation in survive:
        click.echo(f"SURVIVES: {mutation.name}", err=True)
    sys.exit(1 if survive else 0)


if __name__ == "__main__":
    main()
