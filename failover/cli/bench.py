"""``failover bench``: measure on the lab what faults cost, and that some cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from failover.cli.bench_campaigns import PROTECTION, barrier, barrier_cost, chaos, zookeeper
from failover.cli.bench_run import end, measured, print_runs
from failover.cli.options import Number, known_site, output_option, size_option
from failover.cli.output import print_json

if TYPE_CHECKING:
    from failover.lab.bench_cost import CostRun
    from failover.lab.bench_isolation import IsolationRun
    from failover.lab.bench_protection import ProtectionRun
    from failover.lab.bench_result import TakeoverRun
    from failover.lab.bench_stall import StallRun
    from failover.lab.bench_switchover import SwitchoverRun
    from failover.lab.lab import Lab
    from failover.model import SiteName
    from failover.policy import Policy

ACTIVE = "active"

# Named here as well, because the lab is only imported where it is used (``trouble.Variant``).
CIRCUMSTANCES = ("local-failover", "replica-held-back", "standby-leader-changes")
VARIANTS = (
    "plain",
    "patroni-dead",
    "backend-stopped",
    "fsync-stalled",
    "local-zookeeper-idle",
)


@click.group()
def command() -> None:
    """Measure takeovers, and faults that must do no harm, as a client sees them."""


command.add_command(zookeeper)
command.add_command(chaos)
command.add_command(barrier)
command.add_command(barrier_cost)


def _measuring_options(function: Callable[..., None]) -> Callable[..., None]:
    """What every measurement takes."""
    for option in (
        output_option,
        click.option("--seed", type=int, help="Of the random moments."),
        click.option(
            "--zookeeper-leader",
            metavar="SITE",
            help="Where ZooKeeper's leader is to be before each run; `active`: in the site that "
            "is lost. Default: the witness.",
        ),
        click.option(
            "--phase-jitter/--no-phase-jitter",
            default=True,
            show_default=True,
            help="Lose the site at a random moment of every interval in the system.",
        ),
    ):
        function = option(function)
    return function


@command.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1), help="How often.")
@click.option("--protection", type=click.Choice(PROTECTION), help="Default: as the group is.")
@click.option("--after", type=click.Choice(CIRCUMSTANCES), help="What goes before each loss.")
@click.option(
    "--load",
    type=Number(min=1),
    help="Transactions a second of the customers at the site that stays. Default: 50.",
)
@click.option(
    "--throttle",
    metavar="SIZE",
    help="What PostgreSQL at the site that is lost gets across the sea a second, as 64KiB.",
)
@_measuring_options
def takeover(
    runs: int,
    protection: str | None,
    after: str | None,
    load: float | None,
    throttle: str | None,
    phase_jitter: bool,
    zookeeper_leader: str | None,
    seed: int | None,
    output: str,
) -> None:
    """Lose the active site RUNS times, measure each takeover, bring the site back in between.

    Before each loss it is asked what `failover explain --what-if` says, and how right that was.
    Uses the lab that is up, or brings one up and takes it down again. Progress is on stderr.
    Exit code 1 when a limit is not kept or anything was acknowledged by two sites.
    """
    from failover.cli.what_if import predictor
    from failover.lab.bench import Settings, TakeoverBench
    from failover.lab.bench_result import as_json, run_line, summarise, summary_lines
    from failover.lab.circumstance import Circumstance
    from failover.model import ProtectionMode

    bytes_s = size_option("--throttle", throttle)

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[TakeoverRun]:
        place = _leader_place(lab.policy, zookeeper_leader)
        settings = Settings(
            runs,
            phase_jitter,
            place,
            seed,
            after=Circumstance(after) if after else None,
            protection=ProtectionMode(protection) if protection else None,
            load=load,
            throttle_bytes_s=bytes_s,
        )
        return TakeoverBench(lab, settings, tell, predictor(lab.policy)).runs()

    finished, stopped = measured("failover bench takeover", measure, run_line)
    summary = summarise(finished)
    if output == "json":
        print_json(as_json(finished))
    else:
        print_runs(map(run_line, finished), summary_lines(summary))
    end(len(finished), runs, stopped, summary.passed)


@command.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1), help="How often.")
@click.option("--seed", type=int, help="Of the random moments.")
@output_option
def switchover(runs: int, seed: int | None, output: str) -> None:
    """Move the group to the other site and back, RUNS moves in all, while customers write.

    Exit code 1 when a limit is not kept, anything was lost, or two sites acknowledged at once.
    """
    from failover.lab.bench_switchover import (
        SwitchoverBench,
        as_json,
        run_line,
        summarise,
        summary_lines,
    )

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[SwitchoverRun]:
        return SwitchoverBench(lab, runs, seed, tell).runs()

    finished, stopped = measured("failover bench switchover", measure, run_line)
    summary = summarise(finished)
    if output == "json":
        print_json(as_json(finished))
    else:
        print_runs(map(run_line, finished), summary_lines(summary))
    end(len(finished), runs, stopped, summary.passed)


@command.command()
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    type=Number(min=1),
    help="Of each mode and number of customers.",
)
@output_option
def protection(seconds: float, output: str) -> None:
    """What a commit costs in each protection mode: throughput and latency, as a table.

    Customers of the active site, one and eight at once, each without a pause.
    """
    from failover.lab.bench_protection import TABLE_HEAD, ProtectionBench, as_json, run_line

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[ProtectionRun]:
        return ProtectionBench(lab, seconds, tell).runs()

    finished, stopped = measured("failover bench protection", measure, run_line)
    if output == "json":
        print_json(as_json(finished))
    else:
        click.echo("\n".join([*TABLE_HEAD, *map(run_line, finished)]))
    end(len(finished), len(finished), stopped, passed=bool(finished))


@command.command()
@click.option(
    "--windows", default=3, show_default=True, type=click.IntRange(min=1), help="How often."
)
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=Number(min=10),
    help="Of each window; every window is measured twice, without and with scrapes.",
)
@output_option
def cost(windows: int, seconds: float, output: str) -> None:
    """What each controller costs: CPU, memory, and what being scraped every 5 s adds.

    Without customers, and with nothing else on the machine. Exit code 1 when a bound is not kept.
    """
    from failover.lab.bench_cost import CostBench, as_json, passed, run_line, summary_lines

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[CostRun]:
        return CostBench(lab, windows, seconds, tell).runs()

    finished, stopped = measured("failover bench cost", measure, run_line)
    if output == "json":
        print_json(as_json(finished))
    else:
        print_runs(map(run_line, finished), summary_lines(finished))
    end(len(finished), len(finished), stopped, passed(finished))


@command.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1), help="How often.")
@click.option("--seed", type=int, help="Of the random moments.")
@output_option
def stall(runs: int, seed: int | None, output: str) -> None:
    """How long commits wait in max-availability when the other site vanishes.

    Loses the standby site RUNS times. Exit code 1 when that took longer than its bound, or anything
    that was acknowledged is lost.
    """
    from failover.lab.bench_stall import StallBench, as_json, run_line, summary_lines

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[StallRun]:
        return StallBench(lab, runs, seed, tell).runs()

    finished, stopped = measured("failover bench stall", measure, run_line)
    if output == "json":
        print_json(as_json(finished))
    else:
        print_runs(map(run_line, finished), summary_lines(finished))
    end(len(finished), runs, stopped, all(run.succeeded for run in finished))


@command.command()
@click.option(
    "--size",
    metavar="SIZE",
    default="1GiB",
    show_default=True,
    help="Of the data that is there to be taken.",
)
@click.option(
    "--firewall",
    is_flag=True,
    help="With the rendered firewall loaded in the database hosts; the group is moved, too.",
)
@output_option
def residency(size: str, firewall: bool, output: str) -> None:
    """A host abroad tries every known way to the data, through lines of pg_hba.conf opened for it.

    Per attempt: whether it was prevented, cut or cannot be observed, after how long, and what had
    arrived abroad. Takes some minutes. Exit code 1 when a limit is not kept.
    """
    from failover.lab.bench_residency import ResidencyBench
    from failover.lab.bench_residency_result import (
        TABLE_HEAD,
        Row,
        as_json,
        passed,
        row_line,
        summary_lines,
    )

    size_bytes = size_option("--size", size)
    benches: list[ResidencyBench] = []

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[Row]:
        benches.append(ResidencyBench(lab, size_bytes or 0, firewall, tell))
        return benches[0].rows()

    finished, stopped = measured("failover bench residency", measure, row_line)
    bench = benches[0]
    if output == "json":
        print_json(as_json(finished, bench.around))
    else:
        click.echo("\n".join([*TABLE_HEAD, *map(row_line, finished), ""]))
        click.echo("\n".join(summary_lines(finished, bench.around)))
    end(len(finished), bench.wanted, stopped, passed(finished, bench.around))


@command.command()
@click.option(
    "--variant",
    default="all",
    show_default=True,
    type=click.Choice(["all", *VARIANTS]),
    help="What else is the matter with the primary that is isolated.",
)
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1), help="Of each.")
@_measuring_options
def isolation(
    variant: str,
    runs: int,
    phase_jitter: bool,
    zookeeper_leader: str | None,
    seed: int | None,
    output: str,
) -> None:
    """Isolate the active site RUNS times while its primary cannot be stopped by Patroni.

    Customers inside the lost site keep writing in sessions opened before. Exit code 1 when
    anything was acknowledged there after the other site had begun to, or a run failed otherwise.
    """
    from failover.lab.bench import Settings
    from failover.lab.bench_isolation import as_json, isolation_runs, passed, run_line, tally_lines
    from failover.lab.trouble import Variant

    variants = tuple(Variant) if variant == "all" else (Variant(variant),)

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[IsolationRun]:
        place = _leader_place(lab.policy, zookeeper_leader)
        return isolation_runs(lab, Settings(runs, phase_jitter, place, seed), variants, tell)

    finished, stopped = measured("failover bench isolation", measure, run_line, stall_shim=True)
    if output == "json":
        print_json(as_json(finished))
    else:
        print_runs(map(run_line, finished), tally_lines(finished))
    end(len(finished), runs * len(variants), stopped, passed(finished))


def _leader_place(policy: Policy, said: str | None) -> SiteName | str | None:
    """A site's name, the word ``active``, or None: the witness."""
    return known_site(policy, said) if said not in (None, ACTIVE) else said
