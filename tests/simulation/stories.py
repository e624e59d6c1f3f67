"""The usual beginnings and ends of a story in the simulated world, for the tests."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from failover.model import ProtectionMode
from failover.simulation.controller import Stack
from failover.simulation.policies import JAKARTA, policy
from failover.simulation.schedule import unwell
from failover.simulation.world import World

__all__ = ["JAKARTA", "healthy_world", "last_ack_s", "primary", "until_well", "unwell"]


def seeds(quick: int, all_of_them: int) -> list[Any]:
    """Seeds to run a story with: the first few in ``make check``, the others in ``make test``."""
    slow = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(quick, all_of_them))
    return [*range(quick), *slow]


def healthy_world(
    seed: int = 1, *, clusters: int = 1, cooldown_s: float = 3600.0, log: bool = True
) -> World:
    """A group that has just become well in Jakarta."""
    world = World(seed, policy(clusters=clusters, cooldown_s=cooldown_s), log=log)
    world.run(5.0)
    assert unwell(world) == ""
    return world


def synchronous_world(
    seed: int = 1, protection: ProtectionMode = ProtectionMode.MAX_AVAILABILITY
) -> World:
    """A group that has just come into sync in Jakarta."""
    world = World(seed, policy(protection=protection), log=True)
    until_well(world)
    assert world.state.in_sync
    return world


def primary(world: World, cluster: str = "marketplace") -> Stack:
    """The one host that clients are sent to."""
    (stack,) = world.writable(cluster)
    return stack


def until_well(world: World, limit_s: float = 60.0) -> float:
    """Run until everything is well; how long it took."""
    began_s = world.kernel.now
    while problem := unwell(world):
        assert world.kernel.now - began_s < limit_s, (
            problem + "\n" + "\n".join(world.kernel.log or [])
        )
        world.run(0.5)
    return world.kernel.now - began_s


def last_ack_s(world: World, site: str, cluster: str = "marketplace") -> float:
    """When a client was last told at that site that its write is committed."""
    return max(ack.at_s for ack in world.acknowledgements(cluster) if ack.site == site)


def longest_pause_s(world: World, since_s: float, cluster: str = "marketplace") -> float:
    """The longest time without an acknowledgement, up to now."""
    times = [ack.at_s for ack in world.acknowledgements(cluster) if ack.at_s >= since_s]
    ends = [since_s, *times, world.kernel.now]
    return max(later - earlier for earlier, later in pairwise(ends))
