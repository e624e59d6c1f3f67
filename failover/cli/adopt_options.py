"""What the commands of ``failover adopt`` share: which pair, and by which failover.yaml."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import load_policy, settings
from failover.cli.output import UserError

if TYPE_CHECKING:
    from failover.adoption.facts import Ensemble, Snapshot
    from failover.adoption.proposal import Names
    from failover.policy import Policy

ZOOKEEPER_PORT = 2181
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Pair:
    """Where to read. ``primary`` None: nothing was said."""

    primary: str | None
    standby: str | None
    zookeeper: tuple[str, ...]
    namespace: str
    patroni_yml: tuple[Path, ...]
    login: str | None
    cafile: str | None


def pair_options(command: Decorated) -> Decorated:
    """``PRIMARY [STANDBY]`` and where else to read, as the parameter ``pair``."""

    def with_pair(**given: Any) -> Any:
        taken = {name: given.pop(name) for name in Pair.__slots__}
        return command(pair=Pair(**taken), **given)

    with_pair.__doc__, with_pair.__name__ = command.__doc__, command.__name__
    with_pair.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped: Any = with_pair
    for option in reversed(_PAIR_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


_FILE = click.Path(dir_okay=False, path_type=Path)
_PAIR_OPTIONS = (
    click.argument("primary", required=False, metavar="[PRIMARY]"),
    click.argument("standby", required=False, metavar="[STANDBY]"),
    click.option(
        "--zookeeper",
        multiple=True,
        metavar="HOST[:PORT]",
        help="A server of the ensemble; said again for each.",
    ),
    click.option(
        "--namespace", default="/service", show_default=True, help="Of Patroni, in the ensemble."
    ),
    click.option(
        "--patroni-yml",
        multiple=True,
        type=_FILE,
        help="A copy of a member's own file; said again for each. What could be secret in it is "
        "not looked at.",
    ),
    click.option(
        "--login",
        metavar="CONNINFO",
        help="Ask PostgreSQL too, as a role in pg_monitor: libpq's words without host and port, "
        "such as 'user=monitor dbname=postgres'; the password from PGPASSFILE.",
    ),
    click.option(
        "--cacert",
        "cafile",
        type=click.Path(exists=True, dir_okay=False),
        help="Whose certificates are believed of REST interfaces with https.",
    ),
)

snapshot_option = click.option(
    "--from",
    "saved",
    type=_FILE,
    help="What `adopt look --save` wrote, instead of PRIMARY and STANDBY.",
)


def draft_names(command: Decorated) -> Decorated:
    """How things are to be called in a drafted failover.yaml."""
    for option in (
        click.option("--owner", default="CHANGE ME", help="Who answers for the data."),
        click.option("--group", metavar="NAME", help="Of the group. Default: the cluster's."),
        click.option(
            "--cluster", metavar="NAME", help="Of the cluster. Default: after the first scope."
        ),
        click.option(
            "--sites",
            default="jakarta,makassar,surabaya",
            show_default=True,
            metavar="ACTIVE,OTHER,WITNESS",
            help="Names of the sites.",
        ),
    ):
        command = option(command)
    return command


def names_for(
    snapshot: Snapshot, *, owner: str, group: str | None, cluster: str | None, sites: str
) -> Names:
    from failover.adoption.proposal import Names, cluster_name

    listed = tuple(sites.split(","))
    if len(listed) != 3:
        raise click.BadParameter("three names, with commas between", param_hint="--sites")
    name = cluster or cluster_name(snapshot.primary.name)
    return Names(listed, name, group or name.replace("_", "-"), owner)


def read_policy(ctx: click.Context, snapshot: Snapshot, **names: Any) -> Policy:
    """failover.yaml where --config or its variable names one; else what would be drafted."""
    import os

    from failover.adoption.proposal import proposal
    from failover.cli.options import CONFIG_VARIABLE
    from failover.config import ConfigError, parse

    if settings(ctx).config is not None or os.environ.get(CONFIG_VARIABLE):
        return load_policy(ctx)
    try:
        return parse(proposal(snapshot, names_for(snapshot, **names)), source="the draft")
    except ConfigError as error:
        raise UserError(
            str(error),
            todo="`failover adopt draft`, correct it, and name it with --config",
        ) from None


# --------------------------------------------------------------------------- reading


def read_pair(pair: Pair, saved: Path | None = None) -> Snapshot:
    """UserError where nothing was said, or a scope cannot be read (exit code 3)."""
    from failover.adoption.facts import NotASnapshot, decode

    if saved is not None:
        try:
            return decode(saved.read_bytes())
        except (NotASnapshot, OSError) as error:
            raise UserError(f"no snapshot: {error}", where=str(saved)) from None
    if pair.primary is None:
        raise UserError(
            "which pair?",
            todo="name the REST interface of one member of each scope: PRIMARY STANDBY "
            "(10.1.0.11:8008 10.2.0.11:8008), or a saved look: --from FILE",
        )
    return asyncio.run(_read(pair, pair.primary))


async def _read(pair: Pair, primary: str) -> Snapshot:
    from failover.adoption.facts import SNAPSHOT_SCHEMA, Snapshot
    from failover.sites.adoption_scan import Asking, Unreadable, ask_scope

    asking = Asking(pair.cafile, pair.login, tuple(_document(each) for each in pair.patroni_yml))
    named = [primary, *([pair.standby] if pair.standby else [])]
    try:
        scopes = await asyncio.gather(*(ask_scope(each, asking) for each in named))
    except Unreadable as error:
        raise UserError(
            f"Patroni's REST interface gives no answer: {error}",
            todo="again in a minute where it has just started; or name another member",
            code=ExitCode.UNREACHABLE,
        ) from None
    return Snapshot(
        schema=SNAPSHOT_SCHEMA,
        at_unix_s=time.time(),
        primary=scopes[0],
        standby=scopes[1] if len(scopes) > 1 else None,
        ensemble=await _ensemble(pair),
    )


async def _ensemble(pair: Pair) -> Ensemble | None:
    from failover.adoption.facts import Ensemble
    from failover.coordination.foreign_scopes import scopes_below
    from failover.coordination.store import StoreUnavailable
    from failover.sites.adoption_scan import ask_servers

    servers = tuple(_server(each) for each in pair.zookeeper)
    if not servers:
        return None
    asked = await ask_servers(servers)
    try:
        below = await asyncio.to_thread(scopes_below, servers, pair.namespace)
    except StoreUnavailable as error:
        return Ensemble(asked, pair.namespace, None, str(error))
    return Ensemble(asked, pair.namespace, below)


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not host or not port.isdigit():
        return text.strip("[]"), ZOOKEEPER_PORT
    return host.strip("[]"), int(port)


def _document(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"cannot be read as YAML: {type(error).__name__}", where=str(path)
        ) from None
    if not isinstance(found, dict):
        raise UserError("no mapping", where=str(path), todo="give a copy of a patroni.yml")
    return found
