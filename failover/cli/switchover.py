"""``failover switchover --to SITE``: a planned move of the group, nothing lost.

Every gate first; then the site's name typed by a human (or ``--yes``); then a checkpoint of the
primaries that will stop; then the request is put before the leading controller and followed. Where
no controller lives, this process stands in for its site's, and then stays until the plan has ended.
Ctrl-C ends the following, not the switchover.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.checkpoint_first import CAUGHT_UP_S, checkpoint_first
from failover.cli.exit_codes import ExitCode
from failover.cli.moves import (
    Ended,
    blocking,
    data_site,
    follow,
    gate_lines,
    limit_option,
    new_request,
    refuse,
    renewed,
    typed,
    usable,
)
from failover.cli.options import OneLine, config_option, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.stand_in import (
    READY_S,
    somebody_leads,
    stand_in_options,
    standing_in_for,
    to_the_end,
)

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.planning.plan import Gate
    from failover.policy import Policy
    from failover.state import OperatorRequest

SWITCHOVER_SCHEMA = 1


@click.command("switchover")
@click.option("--to", "to_site", required=True, metavar="SITE", help="The site to make active.")
@click.option(
    "--reason", type=OneLine(), metavar="TEXT", default="", help="Why; it goes into the history."
)
@limit_option
@stand_in_options
@click.option("--yes", is_flag=True, help="Do not ask for the site's name.")
@click.option(
    "--no-checkpoint",
    is_flag=True,
    help="Without a checkpoint of the old primaries first: their stop writes out what is dirty.",
)
@click.option("--dry-run", is_flag=True, help="Gates and plan only; change nothing.")
@output_option
@config_option
def command(
    to_site: str,
    reason: str,
    limit_s: float,
    site: str | None,
    password_file: Path,
    yes: bool,
    no_checkpoint: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Move the whole group to SITE, planned: the old primaries are stopped first, nothing is lost.

    Before that they make a checkpoint while customers still write, so that their stop has little to
    write out. Who cannot be asked is said, and moved all the same.

    Refused with every reason at once where it would not work. Where it does not come to its end
    within the limit it goes back to where it was and says why. Ctrl-C only stops following it.

    Where no controller leads, this command is one until it ends, and does all that one does; then
    it does not leave before the plan has ended, not for Ctrl-C either.

    Exit codes: 0 done; 1 gone back; 5 refused, nothing was touched.
    """
    from failover.coordination.connect import open_store

    policy = load_policy()
    target = data_site(policy, to_site)
    with open_store(policy) as store:
        alone = not somebody_leads(policy, store)
        if alone and dry_run:
            raise UserError(
                "no controller leads, so there is nobody to judge by",
                todo="start a controller; without --dry-run this command stands in for one",
                code=ExitCode.REFUSED,
            )
        with standing_in_for(policy, site, password_file) if alone else contextlib.nullcontext():
            request = new_request(target, reason, limit_s)
            from_site, gates = _judged(policy, store, request, READY_S if alone else 0.0)
            if dry_run:
                _show_dry_run(policy, request, from_site, gates, output, no_checkpoint)
                return
            if not yes:
                _confirm(from_site, target)
            if not no_checkpoint:
                checkpoint_first(policy, from_site, password_file, _say)
                # The whole pages after it have to be sent: the other site may lag for a moment.
                _judged(policy, store, request, CAUGHT_UP_S)
            request = renewed(request)
            with to_the_end(policy, store, request) if alone else contextlib.nullcontext():
                ended = follow(policy, store, from_site, request)
    _report(ended, output)


def _judged(
    policy: Policy, store: Store, request: OperatorRequest, ready_s: float
) -> tuple[SiteName, tuple[Gate, ...]]:
    """The active site and every gate, all passing. UserError with all reasons where one is not.

    ``ready_s``: how long to wait for eyes; a controller that stands in has to look around first.
    """
    from failover.cli.look import Reader
    from failover.planning.requests import request_gates

    reader = Reader(policy, store)
    give_up_s = time.monotonic() + ready_s
    while True:
        seen = usable(reader.settle())
        gates = request_gates(seen.view, renewed(request))
        if not blocking(gates):
            return seen.view.active_site, gates
        if time.monotonic() > give_up_s:
            _refuse(request.to_site, gate_lines(blocking(gates)))
        time.sleep(0.3)


def _confirm(from_site: SiteName, target: SiteName) -> None:
    words = f"{target} becomes the active site instead of {from_site}. Type {target} to go on"
    if typed(words) != target:
        _refuse(target, ["the name was not typed; --yes does not ask"])


def _refuse(target: SiteName, reasons: list[str]) -> NoReturn:
    refuse(f"no switchover to {target}", reasons)


# --------------------------------------------------------------------------- words


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show_dry_run(
    policy: Policy,
    request: OperatorRequest,
    from_site: SiteName,
    gates: tuple[Gate, ...],
    output: str,
    no_checkpoint: bool,
) -> None:
    if output == "json":
        ended = Ended(
            "",
            "dry_run",
            str(from_site),
            str(request.to_site),
            None,
            None,
            tuple(gate_lines(gates)),
        )
        print_json({"schema": SWITCHOVER_SCHEMA, **asdict(ended)})
        return
    click.echo(f"switchover of {policy.group} from {from_site} to {request.to_site} would begin:")
    for line in gate_lines(gates):
        click.echo(f"  {line}")
    if not no_checkpoint:
        click.echo(f"0. the primaries of {from_site} make a checkpoint, while customers write on")
    click.echo(
        f"1. {from_site} gets no permit any more and follows {request.to_site}: its primaries "
        "stop\n"
        f"2. {request.to_site} replays what they wrote last\n"
        f"3. {request.to_site} is made active in the next epoch, and promoted\n"
        f"writes pause from 1. to 3.; after {request.limit_s:g} s without 3. everything goes back"
    )


def _report(ended: Ended, output: str) -> None:
    if output == "json":
        print_json({"schema": SWITCHOVER_SCHEMA, **asdict(ended)})
    if ended.outcome == "done":
        if output != "json":
            click.echo(
                f"{ended.to_site} is active in epoch {ended.epoch}, {ended.took_s:.1f} s after the "
                "plan was frozen"
                if ended.took_s is not None
                else f"{ended.to_site} is active in epoch {ended.epoch}"
            )
        return
    lines = "".join(f"\n  - {reason}" for reason in ended.reasons)
    gone_back = ended.outcome == "gone_back"
    raise UserError(
        f"the switchover to {ended.to_site} "
        + (f"went back, {ended.from_site} stays active:" if gone_back else "was refused:")
        + lines,
        todo="`failover explain`; docs/operations/switchover.md",
        code=ExitCode.FINDINGS if gone_back else ExitCode.REFUSED,
    )
