"""A takeover that an operator asks for, in the simulated world: when automation holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover.model import Automation
from failover.simulation.world import World
from failover.state import PlanKind, RequestPhase, decode_state, encode_state
from tests.simulation.stories import JAKARTA, healthy_world, seeds, until_well


def asked(world: World, to_site: str, kind: PlanKind = PlanKind.TAKEOVER) -> None:
    """Again where ZooKeeper did not answer the operator."""
    before = world.request
    for _ in range(5):
        world.operator_asks(to_site, kind=kind)
        world.run(1.0)
        if world.request is not None and (before is None or world.request.id != before.id):
            return
    raise AssertionError("the request never stood")


def outcome(world: World) -> tuple[RequestPhase, str]:
    assert world.request is not None
    return world.request.phase, "; ".join(world.request.outcome)


def automation_is_off(world: World) -> None:
    def change(data: bytes) -> bytes:
        return encode_state(replace(decode_state(data), automation=Automation.MANUAL))

    world.operator_patches(world.paths.state, change)
    world.run(1.0)


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_where_automation_is_off(seed: int) -> None:
    world = healthy_world(seed)
    automation_is_off(world)
    world.network.isolate(JAKARTA)
    world.run(20.0)
    assert world.state.epoch == 1
    asked(world, "makassar")
    world.run(5.0)
    assert outcome(world)[0] is RequestPhase.DONE
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    world.network.heal()
    world.run(40.0)
    assert world.state.epoch == 2
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 4))
def test_never_from_a_primary_that_works(seed: int) -> None:
    """A claim is held: nothing that a human answers for is stronger."""
    world = healthy_world(seed)
    asked(world, "makassar")
    world.run(3.0)
    phase, reasons = outcome(world)
    assert phase is RequestPhase.REFUSED
    assert "claim_gone" in reasons
    assert world.state.epoch == 1
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 12))
def test_the_new_site_is_lost_before_its_promotion_is_on_record(seed: int) -> None:
    """Automation does not know what it acknowledged; by hand the old site takes over."""
    world = healthy_world(seed)
    world.operator_asks("makassar", kind=PlanKind.SWITCHOVER)
    for _ in range(400):
        world.run(0.02)
        if world.state.epoch == 2:
            break
    world.run(0.02 * (seed % 5))
    world.network.isolate("makassar")
    world.run(15.0)
    promoted = all(cluster.promoted for cluster in world.state.clusters.values())
    if not promoted:
        assert (world.state.epoch, world.state.active_site) == (2, "makassar")
        asked(world, "jakarta")
        world.run(5.0)
        assert outcome(world)[0] is RequestPhase.DONE
        assert (world.state.epoch, world.state.active_site) == (3, "jakarta")
    world.network.heal()
    until_well(world)
    world.close()
