"""``failover adopt``: a running Patroni pair that this project did not make, from a look to armed.

What is read goes through ``sites/adoption_scan`` and is judged in ``adoption/``; only ``observe``,
``arm`` and ``disarm`` write anything, and that into this group's own znodes alone.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.adopt_arm import arm, disarm, observe
from failover.cli.adopt_options import (
    Pair,
    draft_names,
    pair_options,
    read_pair,
    read_policy,
    snapshot_option,
)
from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, output_option
from failover.cli.output import UserError, print_json

if TYPE_CHECKING:
    from failover.adoption.difference import Difference
    from failover.adoption.facts import Snapshot

ADOPT_SCHEMA = 1


@click.group("adopt")
def command() -> None:
    """Take over a running Patroni primary and standby cluster, without restarting PostgreSQL.

    look, draft and differences read only. observe lets controllers look and decide on paper;
    arm gives the guards the server; disarm takes it away from them again.
    """


@command.command("look")
@pair_options
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was read to a new file; other commands take it with --from.",
)
@output_option
def look(pair: Pair, save: Path | None, output: str) -> None:
    """Read a pair: PRIMARY and STANDBY are the REST interface of any one member of each scope.

    Reads only: GET requests, ZooKeeper's words and, with --login, one read-only session per
    server. Exit code 3 where a scope cannot be read.
    """
    from failover.adoption.facts import encode
    from failover.adoption.text import as_text

    snapshot = read_pair(pair)
    if save is not None:
        _write_new(save, encode(snapshot) + "\n")
    if output == "json":
        print_json(asdict(snapshot))
    else:
        click.echo(as_text(snapshot))


@command.command("draft")
@pair_options
@snapshot_option
@draft_names
def draft(pair: Pair, saved: Path | None, **names: Any) -> None:
    """A failover.yaml for this pair, on stdout; CHANGE marks what nobody could read."""
    from failover.adoption.proposal import proposal
    from failover.cli.adopt_options import names_for

    snapshot = read_pair(pair, saved)
    click.echo(proposal(snapshot, names_for(snapshot, **names)), nl=False)


@command.command("differences")
@pair_options
@snapshot_option
@draft_names
@config_option
@output_option
@click.pass_context
def differences(
    ctx: click.Context, /, pair: Pair, saved: Path | None, output: str, **names: Any
) -> None:
    """What stands between this pair and this design: what is, what is needed, why, and what it
    costs (a reload, Patroni's restart in its pause, a restart of PostgreSQL), with the commands.

    By failover.yaml where --config names one, else by what `adopt draft` would write.

    Exit codes: 0 nothing differs before arming or before automation; 1 something does; 3 a scope
    cannot be read.
    """
    from failover.adoption.difference import Wanted
    from failover.adoption.differences import differences as found_in
    from failover.adoption.needs import When
    from failover.adoption.text import differences_text
    from failover.render.expected import expected

    snapshot = read_pair(pair, saved)
    policy = read_policy(ctx, snapshot, **names)
    wanted = Wanted.of(policy, expected(policy, b""), _cluster(policy, snapshot))
    found = found_in(snapshot, wanted)
    if output == "json":
        print_json(_as_json(snapshot, found))
    else:
        click.echo(differences_text(snapshot, found))
    ctx.exit(
        ExitCode.FINDINGS
        if any(each.when in (When.ARM, When.AUTOMATION) for each in found)
        else ExitCode.OK
    )


def _cluster(policy: Any, snapshot: Snapshot) -> Any:
    """The cluster of failover.yaml that has this scope; the only one there is will do."""
    scope = snapshot.primary.name
    for cluster in policy.clusters:
        if scope in [cluster.scope(site.name) for site in policy.data_sites]:
            return cluster.name
    if len(policy.clusters) == 1:
        return policy.clusters[0].name
    raise UserError(
        f"no cluster of failover.yaml has the scope {scope}",
        todo="name it there: clusters.CLUSTER.scopes",
    )


def _as_json(snapshot: Snapshot, found: tuple[Difference, ...]) -> dict[str, Any]:
    from failover.adoption.differences import commands

    return {
        "schema": ADOPT_SCHEMA,
        "at_unix_s": snapshot.at_unix_s,
        "differences": [asdict(each) for each in found],
        "commands": [
            {"scope": scope.name, "effect": effect.value, "command": line}
            for scope in snapshot.scopes
            for effect, line in commands(scope, found)
        ],
    }


@command.command("sql")
def sql() -> None:
    """Our roles and narrow functions, for the primary of a cluster that has its own already.

    To be run there once, by a superuser, through psql, with FAILOVER_OBSERVER_PASSWORD in its
    environment. It changes no role, setting or privilege of yours, and ends as a whole or not at
    all.
    """
    from failover.render import adopt_sql

    click.echo(adopt_sql(), nl=False)


for each in (observe, arm, disarm):
    command.add_command(each)


def _write_new(path: Path, text: str) -> None:
    """For its owner alone: the dynamic configuration may have commands with secrets in them."""
    import os

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(
            f"cannot be written: {error.strerror}", where=str(path), todo="name a new file"
        ) from None
