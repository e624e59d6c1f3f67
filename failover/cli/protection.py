"""``failover protection MODE``: what may be lost, and what commits wait for."""

from __future__ import annotations

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, load_policy
from failover.cli.output import UserError
from failover.cli.settings import reason_option, set_in_state

_MODES = ("max-performance", "max-availability", "max-protection")  # the weakest first


@click.command("protection")
@click.argument("mode", type=click.Choice(_MODES))
@click.option(
    "--accept-data-loss",
    is_flag=True,
    help="Weaken the mode although nobody holds the writer claim.",
)
@reason_option(required=True)
@config_option
def command(mode: str, accept_data_loss: bool, reason: str) -> None:
    """What commits wait for, and what a takeover may lose.

    max-performance: commits wait for nobody; a takeover may lose what the budget allows.
    max-availability: commits are at the other site and on a local replica before they are
    acknowledged; where one of them is lost that is put on record first, then commits go on.
    max-protection: commits wait until the other site is back.

    Nothing is waited for before it is proved to be in force: `failover status` says whether the
    group is in sync. While no host holds the writer claim a weaker mode would let a host without
    everything be promoted, so it is refused unless the loss is accepted.
    """
    from failover.coordination.protection import NobodyWrites, Protection
    from failover.model import ProtectionMode

    policy = load_policy()
    details = {"reason": reason}
    if accept_data_loss:
        details["data_loss"] = "accepted"
    setting = Protection(policy, ProtectionMode(mode), accept_data_loss=accept_data_loss)
    try:
        set_in_state(
            "protection",
            f"protection is {mode} from now on",
            details,
            setting.change,
            beside=setting.beside,
            value=mode,
        )
    except NobodyWrites as refused:
        todo = "wait for the claim, or say --accept-data-loss"
        raise UserError(str(refused), todo=todo, code=ExitCode.REFUSED) from None
