"""Jakarta is lost, Makassar takes over, Jakarta returns; with and without planted trouble."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.checker import Violation
from failover.simulation.controller import Stack
from failover.simulation.world import World
from failover.state import PlanKind
from failover.znode import Transaction
from tests.simulation.stories import (
    JAKARTA,
    healthy_world,
    last_ack_s,
    primary,
    seeds,
    until_well,
)

LEASE_S = 6.0


def lose_jakarta(world: World) -> float:
    """Unplug it; when it was."""
    world.network.isolate(JAKARTA)
    return world.kernel.now


def first_ack_s(world: World, site: str) -> float:
    return min(ack.at_s for ack in world.acknowledgements("marketplace") if ack.site == site)


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_makassar_writes_within_the_lease_and_a_moment(seed: int) -> None:
    world = healthy_world(seed)
    lost_s = lose_jakarta(world)
    world.run(12.0)
    assert world.state.active_site == "makassar"
    assert world.state.epoch == 2
    assert first_ack_s(world, "makassar") - lost_s < LEASE_S + 1.5
    assert last_ack_s(world, "jakarta") < first_ack_s(world, "makassar")
    world.network.heal()
    assert until_well(world) < 20.0
    world.close()


def test_a_group_moves_together() -> None:
    world = healthy_world(2, clusters=3)
    lose_jakarta(world)
    world.run(12.0)
    assert {primary(world, c.name).config.site for c in world.policy.clusters} == {"makassar"}
    assert world.state.epoch == 2
    world.network.heal()
    until_well(world)
    world.close()


def _kill_patroni(stack: Stack) -> None:
    stack.patroni.enabled = False
    stack.patroni.kill()


def _stop_backend(stack: Stack) -> None:
    stack.patroni.stuck = True


TROUBLES: dict[str, Callable[[Stack], None]] = {
    "Patroni dead": _kill_patroni,
    "a backend of Patroni stopped": _stop_backend,
    "WAL fsync stalled": lambda stack: stack.server.stall_fsync(),
    "Patroni frozen": lambda stack: stack.patroni.freeze(),
    "the guard's worker frozen": lambda stack: stack.guard.worker and stack.guard.worker.freeze(),
    "the guard's minder frozen": lambda stack: stack.guard.minder and stack.guard.minder.freeze(),
    "the whole guard frozen": lambda stack: stack.guard.freeze(),
}


@pytest.mark.parametrize("seed", seeds(1, 5))
@pytest.mark.parametrize("trouble", TROUBLES)
def test_isolated_with_a_trouble_on_the_primary_nothing_is_acknowledged_late(
    trouble: str, seed: int
) -> None:
    """The checker sees to it: no two writable hosts at any moment."""
    world = healthy_world(seed)
    TROUBLES[trouble](primary(world))
    lose_jakarta(world)
    world.run(15.0)
    assert world.state.active_site == "makassar"
    assert last_ack_s(world, "jakarta") < first_ack_s(world, "makassar")
    world.heal()
    for stack in world.at("jakarta"):
        stack.patroni.thaw()
        stack.guard.thaw()
    until_well(world)
    world.close()


def test_a_host_that_was_frozen_acknowledges_nothing() -> None:
    world = healthy_world(3)
    host, frozen_s = primary(world).host.name, world.kernel.now
    world.freeze(host)
    world.network.isolate(JAKARTA)
    world.run(12.0)
    assert world.state.active_site == "makassar"
    world.thaw(host)
    world.run(3.0)
    assert last_ack_s(world, "jakarta") <= frozen_s
    world.network.heal()
    until_well(world)
    world.close()


def test_returning_hosts_are_salvaged_before_they_are_rewound() -> None:
    world = healthy_world(4)
    lose_jakarta(world)
    world.run(12.0)
    assert world.checker.lost[2]  # acknowledged in Jakarta, not in Makassar
    world.network.heal()
    until_well(world)
    for stack in world.at("jakarta"):
        assert stack.server.salvaged
        for ack in world.checker.lost[2]:
            if ack.host == stack.host.name:
                assert any(copy.contains(ack.position) for copy in stack.server.salvaged)
    world.close()


# --------------------------------------------------------------------------- crashes


def is_step(world: World, transaction: Transaction) -> bool:
    """Takeover, record, reinstate, follow: what changes ``state`` or a scope's configuration."""
    paths = {op.path for op in transaction}
    return world.paths.state in paths or any(path.endswith("/config") for path in paths)


def crash_at_step(world: World, number: int, *, done: bool, restarts: bool) -> list[str]:
    """Whoever commits the n-th step from now on dies before or after it. Who died."""
    died: list[str] = []
    count = 0

    def watch(site: str) -> None:
        controller = world.controllers[site]  # type: ignore[index]

        def around(transaction: Transaction, after: bool) -> None:
            nonlocal count
            if not is_step(world, transaction) or died:
                return
            count += not after
            if count == number and after == done:
                died.append(site)
                controller.enabled = restarts
                world.kernel.note(f"controller {site} dies {'after' if done else 'before'} step")
                controller.kill()

        def connected(client: object) -> None:
            client.around_commit = around  # type: ignore[attr-defined]

        controller.on_connect = connected
        if controller.client is not None:
            connected(controller.client)

    for site in world.controllers:
        watch(site)
    return died


@pytest.mark.parametrize("restarts", [False, True], ids=["for good", "restarted"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_a_controller_dies_at_each_step_and_another_finishes(
    number: int, done: bool, restarts: bool
) -> None:
    """Steps 1 to 3: takeover, record of the promotion, reinstatement."""
    world = healthy_world(5)
    died = crash_at_step(world, number, done=done, restarts=restarts)
    lose_jakarta(world)
    world.run(20.0)
    world.network.heal()
    until_well(world)
    assert died
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation", range(1, 60, 2))
@pytest.mark.parametrize("after_it", [False, True], ids=["before", "after"])
def test_a_controller_dies_at_any_store_operation_while_the_lease_ends(
    operation: int, after_it: bool
) -> None:
    world = healthy_world(6)
    lose_jakarta(world)
    world.run(5.5)
    for site in ("makassar", "surabaya"):
        if world.controllers[site].result and world.controllers[site].result.leading:  # type: ignore[index,union-attr]
            world.controllers[site].enabled = False  # type: ignore[index]
            world.controllers[site].crash_after(operation, after_it=after_it)  # type: ignore[index]
    world.run(14.0)
    assert world.state.active_site == "makassar"
    assert primary(world).config.site == "makassar"
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_unknown_outcomes_change_nothing(seed: int) -> None:
    """Every third write is left without an answer; some of those have happened."""
    world = healthy_world(seed)
    world.lost_answers_p = 0.3
    lose_jakarta(world)
    world.run(15.0)
    world.lost_answers_p = 0.0
    world.network.heal()
    until_well(world)
    assert world.state.epoch == 2
    world.close()


# --------------------------------------------------------------------------- branches


def back_and_forth() -> World:
    """Makassar has taken over and Jakarta has just been told to follow, but is not rewound yet."""
    world = healthy_world(9, cooldown_s=0.0)
    lose_jakarta(world)
    world.run(12.0)
    world.network.heal()
    while world.state.clusters[world.policy.clusters[0].name].standby != "following":
        world.run(0.05)
    return world


def test_a_site_not_rewound_yet_is_no_candidate() -> None:
    """Its position, ahead on the old timeline, would count as nothing lost."""
    world = back_and_forth()
    for stack in world.at("makassar"):
        world.power_off(stack.host.name)
    world.run(25.0)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    world.heal()
    until_well(world)
    world.close()


def test_a_local_failover_that_the_other_site_never_saw() -> None:
    """Jakarta makes a timeline behind a cut link, and is lost; Makassar makes the one after it."""
    world = healthy_world(10)
    world.network.cut_link("jakarta", "makassar")
    world.run(1.0)
    primary(world).server.kill()
    primary_was = next(s for s in world.at("jakarta") if not s.server.alive)
    primary_was.patroni.kill()
    primary_was.patroni.enabled = False
    while not world.writable("marketplace"):
        world.run(0.5)
    jakartas = primary(world).server.branch
    world.network.isolate(JAKARTA)
    world.run(15.0)
    world.operator_asks("makassar", kind=PlanKind.TAKEOVER)  # it has missed more than the budget
    world.run(10.0)
    assert world.state.epoch == 2
    makassars = primary(world).server.branch
    assert makassars.parent is jakartas.parent
    assert makassars.number == jakartas.number + 1
    world.heal()
    until_well(world)
    world.close()


def test_a_spoilt_head_of_the_history_is_not_in_the_way() -> None:
    world = healthy_world()
    world.operator_patches(world.paths.history_head, lambda _: b"{")
    world.run(1.0)
    world.network.isolate("jakarta")
    world.run(15.0)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    world.network.heal()
    until_well(world)
    with pytest.raises(Violation, match="a new chain after entry 1"):
        world.checker.whole_history()
    world.close()
