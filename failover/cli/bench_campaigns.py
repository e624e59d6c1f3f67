"""``failover bench zookeeper``, ``chaos``, ``barrier``…: many runs, resumed where they stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.bench_run import end, measured, print_runs, runs_of
from failover.cli.options import Number, output_option
from failover.cli.output import UserError, print_json
from failover.cli.signals import interrupted_once

if TYPE_CHECKING:
    from failover.lab.bench_barrier_cost_result import Window
    from failover.lab.bench_barrier_result import BarrierRun
    from failover.lab.bench_chaos_result import ChaosRun
    from failover.lab.bench_zookeeper_result import ZooKeeperRun
    from failover.lab.lab import Lab

# Named here as well, because the lab is only imported where it is used.
PROTECTION = ("max-performance", "max-availability", "max-protection")
BARRIER_FAULTS = ("patroni-killed", "patroni-stopped", "host-frozen", "guard-frozen")

_RESULTS = click.Path(exists=True, dir_okay=False, path_type=Path)
_RESUME_HELP = "Go on with a campaign that was stopped: the runs of its file are not done again."


@click.command()
@click.option(
    "--runs",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of each server and fault.",
)
@click.option(
    "--leader",
    default="witness",
    show_default=True,
    type=click.Choice(["witness", "drifted", "both"]),
    help="Where ZooKeeper's leader is; drifted: into the data sites by turns.",
)
@click.option(
    "--fault",
    default="both",
    show_default=True,
    type=click.Choice(["blackhole", "freeze", "both"]),
    help="What happens to a server for 10 s.",
)
@click.option("--resume", metavar="FILE", type=_RESULTS, help=_RESUME_HELP)
@click.option("--seed", type=int, help="Of the random moments.")
@output_option
def zookeeper(
    runs: int, leader: str, fault: str, resume: Path | None, seed: int | None, output: str
) -> None:
    """Black-hole and freeze each ZooKeeper server RUNS times: the primary must not notice.

    Every run is written to results/ as it ends, with the journals where it went wrong. Exit code 1
    when a healthy primary was demoted or killed, writes paused for more than a second, or a run
    failed otherwise.
    """
    from failover.lab import bench_zookeeper_result as result
    from failover.lab.bench_zookeeper import ZooKeeperBench, cases
    from failover.lab.results_file import appender

    leaders = [one for one in result.LeaderPlace if leader in (one, "both")]
    faults = [one for one in result.ServerFault if fault in (one, "both")]
    path = resume or Path("results") / f"zookeeper-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    done = runs_of(resume, result.decoded)
    append = appender(path)
    todo: list[result.Case] = []

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[ZooKeeperRun]:
        todo.extend(result.still_to_do(cases(lab.policy, leaders, faults, runs), done))
        bench = ZooKeeperBench(lab, todo, seed, tell)
        for run in bench.runs():
            append(run)
            if run.violations:
                case = f"{run.leader}-{run.number}-{run.server}-{run.fault}"
                path.with_suffix(f".{case}.log").write_text(bench.journals(), encoding="utf-8")
            yield run

    finished, stopped = measured("failover bench zookeeper", measure, result.run_line)
    click.echo(f"runs are in {path}", err=True)
    every = [*done, *finished]
    if output == "json":
        print_json(result.as_json(every))
    else:
        print_runs(map(result.run_line, every), result.tally_lines(every))
    end(len(finished), len(todo), stopped, result.passed(every))


@click.command()
@click.option("--runs", default=100, show_default=True, type=click.IntRange(min=1), help="A mode.")
@click.option(
    "--protection",
    "modes",
    multiple=True,
    default=("max-performance", "max-availability"),
    show_default=True,
    type=click.Choice(PROTECTION),
    help="Only in this mode.",
)
@click.option("--resume", metavar="FILE", type=_RESULTS, help=_RESUME_HELP)
@click.option("--seed", type=int, help="Of what is tried. Default: that of the file, or 0.")
@click.option(
    "--fault",
    "only",
    metavar="NAME",
    multiple=True,
    help="Only these by turns, 'A + B' for two at once. Default: all, in a random order.",
)
@click.option(
    "--lasts",
    "lasts_s_max",
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    type=Number(min=2.0),
    help="Until all is healed, at most; at least 2.",
)
@output_option
def chaos(
    runs: int,
    modes: tuple[str, ...],
    resume: Path | None,
    seed: int | None,
    only: tuple[str, ...],
    lasts_s_max: float,
    output: str,
) -> None:
    """Break something, a random one of every fault there is or two, and heal it; RUNS times a mode.

    Customers of both sites write all the while. Every run is written to results/ as it ends, with
    the journals where it went wrong. Exit code 1 when two sites acknowledged, anything was lost
    that is in no receipt (or in sync), a harmless fault stopped writes or moved the group, or the
    group did not become whole by itself.
    """
    from failover.lab import bench_chaos_result as result
    from failover.lab.bench_chaos import ChaosBench, cases, unknown_faults
    from failover.lab.chaos import FAULTS
    from failover.lab.results_file import appender

    if unknown := unknown_faults(only):
        todo_text = f"one of: {'; '.join(FAULTS)}"
        raise UserError(f"unknown fault: {'; '.join(unknown)}", todo=todo_text)
    path = resume or Path("results") / f"chaos-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    done = runs_of(resume, result.decoded)
    drawn = _seed(seed, done, path)
    known = {run.case for run in done}
    todo = [case for case in cases(modes, runs, drawn, only) if case not in known]
    append = appender(path)

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[ChaosRun]:
        bench = ChaosBench(lab, todo, drawn, tell, lasts_s_max)
        for run in bench.runs():
            append(run)
            if run.violations:
                name = f".{run.case.protection}-{run.case.number}.log"
                path.with_suffix(name).write_text(bench.journals(), encoding="utf-8")
            yield run

    finished: list[ChaosRun] = []
    stopped = ""
    if todo:  # else the table alone
        what = "failover bench chaos"
        finished, stopped = measured(
            what, measure, result.run_line, stall_shim=True, own_disks=True
        )
    click.echo(f"runs are in {path}", err=True)
    every = [*done, *finished]
    if output == "json":
        print_json(result.as_json(every))
    else:
        print_runs(map(result.run_line, every), result.table_lines(every))
    end(len(finished), len(todo), stopped, result.passed(every))


@click.command()
@click.option("--runs", default=20, show_default=True, type=click.IntRange(min=1), help="Of each.")
@click.option(
    "--protection",
    "modes",
    multiple=True,
    default=("max-availability", "max-performance"),
    show_default=True,
    type=click.Choice(PROTECTION),
    help="Only in this mode.",
)
@click.option(
    "--fault",
    "names",
    multiple=True,
    default=BARRIER_FAULTS,
    show_default=True,
    type=click.Choice(BARRIER_FAULTS),
    help="Only this one.",
)
@click.option("--resume", metavar="FILE", type=_RESULTS, help=_RESUME_HELP)
@click.option("--seed", type=int, help="Of the random moments.")
@output_option
def barrier(
    runs: int,
    modes: tuple[str, ...],
    names: tuple[str, ...],
    resume: Path | None,
    seed: int | None,
    output: str,
) -> None:
    """Take the lease from a primary that nobody stops, RUNS times each; 16 sessions write to it.

    Its Patroni is killed or stopped, or its host stands still for 30 s and goes on, with its guard
    or without. Every run is written to results/ as it ends. Exit code 1 when that host acknowledged
    anything after its lease's end, or anything acknowledged in a synchronous mode is lost.
    """
    from failover.lab import bench_barrier_result as result
    from failover.lab.bench_barrier import BarrierBench, cases
    from failover.lab.results_file import appender

    path = resume or Path("results") / f"barrier-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    done = runs_of(resume, result.decoded)
    known = {run.case for run in done}
    faults = [result.Fault(name) for name in names]
    todo = [case for case in cases(modes, faults, runs) if case not in known]
    append = appender(path)

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[BarrierRun]:
        for run in BarrierBench(lab, todo, seed, tell).runs():
            append(run)
            yield run

    finished, stopped = measured("failover bench barrier", measure, result.run_line)
    click.echo(f"runs are in {path}", err=True)
    every = [*done, *finished]
    if output == "json":
        print_json(result.as_json(every))
    else:
        print_runs(map(result.run_line, every), result.table_lines(every))
    end(len(finished), len(todo), stopped, result.passed(every))


@click.command("barrier-cost")
@click.option(
    "--windows",
    default=12,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of each kind, in pairs; 10 pairs must be counted.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=Number(min=2.0),
    help="Of each window with many sessions; half as long again with few.",
)
@click.option("--resume", metavar="FILE", type=_RESULTS, help=_RESUME_HELP)
@output_option
def barrier_cost(windows: int, seconds: float, resume: Path | None, output: str) -> None:
    """What the acknowledgement barrier costs: throughput and latency with it and without.

    In windows without it the guard of the primary's host runs without CAP_NET_ADMIN. A window is
    counted where the kernel's rules and the guard say, before and after it, that it was what it
    should be. Every window is written to results/ as it ends. Nothing else should run on the
    machine. Afterwards, also when interrupted, the barrier is there again. Exit code 1 where with
    and without differ, where a difference that matters could not be told, or where too few windows
    are counted.
    """
    from failover.lab import bench_barrier_cost_result as result
    from failover.lab.bench_barrier_cost import BarrierCostBench
    from failover.lab.results_file import appender

    path = resume or Path("results") / f"barrier-cost-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    done = runs_of(resume, result.decoded)
    todo = list(enumerate(result.order(windows), start=1))[len(done) :]
    append = appender(path)

    def measure(lab: Lab, tell: Callable[[str], None]) -> Iterator[Window]:
        for window in BarrierCostBench(lab, todo, seconds, tell).runs():
            append(window)
            yield window

    finished: list[Window] = []
    stopped = ""
    if todo:  # else the table alone
        with interrupted_once():
            finished, stopped = measured("failover bench barrier-cost", measure, result.run_line)
    click.echo(f"windows are in {path}", err=True)
    every = [*done, *finished]
    if output == "json":
        print_json(result.as_json(every))
    else:
        print_runs(map(result.run_line, every), result.table_lines(every))
    end(len(finished), len(todo), stopped, result.passed(every))


def _seed(wanted: int | None, done: Sequence[ChaosRun], path: Path) -> int:
    """The seed of the campaign: a file has the runs of one."""
    of_file = {run.seed for run in done}
    if wanted is not None and of_file - {wanted}:
        raise UserError(
            f"{path} has the runs of seed {', '.join(map(str, sorted(of_file)))}",
            todo="leave --seed out, or start anew, without --resume",
        )
    return wanted if wanted is not None else min(of_file, default=0)
