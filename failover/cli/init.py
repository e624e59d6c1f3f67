"""``failover init``: the first start of a group. Never overwrites anything."""

from __future__ import annotations

import getpass
import socket
import time

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, print_json


@click.command("init")
@config_option
@output_option
def command(output: str) -> None:
    """Create this group's state in ZooKeeper: epoch 1, the initial site active.

    The guards arm themselves when they see it, and only then does Patroni start. Run again, it
    changes nothing; where the group is in use already it refuses (exit code 5).
    """
    policy = load_policy()
    from failover.coordination.connect import open_store
    from failover.coordination.init import Refused, initialise

    by = f"{getpass.getuser()}@{socket.gethostname()}"
    with open_store(policy) as store:
        outcome = initialise(store, policy, now_unix_s=time.time(), by=by)
    if isinstance(outcome, Refused):
        raise UserError(
            outcome.reason,
            todo="nothing was changed; `failover status` shows what is there",
            code=ExitCode.REFUSED,
        )
    state = outcome.state
    if output == "json":
        print_json(
            {
                "schema": 1,
                "group": state.group,
                "epoch": state.epoch,
                "active_site": state.active_site,
                "created": outcome.created,
            }
        )
        return
    what = "created" if outcome.created else "was there already, nothing changed"
    click.echo(
        f"group {state.group}: epoch {state.epoch}, {state.active_site} active, "
        f"automation {state.automation}, protection {state.protection} ({what})"
    )
