"""Planted races between a takeover and what the lost site still tries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.controller import Stack
from failover.simulation.world import World
from failover.znode import Create, Delete
from tests.simulation.stories import healthy_world, last_ack_s, primary, until_well


def other_host(world: World) -> Stack:
    """Jakarta's replica."""
    return next(s for s in world.at("jakarta") if s is not primary(world))


def lose_primary_and_hold_replica(world: World, hold_s: float) -> Stack:
    """The primary's host dies; the replica's Patroni is frozen right after it has read the
    configuration and seen that nobody leads. Makassar takes over meanwhile."""
    replica = other_host(world)
    world.power_off(primary(world).host.name)
    world.run(8.0)  # Patroni's key and the claim are gone or about to go

    dcs = replica.patroni.dcs
    read = dcs.read_cluster

    def read_and_stop(changed: Callable[[], None]) -> object:
        seen = read(changed)
        if seen.leader is None:
            world.kernel.note(f"{replica.host.name}: Patroni stops with the old config in hand")
            dcs.read_cluster = read  # type: ignore[method-assign]
            replica.patroni.freeze()
            world.kernel.sleep(0.001)
        return seen

    dcs.read_cluster = read_and_stop  # type: ignore[method-assign,assignment]
    world.run(hold_s)
    return replica


def test_a_host_that_read_its_config_before_the_takeover_is_not_promoted() -> None:
    world = healthy_world(1)
    # The replica must not win the race by itself before the plan is due.
    replica = lose_primary_and_hold_replica(world, 16.0)
    if world.state.epoch == 1:
        pytest.fail("no takeover: " + "\n".join(world.kernel.log or []))
    replica.patroni.thaw()
    world.run(5.0)
    assert replica.server.in_recovery
    assert last_ack_s(world, "jakarta") < min(
        a.at_s for a in world.acknowledgements("marketplace") if a.site == "makassar"
    )
    world.heal()
    until_well(world)
    world.close()


def test_even_without_the_fence_it_gets_no_permit() -> None:
    """The second leg alone: somebody has removed the fence by hand."""
    world = healthy_world(1)
    replica = lose_primary_and_hold_replica(world, 16.0)
    assert world.state.epoch == 2
    scope = replica.guard.scope
    session = next(iter(world.ensemble.sessions.values()))
    world.ensemble._apply(session, (Delete(scope.leader_child), Delete(scope.leader)))
    replica.patroni.thaw()
    world.run(5.0)
    log = "\n".join(world.kernel.log or [])
    assert f"{replica.host.name}: permit pre_promote: not_active_site" in log
    assert replica.server.in_recovery
    world.close()


def test_a_thawed_patroni_cannot_delete_the_fence() -> None:
    """``_update_leader`` deletes the key by name when the session is another one than it read."""
    world = healthy_world(2)
    patroni = primary(world).patroni
    update = patroni.dcs.update_lock

    def stop_first(seen: object, lsn: int | None) -> bool:
        patroni.dcs.update_lock = update  # type: ignore[method-assign]
        world.kernel.note("Patroni stops between get_cluster and update_leader")
        patroni.freeze()
        world.kernel.sleep(0.001)
        return update(seen, lsn)  # type: ignore[arg-type]

    patroni.dcs.update_lock = stop_first  # type: ignore[method-assign,assignment]
    world.run(1.5)
    world.network.isolate("jakarta")
    world.run(13.0)
    assert world.state.epoch == 2
    world.network.heal()
    patroni.thaw()
    world.run(0.5)
    leader = world.ensemble.tree[patroni.paths.leader].znode
    assert leader.data.startswith(b"fenced by failover")
    until_well(world)
    world.close()


@pytest.mark.slow
def test_permit_and_takeover_race_and_one_of_them_wins() -> None:
    """A local replica asks for its permit in the very milliseconds of the takeover."""
    winners = set()
    for step in range(26):
        world = healthy_world(7, log=False)
        replica = other_host(world)
        replica.patroni._is_healthiest = lambda seen: False  # type: ignore[method-assign]
        world.power_off(primary(world).host.name)
        claim = world.paths.writer(replica.config.cluster)
        while claim in world.ensemble.tree:
            world.run(0.1)
        ask_s = world.policy.local_recovery_s + 0.15 + step * 0.012
        world.kernel.after(ask_s, lambda replica=replica: _promote(replica))
        world.run(ask_s + 3.0)
        holder = world.ensemble.tree.get(claim)
        assert holder is not None
        winners.add((world.state.epoch, "makassar" if b"mks" in holder.znode.data else "jakarta"))
        world.close()
    assert winners == {(1, "jakarta"), (2, "makassar")}


def _promote(stack: Stack) -> None:
    """What Patroni does with the lock in hand."""

    def promotion() -> None:
        stack.patroni.dcs.store.commit(
            (Create(stack.patroni.paths.leader, stack.host.name.encode(), ephemeral=True),)
        )
        stack.patroni._promotion()

    stack.patroni._promoting = True
    stack.patroni._beside("raced promotion", promotion)
