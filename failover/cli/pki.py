"""``failover pki``: certificates for every host, from a private authority in a directory.

Invariant: no key is printed, and none that exists is written over unasked. Nothing is copied to any
host from here: that is the site's own way of bringing secrets to hosts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import Number, config_option, known_name, load_policy, output_option
from failover.cli.output import UserError, console, print_json

if TYPE_CHECKING:
    from failover.pki.directory import Directory
    from failover.pki.report import Row
    from failover.policy import Policy
    from failover.transport import HostNames

PKI_SCHEMA = 1
WARN_DAYS = 30.0

directory_option = click.option(
    "--dir",
    "directory",
    required=True,
    metavar="DIR",
    envvar="FAILOVER_PKI",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the authority is kept, keys included. Or $FAILOVER_PKI.",
)


authority_days_option = click.option(
    "--days",
    default=3650,
    show_default=True,
    type=click.IntRange(1, 36500),
    help="How long the authority is good.",
)
warn_days_option = click.option(
    "--warn-days",
    default=WARN_DAYS,
    show_default=True,
    type=Number(0, 3650),
    help="One that ends within so many days is not in order.",
)


@click.group("pki")
def command() -> None:
    """Certificates for every host, from a private authority in a directory."""


@command.command()
@directory_option
@authority_days_option
@config_option
def init(directory: Path, days: int) -> None:
    """Make the certificate authority; changes nothing where there is one.

    DIR/ca/current.key is all that it takes to be believed by every host: keep DIR on a medium that
    is in no host, and make a copy of it.
    """
    policy, found = _opened(directory)
    with _told():
        made = found.init(policy.group, _now(), days)
    what = "made" if made else "is there already, and was left as it is"
    click.echo(f"the authority of {policy.group} {what}: {directory / 'ca' / 'current.pem'}")


@command.command()
@directory_option
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="How long a new certificate is good.",
)
@click.option("--renew", is_flag=True, help="Also those that have long to run; keys stay.")
@click.option("--new-keys", is_flag=True, help="Make new keys too; the old ones are gone.")
@config_option
def issue(directory: Path, hosts: tuple[str, ...], days: int, renew: bool, new_keys: bool) -> None:
    """A key and a certificate for every host of failover.yaml, or for those that are named.

    Does only what is needed: a host keeps its certificate until a third of its life is left, its
    names change or another authority signs; it keeps its key. Files go to DIR/<site>/<host>/<path
    on the host>; copy them there, host.pem for the user of the service alone (0600).
    """
    policy, found = _opened(directory)
    chosen = _chosen(policy, hosts)
    for names in chosen:
        with _told():
            why = found.issue(names, _now(), days=days, renew=renew, new_keys=new_keys)
        click.echo(f"{names.host}: {f'issued, {why}' if why else 'in order'}")
    click.echo(f"{len(chosen)} hosts: {directory}/<site>/<host>{policy.tls.directory}/")


@command.command()
@directory_option
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@config_option
def request(directory: Path, hosts: tuple[str, ...]) -> None:
    """For an authority that the site has already: a key and a request to sign for every host.

    Keys are made once and stay in DIR/requests; HOST.csr beside them says every name and address,
    and that the certificate is for server and client authentication. Then `failover pki take`.
    """
    from failover.pki.requests import ask

    policy, found = _opened(directory)
    chosen = _chosen(policy, hosts)
    with _told():
        for names in chosen:
            click.echo(f"{names.host}: {ask(found, names)}")
    click.echo("next: have them signed, then `failover pki take --authority FILE CERTIFICATE...`")


@command.command()
@directory_option
@click.option(
    "--authority",
    "authority_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who is to be believed: the root's certificate; several where two are trusted.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@config_option
def take(directory: Path, authority_file: Path, files: tuple[Path, ...]) -> None:
    """What came back: each file has a host's certificate first, then those behind it.

    Whose it is, its key says. Files go to DIR/<site>/<host>/<path on the host>, as with `issue`.
    One that would not do is not taken, with every reason; the others are.

    Exit codes: 0 all were taken; 1 one was not.
    """
    from failover.pki.authority import read_certificates
    from failover.pki.directory import PkiError, read
    from failover.pki.requests import take as take_it
    from failover.pki.requests import whose

    policy, found = _opened(directory)
    everybody, refused = _chosen(policy, ()), False
    with _told():
        authorities = read(authority_file, read_certificates)
    for path in files:
        try:
            chain = read(path, read_certificates)
            names = whose(found, everybody, chain[0])
            if names is None:
                raise PkiError("it is for no key in DIR/requests", todo="`failover pki request`")
            take_it(found, names, chain, authorities, _now())
            click.echo(f"{names.host}: taken, good until {chain[0].not_valid_after_utc:%Y-%m-%d}")
        except OSError as error:
            raise UserError(str(error.strerror), where=str(error.filename)) from None
        except PkiError as error:
            refused = True
            click.echo(f"{path}: not taken: {error}. {error.todo}".rstrip(), err=True)
    if refused:
        raise SystemExit(ExitCode.FINDINGS)


@command.command()
@directory_option
@warn_days_option
@output_option
@config_option
def show(directory: Path, warn_days: float, output: str) -> None:
    """Who has which certificate, by whom, and until when.

    Exit codes: 0 all are in order for --warn-days more; 1 one is not, or is missing.
    """
    from failover.pki.directory import PkiError
    from failover.pki.report import report

    policy, found = _opened(directory)
    try:
        rows = report(found, _chosen(policy, ()), _now(), warn_days)
    except PkiError as error:
        raise _user_error(error) from None
    _show(rows, output)


@command.command("show-file")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@warn_days_option
@output_option
def show_file(files: tuple[Path, ...], warn_days: float, output: str) -> None:
    """The certificates in files, for example /etc/failover/tls/host.pem; needs no failover.yaml.

    Exit codes as those of `show`.
    """
    from failover.pki.directory import PkiError
    from failover.pki.report import of_file

    try:
        rows = [row for path in files for row in of_file(path, _now(), warn_days)]
    except PkiError as error:
        raise _user_error(error) from None
    _show(rows, output)


def _show(rows: list[Row], output: str) -> None:
    sound = all(not row.problem for row in rows)
    if output == "json":
        print_json({"schema": PKI_SCHEMA, "sound": sound, "certificates": [_json(r) for r in rows]})
    else:
        from rich.table import Table

        table = Table(
            "who", "site", "by", "until", "days left", "problem", box=None, pad_edge=False
        )
        for row in rows:
            left = "" if row.days_left is None else f"{row.days_left:.0f}"
            table.add_row(row.who, row.site, row.by, row.until, left, row.problem)
        console().print(table)
    if not sound:
        raise SystemExit(ExitCode.FINDINGS)


def _json(row: Row) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row)


# --------------------------------------------------------------------------- another authority


@command.group("ca")
def authority() -> None:
    """Another authority in the place of the present one, without an outage: next, switch, forget.

    After each of the three: `failover pki issue`, and the new files to every host.
    """


@authority.command("next")
@directory_option
@authority_days_option
@config_option
def ca_next(directory: Path, days: int) -> None:
    """Make the next authority: trusted beside the present one, and signing nothing yet."""
    policy, found = _opened(directory)
    with _told():
        made = found.begin_change(policy.group, _now(), days)
    click.echo(f"the next authority {'made' if made else 'is there already'}; it signs nothing yet")
    click.echo(
        "next: `failover pki issue`, every host's ca.pem to it, then `failover pki ca switch`"
    )


@authority.command("switch")
@directory_option
@config_option
def ca_switch(directory: Path) -> None:
    """The next authority signs from now on; the one before is trusted still, its key deleted."""
    policy, found = _opened(directory)
    with _told(ExitCode.REFUSED):
        found.switch(_chosen(policy, ()))
    click.echo("the next authority signs from now on")
    click.echo(
        "next: `failover pki issue`, every host's files to it, then `failover pki ca forget`"
    )


@authority.command("forget")
@directory_option
@config_option
def ca_forget(directory: Path) -> None:
    """The authority before is not trusted any more. Refused while a host's certificate is by it."""
    policy, found = _opened(directory)
    with _told(ExitCode.REFUSED):
        found.forget(_chosen(policy, ()))
    click.echo("the authority before is forgotten")
    click.echo("next: `failover pki issue`, and every host's ca.pem to it")


# --------------------------------------------------------------------------- pieces


def _opened(path: Path) -> tuple[Policy, Directory]:
    from failover.pki.directory import Directory

    policy = load_policy()
    return policy, Directory(path, policy.tls.directory)


def _chosen(policy: Policy, hosts: tuple[str, ...]) -> list[HostNames]:
    from failover.pki.names import host_names

    everybody = host_names(policy)
    for name in hosts:
        known_name("host", name, (names.host for names in everybody))
    return [names for names in everybody if not hosts or names.host in hosts]


def _now() -> datetime:
    return datetime.now(UTC)


@contextlib.contextmanager
def _told(code: ExitCode = ExitCode.BAD_INPUT) -> Iterator[None]:
    """What the directory cannot do, as a message with its place."""
    from failover.pki.directory import PkiError

    try:
        yield
    except PkiError as error:
        raise _user_error(error, code) from None
    except OSError as error:
        raise UserError(f"{error.strerror}", where=str(error.filename)) from None


def _user_error(error: Any, code: ExitCode = ExitCode.BAD_INPUT) -> UserError:
    return UserError(str(error), where=error.where, todo=error.todo, code=code)
