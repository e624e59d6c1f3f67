"""``failover rehearse``: a planned move to the other site and back, with a signed-off report.

Every gate first, and a healthy group; then the group's name typed by a human (or ``--yes``); then
the two moves (``rehearsing``), measured; then the report's two files, whose sums go into the
history.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.check import observer_password_option
from failover.cli.checkpoint_first import CAUGHT_UP_S, checkpoint_first
from failover.cli.exit_codes import ExitCode
from failover.cli.moves import (
    Ended,
    blocking,
    carry_out,
    limit_option,
    refuse,
    renewed,
    typed,
    usable,
)
from failover.cli.options import Number, OneLine, config_option, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.report_files import Written, usable_directory, write
from failover.cli.settings import operator
from failover.cli.signals import handled
from failover.cli.stand_in import somebody_leads, until_no_plan

if TYPE_CHECKING:
    from failover.cli.look import Reader
    from failover.cli.rehearsing import Hands, Moved, Order, Rehearsal
    from failover.coordination.store import Store
    from failover.model import SiteName
    from failover.policy import Policy
    from failover.rehearsal.report import Report
    from failover.state import OperatorRequest

PAGE = "docs/operations/rehearsal.md"
HEALTHY_LIMIT_S = 120.0
LEAD_IN_S = 0.5  # so that many a yes comes before the last one
HISTORY_LIMIT = 100  # entries back to the beginning of a move


@click.command("rehearse")
@click.option(
    "--reason", type=OneLine(), metavar="TEXT", default="", help="Why; it goes into the report."
)
@click.option(
    "--report",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="this directory",
    help="Where the report's two files are made; earlier ones are never overwritten.",
)
@limit_option
@click.option(
    "--healthy-within",
    "healthy_limit_s",
    type=Number(min=10.0, max=3600.0),
    default=HEALTHY_LIMIT_S,
    show_default=True,
    help="Seconds within which the group has to be healthy after each move.",
)
@click.option("--yes", is_flag=True, help="Do not ask for the group's name.")
@click.option(
    "--no-checkpoint", is_flag=True, help="Without a checkpoint of the old primaries before a move."
)
@observer_password_option
@output_option
@config_option
def command(
    reason: str,
    directory: Path,
    limit_s: float,
    healthy_limit_s: float,
    yes: bool,
    no_checkpoint: bool,
    observer_password_file: Path,
    output: str,
) -> None:
    """Move the whole group to the other site and back, planned, and write a report of it.

    For a healthy group with a controller that leads; else refused, with every reason. After each
    move it waits until the old site streams again and the group is healthy. Where a move goes back,
    is refused, or the group does not get healthy, it stops there and says where the group is.

    Ctrl-C ends it after the move that is under way, with a report.

    Exit codes: 0 passed; 1 not passed, or gone back; 5 refused, nothing was touched; 130 stopped
    by Ctrl-C.
    """
    from failover.cli.rehearsing import Rehearsal
    from failover.coordination.connect import open_store
    from failover.rehearsal.judgement import shortcomings

    policy, directory = load_policy(), usable_directory(directory)
    stopped: list[int] = []
    with open_store(policy) as store:
        _need_leader(policy, store)
        order = _order(reason.strip(), limit_s, healthy_limit_s)
        with_file = None if no_checkpoint else observer_password_file
        hands = _hands(policy, store, with_file, lambda: bool(stopped))
        rehearsal = Rehearsal(policy, order, hands)
        home = _judged(rehearsal)
        if not yes:
            _confirm(policy, home)
        with handled(lambda number, _frame: stopped.append(number)):
            report = rehearsal.run()
            reasons = shortcomings(report)
            written = _signed_off(policy, store, report, reasons, directory)
    _show(report, reasons, written, output)
    if reasons:
        click.get_current_context().exit(ExitCode.INTERRUPTED if stopped else ExitCode.FINDINGS)


def _need_leader(policy: Policy, store: Store) -> None:
    if not somebody_leads(policy, store):
        raise UserError(
            "no rehearsal: no controller leads, and a rehearsal is for a healthy group",
            todo="start the controllers (`systemctl start failover-controller` on their hosts); "
            "nothing was touched",
            code=ExitCode.REFUSED,
        )


def _order(reason: str, limit_s: float, healthy_limit_s: float) -> Order:
    from failover.cli.rehearsing import Order
    from failover.sites.writable import INTERVAL_S

    return Order(
        id=f"r-{uuid.uuid4().hex[:12]}",
        by=operator(),
        reason=reason,
        limit_s=limit_s,
        healthy_limit_s=healthy_limit_s,
        measured_at=socket.gethostname(),
        interval_s=INTERVAL_S,
    )


def _judged(rehearsal: Rehearsal) -> SiteName:
    """The active site. UserError with every reason why no rehearsal begins now."""
    seen = usable(rehearsal.hands.look())
    reasons = rehearsal.refusals(seen)
    if reasons:
        refuse("no rehearsal", reasons, page=PAGE)
    return seen.view.active_site


def _confirm(policy: Policy, home: SiteName) -> None:
    other = policy.other_data_site(home).name
    words = (
        f"group {policy.group} is moved from {home} to {other} and back; writes pause twice, and "
        f"sessions are cut. Type {policy.group} to go on"
    )
    if typed(words) != policy.group:
        refuse("no rehearsal", ["the name was not typed; --yes does not ask"], page=PAGE)


# --------------------------------------------------------------------------- what touches the world


def _hands(
    policy: Policy, store: Store, password_file: Path | None, stop_asked: Callable[[], bool]
) -> Hands:
    """``password_file`` None: no checkpoint before a move."""
    from failover.cli.look import Reader
    from failover.cli.rehearsing import Hands

    def say(line: str) -> None:
        click.echo(line, err=True)

    def move(from_site: SiteName, request: OperatorRequest) -> Moved:
        if password_file is not None:
            checkpoint_first(policy, from_site, password_file, say, stop_asked)
            _until_it_may_begin(reader, request)
        return _measured(policy, store, from_site, renewed(request), say)

    reader = Reader(policy, store)
    return Hands(
        look=lambda: Reader(policy, store).settle(),
        glance=reader.look,
        move=move,
        say=say,
        stop_asked=stop_asked,
    )


def _until_it_may_begin(reader: Reader, request: OperatorRequest) -> None:
    """The whole pages after a checkpoint have to be sent: the other site may lag for a moment. Who
    begins the move judges again."""
    from failover.planning.requests import request_gates

    give_up_s = time.monotonic() + CAUGHT_UP_S
    while time.monotonic() < give_up_s:
        if not blocking(request_gates(reader.look().view, renewed(request))):
            return
        time.sleep(0.3)


def _measured(
    policy: Policy,
    store: Store,
    from_site: SiteName,
    request: OperatorRequest,
    say: Callable[[str], None],
) -> Moved:
    """One planned move, with the guards asked and the proofs looked for all the while."""
    from failover.cli.history import read_history
    from failover.cli.rehearsing import Moved
    from failover.coordination.stopped_watch import watching_stopped
    from failover.rehearsal.pause import pause_of
    from failover.rehearsal.record import on_record
    from failover.sites.writable import watching_writable
    from failover.znode import GroupPaths

    paths, names = GroupPaths(policy.group), [cluster.name for cluster in policy.clusters]
    hosts = [host for cluster in policy.clusters for host in cluster.hosts]
    with (
        watching_writable(hosts) as writable,
        watching_stopped(store, paths, names, request.id) as stopped,
    ):
        time.sleep(LEAD_IN_S)
        ended = _to_its_end(policy, store, from_site, request, say)
    rows = read_history(store, paths, HISTORY_LIMIT)
    return Moved(
        ended=ended,
        record=on_record([row.entry for row in rows if row.entry is not None], request.id),
        stopped_unix_s=stopped.all_unix_s,
        pauses={name: pause_of(writable.said, name, request.to_site) for name in names},
    )


def _to_its_end(
    policy: Policy,
    store: Store,
    from_site: SiteName,
    request: OperatorRequest,
    say: Callable[[str], None],
) -> Ended:
    """Followed; and where that fails, its plan is waited for all the same."""
    try:
        return carry_out(policy, store, from_site, request, say)
    except Exception as error:
        if not (isinstance(error, UserError) and error.exit_code == ExitCode.REFUSED):
            say(f"{error}; waiting until no plan of this rehearsal stands")
            until_no_plan(policy, store, request)
        raise


# --------------------------------------------------------------------------- the report


def _signed_off(
    policy: Policy,
    store: Store,
    report: Report,
    reasons: tuple[str, ...],
    directory: Path,
) -> tuple[Written, Written]:
    """The two files, and their sums in the history. UserError where either is not to be had."""
    from failover.cli.roles import writes_state
    from failover.cli.settings import ask_for
    from failover.coordination.sign_off import sign_off
    from failover.coordination.store import StoreUnavailable
    from failover.model import Epoch
    from failover.rehearsal import text
    from failover.rehearsal.report import file_stem
    from failover.state import HistoryEntry, StateError
    from failover.znode import GroupPaths

    document = json.dumps(text.document(report, reasons), indent=2, ensure_ascii=False) + "\n"
    try:
        written = write(directory, file_stem(report), document, text.as_markdown(report, reasons))
    except OSError as error:
        click.echo(document, nl=False)
        raise UserError(
            f"the report could not be written and is not signed off: {error}",
            where=str(directory),
            todo=f"keep what is on stdout; {report.todo}",
            code=ExitCode.FINDINGS,
        ) from None
    entry = HistoryEntry(
        at_unix_s=report.ended_unix_s,
        epoch=Epoch(report.epoch or 0),
        event=text.EVENT,
        summary=text.history_summary(report, reasons),
        by=report.by,
        details=text.history_details(report, reasons) | _sums(*written),
    )
    try:
        if writes_state(policy, store):
            sign_off(store, GroupPaths(policy.group), entry)
        else:
            ask_for(policy, store, entry.event, "", entry.summary, entry.details)
    except (StoreUnavailable, StateError, UserError) as error:
        raise UserError(
            f"the report is written and not signed off: {error}",
            where=", ".join(str(one.path) for one in written),
            todo=report.todo,
            code=ExitCode.FINDINGS,
        ) from None
    return written


def _sums(document: Written, text: Written) -> dict[str, str]:
    return {
        "report": document.path.name,
        "report_sha256": document.sha256,
        "text": text.path.name,
        "text_sha256": text.sha256,
    }


def _show(
    report: Report, reasons: tuple[str, ...], written: tuple[Written, Written], output: str
) -> None:
    from failover.rehearsal import text

    if output == "json":
        files = [{"path": str(one.path), "sha256": one.sha256} for one in written]
        print_json({**text.document(report, reasons), "files": files})
        return
    click.echo(text.history_summary(report, reasons))
    for reason in reasons[1:]:
        click.echo(f"  as well: {reason}")
    if reasons:
        click.echo(f"what to do: {report.todo}")
    for one in written:
        click.echo(f"report: {one.path} (sha256 {one.sha256})")
