"""Every step of takeover and reinstatement with its outcome unknown, or its controller frozen.

A controller that dies at a step is in test_takeover.py. Here it lives on and must neither believe
what it does not know nor do anything twice: each event of an epoch is on record exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from failover.simulation.client import Client
from failover.simulation.controller import SiteController
from failover.simulation.world import World
from failover.state import HistoryEntry, decode_record
from failover.znode import Create, Outcome, OutcomeUnknown, Transaction
from tests.simulation.stories import JAKARTA, healthy_world, until_well

FROZEN_S = 10.0  # longer than a controller's session: another one leads meanwhile

Commit = Callable[[Transaction], Outcome]
Interruption = Callable[[World, SiteController, Commit, Transaction], Outcome]


def entries(world: World, transaction: Transaction) -> list[HistoryEntry]:
    return [
        decode_record(HistoryEntry, op.data, path=op.path)
        for op in transaction
        if isinstance(op, Create) and op.path == world.paths.history_entry
    ]


def interrupt(world: World, event: str, interruption: Interruption) -> list[str]:
    """The first transaction that puts this event on record is interrupted. Whose it was."""
    whose: list[str] = []

    def plant(controller: SiteController, client: Client) -> None:
        commit = client._commit

        def interrupted(transaction: Transaction) -> Outcome:
            if whose or event not in [entry.event for entry in entries(world, transaction)]:
                return commit(transaction)
            whose.append(controller.site)
            world.kernel.note(f"controller {controller.site}: {event} is interrupted")
            return interruption(world, controller, commit, transaction)

        client._commit = interrupted  # type: ignore[method-assign]

    for controller in world.controllers.values():
        controller.on_connect = lambda client, controller=controller: plant(controller, client)  # type: ignore[misc]
        if controller.client is not None:
            plant(controller, controller.client)
    return whose


def happened(
    _world: World, _controller: SiteController, commit: Commit, transaction: Transaction
) -> Outcome:
    """It is committed, and the answer is lost."""
    commit(transaction)
    return OutcomeUnknown("the answer is lost")


def did_not_happen(
    _world: World, _controller: SiteController, _commit: Commit, _transaction: Transaction
) -> Outcome:
    """The request is lost."""
    return OutcomeUnknown("the request is lost")


def happened_and_it_dies(
    world: World, controller: SiteController, commit: Commit, transaction: Transaction
) -> Outcome:
    """Nobody alive knows that it was tried; its controller never comes back."""
    controller.enabled = False
    commit(transaction)
    controller.kill()
    raise AssertionError("a dead process goes on")


def frozen_before(
    world: World, controller: SiteController, commit: Commit, transaction: Transaction
) -> Outcome:
    """Frozen with the transaction in hand; thawed, it sends it, when another has long led."""
    controller.freeze()
    world.kernel.after(FROZEN_S, controller.thaw)
    world.kernel.sleep(0.001)
    return commit(transaction)


def frozen_after(
    world: World, controller: SiteController, commit: Commit, transaction: Transaction
) -> Outcome:
    """Frozen before it reads the answer."""
    outcome = commit(transaction)
    controller.freeze()
    world.kernel.after(FROZEN_S, controller.thaw)
    world.kernel.sleep(0.001)
    return outcome


def on_record(world: World) -> Counter[str]:
    """How often each event of epoch 2 is in the history."""
    found = (
        decode_record(HistoryEntry, node.znode.data, path=path)
        for path, node in world.ensemble.tree.items()
        if path.startswith(f"{world.paths.history}/")
    )
    return Counter(entry.event for entry in found if entry.epoch == 2)


@pytest.mark.parametrize("clusters", [1, 2])
@pytest.mark.parametrize(
    "interruption",
    [happened, did_not_happen, happened_and_it_dies, frozen_before, frozen_after],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("event", ["takeover", "promoted", "reinstated"])
def test_a_step_is_interrupted_and_done_once(
    event: str, interruption: Interruption, clusters: int
) -> None:
    world = healthy_world(8, clusters=clusters)
    whose = interrupt(world, event, interruption)
    world.network.isolate(JAKARTA)
    world.run(15.0)
    world.network.heal()
    until_well(world, 90.0)
    world.run(FROZEN_S)  # whoever was frozen has sent what it had in hand
    until_well(world)
    assert whose, event
    assert (world.state.epoch, world.state.active_site) == (2, "makassar")
    done = on_record(world)
    assert done["takeover"] == 1
    assert 1 <= done["promoted"] <= clusters
    assert done["reinstated"] == clusters
    world.close()
