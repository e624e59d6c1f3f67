"""Options that several commands share, and how a command gets at its configuration.

Invariant: importing this costs nothing (click only); failover.yaml is read when a command asks.
A name that is not in the configuration is refused with the known ones listed, never guessed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from failover.cli.output import UserError

if TYPE_CHECKING:
    from failover.model import ClusterName, HostName, SiteName
    from failover.policy import Policy

CONFIG_VARIABLE = "FAILOVER_CONFIG"
TLS_VARIABLE = "FAILOVER_TLS"  # where host.pem and ca.pem are for who is on no host of the group
KEYS_VARIABLE = "FAILOVER_KEYS"  # where a person's key for ZooKeeper is
CONFIG_PLACES = (Path("/etc/failover/failover.yaml"), Path("deploy/failover.yaml"))
WORDS_LENGTH_MAX = 1000
SITE_FILE = Path("/etc/failover/site")

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Number(click.FloatRange):
    """Of seconds, or how many of something. click takes NaN for one inside of every range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number", param, ctx)
        return found


class OneLine(click.types.StringParamType):
    """Words that go on record: one line, nothing that acts on a terminal, and not for ever."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(super().convert(value, param, ctx))
        if not text.isprintable() or len(text) > WORDS_LENGTH_MAX:
            self.fail(f"one line of at most {WORDS_LENGTH_MAX} characters is needed", param, ctx)
        return text


@dataclass(slots=True)
class Settings:
    """What was said before the sub-command; ``ctx.obj``. The later ``--config`` wins."""

    config: Path | None = None


def settings(ctx: click.Context | None = None) -> Settings:
    """The settings of this invocation."""
    context = ctx or click.get_current_context()
    return context.ensure_object(Settings)


def _remember_config(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        settings(ctx).config = Path(value)


def config_option(command: Decorated) -> Decorated:
    """``--config PATH``, also after the sub-command. Read it with ``load_policy``."""
    return click.option(
        "--config",
        metavar="PATH",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=_remember_config,
        help=f"failover.yaml. Default: ${CONFIG_VARIABLE}, "
        + ", then ".join(f"{'./' * (not p.is_absolute())}{p}" for p in CONFIG_PLACES)
        + ".",
    )(command)


def output_option(command: Decorated) -> Decorated:
    """``-o text|json`` as the parameter ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json has a stable shape, with a schema number (docs/cli.md).",
    )(command)


def config_path(ctx: click.Context | None = None) -> Path:
    """The failover.yaml to use. UserError when there is none, with the places looked at."""
    said = settings(ctx).config
    if said is None and os.environ.get(CONFIG_VARIABLE):
        said = Path(os.environ[CONFIG_VARIABLE])
    if said is not None:
        if not said.is_file():
            raise UserError(
                "no such configuration file",
                where=str(said),
                todo=f"give the right path with --config or ${CONFIG_VARIABLE}",
            )
        return said
    for place in CONFIG_PLACES:
        if place.is_file():
            return place
    raise UserError(
        "no configuration found",
        where=", ".join(str(place) for place in CONFIG_PLACES),
        todo=f"name the file with --config PATH or in ${CONFIG_VARIABLE}",
    )


def load_policy(ctx: click.Context | None = None, *, names: bool = False) -> Policy:
    """failover.yaml as a Policy. Every mistake in it is listed at once; exit code 2.

    ``names``: those in it are resolved, and one that stands for an address outside is a mistake.
    """
    from failover.config import ConfigError, load
    from failover.config.names import resolve
    from failover.lab.from_here import DIRECTORY, is_of_the_lab, seen_from_here

    path = config_path(ctx)
    try:
        policy = load(path, resolver=resolve if names else None)
    except ConfigError as error:
        raise UserError(str(error), todo="correct the file; `failover config check`") from None
    if is_of_the_lab(path):
        policy = seen_from_here(policy, DIRECTORY)
    directory = os.environ.get(TLS_VARIABLE)
    policy = policy.with_tls_in(directory) if directory else policy
    keys = os.environ.get(KEYS_VARIABLE)
    return policy.with_keys_in(keys) if keys else policy


def known_site(policy: Policy, name: str) -> SiteName:
    """The site of that name. UserError with the known ones when there is none."""
    from failover.model import SiteName

    return SiteName(known_name("site", name, (site.name for site in policy.sites)))


def known_cluster(policy: Policy, name: str) -> ClusterName:
    """The cluster of that name. UserError with the known ones when there is none."""
    from failover.model import ClusterName

    return ClusterName(known_name("cluster", name, (cluster.name for cluster in policy.clusters)))


def known_host(policy: Policy, name: str) -> HostName:
    """The database host of that name. UserError with the known ones when there is none."""
    from failover.model import HostName

    hosts = (host.name for cluster in policy.clusters for host in cluster.hosts)
    return HostName(known_name("database host", name, hosts))


def known_name(noun: str, name: str, names: Iterable[str]) -> str:
    """The name, where it is one of these. UserError with all of them when it is not."""
    known = tuple(names)
    if name in known:
        return name
    raise UserError(
        f"unknown {noun} {name!r}",
        where=str(config_path()),
        todo=f"use one of: {', '.join(known)}",
    )


def own_site(policy: Policy, said: str | None) -> SiteName:
    """Where this process runs: ``--site``, else $FAILOVER_SITE, else SITE in /etc/failover/site."""
    name = said or os.environ.get("FAILOVER_SITE") or _site_of_this_host()
    if name is None:
        raise UserError(
            "it is not known at which site this process runs",
            where=str(SITE_FILE),
            todo="say it with --site NAME, or write the name into that file",
        )
    return known_site(policy, name)


def _site_of_this_host() -> str | None:
    try:
        text = SITE_FILE.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text.removeprefix("SITE=").strip("\"'") or None


def size_option(name: str, text: str | None) -> int | None:
    """Bytes of an option like ``64KiB``; None where it was not given. A usage error with a hint."""
    from failover.config.units import size_bytes

    try:
        return None if text is None else size_bytes(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=name) from None
