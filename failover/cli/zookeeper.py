"""``failover zookeeper``: the servers one by one, and the access lists of what they keep.

Invariant: ``status`` opens no session and writes nothing, so it works while the ensemble does not.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, console, print_json
from failover.cli.settings import operator
from failover.endpoints import endpoint

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy, ZooKeeperServer

ZOOKEEPER_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one server said of itself. ``mode``: leader, follower, standalone, no_quorum (it answers
    and does not serve) or no_answer, whose reason is ``problem``."""

    server: str
    site: str
    address: str
    mode: str
    serves: bool
    problem: str


@click.group("zookeeper")
def command() -> None:
    """The ZooKeeper servers, asked one by one, and who may do what in them."""


@command.command()
@output_option
@config_option
def status(output: str) -> None:
    """Ask every server of failover.yaml what it is; needs no quorum and no session.

    Exit codes: 0 every server serves; 1 a majority does; 3 there is no quorum; 6 this user may not
    read the host's key, so nobody was asked.
    """
    policy = load_policy()
    _own_files_usable(policy)
    servers = ask_all(policy)
    serving = sum(server.serves for server in servers)
    quorum = serving > len(servers) // 2
    if output == "json":
        document = {"schema": ZOOKEEPER_SCHEMA, "quorum": quorum}
        print_json({**document, "servers": [asdict(server) for server in servers]})
    else:
        _show(servers)
        click.echo(f"{serving} of {len(servers)} serve: {'a quorum' if quorum else 'NO QUORUM'}")
    if serving < len(servers):
        raise SystemExit(ExitCode.FINDINGS if quorum else ExitCode.UNREACHABLE)


@command.group()
def acl() -> None:
    """Access lists: who may read and write which znode (zookeeper.acl in failover.yaml)."""


@acl.command("show")
@output_option
@config_option
def show(output: str) -> None:
    """Every znode whose access list is not as failover.yaml has it; writes nothing.

    Digests are only compared with the admin's key; with another one, names and rights are.

    Exit codes: 0 all are as they should be; 1 some are not; 6 this key may not read them.
    """
    from failover.coordination.access_tree import differences
    from failover.coordination.connect import open_store

    policy = load_policy()
    with open_store(policy) as store:
        found = differences(policy, store)
    if output == "json":
        znodes = [{"path": each.path, "problem": each.sentence} for each in found]
        print_json({"schema": 1, "acl": policy.access.position.value, "znodes": znodes})
    else:
        for each in found:
            click.echo(f"{each.path}: {each.sentence}")
        wanted = f"zookeeper.acl: {policy.access.position}"
        click.echo(f"{len(found)} znodes are not as {wanted} has them" if found else f"as {wanted}")
    if found:
        raise SystemExit(ExitCode.FINDINGS)


@acl.command("apply")
@click.option(
    "--new-keys",
    is_flag=True,
    help="Also where a role loses every key that counts now: after all keys were made anew.",
)
@config_option
def apply(new_keys: bool) -> None:
    """Give every znode the access list that failover.yaml has for it; as the admin.

    With zookeeper.acl: require the tree is closed, with off or use it is opened again. Sessions and
    what they hold are not touched; that lists were changed stands in the history. Before closing,
    every host shows its key (position use or require): whoever shows none is locked out.

    Exit codes: 0 done; 5 refused, a role would be locked out by the ids that are here; 6 the key is
    not the admin's.
    """
    from failover.coordination.access_tree import LocksOut
    from failover.coordination.access_tree import apply as apply_lists
    from failover.coordination.connect import open_store

    policy = load_policy()
    try:
        with open_store(policy) as store:
            changed = apply_lists(policy, store, anew=new_keys)
            if changed:
                _on_record(policy, store, changed, new_keys=new_keys)
    except LocksOut as error:
        raise UserError(
            f"every key that counts now would count no more: {error}",
            where="zookeeper.ids beside the admin's key",
            todo="copy the newest people/admin here; --new-keys where all keys were made anew",
            code=ExitCode.REFUSED,
        ) from None
    click.echo(
        f"{changed} access lists changed; all are as zookeeper.acl: {policy.access.position}"
    )


def _on_record(policy: Policy, store: Store, changed: int, *, new_keys: bool) -> None:
    """In the history. What is done is done: where it cannot be written down, that is said."""
    from failover.coordination.sign_off import sign_off
    from failover.coordination.store import StoreUnavailable
    from failover.state import HistoryEntry, StateError, decode_state
    from failover.znode import GroupPaths

    paths, now_unix_s = GroupPaths(policy.group), time.time()
    position = str(policy.access.position)
    try:
        found = store.read(paths.state)
        if found is None:
            return  # before `failover init` there is no history
        entry = HistoryEntry(
            at_unix_s=now_unix_s,
            epoch=decode_state(found.data, path=paths.state).epoch,
            event="access_lists",
            summary=f"{changed} access lists changed, to zookeeper.acl: {position}",
            by=operator(),
            details={
                "changed": str(changed),
                "position": position,
                "new_keys": str(new_keys).lower(),
                "at": f"{now_unix_s:.3f}",
            },
        )
        sign_off(store, paths, entry)
    except (StoreUnavailable, StateError) as error:
        click.echo(f"not in the history: {error}", err=True)


def _own_files_usable(policy: Policy) -> None:
    """OwnFilesUnusable: without them every server would be told as one without an answer."""
    from failover.coordination.session import usable

    identities = {server.identity for server in policy.zookeeper_servers}
    for identity in identities:
        if identity is not None:
            usable(identity)


def ask_all(policy: Policy) -> tuple[ServerAnswer, ...]:
    """All at once, each for a second at most, in the order of failover.yaml."""
    import asyncio

    async def everybody() -> list[ServerAnswer]:
        return await asyncio.gather(*(_ask(server) for server in policy.zookeeper_servers))

    return tuple(asyncio.run(everybody()))


async def _ask(server: ZooKeeperServer) -> ServerAnswer:
    from failover.health.observation import ANSWER_LIMIT_S, NoAnswer, ZooKeeperMode
    from failover.sites.zookeeper_status import ask_zookeeper

    found = await ask_zookeeper(server, ANSWER_LIMIT_S)
    where = endpoint(server.address, server.client_port)
    if isinstance(found, NoAnswer):
        problem = f"{found.kind}: {found.detail}"
        return ServerAnswer(server.name, server.site, where, "no_answer", False, problem)
    serves = found.mode is not ZooKeeperMode.NO_QUORUM
    return ServerAnswer(server.name, server.site, where, found.mode.value, serves, "")


def _show(servers: tuple[ServerAnswer, ...]) -> None:
    from rich.table import Table

    table = Table("server", "site", "address", "mode", "problem", box=None, pad_edge=False)
    for server in servers:
        table.add_row(server.server, server.site, server.address, server.mode, server.problem)
    console().print(table)
