"""``failover reseed HOST``: a new copy of the cluster for a host that can no longer stream.

It deletes that host's data directory. So: every gate first, then what it costs, then the host's
name typed by a human (or ``--yes``), then the gates again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.moves import gate_lines, refuse, typed, usable
from failover.cli.options import OneLine, config_option, known_host, load_policy, output_option
from failover.cli.output import UserError, print_json
from failover.cli.settings import operator
from failover.cli.units import duration, size
from failover.endpoints import endpoint

if TYPE_CHECKING:
    from failover.cli.look import Reader, Seen
    from failover.coordination.store import Store
    from failover.model import HostName
    from failover.planning.reseed import Reseed
    from failover.policy import DatabaseHost, Policy
    from failover.state import HistoryEntry

RESEED_SCHEMA = 1
SECRETS = Path("/etc/failover/secrets")
MIB = 1024 * 1024
ASSUMED_BYTES_PER_S = 64 * MIB  # about half of a 1 Gbit/s line
MEASURED_BYTES_MIN = 1024 * MIB  # what is smaller says more about starting than about copying
START_S = 5.0  # to stop, to make a checkpoint, to start: what an empty cluster takes in the lab
FOLLOW_S_MIN = 300.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a reseed costs. ``rate_from``: where the rate is known from."""

    size_bytes: int
    bytes_per_s: float
    rate_from: str
    predicted_s: float


@click.command("reseed")
@click.argument("host")
@click.option(
    "--reason", type=OneLine(), metavar="TEXT", default="", help="Why; it goes into the history."
)
@click.option(
    "--rate",
    metavar="SIZE",
    help="What the line carries per second, as 40MiB. Default: as measured by the last reseed of "
    f"1 GiB or more, else {ASSUMED_BYTES_PER_S // MIB} MiB are assumed.",
)
@click.option("--yes", is_flag=True, help="Do not ask for the host's name.")
@click.option("--dry-run", is_flag=True, help="Gates, size and duration only; change nothing.")
@click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    default=SECRETS,
    show_default=True,
    help="Directory with observer.password and patroni-rest.password.",
)
@output_option
@config_option
def command(
    host: str,
    reason: str,
    rate: str | None,
    yes: bool,
    dry_run: bool,
    secrets: Path,
    output: str,
) -> None:
    """Give HOST a new copy of its cluster: its data directory is DELETED and copied anew.

    For a standby that cannot stream because the WAL it needs is gone. To be run on a controller's
    host. Follows until the host streams and, where the copy came across, until who led before is
    back as a replica; Ctrl-C ends the following, not the copying.

    Exit codes: 0 it streams; 1 it did not within the time; 5 refused, with all reasons.
    """
    from failover.cli.look import Reader
    from failover.coordination.connect import open_store

    policy = load_policy()
    name = known_host(policy, host)
    said_bytes_per_s = _rate(rate)
    if not dry_run and not reason.strip():
        raise UserError("a reseed goes on record with its reason", todo="say it with --reason TEXT")
    with open_store(policy) as store:
        reader = Reader(policy, store)
        seen, reseed = _judged(policy, reader, name)
        forecast = _forecast(policy, store, seen, reseed, said_bytes_per_s, secrets)
        if output == "text":
            _tell(reseed, forecast)
        if dry_run:
            if output == "json":
                _print(reseed, forecast, "predicted", None)
            return
        password = _secret(secrets / "patroni-rest.password")
        if not yes:
            _ask(name)
        seen, again = _judged(policy, reader, name)
        _compare(reseed, again)
        _carry_out(policy, store, seen, again, forecast, reason, password, output)


def _carry_out(
    policy: Policy,
    store: Store,
    seen: Seen,
    reseed: Reseed,
    forecast: Forecast,
    reason: str,
    password: str,
    output: str,
) -> None:
    from failover.cli.reseeding import Order, Reseeding

    state, version = seen.view.state, seen.view.state_version
    assert state is not None
    assert version is not None
    order = Order(
        by=operator(),
        reason=reason.strip(),
        epoch=state.epoch,
        state_version=version,
        size_bytes=forecast.size_bytes,
        predicted_s=forecast.predicted_s,
    )
    work = Reseeding(policy, store, reseed, order, password)
    work.start()
    limit_s = max(FOLLOW_S_MIN, 3 * forecast.predicted_s)

    def say(line: str) -> None:
        click.echo(line, err=output == "json")

    try:
        took_s = work.follow(limit_s, say)
    except KeyboardInterrupt:
        click.echo(_goes_on(policy, reseed), err=True)
        raise
    if took_s is not None and reseed.across:
        work.await_former_leader(say)
    if output == "json":
        _print(reseed, forecast, "streams" if took_s is not None else "not_yet", took_s)
    elif took_s is not None:
        click.echo(f"{reseed.host.name} streams after {duration(took_s)}")
    if took_s is None:
        raise UserError(
            f"{reseed.host.name} does not stream after {duration(limit_s)}",
            todo=_goes_on(policy, reseed),
            code=ExitCode.FINDINGS,
        )


def _judged(policy: Policy, reader: Reader, name: HostName) -> tuple[Seen, Reseed]:
    """A fresh look, and what is to be done. UserError with every gate that does not pass."""
    from failover.coordination.site_past import read_past
    from failover.planning.reseed import judge_reseed
    from failover.znode import GroupPaths

    seen = usable(reader.settle())
    assert seen.view.state is not None
    past = read_past(reader.store, GroupPaths(policy.group), seen.view.state, policy.host(name))
    judged = judge_reseed(seen.view, name, past)
    if judged.reseed is None:
        _refuse(name, gate_lines(judged.blocking))
    return seen, judged.reseed


def _compare(before: Reseed, now: Reseed) -> None:
    """What was shown to the human is what is done. A host that replays may have more WAL yet."""
    if (before.source, before.leader, before.across) != (now.source, now.leader, now.across):
        _refuse(now.host.name, ["meanwhile another host leads: look again"])
    if None not in (before.host_end, now.host_end) and before.host_end != now.host_end:
        _refuse(now.host.name, [f"it still replays WAL ({before.host_end}, then {now.host_end})"])


def _refuse(name: HostName, reasons: list[str]) -> NoReturn:
    refuse(f"{name} is not reseeded", reasons, page="docs/operations/reinstate.md")


# --------------------------------------------------------------------------- what it costs


def _forecast(
    policy: Policy,
    store: Store,
    seen: Seen,
    reseed: Reseed,
    said_bytes_per_s: int | None,
    secrets: Path,
) -> Forecast:
    size_bytes = _size(seen, reseed, secrets / "observer.password")
    bytes_per_s: float = ASSUMED_BYTES_PER_S
    rate_from = "assumed, nothing was measured yet; say it with --rate"
    if said_bytes_per_s is not None:
        bytes_per_s, rate_from = said_bytes_per_s, "as said with --rate"
    else:
        from failover.cli.history import read_history
        from failover.znode import GroupPaths

        rows = read_history(store, GroupPaths(policy.group), limit=500)
        measured = last_measured(row.entry for row in rows if row.entry is not None)
        if measured is not None:
            bytes_per_s, rate_from = measured
    return Forecast(size_bytes, bytes_per_s, rate_from, START_S + size_bytes / bytes_per_s)


def last_measured(entries: Iterable[HistoryEntry]) -> tuple[float, str] | None:
    """The rate of the newest reseed that was large enough to tell (entries oldest first)."""
    found = None
    for entry in entries:
        size_text, took_text = entry.details.get("size_bytes", ""), entry.details.get("took_s", "")
        try:
            size_bytes, took_s = int(size_text), float(took_text)
        except ValueError:
            continue
        if not (size_bytes < 2**63 and math.isfinite(took_s)):
            continue
        if entry.event == "reseeded" and size_bytes >= MEASURED_BYTES_MIN and took_s > START_S:
            host = entry.details.get("host", "?")
            found = (size_bytes / (took_s - START_S), f"measured when {host} was reseeded")
    return found


def _size(seen: Seen, reseed: Reseed, password_file: Path) -> int:
    from failover.health.observation import NoAnswer
    from failover.sites.observer_connection import PasswordUnread
    from failover.sites.postgres import ask_size

    primary = seen.view.cluster(reseed.cluster).primary
    assert primary is not None, "a gate of every reseed"
    try:
        answer = asyncio.run(ask_size(primary.host, password_file))
    except PasswordUnread as error:
        raise _no_password(str(error), password_file) from None
    if isinstance(answer, NoAnswer):
        raise UserError(
            f"the size of the cluster is not known: {answer.detail}",
            where=_place(primary.host),
            todo="run this on a controller's host: the database lets failover_observer in from "
            "there only",
            code=ExitCode.REFUSED,
        )
    return answer


def _place(host: DatabaseHost) -> str:
    return f"{host.name} ({endpoint(host.address, host.postgres_port)})"


def _rate(text: str | None) -> int | None:
    if text is None:
        return None
    from failover.config.units import Wrong, size_bytes

    try:
        found = size_bytes(text.removesuffix("/s"))
    except Wrong as wrong:
        raise UserError(f"--rate: {wrong}", todo="for example --rate 40MiB") from None
    if found <= 0:
        raise UserError("--rate: nothing per second never ends", todo="for example --rate 40MiB")
    return found


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise _no_password(getattr(error, "strerror", None) or "not text in UTF-8", path) from None


def _no_password(why: str, path: Path) -> UserError:
    return UserError(
        f"a password is needed: {why}",
        where=str(path),
        todo="run this on a controller's host, or name the directory with --secrets",
    )


# --------------------------------------------------------------------------- words


def _tell(reseed: Reseed, forecast: Forecast) -> None:
    host, source = reseed.host, reseed.source
    click.echo(
        f"{host.name} ({host.site}) is copied anew from {source.name} ({source.site}); "
        "its data directory is deleted first"
    )
    if reseed.across:
        click.echo(
            f"  {reseed.leader.name}, which leads {reseed.scope}, does not stream either: "
            f"the copy comes from the active site, and {host.name} leads then"
        )
    click.echo(f"  size      {size(forecast.size_bytes)} (databases; WAL comes on top)")
    click.echo(f"  duration  about {duration(forecast.predicted_s)}")
    click.echo(f"  rate      {size(int(forecast.bytes_per_s))}/s ({forecast.rate_from})")


def _ask(name: HostName) -> None:
    if typed(f"Type {name} to delete and copy its data") != name:
        _refuse(name, ["the name was not typed; --yes does not ask"])


def _goes_on(policy: Policy, reseed: Reseed) -> str:
    text = "the copying goes on without this command: `failover status --watch`"
    if reseed.across:
        text += (
            f"; when {reseed.host.name} runs, `patronictl switchover {reseed.scope} "
            f"--leader {reseed.leader.name} --candidate {reseed.host.name}`"
        )
    return text


def _print(reseed: Reseed, forecast: Forecast, outcome: str, took_s: float | None) -> None:
    print_json(
        {
            "schema": RESEED_SCHEMA,
            "host": reseed.host.name,
            "source": reseed.source.name,
            "across": reseed.across,
            **asdict(forecast),
            "outcome": outcome,
            "took_s": None if took_s is None else round(took_s, 1),
        }
    )
