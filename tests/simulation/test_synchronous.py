"""The protection modes in the simulated world: degraded on record, back in sync, nothing lost.

The invariants are in simulation/sync_checker.py and asserted at every step of each of these; that
they find what is planted is shown in test_sync_checker.py.
"""

from __future__ import annotations

import pytest

from failover.last_writer import LastWriter, read_last_writer
from failover.model import ClusterName, ProtectionMode
from failover.simulation.schedule import run_schedule
from failover.simulation.world import World
from tests.simulation.stories import (
    JAKARTA,
    last_ack_s,
    longest_pause_s,
    primary,
    seeds,
    synchronous_world,
    until_well,
)
from tests.simulation.test_steps_interrupted import (
    Interruption,
    did_not_happen,
    frozen_after,
    frozen_before,
    happened,
    happened_and_it_dies,
    interrupt,
)
from tests.simulation.test_switchover import nothing_lost

MAKASSAR = "makassar"
STALL_S_MAX = 6.0  # decision 0014
MODES = [ProtectionMode.MAX_AVAILABILITY, ProtectionMode.MAX_PROTECTION]


@pytest.mark.parametrize("seed", seeds(2, 12))
def test_jakarta_is_lost_in_sync_and_nothing_with_it(seed: int) -> None:
    world = synchronous_world(seed)
    lost_s = world.kernel.now
    world.network.isolate(JAKARTA)
    world.run(12.0)
    assert world.state.active_site == MAKASSAR
    assert world.checker.lost == {}
    assert last_ack_s(world, MAKASSAR) > lost_s
    world.network.heal()
    until_well(world, 90.0)
    assert world.state.in_sync
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_the_other_site_vanishes_and_comes_back(seed: int) -> None:
    """Commits stall until it is on record that it misses them; then they go on."""
    world = synchronous_world(seed)
    lost_s = world.kernel.now
    world.network.isolate(MAKASSAR)
    world.run(8.0)
    assert not world.state.in_sync
    assert longest_pause_s(world, lost_s) < STALL_S_MAX
    world.network.heal()
    until_well(world)
    assert world.state.in_sync
    world.close()


def test_max_protection_waits() -> None:
    world = synchronous_world(3, ProtectionMode.MAX_PROTECTION)
    lost_s = world.kernel.now
    world.network.isolate(MAKASSAR)
    world.run(20.0)
    assert last_ack_s(world, JAKARTA) < lost_s + 0.5
    assert world.state.in_sync
    world.network.heal()
    until_well(world)
    assert last_ack_s(world, JAKARTA) > lost_s + 20.0
    world.close()


def test_a_local_failover_loses_nothing_and_neither_does_the_loss_after_it() -> None:
    world = synchronous_world(4)
    world.power_off(primary(world).host.name)
    world.run(20.0)
    assert world.state.in_sync
    world.network.isolate(JAKARTA)
    world.run(12.0)
    assert world.state.active_site == MAKASSAR
    assert world.checker.lost == {}
    world.close()


def leave_and_come_back(world: World) -> None:
    """Out of sync and into it again, with a local failover in between."""
    world.network.isolate(MAKASSAR)
    world.run(9.0)
    world.network.heal()
    world.run(12.0)
    world.power_off(primary(world).host.name)
    world.run(12.0)
    world.heal()
    until_well(world, 90.0)
    assert world.state.in_sync


@pytest.mark.parametrize(
    "interruption",
    [
        happened_and_it_dies,
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (happened, did_not_happen, frozen_before, frozen_after)
        ),
    ],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("event", ["degraded", "sync_listed", "in_sync"])
def test_every_step_is_interrupted(event: str, interruption: Interruption) -> None:
    world = synchronous_world(5)
    whose = interrupt(world, event, interruption)
    leave_and_come_back(world)
    assert whose, event
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize("after_it", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operations", range(1, 25))
def test_the_deciding_controller_dies_at_every_operation(operations: int, after_it: bool) -> None:
    """At its n-th request to ZooKeeper from the beginning of each part on."""
    world = synchronous_world(6)

    def crash() -> None:
        for controller in world.controllers.values():
            if controller.alive and controller.result and controller.result.leading:
                controller.crash_after(operations, after_it=after_it)

    for change in (
        lambda: world.network.isolate(MAKASSAR),
        world.network.heal,
        lambda: world.power_off(primary(world).host.name),
    ):
        change()
        world.run(4.5)  # what is due is decided soon after that
        crash()
        world.run(9.0)
    world.heal()
    until_well(world, 90.0)
    healed_s = world.kernel.now
    while not world.state.in_sync:  # who was dropped twice has to wait (``health/relisting``)
        assert world.kernel.now - healed_s < 90.0, world.state
        world.run(0.5)
    world.close()


def test_who_comes_back_with_an_older_disk_is_not_who_has_everything() -> None:
    """While the takeover is held: neither it nor who is level with it moves the group."""
    world = synchronous_world(7)
    world.network.isolate(JAKARTA)
    world.run(3.0)
    for stack in world.at(MAKASSAR):  # both; the leader's copy came from the other one
        stack.server.kill()
        stack.server.lsn -= 100
    world.run(30.0)
    assert world.state.active_site == JAKARTA
    held = world.controllers["surabaya"].result
    assert held is not None
    assert "started anew" in str(held.decision)
    world.network.heal()
    until_well(world)
    world.close()


@pytest.mark.slow
def test_a_standby_that_comes_and_goes_stalls_commits_less_and_less() -> None:
    world = synchronous_world(9)
    leader = next(s for s in world.at(MAKASSAR) if s.patroni.role == "standby_leader")
    began_s, stalls = world.kernel.now, 0
    while world.kernel.now - began_s < 240.0:
        was = world.state.in_sync
        if was:
            leader.server.stall_fsync()
            world.run(6.0)
            leader.server.end_stall()
            stalls += 1
        world.run(1.0)
    assert stalls == 4  # at once, at once, after 30 s, after 60 s; the next one after 120 s
    world.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", seeds(2, 12))
def test_random_faults(seed: int, mode: ProtectionMode) -> None:
    result = run_schedule(seed, 300, mode)
    assert not result.failure, f"{seed} 300 {mode}: {result.failure}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", seeds(1, 6))
def test_a_first_permit_that_is_not_used_keeps_nobody_else_from_writing(
    seed: int, mode: ProtectionMode
) -> None:
    """The Patroni that asked for it dies for good before it promotes; its guard lives."""
    world = synchronous_world(seed, mode)
    world.operator_asks(MAKASSAR)
    cluster = world.policy.clusters[0].name
    while (writer := _last_writer(world, cluster)) is None or writer.site != MAKASSAR:
        world.run(0.002)
    first = world.stacks[writer.host]
    first.patroni.enabled = False
    first.patroni.kill()
    died_s = world.kernel.now
    while not (world.state.clusters[cluster].promoted and world.state.epoch == 2):
        assert world.kernel.now - died_s < 15.0, "\n".join(world.kernel.log or [])
        world.run(0.1)
    assert first not in world.writable(cluster)
    world.heal()
    until_well(world, 90.0)
    nothing_lost(world)
    world.close()


def _last_writer(world: World, cluster: ClusterName) -> LastWriter | None:
    node = world.ensemble.tree.get(world.paths.last_writer(cluster))
    return None if node is None else read_last_writer(node.znode)
