"""A worker that falls is followed by one that was started before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from failover.guard import worker_process
from failover.guard.messages import FromWorker, MinderStatus
from failover.guard.worker_process import WorkerProcess
from failover.guard.worker_start import start_worker

STUB = Path(__file__).with_name("guard_stub_worker.py")
FIRST_WORD = MinderStatus(
    granted=False,
    permits_seen=0,
    session_id=None,
    deadline_s=None,
    server_alive=False,
    in_production=False,
    demoted=False,
)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within 20 s")


class Workers:
    """A minder's side that says a word now and then, as the minder does."""

    def __init__(self, directory: Path) -> None:
        self.heard: list[FromWorker] = []
        command = (sys.executable, str(STUB), str(directory))
        self.first = start_worker(command, waits=True)
        self.process = WorkerProcess(command, self.heard.append, lambda: None, self.first)

    async def speak(self) -> None:
        while True:
            self.process.send(FIRST_WORD)
            await asyncio.sleep(0.05)

    async def has_spare(self, instead_of: int = 0) -> int:
        await until(lambda: self._spare() not in (0, instead_of))
        return self._spare()

    def _spare(self) -> int:
        spare = self.process._spare
        return spare.process.pid if spare is not None else 0


@contextlib.asynccontextmanager
async def working(directory: Path) -> AsyncIterator[Workers]:
    workers = Workers(directory)
    tasks = [asyncio.create_task(workers.process.run()), asyncio.create_task(workers.speak())]
    try:
        yield workers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "SPARE_AFTER_S", 0.1)
    # On a busy machine a worker that is slow to speak is not what these tests are about.
    monkeypatch.setattr(worker_process, "SILENCE_LIMIT_S", 15.0)


def children() -> set[int]:
    """The living ones: of earlier tests some may wait to be reaped."""
    pid = os.getpid()
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {int(child) for child in found if not is_zombie(child)}


def is_zombie(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            == "Z"
        )
    return True


async def alive(workers: Workers) -> None:
    await until(lambda: workers.process.alive)


def test_the_spare_takes_over_and_there_is_a_new_one(tmp_path: Path) -> None:
    """From the one that was started before the minder: had another been taken, its end would cost
    no spare."""

    async def story() -> None:
        async with asyncio.timeout(20), working(tmp_path) as workers:
            await alive(workers)
            spare = await workers.has_spare()
            worker = workers.first.process.pid
            os.kill(worker, signal.SIGKILL)
            await until(lambda: worker not in children())
            await alive(workers)
            assert spare in children()
            await workers.has_spare(instead_of=spare)

    asyncio.run(story())


def test_a_spare_that_died_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        async with asyncio.timeout(20), working(tmp_path) as workers:
            await alive(workers)
            dead = await workers.has_spare()
            os.kill(dead, signal.SIGKILL)
            await workers.has_spare(instead_of=dead)
            assert workers.process.alive

    asyncio.run(story())


def test_no_spare_outlives_its_minder(tmp_path: Path) -> None:
    async def story() -> int:
        async with asyncio.timeout(20), working(tmp_path) as workers:
            await alive(workers)
            return await workers.has_spare()

    spare = asyncio.run(story())
    os.waitpid(spare, 0)
