"""``failover history``: what happened to the group, newest last.

Reads only. An entry that cannot be understood is shown as such, never left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from failover.coordination.store import Store
    from failover.state import HistoryEntry
    from failover.znode import GroupPaths

HISTORY_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One znode of the history: its entry, or why it cannot be understood."""

    name: str
    entry: HistoryEntry | None
    problem: str = ""


@click.command("history")
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
def command(limit: int, details: bool, output: str) -> None:
    """What happened: epochs, takeovers, reinstatements. Newest last.

    Exit code 1 when an entry cannot be understood.
    """
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
        click.get_current_context().exit(ExitCode.FINDINGS)


def read_history(store: Store, paths: GroupPaths, limit: int) -> tuple[Row, ...]:
    """The newest ``limit`` entries, oldest first. UserError where the group does not exist."""
    names = store.children(paths.history)
    if not names and store.read(paths.root) is None:
        raise UserError(
            f"the ensemble knows nothing of group {paths.group!r}",
            where=paths.root,
            todo="check `group` in failover.yaml; a new group is made by `failover init`",
            code=ExitCode.STATE_UNREADABLE,
        )
    rows = (_read_row(store, f"{paths.history}/{name}") for name in sorted(names)[-limit:])
    return tuple(row for row in rows if row is not None)


def _read_row(store: Store, path: str) -> Row | None:
    from failover.state import HistoryEntry, StateError, decode_record

    znode = store.read(path)
    if znode is None:
        return None  # removed since it was listed
    name = path.rpartition("/")[2]
    try:
        return Row(name, decode_record(HistoryEntry, znode.data, path=path))
    except StateError as error:
        return Row(name, None, str(error))


def time_text(unix_s: float) -> str:
    """A moment in UTC: three time zones share these data centres."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def as_table(rows: tuple[Row, ...], *, details: bool) -> Table:
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


def as_json(group: str, rows: tuple[Row, ...]) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {
        "schema": HISTORY_SCHEMA,
        "group": group,
        "entries": [_row_json(row) for row in rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    if row.entry is None:
        return {"name": row.name, "problem": row.problem}
    entry = row.entry
    return {
        "name": row.name,
        "at": time_text(entry.at_unix_s).replace(" ", "T"),
        "at_unix_s": entry.at_unix_s,
        "epoch": entry.epoch,
        "event": entry.event,
        "summary": entry.summary,
        "by": entry.by,
        "details": entry.details,
    }
