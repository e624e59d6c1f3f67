"""``failover loss``: what a takeover left behind, and where the list of it is.

``show`` reads ZooKeeper alone, which has counts and positions, so it works anywhere; ``export``
reads the receipt's file, which has keys of rows, and so works on its host alone (decision 0015).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.history_verify import need_group
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.units import size

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy
    from failover.state import ReceiptRecord, SalvageProgress
    from failover.znode import GroupPaths

LOSS_SCHEMA = 1
SALVAGE = Path("/var/lib/failover/salvage")
_NAME = re.compile(r"[1-9][0-9]{0,9}|local-[0-9]{8}T[0-9]{6}Z")


@click.group("loss")
def command() -> None:
    """What was acknowledged at the old site and is missing now: the loss receipt."""


@command.command("show")
@click.argument("epoch", type=click.IntRange(min=1))
@output_option
@config_option
@click.pass_context
def show(ctx: click.Context, epoch: int, output: str) -> None:
    """How much was left behind when EPOCH began, and during it inside a site, host by host.

    Counts and positions only. Exit code 1 where a receipt is missing, was not read to its end or
    may list too much.
    """
    from failover.coordination.connect import open_store
    from failover.znode import GroupPaths

    policy = load_policy()
    with open_store(policy) as store:
        paths = GroupPaths(policy.group)
        records = read_records(store, paths, epoch)
        if not records:
            need_group(store, paths)
    if output == "json":
        print_json(as_json(policy.group, epoch, records))
    else:
        for record in records.values():
            click.echo("\n".join(lines_of(record)))
        if not records:
            click.echo(f"no host has salvaged anything in epoch {epoch} of group {policy.group}")
    if any(_doubts(record) for record in records.values()):
        ctx.exit(ExitCode.FINDINGS)


@command.command("export")
@click.argument("name", metavar="EPOCH")
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="A new file. Default: stdout."
)
@config_option
def export(name: str, target: Path | None) -> None:
    """The whole receipt as JSON, on the host that wrote it: transactions, relations, keys of rows.

    EPOCH is a number, or the name of a salvage inside the site (local-…), as `show` prints it.
    What it prints is data of customers: it stays in the country, like the database itself.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no epoch", todo="a number, or local-YYYYMMDDTHHMMSSZ")
    path = SALVAGE / name / "receipt.json"
    try:
        data = path.read_bytes()
    except PermissionError:
        raise UserError(
            "only the user of the database server may read a receipt",
            where=str(path),
            todo=f"sudo -u postgres failover loss export {name}",
        ) from None
    except OSError:
        raise UserError(
            f"there is no receipt of {name} on this host", where=str(path), todo=_elsewhere(name)
        ) from None
    if target is None:
        click.echo(data, nl=True)
    else:
        _write_private(target, data)
        click.echo(f"{target}: {size(len(data))}", err=True)


def read_records(store: Store, paths: GroupPaths, epoch: int) -> dict[str, SalvageProgress]:
    """Every host's record of that epoch, by the name of its salvage and host; StateError where one
    cannot be understood."""
    from failover.state import SalvageProgress, decode_record

    found: dict[str, SalvageProgress] = {}
    for child in store.children(paths.salvage):
        if not child.startswith(f"{epoch}."):
            continue
        path = f"{paths.salvage}/{child}"
        znode = store.read(path)
        if znode is not None:
            found[child] = decode_record(SalvageProgress, znode.data, path=path)
    return found


def lines_of(record: SalvageProgress) -> list[str]:
    """What one host has, for a human."""
    salvaged = Path(record.directory).name
    why = (
        "inside its site" if salvaged.startswith("local-") else f"takeover of epoch {record.epoch}"
    )
    head = f"{record.host} ({record.site}), {why}: salvage {record.phase.value}"
    if record.detail:
        head += f": {record.detail}"
    receipt = record.receipt
    if receipt is None:
        return [head, *_indented(["no receipt"])]
    lines = [
        f"{receipt.transactions} committed transactions left behind, {receipt.relations} relations "
        f"touched ({receipt.aborted} aborted and {receipt.unfinished} unfinished ones not counted)",
        f"WAL from {receipt.from_lsn} to {receipt.read_to_lsn}, {size(record.bytes)} copied",
        _keys(receipt),
        *_doubts(record),
        f"the list: `failover loss export {salvaged}` on {record.host} ({receipt.path})",
    ]
    return [head, *_indented(lines)]


def _keys(receipt: ReceiptRecord) -> str:
    if receipt.keys_state in ("not_asked", "nothing_lost"):
        told = {"not_asked": "failover.yaml names no table", "nothing_lost": "nothing was lost"}
        return f"keys of rows: none ({told[receipt.keys_state]})"
    state = receipt.keys_state
    return f"keys of rows: {state}, {receipt.keys} read, {receipt.keys_missing} missing"


def _doubts(record: SalvageProgress) -> list[str]:
    """Why the counts may not be the whole truth."""
    receipt = record.receipt
    if receipt is None:
        return ["there is no receipt"]
    doubts = []
    if not receipt.complete:
        doubts.append("NOT COMPLETE: the WAL was not read to its end; the receipt says why")
    if not receipt.exact and receipt.transactions:
        doubts.append("NOT EXACT: some of them may be on the present branch after all")
    return doubts


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _elsewhere(name: str) -> str:
    """Where it is, as far as ZooKeeper says so."""
    from failover.coordination.connect import open_store
    from failover.coordination.store import StoreUnavailable
    from failover.state import StateError
    from failover.znode import GroupPaths

    todo = f"`failover loss show {name if name.isdigit() else 'EPOCH'}` says on which host it is"
    if not name.isdigit():
        return todo
    try:
        policy: Policy = load_policy()
        with open_store(policy) as store:
            records = read_records(store, GroupPaths(policy.group), int(name))
    except (StoreUnavailable, StateError, UserError):
        return todo
    hosts = sorted({record.host for record in records.values() if record.receipt is not None})
    return f"run it on {' or '.join(hosts)}" if hosts else todo


def _write_private(target: Path, data: bytes) -> None:
    """0600 from the first byte on; never over a file that is there."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(target)) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def as_json(group: str, epoch: int, records: dict[str, SalvageProgress]) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {
        "schema": LOSS_SCHEMA,
        "group": group,
        "epoch": epoch,
        "salvages": [_record_json(record) for record in records.values()],
    }


def _record_json(record: SalvageProgress) -> dict[str, Any]:
    receipt = record.receipt
    return {
        "name": Path(record.directory).name,
        "host": record.host,
        "site": record.site,
        "phase": record.phase.value,
        "detail": record.detail,
        "bytes": record.bytes,
        "directory": record.directory,
        "receipt": None if receipt is None else _receipt_json(receipt),
        "doubts": _doubts(record),
    }


def _receipt_json(receipt: ReceiptRecord) -> dict[str, Any]:
    return {
        "path": receipt.path,
        "from_lsn": str(receipt.from_lsn),
        "read_to_lsn": str(receipt.read_to_lsn),
        "exact": receipt.exact,
        "complete": receipt.complete,
        "transactions": receipt.transactions,
        "aborted": receipt.aborted,
        "unfinished": receipt.unfinished,
        "relations": receipt.relations,
        "keys_state": receipt.keys_state,
        "keys": receipt.keys,
        "keys_missing": receipt.keys_missing,
    }
