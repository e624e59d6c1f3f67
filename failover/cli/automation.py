"""``failover automation auto|observe|manual``: who decides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.check import everything, observer_password_option
from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy
from failover.cli.output import UserError
from failover.cli.settings import reason_option, set_in_state

if TYPE_CHECKING:
    from failover.state import GroupState

PAGE = "docs/operations/rehearsal.md"


@click.command("automation")
@click.argument("mode", type=click.Choice(["auto", "observe", "manual"]))
@reason_option(required=True)
@click.option(
    "--unproven",
    is_flag=True,
    help="Set auto although something speaks against it; that goes into the history too.",
)
@observer_password_option
@config_option
def command(mode: str, reason: str, unproven: bool, observer_password_file: Path) -> None:
    """Let the controllers take over by themselves (auto), on paper only (observe), or never.

    auto: a lost site is taken over by itself. manual: everything else is done (following, the
    return of a site), a takeover is not. observe: nothing is done; what would have been done is
    recorded in the history. A switchover is possible in every mode.

    auto is refused (exit code 5) until `failover check` finds everything in order and a rehearsal
    has passed within the last 90 days. Run it where `failover check` is run: on a controller's
    host, as the controller's user.
    """
    from dataclasses import replace

    from failover.model import Automation

    if unproven and mode != Automation.AUTO:
        raise UserError("--unproven is for auto", todo=f"nothing speaks against {mode}")
    details = {"reason": reason}
    if mode == Automation.AUTO and reason.strip():
        details |= _proof(observer_password_file, unproven=unproven)
    is_auto_already = mode == Automation.AUTO and "check" not in details

    def change(state: GroupState) -> GroupState:
        if is_auto_already and state.automation is not Automation.AUTO:
            raise UserError("somebody set automation in this instant", todo="look, and ask again")
        return replace(state, automation=Automation(mode))

    summary = f"automation is {mode} from now on"
    if "override" in details:
        summary += ", unproven"
    set_in_state("automation", summary, details, change, value=mode)


def _proof(observer_password_file: Path, *, unproven: bool) -> dict[str, str]:
    """What the history says of it. UserError where something speaks against it and nobody answers
    for that."""
    from failover.checks.proven import unproven as reasons_against
    from failover.checks.table import run
    from failover.coordination.connect import open_store
    from failover.coordination.settings import read_state
    from failover.model import Automation

    policy = load_policy()
    with open_store(policy) as store:
        if read_state(store, policy)[0].automation is Automation.AUTO:
            return {}  # nothing is going to be set
        try:
            results = run(everything(policy, store, observer_password_file))
        except Exception as error:  # whatever a check trips over must not lock anybody out
            if not unproven:
                raise
            return {"check": f"could not be run: {error!r}", "override": "unproven"}
    against = reasons_against(results)
    if not against:
        rehearsal = next(each for each in results if each.check == "rehearsal")
        return {"check": "in order", "rehearsal": rehearsal.sentence}
    if not unproven:
        for each in against:
            click.echo(f"  {each}", err=True)
        raise UserError(
            f"automation stays as it is: {len(against)} reasons against auto",
            where="failover check",
            todo=f"mend them (`failover check`, `failover rehearse`), or say --unproven: {PAGE}",
            code=ExitCode.REFUSED,
        )
    numbered = {f"against.{number}": each for number, each in enumerate(against, start=1)}
    return {"check": "not in order", "override": "unproven", **numbered}
