"""``failover demo``: the story, told on the lab."""

from __future__ import annotations

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError, console

LOOK_AROUND = """
The lab is still up. Look around:
    failover status            the sites, hosts, lag and lease
    failover explain           what would be decided now, and why
    failover history           what has happened
    failover lab workload start    let money flow again (… status, … check, … stop)
    failover lab fault --help      break something yourself
Stop it:
    failover lab down
"""


@click.command()
@click.option("--down", is_flag=True, help="Take the lab down at the end.")
def command(down: bool) -> None:
    """The story: Jakarta is lost, Makassar takes over, Jakarta returns.

    Uses the lab that is up, or brings one up. Takes about three minutes once the image is there.
    """
    from failover.lab.borrow import borrowed
    from failover.lab.demo import Demo, DemoFailed
    from failover.lab.demo_screen import Screen
    from failover.lab.errors import LabError
    from failover.lab.watch import NotWhole
    from failover.lab.workload.control import WorkloadError

    screen = Screen(console())
    screen.heading("The lab: two data sites and a witness on this machine")
    try:
        with borrowed("failover demo", screen.say, keep=True) as lab:
            Demo(lab, screen).tell()
        if down:
            lab.down(say=screen.say)
    except LabError as error:
        raise UserError(str(error), todo=error.todo) from None
    except (DemoFailed, NotWhole, WorkloadError) as error:
        raise UserError(
            str(error),
            todo="`failover explain` says what holds it; `failover lab down` stops the lab",
            code=ExitCode.FINDINGS,
        ) from None
    if not down:
        screen.say(LOOK_AROUND)
