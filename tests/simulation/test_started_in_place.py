"""A start in place goes on with its own timeline: only who wrote last may do that, and who is
refused comes up as a replica and is promoted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.controller import Stack
from failover.simulation.world import World
from tests.simulation.stories import healthy_world, primary, until_well


def log_of(world: World, since: int = 0) -> str:
    return "\n".join((world.kernel.log or [])[since:])


def until(world: World, happened: Callable[[], bool], limit_s: float) -> None:
    began_s = world.kernel.now
    while not happened():
        assert world.kernel.now - began_s < limit_s, log_of(world)
        world.run(0.1)


def lose_server_and_hold_patroni(world: World) -> Stack:
    """The primary's server is killed, and its Patroni stands still from the moment at which it has
    read that the key is still its own. What comes next there is a start in place."""
    stack = primary(world)
    dcs, read = stack.patroni.dcs, stack.patroni.dcs.read_cluster

    def read_and_stop(changed: Callable[[], None]) -> object:
        seen = read(changed)
        if not stack.server.alive and seen.leader_name == stack.host.name:
            world.kernel.note(f"{stack.host.name}: Patroni stands still, its key in hand")
            dcs.read_cluster = read  # type: ignore[method-assign]
            stack.patroni.freeze()
            world.kernel.sleep(0.001)
        return seen

    dcs.read_cluster = read_and_stop  # type: ignore[method-assign,assignment]
    stack.server.kill()
    return stack


def test_after_another_host_had_the_claim_it_is_refused_and_promoted_instead() -> None:
    """The replica was promoted, has written, and is lost for good, as is the other site: only the
    old primary survives."""
    world = healthy_world(1)
    old = lose_server_and_hold_patroni(world)
    replica = next(stack for stack in world.at("jakarta") if stack is not old)
    until(world, lambda: world.writable("marketplace") == (replica,), 30.0)
    world.run(3.0)
    for stack in (replica, *world.at("makassar")):
        world.power_off(stack.host.name)
    claim = world.paths.writer(old.config.cluster)
    until(world, lambda: claim not in world.ensemble.tree, 10.0)
    mark = len(world.kernel.log or [])
    old.patroni.thaw()
    until(world, lambda: world.writable("marketplace") == (old,), 10.0)
    log = log_of(world, mark)
    assert f"{old.host.name}: permit start: not_last_writer" in log
    assert f"{old.host.name}: postgres up, standby" in log
    assert f"{old.host.name}: PROMOTED on timeline {replica.server.branch.number + 1}" in log
    assert world.state.epoch == 1
    world.heal()
    until_well(world)
    world.close()


def test_with_nobody_in_between_it_is_writable_again_at_once() -> None:
    world = healthy_world(1)
    branch = primary(world).server.branch
    old = lose_server_and_hold_patroni(world)
    until(world, lambda: "its key in hand" in log_of(world), 5.0)
    old.patroni.thaw()
    until(world, lambda: world.writable("marketplace") == (old,), 5.0)
    assert f"{old.host.name}: postgres up, WRITABLE" in log_of(world)
    assert "not_last_writer" not in log_of(world)
    assert old.server.branch is branch
    until_well(world)
    world.close()


@pytest.mark.parametrize("seed", range(3))
def test_everything_down_and_up_again(seed: int) -> None:
    """A power failure at both data sites at once; Jakarta's power is back first."""
    world = healthy_world(seed)
    hosts = {site: [s.host.name for s in world.at(site)] for site in ("jakarta", "makassar")}
    for name in (*hosts["jakarta"], *hosts["makassar"]):
        world.power_off(name)
    world.run(20.0)
    for name in hosts["jakarta"]:
        world.power_on(name)
    until(world, lambda: bool(world.writable("marketplace")), 30.0)
    for name in hosts["makassar"]:
        world.power_on(name)
    until_well(world)
    assert world.state.epoch == 1
    world.close()
