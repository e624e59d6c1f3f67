"""Planned moves in the simulated world: there and back, and broken at every moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.world import World
from failover.state import RequestPhase
from tests.simulation.stories import (
    JAKARTA,
    healthy_world,
    longest_pause_s,
    primary,
    seeds,
    until_well,
)

Break = Callable[[World], None]

# From the request to the promotion a switchover takes about a second here.
MOMENTS_S = [round(0.25 + 0.1 * number, 2) for number in range(14)]


def asked(world: World, to_site: str, limit_s: float = 15.0) -> None:
    world.operator_asks(to_site, limit_s=limit_s)


def nothing_lost(world: World) -> None:
    """Every write that was ever acknowledged is in the present primary's history."""
    for cluster in world.policy.clusters:
        here = primary(world, cluster.name).server.position
        missing = [a for a in world.acknowledgements(cluster.name) if not here.contains(a.position)]
        assert missing == [], world.kernel.log


def outcome(world: World) -> RequestPhase:
    assert world.request is not None
    return world.request.phase


@pytest.mark.parametrize("clusters", [1, 2])
@pytest.mark.parametrize("seed", seeds(1, 12))
def test_there_and_back(seed: int, clusters: int) -> None:
    world = healthy_world(seed, clusters=clusters)
    began_s = world.kernel.now
    for epoch, site in ((2, "makassar"), (3, "jakarta")):
        asked(world, site)
        world.run(6.0)
        until_well(world)
        assert (world.state.epoch, world.state.active_site) == (epoch, site)
        assert outcome(world) is RequestPhase.DONE
    assert longest_pause_s(world, began_s) < 2.0
    nothing_lost(world)
    world.close()


def test_to_the_active_site_or_without_a_standby_it_is_refused() -> None:
    world = healthy_world(1)
    asked(world, "jakarta")
    world.run(2.0)
    assert outcome(world) is RequestPhase.REFUSED
    world.network.cut_link("jakarta", "makassar")
    world.run(8.0)
    asked(world, "makassar")
    world.run(2.0)
    assert world.request is not None
    assert outcome(world) is RequestPhase.REFUSED
    assert any("standby_streams" in reason for reason in world.request.outcome)
    assert world.state.epoch == 1
    world.network.heal()
    until_well(world)
    nothing_lost(world)
    world.close()


def test_a_request_while_a_site_is_in_quarantine_keeps_nobody_from_anything() -> None:
    """It is refused, and the site comes back."""
    world = healthy_world(2, cooldown_s=0.0)
    world.network.isolate(JAKARTA)
    world.run(12.0)
    asked(world, "jakarta")
    world.run(1.0)
    assert outcome(world) is RequestPhase.REFUSED
    world.network.heal()
    until_well(world)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    world.close()


# --------------------------------------------------------------------------- broken


def kill_old_primary(world: World) -> None:
    for stack in world.at("jakarta"):
        if not stack.server.in_recovery:
            world.power_off(stack.host.name)


def kill_new_leader(world: World) -> None:
    world.power_off("mks-db1")


def cut_the_link(world: World) -> None:
    world.network.cut_link("jakarta", "makassar")


def isolate_the_old_site(world: World) -> None:
    world.network.isolate(JAKARTA)


def restart_old_primary(world: World) -> None:
    """``POST /restart`` under way."""
    for stack in world.at("jakarta"):
        if stack.server.answers and stack.patroni.alive and not stack.server.in_recovery:
            stack.patroni.restart_in_place()


def freeze_patroni(world: World) -> None:
    """And thaw it, once the plan has gone back or through."""
    for stack in world.at("jakarta"):
        stack.patroni.freeze()


def kill_guards_worker(world: World) -> None:
    for stack in world.at("jakarta"):
        if stack.guard.worker is not None:
            stack.guard.worker.kill()


def lose_the_quorum(world: World) -> None:
    """For ten seconds."""
    world.network.isolate_host("sby-zk1")
    world.network.isolate_host("mks-zk1")


def kill_leading_controller(world: World) -> None:
    for controller in world.controllers.values():
        if controller.result is not None and controller.result.leading:
            controller.kill()


BREAKS: list[Break] = [
    kill_old_primary,
    kill_new_leader,
    cut_the_link,
    isolate_the_old_site,
    restart_old_primary,
    freeze_patroni,
    kill_guards_worker,
    lose_the_quorum,
    kill_leading_controller,
]


def mend(world: World) -> None:
    world.heal()
    for stack in world.stacks.values():
        stack.patroni.thaw()


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "moment_s",
    [m if n == 4 else pytest.param(m, marks=pytest.mark.slow) for n, m in enumerate(MOMENTS_S)],
)
def test_broken_at_every_moment(breaks: Break, moment_s: float) -> None:
    """One writable site at the end, and what a switchover itself may lose is nothing.

    Where a host dies for good with what only it had, that is a local failover's or a takeover's
    loss, and the checker holds it against the budget.
    """
    world = healthy_world(4, cooldown_s=0.0)
    asked(world, "makassar", limit_s=5.0)
    world.run(moment_s)
    breaks(world)
    world.run(10.0)
    mend(world)
    until_well(world)
    if breaks in (restart_old_primary, kill_guards_worker, kill_leading_controller):
        nothing_lost(world)
    assert world.state.plan is None
    assert world.request is None or world.request.ended
    world.close()


@pytest.mark.parametrize("seed", seeds(2, 12))
def test_a_replica_that_lacks_the_end_takes_the_old_key(seed: int) -> None:
    """The old primary is killed under the plan: what it acknowledged last only its host has."""
    world = healthy_world(seed)
    cluster = world.policy.clusters[0]
    key = world.scope(cluster, world.policy.initial_site).leader
    old = primary(world)
    other = next(s.host.name for s in world.at("jakarta") if s is not old)
    asked(world, "makassar")
    while world.state.plan is None:
        world.run(0.01)
    world.network.cut((old.host.name, other), (other, old.host.name))
    old.patroni.freeze()
    world.operator_patches(key, lambda _: other.encode())
    while world.state.plan is not None:
        world.run(0.01)
    gone_back, taken = world.state, key in world.ensemble.tree
    old.patroni.thaw()
    world.run(6.0)
    world.heal()
    until_well(world)
    nothing_lost(world)
    assert taken
    assert outcome(world) is RequestPhase.GONE_BACK
    assert not gone_back.clusters[cluster.name].promoted
    assert world.state.active_site == "jakarta"
    world.close()


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_the_leading_controller_dies_at_every_step(number: int, done: bool) -> None:
    """Steps: the beginning, the commit, the record of the promotion."""
    from tests.simulation.test_takeover import crash_at_step

    world = healthy_world(5)
    died = crash_at_step(world, number, done=done, restarts=True)
    asked(world, "makassar")
    world.run(15.0)
    until_well(world)
    assert died
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    assert outcome(world) is RequestPhase.DONE
    nothing_lost(world)
    world.close()


def test_an_operator_who_changes_the_configuration_meanwhile_is_noticed() -> None:
    """He takes the old scope's standby_cluster away again: the plan goes back, nothing is lost."""
    import json

    world = healthy_world(6)
    cluster = world.policy.clusters[0]
    path = world.scope(cluster, world.policy.initial_site).config

    def ordinary(data: bytes) -> bytes:
        document = json.loads(data)
        return json.dumps({k: v for k, v in document.items() if k != "standby_cluster"}).encode()

    asked(world, "makassar", limit_s=3.0)
    new_leader = world.stacks["mks-db1"].server
    while world.state.plan is None:
        world.run(0.01)
    new_leader.stall_fsync()  # so that it has not moved before he is ready
    world.operator_patches(path, ordinary)
    world.run(1.0)
    new_leader.end_stall()
    world.run(7.0)
    until_well(world)
    nothing_lost(world)
    assert world.state.plan is None
    assert (world.state.epoch, outcome(world)) == (1, RequestPhase.GONE_BACK)
    world.close()
