"""The door keeper's order of work, where the kernel is slow. The real kernel is in
tests/integration/test_acknowledgement_barrier.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from failover.guard import door_keeper, sockets
from failover.guard.acknowledgement import FREE, SHUT, Barrier, Door, Form
from failover.guard.door_keeper import DoorKeeper
from failover.guard.nftables import KernelRefused, Nftables
from failover.guard.records import Places
from failover.model import ClusterName

CLUSTER = ClusterName("shop")
BARRIER = Barrier(CLUSTER, (1,))  # no server's: nothing of this machine is destroyed
LIMIT_S = 30.0


class SlowKernel:
    """Takes a command for every ``goes_on``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.taken: list[str] = []
        self.goes_on = threading.Semaphore(0)

    def run(self, commands: str) -> None:
        self.asked.append(commands)
        assert self.goes_on.acquire(timeout=LIMIT_S)
        self.taken.append(commands)


def keeper_of(kernel: SlowKernel, tmp_path: Path) -> DoorKeeper:
    places = Places(CLUSTER, tmp_path, tmp_path)
    return DoorKeeper(BARRIER, places, cast("Callable[[], Nftables]", lambda: kernel))


def test_a_door_that_was_to_be_shut_is_shut_before_a_later_lease_opens_it(tmp_path: Path) -> None:
    """What stood behind it is destroyed in between, however late the kernel was."""
    kernel = SlowKernel()

    async def story() -> None:
        keeper = keeper_of(kernel, tmp_path)
        for door in (Door(Form.LEASED, 1), SHUT, Door(Form.LEASED, 2)):
            keeper.want(door)
        kernel.goes_on.release(3)
        assert await keeper.settled(LIMIT_S)

    asyncio.run(story())
    assert any(commands.endswith(BARRIER.as_wanted(SHUT)) for commands in kernel.taken[:-1])
    assert kernel.taken[-1].endswith(BARRIER.as_wanted(Door(Form.LEASED, 2)))


def test_it_is_not_settled_while_what_came_in_its_place_is_not(tmp_path: Path) -> None:
    """A permit waits for the door: one that was passed over says nothing of the one after it."""
    kernel = SlowKernel()

    async def story() -> None:
        keeper = keeper_of(kernel, tmp_path)
        keeper.want(FREE)
        keeper.want(Door(Form.LEASED, 1))
        settling = asyncio.create_task(keeper.settled(LIMIT_S))
        await asyncio.sleep(0)  # it waits for the first lease
        keeper.want(Door(Form.LEASED, 2))
        kernel.goes_on.release()
        passed_over = asyncio.get_running_loop().time() + LIMIT_S
        while not any("2 @lease" in commands for commands in kernel.asked):
            assert asyncio.get_running_loop().time() < passed_over
            await asyncio.sleep(0.01)
        assert not settling.done()
        kernel.goes_on.release()
        assert await settling

    asyncio.run(story())


def test_it_is_not_settled_by_a_failure_that_nobody_foresaw(tmp_path: Path) -> None:
    class Broken:
        def run(self, commands: str) -> None:
            raise ValueError(commands)

    async def story() -> None:
        places = Places(CLUSTER, tmp_path, tmp_path)
        broken = cast("Callable[[], Nftables]", Broken)
        keeper = DoorKeeper(BARRIER, places, broken)
        keeper.want(SHUT)
        assert not await keeper.settled(LIMIT_S)

    asyncio.run(story())


class Refusing:
    """Takes the first commands where ``had``, and refuses all that come after."""

    def __init__(self, *, had: bool) -> None:
        self._takes = had

    def run(self, commands: str) -> None:
        if not self._takes:
            raise KernelRefused(commands)
        self._takes = False


@pytest.mark.parametrize("had", [True, False])
def test_a_kernel_that_refuses_is_doubt_where_it_has_a_door_and_absence_where_it_has_none(
    tmp_path: Path, had: bool
) -> None:
    """A free door that cannot be leased is no place for a promotion."""

    async def story() -> None:
        places = Places(CLUSTER, tmp_path, tmp_path)
        kernel = Refusing(had=had)
        keeper = DoorKeeper(BARRIER, places, cast("Callable[[], Nftables]", lambda: kernel))
        keeper.want(FREE)
        assert await keeper.settled(LIMIT_S)
        keeper.want(Door(Form.LEASED, 1))
        assert await keeper.settled(LIMIT_S) is not had
        assert keeper.enforced is False

    asyncio.run(story())


def test_a_door_that_is_stuck_is_said_when_it_begins_ends_and_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands behind it cannot be destroyed, and it is tried again and again."""
    stuck = True

    def destroy(_keeper: DoorKeeper) -> None:
        if stuck:
            raise OSError("ss: not installed")

    monkeypatch.setattr(DoorKeeper, "_destroy_connections", destroy)
    places = Places(CLUSTER, tmp_path, tmp_path)
    places.door.write_text("shut\n", encoding="ascii")
    kernel = SlowKernel()
    kernel.goes_on.release(100)
    keeper = DoorKeeper(BARRIER, places, cast("Callable[[], Nftables]", lambda: kernel))

    def events(times: int) -> list[str]:
        with capture_logs() as said:
            for _ in range(times):
                keeper.wanted = Door(Form.LEASED, 1)
                keeper._make(keeper.wanted)
        return [each["event"].removeprefix("acknowledgement_barrier") for each in said]

    assert events(50) == ["_stuck"]
    monkeypatch.setattr(door_keeper, "STUCK_SAID_EVERY_S", 0.0)
    assert events(2) == ["_stuck", "_stuck"]
    stuck = False
    assert events(2) == ["_moves_again", ""]
    stuck = True
    keeper._make(SHUT)
    monkeypatch.setattr(door_keeper, "STUCK_SAID_EVERY_S", 60.0)
    assert events(2)[-1:] == ["_stuck"]


@pytest.mark.parametrize("kernel_can", [False, True])
def test_a_door_stays_shut_where_the_kernel_destroys_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel_can: bool
) -> None:
    """ss says nothing of that, and ends with 0: it is tried on a connection of our own."""
    program = tmp_path / "ss"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if kernel_can:
        monkeypatch.setattr(sockets, "try_it", lambda: None)
    places = Places(CLUSTER, tmp_path, tmp_path)
    places.door.write_text("shut\n", encoding="ascii")
    kernel = SlowKernel()
    kernel.goes_on.release(10)

    async def story() -> bool:
        keeper = DoorKeeper(BARRIER, places, cast("Callable[[], Nftables]", lambda: kernel))
        keeper.want(FREE)
        return await keeper.settled(LIMIT_S)

    assert asyncio.run(story()) is kernel_can
    assert bool(kernel.taken) is kernel_can
