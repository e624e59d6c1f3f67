"""``failover secrets``: the passwords of a group, laid out for its hosts.

Invariant: none is printed, and `init` replaces none that exists. Nothing is copied to any host from
here: that is the site's own way of bringing secrets to hosts.
"""

from __future__ import annotations

from pathlib import Path

import click

from failover.cli.options import config_option, known_name, load_policy
from failover.cli.output import UserError

MADE_IN = "passwords"


@click.group("secrets")
def command() -> None:
    """The passwords of this group, as files for each host."""


_dir_option = click.option(
    "--dir",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Files go to DIR/<site>/<host>/etc/failover/secrets.",
)


@command.command()
@_dir_option
@config_option
def init(directory: Path) -> None:
    """Make the passwords that are not there yet, and every host's files with them.

    Run again it replaces no password; a host that is new in failover.yaml gets its files. Keep DIR
    where you keep secrets: DIR/passwords/client.password is what the customers' programs use, and
    with zookeeper.acl DIR/people/ROLE is what people of that role use ($FAILOVER_KEYS).
    """
    from failover.host_secrets import NAMES, generate, generate_keys, lay_out

    policy = load_policy()
    try:
        made = generate(directory / MADE_IN)
        keys = generate_keys(policy, directory / MADE_IN)
        hosts = lay_out(policy, directory / MADE_IN, directory)
    except OSError as error:
        raise UserError(
            f"the files cannot be written: {error.strerror}", where=str(error.filename or directory)
        ) from None
    kept = len(NAMES) - len(made)
    also = f"{len(keys)} keys for ZooKeeper made, " if policy.access.position.shown else ""
    click.echo(
        f"{len(made)} passwords made, {kept} kept; {also}files of {hosts} hosts in {directory}"
    )


@command.command("rotate-key")
@click.argument("name")
@click.option("--finish", is_flag=True, help="Drop the old key, once the new one is everywhere.")
@_dir_option
@config_option
def rotate_key(name: str, finish: bool, directory: Path) -> None:
    """Another key for ZooKeeper for NAME, a role or patroni.SCOPE, without an outage.

    First beside the present one: copy the files to the hosts (no restart), close for both with
    `failover zookeeper acl apply`; then --finish, copy, apply again.
    """
    from failover import host_secrets
    from failover.access_lists import names

    policy = load_policy()
    if not policy.access.position.shown:
        raise UserError("no key is shown to ZooKeeper", todo="zookeeper.acl in failover.yaml")
    name = known_name("key", name, names(policy))
    act = host_secrets.finish_key if finish else host_secrets.rotate_key
    try:
        try:
            act(policy, directory / MADE_IN, name)
        finally:  # also what another run was cut off from
            host_secrets.lay_out(policy, directory / MADE_IN, directory)
    except ValueError as error:
        raise UserError(
            str(error), todo="without --finish" if finish else "--finish drops the old one"
        ) from None
    except OSError as error:
        raise UserError(
            f"the files cannot be used: {error.strerror}", where=str(error.filename or directory)
        ) from None
    said = "the old key is gone" if finish else "a new key stands beside the old one"
    click.echo(f"{name}: {said}; copy {directory}/<site>/<host> to the hosts, then apply the lists")


@command.command("rotate-password")
@click.argument("name")
@click.option("--finish", is_flag=True, help="Drop the old one, once the servers know the new one.")
@_dir_option
@config_option
def rotate_password(name: str, finish: bool, directory: Path) -> None:
    """Another password for NAME, in the files; nothing changes on any host before they are copied.

    Which order, and the SQL: docs/operations/passwords.md. observer, replication and rewinder have
    two until --finish: controllers try both, and Patroni turns to its other role at --finish.
    """
    from failover import host_secrets

    policy = load_policy()
    name = known_name("password", name, host_secrets.NAMES)
    act = host_secrets.finish_password if finish else host_secrets.rotate_password
    try:
        try:
            act(directory / MADE_IN, name)
        finally:  # also what another run was cut off from
            host_secrets.lay_out(policy, directory / MADE_IN, directory)
    except ValueError as error:
        raise UserError(
            str(error), todo="without --finish" if finish else "--finish drops the old one"
        ) from None
    except OSError as error:
        raise UserError(
            f"the files cannot be used: {error.strerror}", where=str(error.filename or directory)
        ) from None
    said = "the old password is gone" if finish else "a new password"
    click.echo(f"{name}: {said}; copy {directory}/<site>/<host> to the hosts (passwords.md)")
