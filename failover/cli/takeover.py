"""``failover takeover --to SITE``: a human decides where automation held.

Shows what holds automation and what would be lost, and asks for the site's name. What is a matter
of judgement a human may answer for; that nothing in the old site can write he may not, except by
saying that he has fenced it, which stands in the history for good. The request is put before the
leading controller; where none lives this process stands in for its site's.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.moves import (
    Ended,
    blocking,
    data_site,
    follow,
    gate_lines,
    new_request,
    refuse,
    renewed,
    typed,
    usable,
)
from failover.cli.options import config_option, known_site, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.settings import reason_option
from failover.cli.stand_in import (
    READY_S,
    somebody_leads,
    stand_in_options,
    standing_in_for,
    to_the_end,
)

if TYPE_CHECKING:
    from failover.cli.look import Reader, Seen
    from failover.coordination.store import Store
    from failover.planning.plan import Gate
    from failover.policy import Policy
    from failover.state import OperatorRequest

TAKEOVER_SCHEMA = 1
PAGE = "docs/operations/takeover.md"
GRAY_PAGE = "docs/operations/gray-failure.md"
LEASE_MARGIN_S = 4.0  # a claim that ends by itself is waited for: a lease, and an election


@click.command("takeover")
@click.option("--to", "to_site", required=True, metavar="SITE", help="The site to make active.")
@click.option(
    "--accept-data-loss",
    is_flag=True,
    help="What the new site has not received is given up; its amount is shown first.",
)
@click.option(
    "--i-have-fenced",
    "fenced",
    metavar="SITE",
    help="The old site cannot write: its power or its network is off, and somebody has seen it.",
)
@reason_option(required=True)
@stand_in_options
@click.option("--yes", is_flag=True, help="Do not ask for the site's name.")
@click.option("--dry-run", is_flag=True, help="Gates and loss only; change nothing.")
@output_option
@config_option
def command(
    to_site: str,
    accept_data_loss: bool,
    fenced: str | None,
    reason: str,
    site: str | None,
    password_file: Path,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Make SITE active although the other one was not stopped first: for when automation held.

    Refused with every reason at once where a claim is held, or anything but a human's judgement
    stands against it. A claim of a site that is cut off ends with its lease and is waited for.
    Where the database under it is of no use, the guard there is asked to stop it first.

    Exit codes: 0 done; 1 committed, but no primary works yet, or begun and gone back; 5 refused,
    nothing was touched. --dry-run is refused where no controller leads.
    """
    from failover.coordination.connect import open_store

    policy = load_policy()
    request = _request(policy, to_site, reason, fenced, accept_data_loss)
    with open_store(policy) as store:
        alone = not somebody_leads(policy, store)
        if alone and dry_run:
            # A controller that stands in may take over by itself: that is no dry run.
            raise UserError(
                "no controller leads, so there is nobody to judge by",
                todo="start a controller; without --dry-run this command stands in for one, which "
                "may also take over by itself",
                code=ExitCode.REFUSED,
            )
        with standing_in_for(policy, site, password_file) if alone else contextlib.nullcontext():
            seen, gates = _judged(policy, store, request, READY_S if alone else 0.0)
            _show(seen, gates, request)
            if dry_run:
                _report_dry_run(seen, gates, request, output)
                return
            if not yes:
                _confirm(seen, request)
            request = renewed(request)
            with to_the_end(policy, store, request) if alone else contextlib.nullcontext():
                ended = follow(policy, store, seen.view.active_site, request)
    _report(ended, output)


def _request(
    policy: Policy, to_site: str, reason: str, fenced: str | None, accept_data_loss: bool
) -> OperatorRequest:
    from failover.planning.switchover_transactions import TAKEOVER_LIMIT_S
    from failover.state import PlanKind

    if not reason.strip():
        raise UserError("it goes on record with its reason", todo="say it with --reason TEXT")
    request = new_request(data_site(policy, to_site), reason, TAKEOVER_LIMIT_S)
    return replace(
        request,
        id=request.id.replace("s-", "t-", 1),
        kind=PlanKind.TAKEOVER,
        accept_data_loss=accept_data_loss,
        fenced_site=known_site(policy, fenced) if fenced is not None else None,
    )


# --------------------------------------------------------------------------- judged beforehand


def _judged(
    policy: Policy, store: Store, request: OperatorRequest, ready_s: float
) -> tuple[Seen, tuple[Gate, ...]]:
    """A look and its gates, all passing. UserError with all reasons where one is not.

    ``ready_s``: how long to wait for eyes. What opens by itself within a lease is waited for.
    """
    from failover.cli.look import Reader

    reader = Reader(policy, store)
    give_up_s = time.monotonic() + ready_s
    lease_over_s = time.monotonic() + policy.lease_s + LEASE_MARGIN_S
    told = False
    while True:
        seen, closed, gates = _look(reader, request)
        if not closed:
            return seen, gates
        opens = all(gate.opens_in_s is not None for gate in closed)
        if time.monotonic() > (lease_over_s if opens else give_up_s):
            _refuse(request, gate_lines(closed))
        if opens and not told:
            click.echo(f"waits for: {'; '.join(gate_lines(closed))}", err=True)
            told = True
        time.sleep(0.3)


def _look(
    reader: Reader, request: OperatorRequest
) -> tuple[Seen, tuple[Gate, ...], tuple[Gate, ...]]:
    from failover.planning.requests import request_gates

    seen = usable(reader.settle())
    gates = request_gates(seen.view, renewed(request))
    return seen, blocking(gates), gates


def _refuse(request: OperatorRequest, reasons: list[str]) -> NoReturn:
    refuse(f"no takeover by {request.to_site}", reasons, page=PAGE)


def _show(seen: Seen, gates: tuple[Gate, ...], request: OperatorRequest) -> None:
    """On standard error, so that standard output stays the result's."""
    from failover.planning.gates import takeover_gates

    held = gate_lines(blocking(takeover_gates(seen.view)))
    click.echo("what holds automation:" if held else "nothing holds automation:", err=True)
    for line in held or ["it would take over by itself"]:
        click.echo(f"  {line}", err=True)
    click.echo(f"takeover by {request.to_site} from {seen.view.active_site}:", err=True)
    for line in gate_lines(gates):
        click.echo(f"  {line}", err=True)


def _confirm(seen: Seen, request: OperatorRequest) -> None:
    old, new = seen.view.active_site, request.to_site
    words = f"{new} becomes the active site; {old} is fenced off until it is salvaged. Type {new}"
    if typed(words) != new:
        _refuse(request, ["the name was not typed; --yes does not ask"])


# --------------------------------------------------------------------------- words


def _report_dry_run(
    seen: Seen, gates: tuple[Gate, ...], request: OperatorRequest, output: str
) -> None:
    if output == "json":
        active, to_site = str(seen.view.active_site), str(request.to_site)
        ended = Ended("", "dry_run", active, to_site, None, None, tuple(gate_lines(gates)))
        print_json({"schema": TAKEOVER_SCHEMA, **asdict(ended)})
        return
    click.echo(f"{request.to_site} would take over; nothing was changed")


def _report(ended: Ended, output: str) -> None:
    if output == "json":
        print_json({"schema": TAKEOVER_SCHEMA, **asdict(ended)})
    if ended.outcome == "gone_back":
        lines = "".join(f"\n  - {reason}" for reason in ended.reasons)
        raise UserError(
            f"the takeover by {ended.to_site} was begun and went back:{lines}",
            todo=f"`failover explain`; {GRAY_PAGE}",
            code=ExitCode.FINDINGS,
        )
    if ended.outcome != "done":
        lines = "".join(f"\n  - {reason}" for reason in ended.reasons)
        raise UserError(
            f"the takeover by {ended.to_site} was refused:{lines}",
            todo=f"`failover explain`; {PAGE}",
            code=ExitCode.REFUSED,
        )
    if ended.epoch is None:
        raise UserError(
            f"{ended.to_site} is the active site, and no primary works there yet",
            todo="`failover explain` says what it waits for",
            code=ExitCode.FINDINGS,
        )
    if output != "json":
        click.echo(f"{ended.to_site} is active in epoch {ended.epoch}")
