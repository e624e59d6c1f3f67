"""``failover history verify``: whether the chain of the history is whole, and fits the logs.

Reads only. The head is read before and after the entries: somebody may write meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, print_json

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.history import HeadSeen
    from failover.history_check import Finding, Stored
    from failover.state import HistoryHead
    from failover.znode import GroupPaths

VERIFY_SCHEMA = 1
READ_TRIES = 5
LOGGED_HEAD = re.compile(r"([1-9][0-9]{0,9}):([0-9a-f]{64})")


@click.command("verify")
@click.option(
    "--head",
    "logged",
    metavar="NUMBER:SHA256",
    multiple=True,
    help="A head that a controller has logged (event `history_head`); may be given several times.",
)
@output_option
@config_option
@click.pass_context
def verify(ctx: click.Context, logged: tuple[str, ...], output: str) -> None:
    """Check that no entry of the history was changed or removed.

    Every entry holds the SHA-256 of the one before it, the head that of the newest. Who may write
    in ZooKeeper could write all of it anew: give heads from the logs of all three sites. Exit code
    1 where anything is wrong.
    """
    from failover.coordination.connect import open_store
    from failover.history_check import check_history
    from failover.znode import GroupPaths

    wanted = tuple(logged_head(text) for text in logged)
    policy = load_policy()
    with open_store(policy) as store:
        entries, head = read_whole(store, GroupPaths(policy.group))
    findings = check_history(entries, head, wanted)
    if output == "json":
        print_json(as_json(policy.group, entries, head, findings))
    else:
        for finding in findings:
            click.echo(f"{finding.what}\n  what to do: {finding.todo}")
        click.echo(summary(policy.group, entries, head, findings, logged=len(wanted)))
    if findings:
        ctx.exit(ExitCode.FINDINGS)


def logged_head(text: str) -> HistoryHead:
    from failover.state import HistoryHead

    found = LOGGED_HEAD.fullmatch(text.strip().lower())
    if found is None:
        raise UserError(
            f"--head {text}: not NUMBER:SHA256",
            todo="both stand in a controller's log, event `history_head`; 64 digits of SHA-256",
        )
    return HistoryHead(int(found[1]), found[2])


def read_whole(store: Store, paths: GroupPaths) -> tuple[tuple[Stored, ...], HeadSeen]:
    """Every entry, oldest first, and the head that was there all the while. UserError where the
    group does not exist; StoreUnavailable where history is written again and again."""
    from failover.coordination.recent_history import stored
    from failover.coordination.store import StoreUnavailable
    from failover.history import head_seen

    store.sync()
    need_group(store, paths)
    for _ in range(READ_TRIES):
        before = store.read(paths.history_head)
        entries = stored(store, paths, store.children(paths.history))
        if store.read(paths.history_head) == before:
            return entries, head_seen(before)
    raise StoreUnavailable(f"{paths.history} changed while it was read, {READ_TRIES} times")


def need_group(store: Store, paths: GroupPaths) -> None:
    """UserError where the ensemble has no such group."""
    if store.read(paths.root) is None:
        raise UserError(
            f"the ensemble knows nothing of group {paths.group!r}",
            where=paths.root,
            todo="check `group` in failover.yaml; a new group is made by `failover init`",
            code=ExitCode.STATE_UNREADABLE,
        )


def summary(
    group: str,
    entries: tuple[Stored, ...],
    seen: HeadSeen,
    findings: tuple[Finding, ...],
    *,
    logged: int,
) -> str:
    """The last line: whole or not, how much of it, and the head as it may be given to --head."""
    if findings:
        found = "one finding" if len(findings) == 1 else f"{len(findings)} findings"
        return f"the history of group {group} is NOT whole: {found}"
    chained = sum(stored.number > 0 for stored in entries)
    parts = [f"the history of group {group} is whole: {chained} entries in the chain"]
    if len(entries) > chained:
        parts.append(f"{len(entries) - chained} from before there was one, not checked")
    if logged:
        parts.append(f"{logged} of the logs found in it")
    if seen.head is not None:
        parts.append(f"head {seen.head.number}:{seen.head.sha256}")
    return "; ".join(parts)


def as_json(
    group: str, entries: tuple[Stored, ...], seen: HeadSeen, findings: tuple[Finding, ...]
) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    head = seen.head
    return {
        "schema": VERIFY_SCHEMA,
        "group": group,
        "whole": not findings,
        "chained": sum(stored.number > 0 for stored in entries),
        "unchained": sum(stored.entry is not None and stored.number == 0 for stored in entries),
        "head": {"number": head.number, "sha256": head.sha256} if head is not None else None,
        "findings": [
            {
                "wrong": finding.wrong.value,
                "name": finding.name,
                "number": finding.number,
                "what": finding.what,
                "todo": finding.todo,
            }
            for finding in findings
        ],
    }
