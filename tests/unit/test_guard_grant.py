"""When a barrier is told yes, and what is left of a permit of which nobody was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from guard_world import CLUSTER

from failover.clock import boottime_s
from failover.guard import memory as memory_module
from failover.guard.grant_keeper import GrantKeeper, Reply
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.logic import Guard, Limits, Renewals
from failover.guard.memory import Memory
from failover.guard.messages import (
    Answer,
    FromMinder,
    PermitAnswer,
    PermitAsk,
    PermitWithdrawn,
    Purpose,
)
from failover.guard.records import Places, read_record

SESSION, BOOT = 0x77, "a boot"
LIMITS = Limits(tick_s=0.1, deadline_s=60.0)
YES = PermitAnswer(1, Answer.YES, "granted", "", SESSION, 1, 101)


class World:
    """A minder's grant with its files, a lease that holds, and a worker that is only written to."""

    def __init__(self, root: Path) -> None:
        self.places = Places(CLUSTER, root, run_dir=root, durable_dir=root)
        self.sent: list[FromMinder] = []
        self.changes = 0
        self.while_settling: Callable[[], None] = lambda: None
        self.door_follows = True
        now_s = boottime_s()
        leased = Guard(LIMITS, armed=True, renewals=Renewals(SESSION, now_s, now_s))
        self.grants = GrantKeeper(
            leased,
            Memory(self.places, BOOT),
            GuardMetrics("shop", "jkt-db1"),
            self.sent.append,
            self._settle_door,
            self._changed,
        )

    async def _settle_door(self) -> bool:
        self.while_settling()
        return self.door_follows

    def _changed(self) -> None:
        self.changes += 1

    async def asked(self, purpose: Purpose = Purpose.PRE_PROMOTE) -> asyncio.Task[Reply]:
        """The question of a barrier, once it is with the worker."""
        before = len(self.sent)
        asking = asyncio.create_task(self.grants.permit(purpose, 30.0))
        while len(self.sent) == before:  # noqa: ASYNC110 - a list, which wakes nobody
            await asyncio.sleep(0)
        return asking

    async def answered(self, answer: PermitAnswer = YES) -> Reply:
        asking = await self.asked()
        self.grants.answered(answer)
        return await asking


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(story: Awaitable[Reply]) -> Reply:
    async def waited() -> Reply:
        return await asyncio.wait_for(story, 30.0)

    return asyncio.run(waited())


def test_yes_stands_on_the_disk_by_the_time_it_is_said(world: World) -> None:
    reply = run(world.answered())
    assert (reply.yes, reply.timeline) == (True, 101)
    record = read_record(world.places, BOOT)
    assert record.grant == world.grants.guard.grant
    assert record.grant is not None


def test_a_disk_that_refuses_is_a_no(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(memory_module, "write_record", full)
    refused(world, run(world.answered()), "record")


def test_a_door_that_does_not_follow_the_lease_is_a_no(world: World) -> None:
    world.door_follows = False
    refused(world, run(world.answered()), "barrier")


def test_a_lease_that_ends_meanwhile_is_a_no(world: World) -> None:
    def over() -> None:
        world.grants.guard = replace(world.grants.guard, renewals=None)

    world.while_settling = over
    refused(world, run(world.answered()), "no_lease")


def test_a_yes_of_a_session_without_a_lease_is_a_no(world: World) -> None:
    refused(world, run(world.answered(replace(YES, session_id=SESSION + 1))), "no_lease")


def test_a_no_is_passed_on_with_its_reason(world: World) -> None:
    no = PermitAnswer(1, Answer.NO, "not_active_site", "makassar is", 0, 0, None)
    refused(world, run(world.answered(no)), "not_active_site")


def refused(world: World, reply: Reply, reason: str) -> None:
    assert (reply.yes, reply.reason.split(":")[0]) == (False, reason)
    assert world.grants.guard.grant is None
    assert world.sent[-1] == PermitWithdrawn(1)


def test_who_is_gone_before_the_answer_leaves_no_grant(world: World) -> None:
    async def story() -> None:
        asking = await world.asked()
        await hang_up(asking)
        world.grants.answered(YES)
        assert world.grants.permits_seen == 1  # so that the worker may give the claim back
        assert world.grants.guard.grant is None

    asyncio.run(story())


def test_who_is_gone_before_the_yes_leaves_no_grant(world: World) -> None:
    """Answered, and not told yet: the door is being moved."""

    async def story() -> None:
        settling = asyncio.Event()

        async def for_ever() -> bool:
            settling.set()
            return await asyncio.get_running_loop().create_future()

        world.grants._settle_door = for_ever
        asking = await world.asked()
        world.grants.answered(YES)
        await asyncio.wait_for(settling.wait(), 30.0)
        assert world.grants.guard.grant is not None
        changes = world.changes
        await hang_up(asking)
        assert world.grants.guard.grant is None
        assert world.changes == changes + 1

    asyncio.run(story())


async def hang_up(asking: asyncio.Task[Reply]) -> None:
    asking.cancel()
    await asyncio.wait({asking})


def test_a_new_worker_is_asked_what_the_one_before_has_not_answered(world: World) -> None:
    async def story() -> None:
        asking = await world.asked()
        world.grants.ask_again()
        assert world.sent == [PermitAsk(1, Purpose.PRE_PROMOTE, 30.0)] * 2
        await hang_up(asking)
        world.grants.ask_again()
        assert world.sent[2:] == [PermitWithdrawn(1)]

    asyncio.run(story())


@pytest.mark.parametrize("over", [False, True])
def test_a_promotion_is_answered_from_memory_while_that_grant_stands(
    world: World, over: bool
) -> None:
    async def story() -> None:
        asking = await world.asked()
        world.grants.answered(YES)
        assert (await asking).yes
        asked = len(world.sent)
        if over:
            world.grants.over()
        promoting = asyncio.create_task(world.grants.permit(Purpose.PROMOTE, 30.0))
        await asyncio.wait({promoting}, timeout=None if not over else 0.0)
        assert promoting.done() is not over
        assert len(world.sent) == asked + over
        await hang_up(promoting)

    asyncio.run(story())
