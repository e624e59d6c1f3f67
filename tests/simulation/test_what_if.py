"""What ``foresee`` says, held against what then happens in the simulated world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from failover.coordination.gather import Gatherer, Now
from failover.health.change import Change, HostLost, LinkCut, SiteLost
from failover.health.inputs import ViewInputs
from failover.model import HostName
from failover.planning.what_if import Foresight, Outcome, foresee
from failover.simulation.client import Client
from failover.simulation.controller import UNIX_EPOCH_S
from failover.simulation.policies import JAKARTA, MAKASSAR, SURABAYA, policy
from failover.simulation.world import World
from tests.simulation.stories import (
    longest_pause_s,
    primary,
    seeds,
    synchronous_world,
    unwell,
)

pytestmark = pytest.mark.slow  # `make check` has a minute; `make test` runs it

JAKARTA_S_SERVER = 0
WITHIN = 0.2


def world_led_from(server: int | None, seed: int, budget_s: float = 10.0) -> World:
    """A healthy world; ``server``: where ZooKeeper's leader is, and stays. None: the witness."""
    asked = policy()
    stays = replace(
        asked,
        zookeeper_restart_command=None,
        loss_budget=replace(asked.loss_budget, seconds=budget_s),
    )
    world = World(seed, stays, log=True)
    ensemble = world.ensemble
    if server is not None and ensemble.leader is not None:
        ensemble.leader.leads = False
        ensemble.leader = ensemble.servers[server]
        ensemble.leader.leads = True
    world.run(5.0)
    assert unwell(world) == ""
    return world


def seen_now(world: World) -> ViewInputs:
    """What a command at the witness gathers in three seconds."""
    gathered: list[ViewInputs] = []

    def look() -> None:
        host = world.network.hosts["operator"]
        store = Client(world.ensemble, host, world.ensemble.servers, session_s=4.0)
        gatherer = Gatherer(world.policy, SURABAYA, first_sight_age_s=None)
        for _ in range(8):
            world.kernel.sleep(0.4)
            now = Now(UNIX_EPOCH_S + world.kernel.now, world.kernel.now)
            gathered.append(gatherer.gather(store, now))
        store.close()

    world.kernel.spawn("explain", look)
    world.run(3.5)
    return gathered[-1]


def predicted(world: World, change: Change) -> Foresight:
    return foresee(world.policy, seen_now(world), (change,))


@pytest.mark.parametrize("leader", [None, JAKARTA_S_SERVER], ids=["witness", "jakarta"])
@pytest.mark.parametrize("seed", seeds(2, 8))
def test_the_active_site_lost(seed: int, leader: int | None) -> None:
    """The same decision, and the seconds within 20 %, wherever ZooKeeper's leader is."""
    world = world_led_from(leader, seed)
    foreseen = predicted(world, SiteLost(JAKARTA))
    lost_s = world.kernel.now
    world.network.isolate(JAKARTA)
    world.run(15.0)
    assert (foreseen.outcome, foreseen.site) == (Outcome.TAKEOVER, MAKASSAR)
    assert world.state.active_site == MAKASSAR
    acks = world.acknowledgements("marketplace")
    outage_s = min(ack.at_s for ack in acks if ack.site == MAKASSAR) - lost_s
    assert foreseen.outage_s == pytest.approx(outage_s, rel=WITHIN), world.kernel.log
    world.close()


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_the_active_site_lost_in_sync(seed: int) -> None:
    """As soon: the new site is asked once more, in the world and in the forecast."""
    world = synchronous_world(seed)
    foreseen = predicted(world, SiteLost(JAKARTA))
    lost_s = world.kernel.now
    world.network.isolate(JAKARTA)
    world.run(15.0)
    assert (foreseen.outcome, foreseen.site, foreseen.loss_bytes) == (Outcome.TAKEOVER, MAKASSAR, 0)
    acks = world.acknowledgements("marketplace")
    outage_s = min(ack.at_s for ack in acks if ack.site == MAKASSAR) - lost_s
    assert foreseen.outage_s == pytest.approx(outage_s, rel=WITHIN), world.kernel.log
    world.close()


@pytest.mark.parametrize("seed", seeds(1, 8))
def test_the_primary_s_host_lost(seed: int) -> None:
    """Local failover; not the other site's business."""
    world = world_led_from(None, seed)
    name = primary(world).host.name
    foreseen = predicted(world, HostLost(HostName(name)))
    lost_s = world.kernel.now
    world.power_off(name)
    world.run(15.0)
    assert (foreseen.outcome, foreseen.site) == (Outcome.WRITES_GO_ON, JAKARTA)
    assert world.state.active_site == JAKARTA
    pause_s = longest_pause_s(world, lost_s)
    assert foreseen.outage_s == pytest.approx(pause_s, rel=WITHIN), world.kernel.log
    world.close()


FAULTS: dict[Change, Callable[[World], None]] = {
    SiteLost(MAKASSAR): lambda world: world.network.isolate(MAKASSAR),
    SiteLost(SURABAYA): lambda world: world.network.isolate(SURABAYA),
    LinkCut(): lambda world: world.network.cut_link(JAKARTA, MAKASSAR),
    HostLost(HostName("jkt-zk1")): lambda world: world.network.isolate_host("jkt-zk1"),
}


@pytest.mark.parametrize("change", FAULTS, ids=str)
def test_one_fault_that_stops_no_writes(change: Change) -> None:
    """The verdict that it ends with, too."""
    world = world_led_from(None, seed=3)
    foreseen = predicted(world, change)
    FAULTS[change](world)
    world.run(15.0)
    assert (foreseen.outcome, foreseen.outage_s) == (Outcome.WRITES_GO_ON, 0.0)
    assert world.state.active_site == JAKARTA
    decided = {c.result.verdict.code for c in world.controllers.values() if c.result}
    assert foreseen.story[-1].verdict.code in decided
    world.close()


def test_a_cut_link_with_zookeeper_s_leader_on_the_wrong_side() -> None:
    """Jakarta's guards list no server that serves: the lease is lost, and the site with it.

    Jakarta writes for 3.9 s more, and is allowed for 6 s after that: with a budget of 10 s it would
    turn on how finely its WAL was sampled whether the takeover is made or held.
    """
    world = world_led_from(1, seed=4, budget_s=12.0)
    foreseen = predicted(world, LinkCut())
    cut_s = world.kernel.now
    world.network.cut_link(JAKARTA, MAKASSAR)
    world.run(30.0)
    assert (foreseen.outcome, foreseen.site) == (Outcome.TAKEOVER, MAKASSAR)
    assert world.state.active_site == MAKASSAR
    acks = world.acknowledgements("marketplace")
    outage_s = min(ack.at_s for ack in acks if ack.site == MAKASSAR) - cut_s
    assert foreseen.outage_s == pytest.approx(outage_s, rel=WITHIN), world.kernel.log
    world.close()
