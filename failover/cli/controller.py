"""``failover controller``: run this site's controller in the foreground, until SIGTERM."""

from __future__ import annotations

import errno
from pathlib import Path

import click

from failover.cli.options import config_option, load_policy, own_site
from failover.cli.output import UserError


@click.command("controller")
@config_option
@click.option("--site", metavar="NAME", help="Where this controller runs. Default: this host's.")
@click.option(
    "--metrics-address",
    metavar="ADDRESS",
    default="",
    help="Address of the metrics and the console. Default: the controller's in failover.yaml, as "
    "the port is.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/failover/secrets/observer.password"),
    show_default=True,
    help="Password of the database role failover_observer.",
)
def command(site: str | None, metrics_address: str, password_file: Path) -> None:
    """Run the controller of this site: observe, and decide while it leads.

    Logs to standard output, JSON but on a terminal (FAILOVER_LOG_FORMAT); metrics under /metrics,
    the console under /. Ends on SIGTERM, handing the leadership over at once.
    """
    policy = load_policy(names=True)
    name = own_site(policy, site)
    from failover.console.document import describe
    from failover.controller_service import run
    from failover.logs import configure

    configure()
    try:
        run(
            [policy],
            name,
            describe=describe,
            metrics_address=metrics_address,
            password_file=password_file,
        )
    except OSError as error:
        own = policy.site(name).controller
        raise UserError(
            f"metrics cannot be served: {error}",
            where=f"{metrics_address or own.address} port {own.metrics_port}",
            todo=_todo(error),
        ) from None


def _todo(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is another controller running here? see controller.metrics_port in failover.yaml"
    return (
        "see that this user may read the host's key and certificate "
        "(docs/operations/certificates.md), and may have this port (controller.metrics_port)"
    )
