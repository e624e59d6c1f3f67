"""``failover init``: the first start of a group. Never overwrites anything."""

from __future__ import annotations

import time

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.settings import operator, reason_option


@click.command("init")
@click.option(
    "--unproven",
    is_flag=True,
    help="Begin with automation: auto at once where failover.yaml says so; goes into the history.",
)
@reason_option(required=False)
@config_option
@output_option
def command(unproven: bool, reason: str, output: str) -> None:
    """Create this group's state in ZooKeeper: epoch 1, the initial site active.

    The guards arm themselves when they see it, and only then does Patroni start. Run again, it
    changes nothing; where the group is in use already it refuses (exit code 5).

    Where failover.yaml says automation: auto it begins with observe all the same: nothing can be in
    order yet, and nothing rehearsed. `failover automation auto` then, or --unproven with its
    --reason now.
    """
    policy = load_policy()
    from dataclasses import replace

    from failover.coordination.connect import open_store
    from failover.coordination.init import Refused, initialise
    from failover.model import Automation

    details, waits = {"reason": reason.strip()} if reason.strip() else {}, False
    if unproven:
        _need_a_sense(auto=policy.automation is Automation.AUTO, reason=reason)
        details["override"] = "unproven"
    elif policy.automation is Automation.AUTO:
        policy, waits = replace(policy, automation=Automation.OBSERVE), True
    with open_store(policy) as store:
        outcome = initialise(store, policy, now_unix_s=time.time(), by=operator(), details=details)
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
    if waits and outcome.created:
        click.echo(
            "failover.yaml says auto: `failover automation auto` when `failover check` finds "
            "everything in order and a rehearsal has passed (`failover rehearse`)"
        )


def _need_a_sense(*, auto: bool, reason: str) -> None:
    if not auto:
        raise UserError(
            "--unproven: failover.yaml does not say automation: auto", todo="leave it out"
        )
    if not reason.strip():
        raise UserError("it goes on record with its reason", todo="say it with --reason TEXT")
