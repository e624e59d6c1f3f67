"""``failover residency``: what could leave the country now, and the report for a period.

Reads only, but for ``approve``. What is said is composed in ``residency_check`` and
``residency/report``; this module fetches and prints it. Nothing about customers is in either.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import click

from failover import __version__
from failover.cli.exit_codes import ExitCode
from failover.cli.history_verify import READ_TRIES, logged_head, read_whole
from failover.cli.options import config_option, config_path, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.settings import reason_option

if TYPE_CHECKING:
    from failover.cli.look import Seen
    from failover.cli.residency_check import ResidencyCheck
    from failover.coordination.store import Store
    from failover.residency.report.document import Period, Report, Sources
    from failover.state import HistoryHead
    from failover.znode import GroupPaths

CHECK_SCHEMA = 1
LAST_YEAR = 9998  # the day after --to has to be a day, too
_DAY = click.DateTime(["%Y-%m-%d"])


@click.group("residency")
def command() -> None:
    """Indonesia only: what could leave the country now, and the report for a period."""


@command.command("check")
@output_option
@config_option
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """What stands open now, what is not known, and who answers for what.

    Exit code 0: nothing stands open and every database host was looked at. 1: something stands
    open, or is not known (unknown is not clean). Accepted findings and exceptions are shown and do
    not change it. 3 without an answer of the ensemble, 4 without a usable state.
    """
    from failover.cli.look import allowed, observing
    from failover.cli.residency_check import as_text, checked

    policy = load_policy()
    with observing(policy) as reader:
        seen = allowed(reader.settle())
    view = seen.view
    found = checked(
        policy, view.residency, view.now_unix_s, view.store_problem or view.state_problem
    )
    if output == "json":
        print_json(check_json(found))
    else:
        click.echo(as_text(found))
    ctx.exit(check_code(seen, found))


@command.command("approve")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reason_option(required=True)
@config_option
def approve(yes: bool, reason: str) -> None:
    """Stand for what `residency` of failover.yaml excepts and accepts, with an approver's key.

    With zookeeper.acl: require an accepted finding counts only then, and `failover check` names
    what nobody stands for. Another word in an entry, and it has to be approved again.

    Exit codes: 0 done; 5 the controller refuses; 6 this key is no approver's.
    """
    from failover.cli.moves import typed
    from failover.cli.settings import ask_for
    from failover.coordination.connect import open_store
    from failover.residency.approved import entries, mark, words

    policy = load_policy()
    if not policy.access.position.shown:
        raise UserError("roles are not told apart", todo="zookeeper.acl in failover.yaml")
    wanted = {mark(each): words(each) for each in entries(policy)}
    if not wanted:
        click.echo("failover.yaml excepts and accepts nothing")
        return
    for text in wanted.values():
        click.echo(text)
    if not yes and typed("Type approve to stand for all of it") != "approve":
        raise UserError("the word was not typed: nothing was changed", code=ExitCode.REFUSED)
    summary = f"{len(wanted)} exceptions and accepted findings of failover.yaml approved"
    details = {"reason": reason} | {f"approved.{m}": text for m, text in wanted.items()}
    with open_store(policy) as store:
        ask_for(policy, store, "residency_approved", " ".join(wanted), summary, details)
    click.echo(summary)


def check_code(seen: Seen, found: ResidencyCheck) -> ExitCode:
    """As `status` has it; without a usable state nothing is put on record."""
    if seen.unusable is not None:
        return seen.unusable
    return ExitCode.OK if found.clean else ExitCode.FINDINGS


def check_json(found: ResidencyCheck) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {"schema": CHECK_SCHEMA, "clean": found.clean, **asdict(found)}


@command.command("report")
@click.option("--from", "first", type=_DAY, required=True, help="The first day (UTC).")
@click.option("--to", "last", type=_DAY, required=True, help="The last day, which is in it (UTC).")
@click.option(
    "--language",
    type=click.Choice(["en", "id"]),
    default="en",
    show_default=True,
    help="English or Indonesian.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "json", "html"]),
    default="md",
    show_default=True,
    help="html: one file for printing.",
)
@click.option(
    "--head",
    "logged",
    metavar="NUMBER:SHA256",
    multiple=True,
    help="A head that a controller has logged, as for `history verify`; several times if wanted.",
)
@config_option
@click.pass_context
def report(
    ctx: click.Context,
    first: datetime,
    last: datetime,
    language: str,
    form: str,
    logged: tuple[str, ...],
) -> None:
    """The report for a period, on stdout: networks, hosts, receivers, findings, exceptions, gaps.

    Out of the hash-chained history and failover.yaml. Exit code 1 where it cannot be relied upon as
    it stands: the chain is not whole, or the history and what stands open on record disagree.
    Findings in the period do not change it.
    """
    from failover.coordination.connect import open_store
    from failover.residency.report.document import compose
    from failover.znode import GroupPaths

    period = _period(first, last)
    heads = tuple(logged_head(text) for text in logged)
    policy = load_policy()
    configuration_sha256 = sha256(config_path().read_bytes()).hexdigest()
    with open_store(policy) as store:
        sources = read_sources(store, GroupPaths(policy.group), heads, configuration_sha256)
    found = compose(policy, sources, period, made_unix_s=time.time(), version=__version__)
    click.echo(rendered(found, language, form), nl=False)
    if not found.reliable:
        click.echo(
            "the report cannot be relied upon as it stands: see its section on the record, "
            "`failover history verify` and docs/operations/history.md",
            err=True,
        )
        ctx.exit(ExitCode.FINDINGS)


def _period(first: datetime, last: datetime) -> Period:
    from failover.residency.report.document import Period

    if last < first:
        raise UserError(
            f"--to {last:%Y-%m-%d} is before --from {first:%Y-%m-%d}",
            todo="give the first day and the last one; both are in the report",
        )
    if last.year > LAST_YEAR:
        raise UserError(f"--to {last:%Y-%m-%d}: up to {LAST_YEAR}", todo="for example today")
    if first.date() > datetime.now(UTC).date():
        raise UserError(
            f"--from {first:%Y-%m-%d} is a day that has not come yet (UTC)",
            todo="the report is about what happened; `failover residency check` is about now",
        )
    return Period(first.date(), last.date())


def read_sources(
    store: Store, paths: GroupPaths, logged: tuple[HistoryHead, ...], configuration_sha256: str
) -> Sources:
    """History and ledger as they stood at one moment. UserError where the group does not exist;
    StoreUnavailable where they are written again and again."""
    from failover.coordination.residency import ledger_seen
    from failover.coordination.store import StoreUnavailable
    from failover.residency.report.document import Sources

    for _ in range(READ_TRIES):
        ledger = store.read(paths.residency)
        entries, head = read_whole(store, paths)
        if store.read(paths.residency) == ledger:
            return Sources(entries, head, logged, ledger_seen(ledger), configuration_sha256)
    raise StoreUnavailable(f"{paths.residency} changed while it was read, {READ_TRIES} times")


def rendered(found: Report, language: str, form: str) -> str:
    """The text of the file. UserError where this host has no tables of time zones."""
    import json
    from zoneinfo import ZoneInfoNotFoundError

    from failover.render.residency_report import document, html, markdown
    from failover.residency.report.pages import pages
    from failover.residency.report.texts import Language

    wanted = Language(language)
    try:
        if form == "json":
            return json.dumps(document(found, wanted), indent=2, ensure_ascii=False) + "\n"
        return (markdown if form == "md" else html)(pages(found, wanted))
    except ZoneInfoNotFoundError as error:
        raise UserError(
            f"this host knows no time zones: {error}", todo="install the package tzdata"
        ) from None
