"""``failover lab workload``: customers for the lab, started and judged from this machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import Number, known_site, output_option
from failover.cli.output import UserError, print_json
from failover.clock import boottime_s
from failover.lab.errors import LabError
from failover.lab.lab import Lab
from failover.lab.workload.attempt import Attempt, Outcome, RecordReader
from failover.lab.workload.checker import Report, judge
from failover.lab.workload.control import CLIENT_HOSTS, Team, Workload, WorkloadError
from failover.model import SiteName

SCHEMA = 1
RUN = "workload"
RECENT_S = 5.0


@click.group()
def command() -> None:
    """A small marketplace in the lab: customers in both sites, money that must add up."""


@command.command()
@click.option("--site", "sites", multiple=True, help="Where the customers are. Default: both.")
@click.option(
    "--via", default="proxy", show_default=True, help="proxy, direct or direct:HOST (no HAProxy)."
)
@click.option(
    "--clients", default=4, show_default=True, type=click.IntRange(1, 200), help="At each site."
)
@click.option(
    "--rate",
    default=50.0,
    show_default=True,
    type=Number(min=0, min_open=True),
    help="Transactions a second per site.",
)
def start(sites: tuple[str, ...], via: str, clients: int, rate: float) -> None:
    """Start customers in the background. They stay until `stop`."""
    lab = _lab()
    chosen = [known_site(lab.policy, name) for name in sites] or list(CLIENT_HOSTS)
    workload = Workload(lab, RUN)
    teams = [Team(site, via, clients, rate) for site in chosen]
    running = set(workload.teams()) & {team.name for team in teams}
    if running:
        raise UserError(
            f"customers are there already: {', '.join(sorted(running))}",
            todo="`failover lab workload stop` first, or choose another --site or --via",
        )
    try:
        workload.setup(teams[0].site)
        for team in teams:
            workload.start(team)
        workload.wait_until_served(teams, acks=1)
    except WorkloadError as error:
        raise UserError(
            str(error), todo="`failover status` says whether the database is there"
        ) from None
    for team in teams:
        click.echo(f"{team.name}: {team.clients} customers, {team.rate:g} transactions/s")
    click.echo(f"records: {workload.records}")


@command.command()
def stop() -> None:
    """Stop all customers of the lab, those of a bench or demo included."""
    lab = _lab()
    runs = sorted({path.parent.name for path in (lab.directory / "records").glob("*/*.pid")})
    for run in runs:
        workload = Workload(lab, run)
        for team in workload.teams():
            click.echo(f"stopping {team}")
        workload.stop()
    if not runs:
        click.echo("no customers are there")


@command.command()
@output_option
def status(output: str) -> None:
    """Who is buying, and what they are being told."""
    lab = _lab()
    rows = []
    for path in sorted((lab.directory / "records").glob("*/*.pid")):
        attempts = list(RecordReader(path.with_suffix(".jsonl")).new_attempts())
        rows.append(_team_status(path, attempts))
    if output == "json":
        print_json({"schema": SCHEMA, "teams": rows})
        return
    for row in rows:
        click.echo(_status_line(row))
    if not rows:
        click.echo("no customers are there")


def _team_status(pid_file: Path, attempts: Sequence[Attempt]) -> dict[str, Any]:
    now_s = boottime_s()
    recent = [one for one in attempts if one.ended_s > now_s - RECENT_S]
    acks = [one for one in attempts if one.outcome is Outcome.ACKED]
    recent_acks = sum(one.outcome is Outcome.ACKED for one in recent)
    return {
        "run": pid_file.parent.name,
        "team": pid_file.stem,
        "acked_per_s": round(recent_acks / RECENT_S, 1),
        "last_ack_s_ago": round(now_s - acks[-1].ended_s, 3) if acks else None,
        "served_by": acks[-1].server_site if acks else None,
        "outcomes": dict(Counter(one.outcome.value for one in attempts)),
        "last_trouble": next((one.detail for one in reversed(recent) if one.detail), ""),
    }


def _status_line(row: dict[str, Any]) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in row["outcomes"].items())
    ago = row["last_ack_s_ago"]
    told = "nothing acknowledged yet" if ago is None else f"last acknowledgement {ago:.1f} s ago"
    line = (
        f"{row['run']}/{row['team']}: {row['acked_per_s']:g}/s from {row['served_by'] or 'nobody'}"
        f", {told} ({outcomes or 'no attempts'})"
    )
    return f"{line}\n    {row['last_trouble']}" if row["last_trouble"] else line


@command.command()
@click.option("--run", "run_name", default=RUN, show_default=True, help="Whose records to judge.")
@click.option("--site", help="Through whose HAProxy the database is read. Default: any.")
@output_option
def check(run_name: str, site: str | None, output: str) -> None:
    """Compare every acknowledgement with the database; see that the money adds up.

    Exit code 1 when an acknowledged transaction is missing or the money does not add up.
    """
    lab = _lab()
    workload = Workload(lab, run_name)
    sites = [known_site(lab.policy, site)] if site else list(CLIENT_HOSTS)
    if not workload.records.is_dir():
        raise UserError(f"no records of a run {run_name!r}", where=str(workload.records.parent))
    report = _report(workload, sites)
    if output == "json":
        print_json(report_document(report))
    else:
        click.echo(report_text(report))
    if report.lost or report.problems:
        raise SystemExit(ExitCode.FINDINGS)


def _report(workload: Workload, sites: Sequence[SiteName]) -> Report:
    """Through the first site whose proxy answers. The database is read before the records."""
    problem = ""
    for site in sites:
        try:
            survivors = workload.export(site)
        except WorkloadError as error:
            problem = str(error)
            continue
        time.sleep(0.1)  # what ended before the reading is in the records by now
        return judge(workload.attempts(), survivors)
    raise UserError(f"no database to read: {problem}", todo="`failover status`")


def report_document(report: Report) -> dict[str, Any]:
    """The report as JSON; of a lost transaction all that is known of it."""
    lost = [
        {"id": one.id, "kind": one.kind, "client": one.client, "acked_boottime_s": one.ended_s}
        for one in report.lost
    ]
    return {
        "schema": SCHEMA,
        **asdict(report),
        "lost": lost,
        "indeterminate_missing": report.indeterminate_missing,
        "money_adds_up": report.money_adds_up,
    }


def report_text(report: Report, *, lost_most: int = 10) -> str:
    """The report for a human."""
    lines = [
        f"{report.attempts} attempts: {report.acked} acknowledged, {report.failed} failed, "
        f"{report.indeterminate} indeterminate ({report.indeterminate_found} of them there)",
        f"acknowledged and lost: {len(report.lost)}",
        *(f"    {one.id} {one.kind} of {one.client}" for one in report.lost[:lost_most]),
    ]
    if len(report.lost) > lost_most:
        lines.append(f"    and {len(report.lost) - lost_most} more (-o json lists them)")
    lines.append("the money adds up" if report.money_adds_up else "THE MONEY DOES NOT ADD UP")
    lines += [f"    {problem}" for problem in report.problems]
    return "\n".join(lines)


def _lab() -> Lab:
    """The lab that is up. UserError when there is none."""
    try:
        return Lab.attach()
    except LabError as error:
        raise UserError(str(error), todo=error.todo) from None
