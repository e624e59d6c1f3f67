"""What every ``failover bench`` command does around its runs: borrow the lab, tell, print, end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console

from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError
from failover.cli.signals import interrupted_once

if TYPE_CHECKING:
    from failover.lab.lab import Lab

Run = TypeVar("Run")


def runs_of(resume: Path | None, decoded: Callable[[str], Run]) -> list[Run]:
    """The runs of a campaign that was stopped."""
    from failover.lab.results_file import ResultsError, read_runs

    try:
        return read_runs(resume, decoded) if resume else []
    except (ResultsError, OSError) as error:
        raise UserError(str(error), todo="start anew, without --resume") from None


def measured(
    what: str,
    measure: Callable[[Lab, Callable[[str], None]], Iterator[Run]],
    line: Callable[[Run], str],
    *,
    stall_shim: bool = False,
    own_disks: bool = False,
) -> tuple[list[Run], str]:
    """Every run that ended, told as it does, and why there are no more where that was an error.

    Told to end, by whatever signal, it heals its faults and stops its customers first.
    """
    from failover.lab.borrow import borrowed
    from failover.lab.errors import LabError
    from failover.lab.watch import NotWhole
    from failover.lab.workload.control import WorkloadError
    from failover.lab.zookeeper_leader import NoSuchLeader

    out = Console(stderr=True, highlight=False)
    finished: list[Run] = []
    try:
        with (
            interrupted_once(),
            borrowed(what, out.print, stall_shim=stall_shim, own_disks=own_disks) as lab,
            out.status("preparing") as status,
        ):
            for run in measure(lab, status.update):
                finished.append(run)
                out.print(line(run), soft_wrap=True)
    except LabError as error:
        if not finished:
            raise UserError(str(error), todo=error.todo) from None
        return finished, str(error)
    except (NotWhole, NoSuchLeader, WorkloadError) as error:
        return finished, str(error)
    return finished, ""


def print_runs(runs: Iterable[str], summary: Iterable[str]) -> None:
    """The runs, unless they have been seen on the same terminal, and the summary."""
    seen_already = sys.stdout.isatty() and sys.stderr.isatty()
    click.echo("\n".join([*([] if seen_already else runs), *summary]))


def end(finished: int, wanted: int, stopped: str, passed: bool) -> None:
    """The exit code: 1 where there are fewer runs than wanted, or a limit was not kept."""
    if stopped:
        raise UserError(
            f"stopped after {finished} of {wanted} runs: {stopped}",
            todo="`failover explain` says what holds it",
            code=ExitCode.FINDINGS,
        )
    if not passed:
        raise SystemExit(ExitCode.FINDINGS)
