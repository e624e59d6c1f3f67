"""``failover acknowledge``: a human has looked at the last takeover; the next may come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from failover.cli.options import config_option
from failover.cli.settings import reason_option, set_in_state

if TYPE_CHECKING:
    from failover.state import GroupState


@click.command("acknowledge")
@reason_option(required=False)
@config_option
def command(reason: str) -> None:
    """End the cooldown after a takeover, or after one that went back, in which no other is made.

    It keeps a group from moving to and fro while the cause of the first takeover is not known, and
    ends by itself after an hour (`cooldown` in failover.yaml).
    """
    from dataclasses import replace

    def change(state: GroupState) -> GroupState:
        return replace(state, cooldown_until_unix_s=0.0, takeover_begun_unix_s=0.0)

    details = {"reason": reason} if reason else {}
    summary = "the last takeover was acknowledged: no cooldown"
    set_in_state("acknowledged", summary, details, change, value="")
