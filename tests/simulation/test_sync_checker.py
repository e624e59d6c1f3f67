"""The invariants of the protection modes see what is planted: every safeguard taken away shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from failover.coordination import sync_memory
from failover.coordination.sync_memory import Look, Proof, SyncKey
from failover.guard import permits
from failover.health import cluster_view, protection
from failover.health.cluster_view import ClusterView
from failover.health.protection import Change
from failover.model import HostName
from failover.planning import gates
from failover.planning import protection as planning
from failover.replication import loss
from failover.simulation.checker import Violation
from failover.simulation.world import World
from tests.simulation.stories import JAKARTA, primary, synchronous_world

Patch = pytest.MonkeyPatch
MAKASSAR = "makassar"


def violation(story: Callable[[World], None], seeds: int = 12) -> str:
    """What the checker says of the story in the first seed in which it says anything."""
    for seed in range(seeds):
        world: World | None = None
        try:
            world = synchronous_world(seed)
            story(world)
        except Violation as found:
            return str(found)
        finally:
            if world is not None:
                world.close()
    return ""


def comes_and_goes(world: World) -> None:
    for _ in range(2):
        world.network.isolate(MAKASSAR)
        world.run(9.0)
        world.network.heal()
        world.run(12.0)


def only_makassar_has_everything(world: World) -> None:
    """The local replica is held back, is dropped, and then the primary is lost."""
    replica = next(s for s in world.at(JAKARTA) if s is not primary(world))
    replica.server.stall_fsync()
    world.run(8.0)
    replica.server.end_stall()
    replica.server.upstream = None
    replica.patroni.freeze()
    world.run(0.3)
    world.power_off(primary(world).host.name)
    replica.patroni.thaw()
    world.run(15.0)


def older_disks(world: World) -> None:
    """Both hosts of Makassar come back with one, while the takeover is held."""
    world.network.isolate(JAKARTA)
    world.run(3.0)
    for stack in world.at(MAKASSAR):
        stack.server.kill()
        stack.server.lsn -= 300
    world.run(20.0)


STORIES = [comes_and_goes, only_makassar_has_everything, older_disks]


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_with_everything_in_place_nothing_is_found(story: Callable[[World], None]) -> None:
    assert violation(story, seeds=3) == ""


@pytest.fixture(autouse=True)
def _unchecked(request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    """The plan checks would refuse some of what is planted."""
    if "everything_in_place" not in request.node.name:
        monkeypatch.setattr("failover.planning.decision.lint", lambda *_: ())


def test_a_setting_that_is_taken_for_the_proof(monkeypatch: Patch) -> None:
    real = sync_memory.advance

    def advance(proof: Proof, look: Look, key: SyncKey) -> Proof:
        after = real(proof, look, key)
        return dataclasses.replace(after, done=after.held is not None)

    monkeypatch.setattr(sync_memory, "advance", advance)
    assert "could acknowledge without" in violation(comes_and_goes)


def test_a_host_that_is_on_record_as_soon_as_it_is_listed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(protection, "in_force", lambda cluster: True)
    assert violation(comes_and_goes)


def test_a_list_that_leaves_before_the_record(monkeypatch: Patch) -> None:
    real = protection._drop

    def drop(state: object, cluster: ClusterView, have: tuple[HostName, ...]) -> Change | None:
        change = real(state, cluster, have)  # type: ignore[arg-type]
        listed = set(protection.listed(cluster) or ())
        if change is not None and set(change.listed) != listed:
            return dataclasses.replace(change, have=have)
        return change

    monkeypatch.setattr(protection, "_drop", drop)
    assert violation(comes_and_goes)


def test_in_sync_that_stays_on_record(monkeypatch: Patch) -> None:
    monkeypatch.setattr(protection, "in_sync", lambda policy, state: True)
    monkeypatch.setattr(planning.protection, "in_sync", lambda policy, state: True)
    assert "could acknowledge without" in violation(comes_and_goes)


def test_a_permit_for_whoever_asks(monkeypatch: Patch) -> None:
    monkeypatch.setattr(permits, "_not_in_sync", lambda *_: None)
    monkeypatch.setattr(cluster_view, "_permitted", lambda *_: None)  # the controllers wait for it
    assert "is writable and lacks" in violation(only_makassar_has_everything)


def test_a_host_that_is_known_by_its_name(monkeypatch: Patch) -> None:
    monkeypatch.setattr(loss, "_in_the_run_on_record", lambda cluster, host: True)
    monkeypatch.setattr(gates, "wal_replayed", gates.standby_leader_ready)
    assert "writes lost in sync" in violation(older_disks)
