"""``failover guard``: the guard of one database host, and questions to it.

The guard itself is in failover.guard; it is imported only by the command that runs it.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from failover.checks.host_report import BARRIER_DIRECTORY
from failover.cli.exit_codes import ExitCode
from failover.cli.options import Number, config_option, config_path, load_policy
from failover.cli.output import UserError

host_option = click.option(
    "--host", required=True, metavar="NAME", help="This database host's name in failover.yaml."
)


@click.group()
def command() -> None:
    """The guard of this database host: the one way in and out of writability."""


@command.command()
@config_option
@host_option
def run(host: str) -> None:
    """Run the guard (systemd does: failover-guard.service)."""
    from failover.guard.worker_start import start_first_worker

    policy = load_policy()
    _known_host(policy, host)
    # Before the guard's own libraries are loaded: a primary waits for both.
    worker = start_first_worker(str(config_path()), host)
    from failover.guard.run import run_guard
    from failover.logs import configure
    from failover.model import HostName

    configure()
    run_guard(policy, config_path(), HostName(host), worker)


@command.command()
@click.argument("config_file", metavar="PATRONI_YML", type=click.Path(dir_okay=False))
@config_option
@click.option("--host", metavar="NAME", help="Show ZooKeeper the key of this host's Patroni.")
def patroni(config_file: str, host: str | None) -> None:
    """Run Patroni (systemd does: patroni.service), so that it leaves a silent ZooKeeper server."""
    from failover.coordination.patroni import run as run_patroni

    run_patroni(config_file, _patroni_keys(host) if host is not None else None)


@command.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@config_option
@host_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def patronictl(host: str, arguments: tuple[str, ...]) -> None:
    """Run patronictl with the key of this host's Patroni; `patronictl` here is this."""
    from failover.coordination.patroni import run_patronictl

    run_patronictl(arguments, _patroni_keys(host))


def _patroni_keys(host: str) -> Any:
    """UserError where Patroni's key, or whom to close its znodes for, cannot be read."""
    from failover.coordination.patroni import keys_of
    from failover.model import HostName

    policy = load_policy()
    _known_host(policy, host)
    try:
        return keys_of(policy, policy.host(HostName(host)))
    except ValueError as error:
        raise UserError(
            f"Patroni's key for ZooKeeper cannot be used: {error}",
            where=policy.access.directory,
            todo="`failover secrets init` makes the files; copy them here, run as root or postgres",
        ) from None


@command.command()
@config_option
@host_option
@click.option("--limit", type=Number(min=0), default=0.0, help="Seconds; 0: for ever.")
def wait(host: str, limit: float) -> None:
    """Wait until the guard answers and knows the state (after `failover init`)."""
    until_s = time.monotonic() + limit if limit > 0 else None
    path = _socket_path(load_policy(), host)
    told = ""
    while True:
        answer = _ask(path, "ping")
        if answer is not None and answer.yes:
            return
        why = "the guard does not answer" if answer is None else answer.reason
        if why != told:
            click.echo(f"waiting: {why}", err=True)
            told = why
        if until_s is not None and time.monotonic() > until_s:
            raise UserError(
                why, where=str(path), todo="systemctl status failover-guard; `failover init`"
            )
        time.sleep(0.2)


@command.command()
@config_option
@host_option
@click.option("--cluster", help="Of that host; then failover.yaml is not read, and may be no good.")
def fence(host: str, cluster: str | None) -> None:
    """Kill every process of this host's database server, with SIGKILL, until none lives."""
    import asyncio

    from failover.guard.records import default_places
    from failover.guard.server import kill
    from failover.model import ClusterName

    known = ClusterName(cluster) if cluster else _known_host(load_policy(), host)
    places = default_places(known)
    asyncio.run(kill(places))  # before any look at a disk, which may hang
    if cluster and not places.data_dir.is_dir():
        todo = "name the cluster whose server this is"
        raise UserError("no database's directory", where=str(places.data_dir), todo=todo)
    click.echo(f"no process of {known} lives on {host}")


@command.command()
@config_option
@host_option
def status(host: str) -> None:
    """What the guard says of itself, as JSON."""
    path = _socket_path(load_policy(), host)
    answer = _ask(path, "status")
    if answer is None:
        raise UserError(
            "the guard does not answer",
            where=str(path),
            todo="systemctl status failover-guard",
            code=ExitCode.FINDINGS,
        )
    click.echo(json.dumps(json.loads(answer.reason), indent=1))


@command.command()
@click.option(
    "--to",
    "directory",
    default=BARRIER_DIRECTORY,
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where patroni.yml looks for them.",
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 on a difference.")
def barriers(directory: Path, only_check: bool) -> None:
    """Put the barriers of this version where Patroni calls them. After every upgrade, as root.

    Safe beside a running server: each is replaced by one rename. Run again, it changes nothing.
    """
    from failover.guard.placing import place, stale

    try:
        changed = stale(directory) if only_check else place(directory)
    except OSError as error:
        raise UserError(
            f"the barriers cannot be written: {error.strerror}",
            where=str(error.filename or directory),
            todo="run it as root",
        ) from None
    if only_check and changed:
        raise UserError(
            f"not of this version: {', '.join(changed)}",
            where=str(directory),
            todo="failover guard barriers",
            code=ExitCode.FINDINGS,
        )
    words = f"placed: {', '.join(changed)}" if changed else "all of this version"
    click.echo(f"{directory}: {words}")


def _known_host(policy: Any, host: str) -> Any:
    """The host's cluster; UserError with the known hosts where there is no such host."""
    known = {h.name: cluster.name for cluster in policy.clusters for h in cluster.hosts}
    if host not in known:
        raise UserError(
            f"unknown database host {host!r}",
            where=str(config_path()),
            todo=f"use one of: {', '.join(known)}",
        )
    return known[host]


def _socket_path(policy: Any, host: str) -> Path:
    return Path(f"/run/failover/guard-{_known_host(policy, host)}.sock")


@dataclass(frozen=True, slots=True)
class _Answer:
    yes: bool
    reason: str


def _ask(path: Path, question: str) -> _Answer | None:
    """The guard's answer; None without one. UserError for whoever may not ask: that says nothing of
    the guard."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            connection.connect(str(path))
            connection.sendall(question.encode() + b"\n")
            answer = connection.makefile("r", encoding="utf-8").readline()
    except PermissionError:
        raise UserError(
            "this user may not ask the guard",
            where=str(path),
            todo="run it as root or as postgres, the user of the server",
        ) from None
    except (OSError, ValueError):
        return None
    said, _, reason = answer.rstrip("\n").partition(" ")
    return _Answer(said == "yes", reason) if said else None
