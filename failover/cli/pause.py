"""``failover pause --for 2h``: no takeover for a while; ends by itself. ``--end`` ends it now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from failover.cli.options import config_option
from failover.cli.output import UserError
from failover.cli.settings import reason_option, set_in_state
from failover.cli.units import duration

if TYPE_CHECKING:
    from failover.state import GroupState

PAUSE_S_MAX = 7 * 86400.0


@click.command("pause")
@click.option("--for", "how_long", metavar="DURATION", help="For example 30min, 2h.")
@click.option("--end", is_flag=True, help="End the pause now.")
@reason_option(required=True)
@config_option
def command(how_long: str | None, end: bool, reason: str) -> None:
    """Keep the controllers from taking over for a while; the pause ends by itself.

    For work that could look like a disaster. Switchovers are possible all the same. What is under
    way goes on.
    """
    from dataclasses import replace

    if end == (how_long is not None):
        raise UserError("say how long, or that it ends", todo="--for 2h, or --end")
    length_s = 0.0 if how_long is None else _length_s(how_long)
    until_unix_s = time.time() + length_s if not end else 0.0

    def change(state: GroupState) -> GroupState:
        return replace(state, paused_until_unix_s=until_unix_s)

    if end:
        set_in_state("pause_ended", "the pause is over", {"reason": reason}, change, value="")
        return
    details = {"reason": reason, "until_unix_s": f"{until_unix_s:.0f}"}
    summary = f"no takeover for {duration(length_s)}"
    set_in_state("paused", summary, details, change, value=str(until_unix_s))


def _length_s(text: str) -> float:
    from failover.config.units import Wrong, duration_s

    try:
        length_s = duration_s(text)
    except Wrong as wrong:
        raise UserError(f"--for: {wrong.message}", todo=wrong.hint) from None
    if not 0 < length_s <= PAUSE_S_MAX:
        raise UserError(f"--for {text}: not between 0 and 7 days", todo="for example --for 2h")
    return length_s
