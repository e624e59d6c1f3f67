"""``failover history``: what happened to the group, newest last.

Reads only. An entry that cannot be understood is shown as such, never left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.history_verify import need_group, verify
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from failover.coordination.store import Store
    from failover.history_check import Stored
    from failover.znode import GroupPaths

HISTORY_SCHEMA = 1


@click.group("history", invoke_without_command=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=10_000),
    default=20,
    show_default=True,
    help="How many of the newest entries.",
)
@click.option("--details", is_flag=True, help="Also the evidence and the proof of every entry.")
@output_option
@config_option
@click.pass_context
def command(ctx: click.Context, limit: int, details: bool, output: str) -> None:
    """What happened: epochs, takeovers, reinstatements. Newest last.

    Exit code 1 when an entry cannot be understood. `failover history verify` checks that nothing
    was changed or removed.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options_of_the_list(ctx)
        return
    from failover.coordination.connect import open_store
    from failover.znode import GroupPaths

    policy = load_policy()
    paths = GroupPaths(policy.group)
    with open_store(policy) as store:
        rows = read_history(store, paths, limit)
    if output == "json":
        print_json(as_json(policy.group, rows))
    elif rows:
        console().print(as_table(rows, details=details))
    else:
        click.echo(f"nothing has happened yet in group {policy.group}")
    if any(row.entry is None for row in rows):
        ctx.exit(ExitCode.FINDINGS)


def _refuse_options_of_the_list(ctx: click.Context) -> None:
    for name in ("limit", "details", "output"):
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise UserError(
                f"--{name} before `{ctx.invoked_subcommand}` would say nothing",
                todo=f"options of `failover history {ctx.invoked_subcommand}` come after it",
            )


command.add_command(verify)


def read_history(store: Store, paths: GroupPaths, limit: int) -> tuple[Stored, ...]:
    """The newest ``limit`` entries, oldest first. UserError where the group does not exist."""
    from failover.coordination.recent_history import stored

    names = store.children(paths.history)
    if not names:
        need_group(store, paths)
    return stored(store, paths, sorted(names)[-limit:])


def time_text(unix_s: float) -> str:
    """A moment in UTC: three time zones share these data centres."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def as_table(rows: tuple[Stored, ...], *, details: bool) -> Table:
    """A table of at most 80 columns where the summaries allow it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("time", "epoch", "event", "summary"):
        table.add_column(
            column,
            no_wrap=column in ("time", "epoch"),
            overflow="fold",
            justify="right" if column == "epoch" else "left",
        )
    for row in rows:
        if row.entry is None:
            table.add_row("?", "?", Text("unreadable"), Text(row.problem))
            continue
        entry = row.entry
        summary = Text(f"{entry.summary} (by {entry.by})")
        if details:
            for name, value in entry.details.items():
                summary.append(f"\n{name}: {value}")
        table.add_row(time_text(entry.at_unix_s), str(entry.epoch), Text(entry.event), summary)
    return table


def as_json(group: str, rows: tuple[Stored, ...]) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {
        "schema": HISTORY_SCHEMA,
        "group": group,
        "entries": [row_json(row) for row in rows],
    }


def row_json(row: Stored) -> dict[str, Any]:
    """One entry in the documented shape."""
    if row.entry is None:
        return {"name": row.name, "problem": row.problem}
    entry = row.entry
    return {
        "name": row.name,
        "at": time_text(entry.at_unix_s).replace(" ", "T"),
        "at_unix_s": entry.at_unix_s,
        "epoch": entry.epoch,
        "number": entry.number,
        "previous": entry.previous,
        "event": entry.event,
        "summary": entry.summary,
        "by": entry.by,
        "details": entry.details,
    }
