"""``failover status``: sites, hosts, roles, lag, lease and verdict, as a tree or as JSON.

Reads only. The tree is ``snapshot.status_tree``; this module only fetches and prints it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from failover.cli.exit_codes import ExitCode
from failover.cli.options import (
    config_option,
    known_cluster,
    known_site,
    load_policy,
    output_option,
)
from failover.cli.output import console, print_json, watch

if TYPE_CHECKING:
    from failover.cli.look import Seen
    from failover.cli.snapshot import Snapshot
    from failover.model import ClusterName, SiteName

STATUS_SCHEMA = 1


@click.command("status")
@click.option("--site", help="Only this site's part of the tree.")
@click.option("--cluster", help="Only this cluster's part of the tree.")
@click.option(
    "--watch", "watching", is_flag=True, help="Keep looking, once a second, until Ctrl-C."
)
@output_option
@config_option
def command(site: str | None, cluster: str | None, watching: bool, output: str) -> None:
    """Sites, hosts, roles, timeline, lag, lease and verdict.

    Exit code 0 only where the verdict is "healthy"; 1 for any other, 3 without an answer of the
    ensemble, 4 without a usable state. With --watch and -o json: one document per line.
    """
    from failover.cli.look import observing
    from failover.cli.tree import as_rich

    policy = load_policy()
    part = Part(
        known_site(policy, site) if site else None,
        known_cluster(policy, cluster) if cluster else None,
    )
    with observing(policy) as observer:
        if watching:
            shown = map(part.of, observer.forever())
            watch(shown, title="failover status", output=output, as_json=as_json, as_rich=as_rich)
        seen = observer.settle()
    snapshot = part.of(seen)
    if output == "json":
        print_json(as_json(snapshot))
    else:
        console().print(as_rich(snapshot))
    click.get_current_context().exit(exit_code(seen, snapshot))


class Part:
    """What of the tree was asked for."""

    def __init__(self, site: SiteName | None, cluster: ClusterName | None) -> None:
        self._site, self._cluster = site, cluster

    def of(self, seen: Seen) -> Snapshot:
        from failover.cli.snapshot import only, status_tree

        return only(status_tree(seen.view, seen.verdict), self._site, self._cluster)


def exit_code(seen: Seen, snapshot: Snapshot) -> ExitCode:
    """By the whole group, whatever part of the tree was asked for."""
    if seen.unusable is not None:
        return seen.unusable
    return ExitCode.OK if snapshot.healthy else ExitCode.FINDINGS


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """The documented shape (docs/cli.md)."""
    return {"schema": STATUS_SCHEMA, "healthy": snapshot.healthy, **asdict(snapshot)}
