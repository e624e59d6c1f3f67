"""I8: one fault, no harm. Nobody takes over, and the verdict says what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.world import World
from failover.znode import Set
from tests.simulation.stories import healthy_world, longest_pause_s, primary, until_well

Harm = Callable[[World], object]

# What is done, for how long no write may be acknowledged, and a verdict that names it.
STALL_S = 1.0
LOCAL_FAILOVER_S = 10.0
FAULTS: dict[str, tuple[Harm, float, str]] = {
    "postmaster killed": (lambda w: primary(w).server.kill(), 4.0, ""),
    "primary host killed": (
        lambda w: w.power_off(primary(w).host.name),
        LOCAL_FAILOVER_S,
        "primary_down_local_recovery",
    ),
    "primary host isolated": (
        lambda w: w.network.isolate_host(primary(w).host.name),
        LOCAL_FAILOVER_S,
        "primary_down_local_recovery",
    ),
    "replica's host killed": (lambda w: w.power_off("jkt-db2"), STALL_S, ""),
    "Patroni of the primary killed": (lambda w: primary(w).patroni.kill(), STALL_S, ""),
    "Patroni of the primary killed for good": (
        lambda w: (setattr(primary(w).patroni, "enabled", False), primary(w).patroni.kill()),
        LOCAL_FAILOVER_S,
        "",
    ),
    "whole guard killed for good": (
        lambda w: primary(w).guard.give_up(),
        LOCAL_FAILOVER_S,
        "primary_down_local_recovery",
    ),
    "guard's worker killed": (lambda w: primary(w).guard.worker.kill(), STALL_S, ""),  # type: ignore[union-attr]
    "guard's worker frozen": (lambda w: primary(w).guard.worker.freeze(), STALL_S, ""),  # type: ignore[union-attr]
    "guard's minder killed": (lambda w: primary(w).guard.minder.kill(), STALL_S, ""),  # type: ignore[union-attr]
    "whole guard killed once": (lambda w: primary(w).guard.kill(), STALL_S, ""),
    "link between the data sites cut": (
        lambda w: w.network.cut_link("jakarta", "makassar"),
        STALL_S,
        "link_down",
    ),
    "link to the witness cut": (lambda w: w.network.cut_link("jakarta", "surabaya"), STALL_S, ""),
    "Makassar isolated": (
        lambda w: w.network.isolate("makassar"),
        STALL_S,
        "standby_site_lost",
    ),
    "witness isolated": (lambda w: w.network.isolate("surabaya"), STALL_S, "witness_lost"),
    "witness killed": (
        lambda w: [w.power_off(name) for name in ("sby-zk1", "sby-ctl1")],
        STALL_S,
        "witness_lost",
    ),
    **{
        f"{server} {name}": (
            lambda w, server=server, harm=harm: harm(w, server),  # type: ignore[misc]
            STALL_S,
            "",
        )
        for server in ("jkt-zk1", "mks-zk1", "sby-zk1")
        for name, harm in {
            "isolated": lambda w, server: w.network.isolate_host(server),
            "frozen": lambda w, server: w.freeze(server),
            "killed": lambda w, server: w.power_off(server),
        }.items()
    },
    "leading controller killed": (lambda w: leading(w).kill(), STALL_S, ""),
    "leading controller frozen": (lambda w: leading(w).freeze(), STALL_S, ""),
}


def leading(world: World):  # type: ignore[no-untyped-def]
    return next(c for c in world.controllers.values() if c.result and c.result.leading)


def repair(world: World) -> None:
    world.heal()
    for controller in world.controllers.values():
        controller.thaw()


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_changes_no_active_site_and_stops_no_writes(fault: str) -> None:
    harm, pause_s, verdict = FAULTS[fault]
    world = healthy_world(11)
    since_s = world.kernel.now
    harm(world)
    verdicts = set()
    for _ in range(36):
        world.run(0.5)
        verdicts |= {c.result.verdict.code for c in world.controllers.values() if c.result}
    log = "\n".join(world.kernel.log or [])
    assert (world.state.epoch, world.state.active_site) == (1, "jakarta"), log
    assert longest_pause_s(world, since_s) <= pause_s, log
    assert not verdict or verdict in verdicts, f"{verdicts}\n{log}"
    repair(world)
    until_well(world)
    world.close()


@pytest.mark.parametrize("loads_s", [2.0, 5.0])
def test_a_minder_that_loads_slowly_stops_no_server(loads_s: float) -> None:
    """Customers wait for it, for proxies ask the minder; but the primary lives."""
    world = healthy_world(11)
    stack, since_s = primary(world), world.kernel.now
    assert stack.guard.minder is not None
    stack.guard.starts_from_s = since_s + loads_s
    stack.guard.minder.kill()
    world.run(15.0)
    assert not [line for line in world.kernel.log or [] if "kills" in line]
    assert primary(world) is stack
    assert longest_pause_s(world, since_s) <= loads_s + 2.0
    world.close()


@pytest.mark.parametrize(("loads_s", "lives_s"), [(3.0, 0.6), (5.0, 0.6), (5.5, 2.0)])
def test_a_minder_that_dies_again_and_again_is_a_dead_one(loads_s: float, lives_s: float) -> None:
    """Slowly enough for systemd to go on: the primary is given up, and its site helps itself."""
    world = healthy_world(11)
    stack, since_s = primary(world), world.kernel.now
    for _ in range(3):
        assert stack.guard.minder is not None
        stack.guard.starts_from_s = world.kernel.now + loads_s
        stack.guard.minder.kill()
        world.run(loads_s + lives_s)
    killed = [line for line in world.kernel.log or [] if "kills" in line]
    assert killed, f"nobody killed in {world.kernel.now - since_s} s"
    until_well(world)
    assert world.state.epoch == 1
    world.close()


@pytest.mark.slow
@pytest.mark.parametrize("leader", [0, 1], ids=["jakarta", "makassar"])
@pytest.mark.parametrize("fault", ["isolated", "frozen", "killed"])
def test_a_leader_drifted_into_a_data_site_is_moved_back_and_its_loss_does_no_harm(
    leader: int, fault: str
) -> None:
    world = healthy_world(12)
    for name in [s.host.name for i, s in enumerate(world.ensemble.servers) if i != leader]:
        world.power_off(name)  # the others return behind it
        world.run(0.1)
        world.power_on(name)
    world.run(8.0)
    world.heal()
    until_well(world)
    world.run(15.0)
    assert world.state.epoch == 1
    assert world.ensemble.leader is not None
    since_s = world.kernel.now
    name = world.ensemble.leader.host.name
    {
        "isolated": lambda: world.network.isolate_host(name),
        "frozen": lambda: world.freeze(name),
        "killed": lambda: world.power_off(name),
    }[fault]()
    world.run(15.0)
    assert longest_pause_s(world, since_s) <= STALL_S
    assert world.state.epoch == 1
    world.close()


def test_without_a_quorum_everybody_holds_and_it_recovers_without_a_hand() -> None:
    world = healthy_world(13)
    for name in ("mks-zk1", "sby-zk1"):
        world.power_off(name)
    world.run(20.0)
    assert all(c.result.verdict.code == "quorum_lost" for c in world.controllers.values())  # type: ignore[union-attr]
    assert not world.writable("marketplace")
    for name in ("mks-zk1", "sby-zk1"):
        world.power_on(name)
    until_well(world)
    assert (world.state.epoch, world.state.active_site) == (1, "jakarta")
    world.close()


def test_a_corrupt_state_means_hold() -> None:
    world = healthy_world(14)
    found = world.ensemble.tree[world.paths.state].znode
    session = next(iter(world.ensemble.sessions.values()))
    world.ensemble.on_commit.clear()  # the checker cannot read it either
    world.ensemble._apply(session, (Set(world.paths.state, b"{", found.version),))
    world.run(1.0)
    world.network.isolate("jakarta")
    world.run(20.0)
    assert world.ensemble.tree[world.paths.state].znode.data == b"{"
    assert all(s.server.in_recovery for s in world.at("makassar"))
    world.close()


def test_paused_by_an_operator_nothing_moves() -> None:
    """A paused Patroni demotes nobody; the guard still ends the lease, and nobody takes over."""
    world = healthy_world(15)
    config = world.scope(world.policy.clusters[0], world.policy.initial_site).config
    world.operator_patches(config, lambda data: data[:-1] + b',"pause":true}')
    world.run(3.0)
    world.network.isolate("jakarta")
    world.run(20.0)
    assert world.state.epoch == 1
    assert not any(s.server.writable for s in world.stacks.values())
    world.close()
