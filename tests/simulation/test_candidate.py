"""Patroni is told whom to promote: what that must not cost, played in the simulated world.

The invariants are in simulation/sync_checker.py and asserted at every step of each of these.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover.model import ClusterName, ProtectionMode
from failover.planning.plan import StepName
from failover.simulation.controller import Stack
from failover.simulation.world import World
from failover.state import decode_state, encode_state
from tests.simulation.stories import primary, synchronous_world, until_well

CLUSTER = ClusterName("marketplace")


def alone_and_its_replica_only_caught_up(world: World) -> tuple[Stack, Stack]:
    """The primary alone is on record; the replica beside it has everything, and nobody says so."""
    world.network.isolate("makassar")
    first = primary(world)
    (second,) = (stack for stack in world.at("jakarta") if stack is not first)
    world.run(6.0)
    second.server.stall_fsync()
    while second.host.name in world.state.clusters[CLUSTER].have:
        world.run(0.2)
    second.server.end_stall()
    world.run(1.0)
    assert second.server.lsn > first.server.lsn - 2000
    assert world.state.clusters[CLUSTER].have == ()
    return first, second


def test_a_last_writer_gets_back_what_it_lost_from_the_refused_replica() -> None:
    """It is behind on its own timeline, so it is not named: that would lose what was acknowledged.
    The replica takes Patroni's key, is refused, and meanwhile the last writer streams from it."""
    world = synchronous_world(5)
    first, second = alone_and_its_replica_only_caught_up(world)
    world.power_off(first.host.name)
    first.server.lsn -= 20_000
    world.run(25.0)  # Patroni's key is gone: it is not started in place
    assert second.server.lsn > first.server.lsn
    world.power_on(first.host.name)
    world.run(20.0)
    assert primary(world) is first
    assert not world.coverage.steps[StepName.NAME_CANDIDATE]
    world.close()


def left_behind_on_an_older_branch(world: World) -> tuple[Stack, Stack]:
    """Both come back: the last writer, and a replica with more WAL on the branch before."""
    first, second = alone_and_its_replica_only_caught_up(world)
    world.power_off(second.host.name)
    second.server.lsn += 10_000_000  # that nobody acknowledged, or needs
    world.power_off(first.host.name)
    world.run(25.0)
    world.power_on(first.host.name)
    world.run(15.0)
    assert primary(world) is first
    assert first.server.branch is not second.server.branch
    world.power_off(first.host.name)
    world.run(25.0)
    assert second.server.lsn > first.server.lsn
    return first, second


def test_a_last_writer_is_named_before_a_longer_older_branch() -> None:
    world = synchronous_world(5)
    first, second = left_behind_on_an_older_branch(world)
    world.power_on(second.host.name)
    world.power_on(first.host.name)
    world.run(30.0)
    assert primary(world) is first
    assert world.coverage.steps[StepName.NAME_CANDIDATE]
    world.heal()
    until_well(world, 120.0)
    world.close()


def test_a_name_is_withdrawn_when_its_server_does_not_come_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the way out in docs/operations/protection-degraded.md would lead nowhere."""
    world = synchronous_world(5)
    first, second = left_behind_on_an_older_branch(world)
    world.power_on(second.host.name)
    world.power_on(first.host.name)
    while not world.coverage.steps[StepName.NAME_CANDIDATE]:
        world.run(0.01)
    monkeypatch.setattr(first.server, "start", lambda *, standby: False)
    first.server.kill()
    world.run(15.0)
    assert first.patroni.answers
    assert not world.writable(CLUSTER)
    world.operator_patches(world.paths.state, weakest)
    world.run(25.0)  # Patroni bars a refused host for 20 s
    assert primary(world) is second
    world.close()


def weakest(state: bytes) -> bytes:
    """``failover protection max-performance --accept-data-loss``."""
    before = decode_state(state)
    return encode_state(replace(before, protection=ProtectionMode.MAX_PERFORMANCE))
