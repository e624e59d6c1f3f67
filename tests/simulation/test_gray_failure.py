"""A gray failure in the simulated world: the claim is held and PostgreSQL answers nobody.

Patroni's loop hangs with it (its query never returns) while its session lives on, so that the site
cannot help itself: the key stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from failover.model import Automation
from failover.simulation.controller import Stack
from failover.simulation.postgres import Hang
from failover.simulation.world import World
from failover.state import (
    HistoryEntry,
    PlanKind,
    RequestPhase,
    StandbyScope,
    decode_record,
    decode_state,
    encode_state,
)
from tests.simulation.stories import (
    healthy_world,
    primary,
    seeds,
    until_well,
)

pytestmark = pytest.mark.slow  # `make check` has a minute; `make test` runs it

Break = Callable[[World, Stack], None]


def history(world: World) -> list[HistoryEntry]:
    tree, path = world.ensemble.tree, world.paths.history
    znodes = (tree[f"{path}/{name}"].znode for name in sorted(tree[path].children))
    return [decode_record(HistoryEntry, found.data, path=found.path) for found in znodes]


def events(world: World) -> list[str]:
    """Without those that are not about who is active."""
    told = ("takeover_begun", "takeover", "takeover_abandoned", "promoted")
    return [entry.event for entry in history(world) if entry.event in told]


def nothing_lost(world: World) -> None:
    for cluster in world.policy.clusters:
        here = primary(world, cluster.name).server.position
        missing = [a for a in world.acknowledgements(cluster.name) if not here.contains(a.position)]
        assert missing == [], world.kernel.log


def until_plan(world: World, limit_s: float = 30.0) -> None:
    began_s = world.kernel.now
    while world.state.plan is None:
        assert world.kernel.now - began_s < limit_s, world.kernel.log
        world.run(0.05)


def hanging(
    seed: int, how: Hang, *, clusters: int = 1, cooldown_s: float = 0.0
) -> tuple[World, Stack]:
    """The primary of the first cluster hangs."""
    world = healthy_world(seed, clusters=clusters, cooldown_s=cooldown_s)
    gray = primary(world)
    gray.server.hangs(how)
    return world, gray


@pytest.mark.parametrize("how", [Hang.FROZEN, Hang.SLOW])
@pytest.mark.parametrize("clusters", [1, 2])
@pytest.mark.parametrize("seed", seeds(1, 12))
def test_its_guard_stops_it_and_the_other_site_takes_over(
    seed: int, clusters: int, how: Hang
) -> None:
    world, gray = hanging(seed, how, clusters=clusters)
    world.run(25.0)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar"), world.kernel.log
    assert gray.guard.kills == (1 if how is Hang.FROZEN else 0)
    until_well(world)
    nothing_lost(world)
    assert events(world)[:2] == ["takeover_begun", "takeover"]
    kind = "killed" if how is Hang.FROZEN else "shut_down"
    (taken,) = (entry for entry in history(world) if entry.event == "takeover")
    assert kind in taken.details["marketplace.stopped"]
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 12))
def test_patroni_frozen_under_the_plan_and_thawed_starts_no_primary(seed: int) -> None:
    """It finds its server dead and its key gone: it has to learn what the scope is now."""
    world, gray = hanging(seed, Hang.FROZEN)
    until_plan(world)
    gray.patroni.freeze()
    world.run(8.0)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    gray.patroni.thaw()
    until_well(world)
    nothing_lost(world)
    assert gray.server.in_recovery
    world.close()


def frozen_patroni(world: World, gray: Stack) -> None:
    gray.patroni.freeze()


def frozen_patronis_of_the_site(world: World, gray: Stack) -> None:
    for stack in world.at("jakarta"):
        stack.patroni.freeze()


def kill_guards_worker(world: World, gray: Stack) -> None:
    assert gray.guard.worker is not None
    gray.guard.worker.kill()


def kill_guards_minder(world: World, gray: Stack) -> None:
    assert gray.guard.minder is not None
    gray.guard.minder.kill()


def kill_guard(world: World, gray: Stack) -> None:
    gray.guard.kill()


def freeze_guard(world: World, gray: Stack) -> None:
    gray.guard.freeze()


def thaw_postgres(world: World, gray: Stack) -> None:
    gray.server.thaw()


def isolate_the_site(world: World, gray: Stack) -> None:
    world.network.isolate("jakarta")


def kill_the_host(world: World, gray: Stack) -> None:
    world.power_off(gray.host.name)


def cut_the_link(world: World, gray: Stack) -> None:
    world.network.cut_link("jakarta", "makassar")


def kill_leading_controller(world: World, gray: Stack) -> None:
    for controller in world.controllers.values():
        if controller.result is not None and controller.result.leading:
            controller.kill()


def stall_its_disk(world: World, gray: Stack) -> None:
    """What is killed hangs in the kernel: there is no proof."""
    gray.server.stall_fsync()


def the_other_site_dies(world: World, gray: Stack) -> None:
    world.network.isolate("makassar")


BREAKS: list[Break] = [
    frozen_patroni,
    frozen_patronis_of_the_site,
    kill_guards_worker,
    kill_guards_minder,
    kill_guard,
    freeze_guard,
    thaw_postgres,
    isolate_the_site,
    kill_the_host,
    cut_the_link,
    kill_leading_controller,
    stall_its_disk,
    the_other_site_dies,
]
MOMENTS_S = [0.0, 0.3, 1.0, 2.0, 2.8, 3.0, 3.1, 3.2, 3.4, 3.8]  # from the plan to the promotion


@pytest.mark.parametrize("how", [Hang.FROZEN, Hang.SLOW])
@pytest.mark.parametrize("breaks", BREAKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "moment_s",
    [m if n == 6 else pytest.param(m, marks=pytest.mark.slow) for n, m in enumerate(MOMENTS_S)],
)
def test_broken_at_every_moment(breaks: Break, moment_s: float, how: Hang) -> None:
    """One writable site at the end; the checker asserts the invariants all the way."""
    world, gray = hanging(5, how)
    until_plan(world)
    world.run(moment_s)
    breaks(world, gray)
    world.run(25.0)
    world.heal()
    gray.guard.thaw()
    until_well(world)
    assert world.state.plan is None
    told = events(world)
    assert told.count("takeover_begun") <= told.count("takeover") + told.count("takeover_abandoned")
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_without_a_proof_it_goes_back_and_the_claim_is_not_broken(seed: int) -> None:
    """What the guard killed hangs in the kernel. A human is paged, and it is not tried again."""
    world, gray = hanging(seed, Hang.FROZEN, cooldown_s=3600.0)
    gray.server.stall_fsync()
    world.run(60.0)
    assert (world.state.epoch, world.state.plan) == (1, None)
    assert events(world) == ["takeover_begun", "takeover_abandoned"]
    assert gray.guard.logic.grant is not None
    gray.server.end_stall()
    until_well(world)
    nothing_lost(world)
    world.close()


def behind(world: World, gray: Stack, for_s: float) -> None:
    """The other site has nothing of the last seconds."""
    world.network.cut_link("jakarta", "makassar")
    world.run(for_s)


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_what_the_other_site_lacks_is_lost_within_the_budget_and_told(seed: int) -> None:
    """Budget: 10 s. The WAL of three seconds is missing, and salvaged."""
    world = healthy_world(seed, cooldown_s=0.0)
    gray = primary(world)
    behind(world, gray, 1.5)
    gray.server.hangs(Hang.FROZEN)
    world.run(1.0)
    end = gray.server.lsn
    world.network.heal()
    world.run(25.0)
    assert (world.state.epoch, world.state.active_site) == (2, "makassar"), world.kernel.log
    (taken,) = (entry for entry in history(world) if entry.event == "takeover")
    here = primary(world).server
    lost_bytes = end - here.branch.start
    assert taken.details["marketplace.behind_bytes"] == str(lost_bytes)
    assert (2 in world.checker.lost) == (lost_bytes > 0)
    until_well(world)
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_late_acknowledgements_over_more_seconds_than_the_budget_has_are_not_given_up(
    seed: int,
) -> None:
    """It goes back: the site's own hosts have them."""
    world = healthy_world(seed)
    gray = primary(world)
    world.network.cut_link("jakarta", "makassar")
    gray.server.hangs(Hang.SLOW)
    world.run(11.0)
    gray.server.hangs(Hang.FROZEN)
    world.run(30.0)
    assert world.state.epoch == 1
    assert "takeover" not in events(world)
    world.network.heal()
    gray.server.thaw()
    until_well(world)
    nothing_lost(world)
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_an_operator_may_ask_for_it(seed: int) -> None:
    world = healthy_world(seed)

    def off(data: bytes) -> bytes:
        return encode_state(replace(decode_state(data), automation=Automation.MANUAL))

    world.operator_patches(world.paths.state, off)
    gray = primary(world)
    gray.server.hangs(Hang.FROZEN)
    world.run(25.0)
    assert world.state.epoch == 1
    world.operator_asks("makassar", kind=PlanKind.TAKEOVER)
    world.run(10.0)
    assert world.request is not None
    assert world.request.phase is RequestPhase.DONE, world.request.outcome
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    until_well(world)
    nothing_lost(world)
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_what_was_shut_down_follows_at_once(seed: int) -> None:
    """No quarantine where the end of WAL is certain and replayed."""
    world, _ = hanging(seed, Hang.SLOW)
    while world.state.epoch == 1:
        world.run(0.05)
    assert {c.standby for c in world.state.clusters.values()} == {StandbyScope.FOLLOWING}
    until_well(world)
    world.close()


def test_an_observer_alone_begins_nothing() -> None:
    """The one in the same site: that nobody outside is looking may be its network's fault."""
    world, _ = hanging(1, Hang.FROZEN)
    for site in ("makassar", "surabaya"):
        world.controllers[site].enabled = False
        world.controllers[site].kill()
    world.run(40.0)
    assert (world.state.epoch, world.state.plan) == (1, None)
    world.close()
