"""``failover zookeeper status``: every ZooKeeper server on its own, also where no quorum is.

Invariant: no session is opened and nothing is written, so it works while the ensemble does not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import console, print_json

if TYPE_CHECKING:
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
    """The ZooKeeper servers, asked one by one."""


@command.command()
@output_option
@config_option
def status(output: str) -> None:
    """Ask every server of failover.yaml what it is; needs no quorum and no session.

    Exit codes: 0 every server serves; 1 a majority does; 3 there is no quorum.
    """
    servers = ask_all(load_policy())
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
    where = f"{server.address}:{server.client_port}"
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
