"""``failover secrets``: the passwords of a group, laid out for its hosts.

Invariant: none is printed, and none that exists is replaced. Nothing is copied to any host from
here: that is the site's own way of bringing secrets to hosts.
"""

from __future__ import annotations

from pathlib import Path

import click

from failover.cli.options import config_option, load_policy
from failover.cli.output import UserError

MADE_IN = "passwords"


@click.group("secrets")
def command() -> None:
    """The passwords of this group, as files for each host."""


@command.command()
@click.option(
    "--dir",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Files go to DIR/<site>/<host>/etc/failover/secrets.",
)
@config_option
def init(directory: Path) -> None:
    """Make the passwords that are not there yet, and every host's files with them.

    Run again it replaces no password; a host that is new in failover.yaml gets its files. Keep DIR
    where you keep secrets: DIR/passwords/client.password is what the customers' programs use.
    """
    from failover.host_secrets import NAMES, generate, lay_out

    policy = load_policy()
    try:
        made = generate(directory / MADE_IN)
        hosts = lay_out(policy, directory / MADE_IN, directory)
    except OSError as error:
        raise UserError(
            f"the files cannot be written: {error.strerror}", where=str(error.filename or directory)
        ) from None
    kept = len(NAMES) - len(made)
    click.echo(f"{len(made)} passwords made, {kept} kept; files of {hosts} hosts in {directory}")
