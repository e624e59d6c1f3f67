"""``failover automation auto|observe|manual``: who decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from failover.cli.options import config_option
from failover.cli.settings import reason_option, set_in_state

if TYPE_CHECKING:
    from failover.state import GroupState


@click.command("automation")
@click.argument("mode", type=click.Choice(["auto", "observe", "manual"]))
@reason_option(required=True)
@config_option
def command(mode: str, reason: str) -> None:
    """Let the controllers take over by themselves (auto), on paper only (observe), or never.

    auto: a lost site is taken over by itself. manual: everything else is done (following, the
    return of a site), a takeover is not. observe: nothing is done; what would have been done is
    recorded in the history. A switchover is possible in every mode.
    """
    from dataclasses import replace

    from failover.model import Automation

    def change(state: GroupState) -> GroupState:
        return replace(state, automation=Automation(mode))

    set_in_state("automation", f"automation is {mode} from now on", {"reason": reason}, change)
