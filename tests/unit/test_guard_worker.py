"""The worker in its minder's place, and the minder without a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from guard_world import Host, guard_that_says, wait_for

from failover.clock import boottime_s
from failover.guard import worker as worker_module
from failover.guard.link import Link
from failover.guard.logic import Grant, Limits, Renewals
from failover.guard.messages import MinderStatus, PermitWithdrawn, encode
from failover.guard.records import (
    GuardRecord,
    LeaseRecord,
    boot_id,
    read_lease,
    read_record,
    write_lease,
    write_record,
)
from failover.guard.server import lock_is_free
from failover.guard.worker import Worker, inherited
from failover.guard.worker_process import WorkerProcess
from failover.model import Epoch

LIMITS = Limits(tick_s=0.5, deadline_s=4.5)
MINDER, SUCCESSOR = 101, 202


@dataclass
class Keeper:
    paused: threading.Event = field(default_factory=threading.Event)


@dataclass
class Desk:
    told: list[MinderStatus] = field(default_factory=list)

    def status(self, status: MinderStatus) -> None:
        self.told.append(status)

    def withdraw(self, request: int) -> None:
        """There is none."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    with guard_that_says(made.places, yes=True):
        made.start_server()
    yield made
    made.end()


def remember(host: Host, *, grant: bool, left_s: float, minder: int = MINDER) -> None:
    """The two files, with so much left of the deadline."""
    sent_s = boottime_s() + left_s - LIMITS.deadline_s
    given = Grant(0x77, Epoch(1), sent_s, promotion=False) if grant else None
    write_record(host.places, GuardRecord(boot_id(), 0x77, "00ff", armed=True, grant=given))
    write_lease(host.places, LeaseRecord(boot_id(), minder, Renewals(0x77, sent_s, sent_s)))


def worker_that_heard_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> tuple[Worker, Desk]:
    """Its minder is lost before its first word."""
    worker, desk, ours = worker_of(host, monkeypatch)
    ours.close()
    return worker, desk


def worker_of(host: Host, monkeypatch: pytest.MonkeyPatch) -> tuple[Worker, Desk, socket.socket]:
    """With what its minder began with, and the minder's end of the link."""
    monkeypatch.setattr(worker_module, "LAST_RELEASE_S", 0.0)
    ours, theirs = socket.socketpair()
    boot = boot_id()
    begun = inherited(read_record(host.places, boot), read_lease(host.places, boot), LIMITS)
    desk = Desk()
    made = Worker(
        Link(theirs),
        host.places,
        boot,
        MINDER,
        Keeper(),  # type: ignore[arg-type]
        desk,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        begun,
    )
    return made, desk, ours


def test_it_enforces_the_deadline_of_a_minder_that_never_spoke(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=0.5)
    worker, desk = worker_that_heard_nothing(host, monkeypatch)
    worker.run()
    assert lock_is_free(host.places)
    assert not desk.told[-1].granted


def test_it_leaves_the_server_to_a_new_minder(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(host, grant=True, left_s=0.5, minder=SUCCESSOR)
    worker, desk = worker_that_heard_nothing(host, monkeypatch)
    worker.run()
    assert not lock_is_free(host.places)
    assert desk.told == []


def test_without_a_grant_it_goes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(host, grant=False, left_s=-1.0)
    worker, _ = worker_that_heard_nothing(host, monkeypatch)
    worker.run()
    assert not lock_is_free(host.places)


def test_without_the_lease_file_the_inherited_deadline_is_unknown(host: Host) -> None:
    remember(host, grant=True, left_s=3.0)
    begun = inherited(read_record(host.places, boot_id()), None, LIMITS)
    assert begun is not None
    assert begun.deadline_s is None


def test_a_worker_that_cannot_be_started_does_not_end_the_minder() -> None:
    async def story() -> int:
        restarts: list[None] = []
        process = WorkerProcess(
            ("/nonexistent/worker",), lambda message: None, lambda: restarts.append(None)
        )
        running = asyncio.create_task(process.run())
        async with asyncio.timeout(5.0):
            while len(restarts) < 2 and not running.done():  # noqa: ASYNC110 - counted elsewhere
                await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return len(restarts)

    assert asyncio.run(story()) >= 2


def test_a_grant_without_a_known_deadline_is_as_good_as_over(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=60.0)
    host.places.lease.unlink()
    worker, desk = worker_that_heard_nothing(host, monkeypatch)
    worker.run()
    assert lock_is_free(host.places)
    assert not desk.told[-1].granted


def test_it_renews_only_while_its_minder_speaks(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would enforce the deadline: silence lets it come, a word goes on."""
    monkeypatch.setattr(worker_module, "MINDER_SILENCE_LIMIT_S", 0.2)
    remember(host, grant=True, left_s=60.0)
    worker, _, ours = worker_of(host, monkeypatch)
    paused = worker._keeper.paused
    running = threading.Thread(target=worker.run, daemon=True)
    running.start()
    try:
        assert paused.wait(60.0)
        wait_for(lambda: says_something(ours) and not paused.is_set())
        assert paused.wait(60.0)
    finally:
        remember(host, grant=True, left_s=60.0, minder=SUCCESSOR)  # so that it only goes
        ours.close()
        running.join(60.0)
    assert not running.is_alive()
    assert not lock_is_free(host.places)


def says_something(ours: socket.socket) -> bool:
    ours.sendall(encode(PermitWithdrawn(1)))
    return True
