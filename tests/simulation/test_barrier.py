"""The acknowledgement barrier where nobody of the guard runs: the kernel keeps the answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from failover.simulation.checker import Violation
from failover.simulation.controller import Stack
from failover.simulation.guard_door import HostDoor
from failover.simulation.schedule import run_schedule
from failover.simulation.world import World
from tests.simulation.stories import JAKARTA, healthy_world, last_ack_s, primary, until_well

Harm = Callable[[Stack], None]


def freeze_the_worker(stack: Stack) -> None:
    assert stack.guard.worker is not None
    stack.guard.worker.freeze()


HARMS: list[Harm] = [freeze_the_worker, lambda stack: stack.guard.kill()]


def nobody_enforces_the_deadline(world: World, harm: Harm) -> float:
    """A new minder loads for longer than everything else takes, the worker stands in for it, and
    then is gone too, in a site that is cut off. When the minder was lost."""
    stack, lost_s = primary(world), world.kernel.now
    stack.patroni.enabled = False
    stack.patroni.kill()
    stack.guard.starts_from_s = lost_s + 30.0
    assert stack.guard.minder is not None
    stack.guard.minder.kill()
    world.run(2.0)
    world.network.isolate(JAKARTA)
    harm(stack)
    world.run(15.0)
    return lost_s


@pytest.mark.parametrize("harm", HARMS, ids=["worker frozen", "all of it killed"])
def test_nothing_is_acknowledged_past_the_last_word_of_a_dead_minder(harm: Harm) -> None:
    world = healthy_world(5)
    stack = primary(world)
    lost_s = nobody_enforces_the_deadline(world, harm)
    assert world.state.active_site == "makassar"
    assert stack.server.writable, "nobody was there to kill it"
    assert last_ack_s(world, "jakarta") <= lost_s + world.timing.deadline_s
    world.network.heal()
    stack.patroni.enabled = True
    stack.guard.starts_from_s = 0.0
    stack.guard.thaw()
    until_well(world)
    world.close()


def test_a_barrier_that_does_not_shut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostDoor, "opens", True)
    world = healthy_world(5)
    with pytest.raises(Violation, match="could acknowledge"):
        nobody_enforces_the_deadline(world, freeze_the_worker)
    world.close()


def test_a_barrier_that_never_opens_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No invariant is about it: nobody is told of anything."""
    monkeypatch.setattr(HostDoor, "opens", False)
    result = run_schedule(3, 20)
    assert "nothing was acknowledged" in result.failure
