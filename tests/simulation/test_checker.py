"""The checker sees what is planted: every safeguard taken away is found out within a few seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from failover.coordination import gather
from failover.guard import logic
from failover.guard.permits import AskPermit, PermitDecision, PermitInputs
from failover.history import HeadSeen
from failover.planning import plan_checks, transactions
from failover.simulation import guard_worker
from failover.simulation.checker import Violation
from failover.simulation.guard import Guard
from failover.simulation.guard_salvage import Salvager
from failover.simulation.patroni import Patroni
from failover.simulation.world import World
from failover.state import encode_state
from failover.znode import Set
from tests.simulation.stories import healthy_world, primary

Patch = pytest.MonkeyPatch


def violation(story: Callable[[World], None], seeds: int = 3) -> str:
    """What the checker says of the story in the first seed in which it says anything."""
    for seed in range(seeds):
        world = healthy_world(seed)
        try:
            story(world)
        except Violation as found:
            return str(found)
        finally:
            world.close()
    return ""


def jakarta_lost_with_its_patroni_dead(world: World) -> None:
    stack = primary(world)
    stack.patroni.enabled = False
    stack.patroni.kill()
    world.network.isolate("jakarta")
    world.run(15.0)
    world.heal()
    world.run(20.0)


def test_with_everything_in_place_nothing_is_found() -> None:
    assert violation(jakarta_lost_with_its_patroni_dead) == ""


def test_a_guard_that_does_not_kill(monkeypatch: Patch) -> None:
    def decide(guard: logic.Guard, *_: object) -> tuple[logic.Guard, logic.Decision]:
        return guard, logic.Nothing()

    monkeypatch.setattr(logic, "decide", decide)
    assert "could acknowledge" in violation(jakarta_lost_with_its_patroni_dead)


def test_a_deadline_after_the_end_of_the_session(monkeypatch: Patch) -> None:
    real = logic.Limits.of
    monkeypatch.setattr(
        logic.Limits, "of", lambda timing: dataclasses.replace(real(timing), deadline_s=9.0)
    )
    assert "could acknowledge" in violation(jakarta_lost_with_its_patroni_dead)


def test_an_epoch_without_proof() -> None:
    def story(world: World) -> None:
        found = world.ensemble.tree[world.paths.state].znode
        moved = dataclasses.replace(world.state, epoch=2, active_site="makassar")  # type: ignore[arg-type]
        session = next(iter(world.ensemble.sessions.values()))
        world.ensemble._apply(
            session, (Set(world.paths.state, encode_state(moved), found.version),)
        )

    assert "I2: epoch 2 while jkt-db" in violation(story)


def test_a_permit_that_trusts_its_reads(monkeypatch: Patch) -> None:
    """Without the check of ``state`` in the transaction a permit read before the takeover holds."""
    real = guard_worker.decide_permit

    def trusting(me: object, seen: PermitInputs) -> PermitDecision:
        decision = real(me, seen)  # type: ignore[arg-type]
        if isinstance(decision, AskPermit):
            return dataclasses.replace(decision, transaction=decision.transaction[1:])
        return decision

    monkeypatch.setattr(guard_worker, "decide_permit", trusting)

    def story(world: World) -> None:
        """The permit's question is read, then its worker stands still over the takeover."""
        replica = next(s for s in world.at("jakarta") if s is not primary(world))
        replica.patroni._is_healthiest = lambda seen: False  # type: ignore[method-assign]
        world.power_off(primary(world).host.name)
        world.run(12.0)
        worker = replica.guard.worker
        assert worker is not None
        read = worker._read

        def read_and_stop() -> object:
            seen = read()
            world.kernel.sleep(6.0)
            return seen

        worker._read = read_and_stop  # type: ignore[method-assign,assignment]
        replica.patroni._promoting = True
        replica.patroni._beside("race", lambda: _promote_anyhow(replica.patroni))
        world.run(20.0)

    assert "I1" in violation(story)


def _promote_anyhow(patroni: Patroni) -> None:
    if patroni.barriers.pre_promote():
        patroni.server.promote()


def test_a_rewind_before_the_salvage(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Guard, "rewind", lambda self, source: None)
    monkeypatch.setattr(Salvager, "copy", lambda self: None)

    def story(world: World) -> None:
        world.network.isolate("jakarta")
        world.run(12.0)
        world.network.heal()
        world.run(20.0)

    assert "was salvaged" in violation(story)


def test_an_entry_beside_the_chain(monkeypatch: Patch) -> None:
    """A controller that has forgotten the head starts the chain anew."""

    def story(world: World) -> None:
        monkeypatch.setattr(gather, "head_seen", lambda found: HeadSeen(version=found.version))
        jakarta_lost_with_its_patroni_dead(world)

    assert "history: takeover is entry 1 after" in violation(story)


def test_an_entry_without_its_head(monkeypatch: Patch) -> None:
    real = transactions.continued

    def story(world: World) -> None:
        monkeypatch.setattr(transactions, "continued", lambda *args: real(*args)[:1])
        monkeypatch.setattr(plan_checks, "_EVERY_STEP", ())
        jakarta_lost_with_its_patroni_dead(world)
        world.checker.whole_history()

    assert "history: entry" in violation(story)


def test_patroni_promotes_past_the_barriers(monkeypatch: Patch) -> None:
    def story(world: World) -> None:
        """Its key outlives the server; the start in place asks nobody."""
        stack = primary(world)
        monkeypatch.setattr(Guard, "start", lambda self, *, standby: True)
        monkeypatch.setattr(logic, "decide", lambda guard, *_: (guard, logic.Nothing()))
        stack.patroni.freeze()
        stack.server.kill()
        world.network.isolate("jakarta")
        world.run(15.0)
        stack.patroni._beside("restart", lambda: stack.patroni._start(standby=False))
        stack.patroni.thaw()
        world.run(2.0)

    assert "I1: writable at once" in violation(story)
