"""Faults that matter where commits wait for standbys; one function each, as in faults.py."""

from __future__ import annotations

from random import Random

from failover.simulation.controller import Stack
from failover.simulation.faults import FAULTS, Fault, Undo
from failover.simulation.world import World

OLDER_BY_BYTES_MAX = 20_000


def restart_standby(world: World, random: Random) -> Undo:
    """A new run of a server at the other site, on the disk that it had."""
    stack = _standby(world, random)
    world.kernel.note(f"FAULT postgres of {stack.host.name} dies")
    stack.server.kill()
    return _nothing


def older_disk(world: World, random: Random) -> Undo:
    """The same on what was there some time ago, or on a copy of a host that had less."""
    stack = _standby(world, random)
    server = stack.server
    older = random.randrange(OLDER_BY_BYTES_MAX)
    world.kernel.note(f"FAULT {server.name} comes back with a disk {older} bytes older")
    server.come_back_older(older)
    return _nothing


def slow_standby(world: World, random: Random) -> Undo:
    """It receives nothing for a while, again and again: its disk stalls."""
    stack = _standby(world, random)
    world.kernel.note(f"FAULT {stack.host.name} stalls")
    stack.server.stall_fsync()
    return stack.server.end_stall


SYNC_FAULTS: dict[Fault, float] = {
    **FAULTS,
    restart_standby: 3.0,
    older_disk: 3.0,
    slow_standby: 3.0,
}


def _standby(world: World, random: Random) -> Stack:
    """Any host of the other site."""
    other = world.policy.other_data_site(world.state.active_site).name
    return random.choice(list(world.at(other)))


def _nothing() -> None:
    """There is nothing to undo."""
