"""``failover check``: every assumption of the design against the system as it runs.

Reads only. What is judged stands in ``checks/``; this module fetches and prints it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, config_path, load_policy, output_option
from failover.cli.output import UserError, print_json

if TYPE_CHECKING:
    from failover.checks.found import Found
    from failover.checks.result import Result
    from failover.coordination.store import Store
    from failover.policy import Policy

CHECK_SCHEMA = 1
OBSERVER_PASSWORD_FILE = Path("/etc/failover/secrets/observer.password")

observer_password_option = click.option(
    "--observer-password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=OBSERVER_PASSWORD_FILE,
    show_default=True,
    help="Password of failover_observer, as a controller has it.",
)


@click.command("check")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    help="This check alone; may be said again. docs/checks.md has the names.",
)
@click.option("--details", is_flag=True, help="Also the sentences of what is in order.")
@observer_password_option
@output_option
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    details: bool,
    observer_password_file: Path,
    output: str,
) -> None:
    """Every assumption of the design against the running system, with what to do about each.

    Run it on a controller's host, as the controller's user: databases let nobody in from elsewhere,
    and what only they can tell is then unknown. It reads only.

    Exit code 0: nothing failed (warnings and unknowns are allowed, but for the unknowns of checks
    that say so). 1: a check failed. 3 without an answer of the ensemble, 4 without a usable state.
    """
    from failover.checks.table import NAMES, run
    from failover.checks.text import as_text
    from failover.coordination.connect import open_store

    for name in names:
        if name not in NAMES:
            raise UserError(f"unknown check {name!r}", todo=f"use one of: {', '.join(NAMES)}")
    policy = load_policy()
    with open_store(policy) as store:
        found = everything(policy, store, observer_password_file)
    results = run(found, names)
    if output == "json":
        print_json(as_json(policy.group, results))
    else:
        click.echo(as_text(policy.group, results, details=details or bool(names)))
    ctx.exit(exit_code(found, results))


def everything(policy: Policy, store: Store, observer_password_file: Path) -> Found:
    """What every check looks at, within about ten seconds."""
    from failover.cli.look import Reader
    from failover.readiness import gather

    reader = Reader(policy, store)
    return gather(
        policy, config_path(), store, lambda: reader.settle().inputs, observer_password_file
    )


def exit_code(found: Found, results: tuple[Result, ...]) -> ExitCode:
    """As `status` has it where there is nothing to judge; else by the checks."""
    from failover.cli.look import unusable
    from failover.health.verdict import judge

    nothing_to_judge = unusable(found.view, judge(found.view))
    if nothing_to_judge is not None:
        return nothing_to_judge
    return ExitCode.FINDINGS if any(each.fails for each in results) else ExitCode.OK


def as_json(group: str, results: tuple[Result, ...]) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {
        "schema": CHECK_SCHEMA,
        "group": group,
        "passed": not any(each.fails for each in results),
        "checks": [asdict(each) for each in results],
    }
