"""``failover bench``: measure what a takeover costs, on the lab."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console

from failover.cli.exit_codes import ExitCode
from failover.cli.options import known_site, output_option
from failover.cli.output import UserError, print_json

if TYPE_CHECKING:
    from failover.model import SiteName
    from failover.policy import Policy

ACTIVE = "active"


@click.group()
def command() -> None:
    """Measure a takeover, as a client sees it."""


@command.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--phase-jitter/--no-phase-jitter",
    default=True,
    show_default=True,
    help="Lose the site at a random moment of every interval in the system.",
)
@click.option(
    "--zookeeper-leader",
    metavar="SITE",
    help="Where ZooKeeper's leader is to be before each run; `active`: in the site that is lost. "
    "Default: the witness.",
)
@click.option("--seed", type=int, help="Of the random moments.")
@output_option
def takeover(
    runs: int, phase_jitter: bool, zookeeper_leader: str | None, seed: int | None, output: str
) -> None:
    """Lose the active site RUNS times, measure each takeover, bring the site back in between.

    Uses the lab that is up, or brings one up and takes it down again. Progress is on stderr.
    Exit code 1 when a limit is not kept or anything was acknowledged by two sites.
    """
    from failover.lab.bench import Settings, TakeoverBench
    from failover.lab.bench_result import TakeoverRun, as_json, run_line, summarise, summary_lines
    from failover.lab.borrow import borrowed
    from failover.lab.errors import LabError
    from failover.lab.watch import NotWhole
    from failover.lab.workload.control import WorkloadError
    from failover.lab.zookeeper_leader import NoSuchLeader

    out = Console(stderr=True, highlight=False)
    finished: list[TakeoverRun] = []
    stopped = ""
    try:
        with borrowed("failover bench", out.print) as lab, out.status("preparing") as status:
            settings = Settings(
                runs, phase_jitter, _leader_place(lab.policy, zookeeper_leader), seed
            )
            for run in TakeoverBench(lab, settings, status.update).runs():
                finished.append(run)
                out.print(run_line(run), soft_wrap=True)
    except LabError as error:
        if not finished:
            raise UserError(str(error), todo=error.todo) from None
        stopped = str(error)
    except (NotWhole, NoSuchLeader, WorkloadError) as error:
        stopped = str(error)
    summary = summarise(finished)
    if output == "json":
        print_json(as_json(finished))
    else:
        seen_already = sys.stdout.isatty() and sys.stderr.isatty()
        lines = [] if seen_already else [run_line(run) for run in finished]
        click.echo("\n".join([*lines, *summary_lines(summary)]))
    if stopped:
        raise UserError(
            f"stopped after {len(finished)} of {runs} runs: {stopped}",
            todo="`failover explain` says what holds it",
            code=ExitCode.FINDINGS,
        )
    if not summary.passed:
        raise SystemExit(ExitCode.FINDINGS)


def _leader_place(policy: Policy, said: str | None) -> SiteName | str | None:
    """A site's name, the word ``active``, or None: the witness."""
    return known_site(policy, said) if said not in (None, ACTIVE) else said
