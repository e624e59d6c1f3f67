"""``failover status``: sites, hosts, roles, lag, lease and verdict, as a tree or as JSON.

Reads only. The tree is ``snapshot.status_tree``; this module only fetches and prints it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from failover.cli.check import observer_password_option
from failover.cli.exit_codes import ExitCode
from failover.cli.options import (
    config_option,
    known_cluster,
    known_site,
    load_policy,
    output_option,
)
from failover.cli.output import UserError, console, print_json, watch

if TYPE_CHECKING:
    from failover.cli.look import Reader, Seen
    from failover.cli.ready import Readiness
    from failover.cli.snapshot import Snapshot
    from failover.model import ClusterName, SiteName
    from failover.policy import Policy

STATUS_SCHEMA = 1


@click.command("status")
@click.option("--site", help="Only this site's part of the tree.")
@click.option("--cluster", help="Only this cluster's part of the tree.")
@click.option(
    "--watch", "watching", is_flag=True, help="Keep looking, once a second, until Ctrl-C."
)
@click.option(
    "--ready",
    "asking",
    is_flag=True,
    help="Also whether a check of `failover check` fails or is unknown; takes some ten seconds.",
)
@observer_password_option
@output_option
@config_option
def command(
    site: str | None,
    cluster: str | None,
    watching: bool,
    asking: bool,
    observer_password_file: Path,
    output: str,
) -> None:
    """Sites, hosts, roles, timeline, lag, lease and verdict.

    Exit code 0 only where the verdict is "healthy" and, with --ready, no check fails or is unknown;
    1 for any other, 3 without an answer of the ensemble, 4 without a usable state. With --watch and
    -o json: one document per line.
    """
    from failover.cli.look import allowed, observing
    from failover.cli.tree import as_rich

    if watching and asking:
        raise UserError("--watch and --ready do not go together", todo="leave one of them out")
    policy = load_policy()
    part = Part(
        known_site(policy, site) if site else None,
        known_cluster(policy, cluster) if cluster else None,
    )
    with observing(policy) as reader:
        if watching:
            shown = map(part.of, map(allowed, reader.forever()))
            watch(shown, title="failover status", output=output, as_json=as_json, as_rich=as_rich)
        seen = allowed(reader.settle())
        ready = _readiness(policy, reader, observer_password_file) if asking else None
    snapshot = part.of(seen)
    if output == "json":
        print_json(as_json(snapshot, ready))
    else:
        console().print(as_rich(snapshot))
        _print_ready(ready)
    click.get_current_context().exit(exit_code(seen, snapshot, ready))


def _readiness(policy: Policy, reader: Reader, observer_password_file: Path) -> Readiness:
    from failover.checks.table import run
    from failover.cli.check import everything
    from failover.cli.ready import Readiness

    return Readiness.of(run(everything(policy, reader.store, observer_password_file)))


def _print_ready(ready: Readiness | None) -> None:
    from failover.cli.ready import as_rich

    if ready is not None:
        console().print(as_rich(ready))


class Part:
    """What of the tree was asked for."""

    def __init__(self, site: SiteName | None, cluster: ClusterName | None) -> None:
        self._site, self._cluster = site, cluster

    def of(self, seen: Seen) -> Snapshot:
        from failover.cli.snapshot import only, status_tree

        return only(status_tree(seen.view, seen.verdict), self._site, self._cluster)


def exit_code(seen: Seen, snapshot: Snapshot, ready: Readiness | None = None) -> ExitCode:
    """By the whole group, whatever part of the tree was asked for."""
    if seen.unusable is not None:
        return seen.unusable
    well = snapshot.healthy and (ready is None or ready.ready)
    return ExitCode.OK if well else ExitCode.FINDINGS


def as_json(snapshot: Snapshot, ready: Readiness | None = None) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    readiness = None if ready is None else asdict(ready)
    document = {"schema": STATUS_SCHEMA, "healthy": snapshot.healthy, **asdict(snapshot)}
    return {**document, "readiness": readiness}
