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


TELL_EVERY_S = 10.0
CAUGHT_UP_S = 30.0  # for the other site, behind the whole pages that come after it


def checkpoint_first(
    policy: Policy,
    from_site: SiteName,
    password_file: Path,
    say: Callable[[str], None],
    stop_asked: Callable[[], bool] = lambda: False,
) -> None:
    """Every cluster's primary in ``from_site``. UserError where one is not ready to be stopped, or
    it was asked to stop; who cannot be asked is said, and costs no more than a longer pause."""
    from failover.sites.checkpoint import checkpoint_primaries

    hosts = [host for cluster in policy.clusters for host in cluster.at(from_site)]
    told_s = 0.0

    def waiting(so_far_s: float) -> None:
        nonlocal told_s
        _unless(stop_asked)
        if so_far_s - told_s >= TELL_EVERY_S:
            told_s = so_far_s
            say(f"a checkpoint first: under way for {duration(so_far_s)}")

    answers = asyncio.run(checkpoint_primaries(hosts, password_file, waiting))
    _unless(stop_asked)
    late = [one for one in answers if one.unfinished]
    if late:
        refuse(
            "no planned move",
            [
                f"{one.host} had not finished a checkpoint ({one.trouble}): it would hardly stop "
                "within the move's limit. See to its disks; `failover takeover` is for a site that "
                "is lost, `--no-checkpoint` moves all the same"
                for one in late
            ],
        )
    for cluster in policy.clusters:
        say(words(str(cluster.name), [one for one in answers if one.cluster == cluster.name]))


def _unless(stop_asked: Callable[[], bool]) -> None:
    if stop_asked():
        refuse("no planned move", ["told to stop before it had begun"])


def words(cluster: str, answers: list[Checkpointed]) -> str:
    """One line of one cluster."""
    for one in answers:
        if one.took_s:
            times = " and ".join(duration(took_s) for took_s in one.took_s)
            more = f"; not again: {one.trouble}" if one.trouble else ""
            return f"a checkpoint first: {one.host} wrote out what was dirty, in {times}{more}"
    why = "; ".join(f"{one.host}: {one.trouble}" for one in answers if one.trouble)
    return (
        f"no checkpoint first: {why or f'no primary of {cluster} answered'}. Its stop writes out "
        "what is dirty, and the pause is as much longer"
    )
