"""``failover config``: is the file right, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import config_option, config_path, load_policy, output_option
from failover.cli.output import print_json

if TYPE_CHECKING:
    from failover.policy import Policy
    from failover.render import Difference

JSON_SCHEMA = 1


@click.group("config")
def command() -> None:
    """Check failover.yaml; render what follows from it."""


@command.command("check")
@config_option
@output_option
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """List every mistake in failover.yaml at once; exit 2 when there is one.

    The file alone is checked; `failover check` compares it with what really runs.
    """
    if output == "json":
        _check_json(ctx)
        return
    path, policy = config_path(), load_policy(names=True)
    click.echo(f"{path}: in order. {_summary(policy)}")
    click.echo("Checked: the file. Whether the hosts run what follows from it: `failover check`.")


def _check_json(ctx: click.Context) -> None:
    from failover.config import ConfigError, load
    from failover.config.names import resolve

    path = config_path()
    problems: list[dict[str, Any]] = []
    try:
        load(path, resolver=resolve)
    except ConfigError as error:
        problems = [
            {"path": p.path, "message": p.message, "hint": p.hint, "line": p.line}
            for p in error.problems
        ]
    print_json({"schema": JSON_SCHEMA, "file": str(path), "problems": problems})
    ctx.exit(ExitCode.BAD_INPUT if problems else ExitCode.OK)


def _summary(policy: Policy) -> str:
    sites = ", ".join(f"{site.name} ({site.kind})" for site in policy.sites)
    hosts = sum(len(cluster.hosts) for cluster in policy.clusters)
    return (
        f"Group {policy.group}: {sites}; {len(policy.clusters)} cluster(s) on {hosts} database "
        f"hosts, {len(policy.zookeeper_servers)} ZooKeeper servers; lease {policy.lease_s:g} s, "
        f"protection {policy.protection}, automation {policy.automation}."
    )


@command.command("render")
@config_option
@click.option(
    "--to",
    "directory",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Files go to DIR/<site>/<host>/<path on the host>.",
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 on a difference.")
@click.pass_context
def render(ctx: click.Context, directory: Path, only_check: bool) -> None:
    """Write the files of every host: Patroni, ZooKeeper, HAProxy, units.

    With --check, compare with what is there and show the differences.
    """
    from failover.render import compare, write
    from failover.render import render as render_tree

    tree = render_tree(load_policy(names=True))
    if not only_check:
        changed = write(tree, directory)
        for difference in changed:
            click.echo(f"{_verb(difference)}: {directory / difference.path}")
        click.echo(f"{len(tree)} files, {len(changed)} changed.")
        return
    differences = compare(tree, directory)
    for difference in differences:
        click.echo(difference.unified(), nl=False)
    if differences:
        click.echo(f"{len(differences)} of {len(tree)} files differ from failover.yaml.", err=True)
        ctx.exit(ExitCode.FINDINGS)
    click.echo(f"{len(tree)} files, all as rendered.")


def _verb(difference: Difference) -> str:
    if difference.rendered is None:
        return "removed"
    return "written" if difference.on_disk is None else "changed"
