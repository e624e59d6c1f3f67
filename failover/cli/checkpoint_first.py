"""Before a planned move: a checkpoint of the primaries that will have to stop, and its words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from failover.cli.moves import refuse
from failover.cli.units import duration

if TYPE_CHECKING:
    from failover.model import SiteName
    from failover.policy import Policy
    from failover.sites.checkpoint import Checkpointed


def checkpoint_first(
    policy: Policy, from_site: SiteName, password_file: Path, say: Callable[[str], None]
) -> None:
    """Every cluster's primary in ``from_site``. UserError where one is not ready to be stopped; who
    cannot be asked is said, and costs no more than a longer pause."""
    from failover.sites.checkpoint import checkpoint_primaries

    hosts = [host for cluster in policy.clusters for host in cluster.at(from_site)]

    def waiting(so_far_s: float) -> None:
        say(f"a checkpoint first: under way for {duration(so_far_s)}; customers are served")

    answers = asyncio.run(checkpoint_primaries(hosts, password_file, waiting))
    late = [one for one in answers if one.unfinished]
    if late:
        refuse(
            "no planned move",
            [
                f"{one.host} had not finished a checkpoint ({one.trouble}): it could not stop "
                "before the move's limit. See to its disks; `failover takeover` is for a site that "
                "is lost, `--no-checkpoint` moves all the same"
                for one in late
            ],
        )
    for cluster in policy.clusters:
        say(words(str(cluster.name), [one for one in answers if one.cluster == cluster.name]))


def words(cluster: str, answers: list[Checkpointed]) -> str:
    """One line of one cluster."""
    for one in answers:
        if one.took_s and not one.trouble:
            times = " and ".join(duration(took_s) for took_s in one.took_s)
            return f"a checkpoint first: {one.host} wrote out what was dirty, in {times}"
    why = "; ".join(f"{one.host}: {one.trouble}" for one in answers if one.trouble)
    return (
        f"no checkpoint first: {why or f'no primary of {cluster} answered'}. Its stop writes out "
        "what is dirty, and the pause is as much longer"
    )
