"""The worker in its minder's place, and the minder without a worker."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from guard_world import Host, guard_that_says, wait_for

from failover.clock import boottime_s
from failover.guard import server
from failover.guard import worker as worker_module
from failover.guard.link import Link
from failover.guard.logic import Grant, Limits, Renewals
from failover.guard.messages import (
    ClaimRead,
    FromWorker,
    MinderStatus,
    PermitWithdrawn,
    Renewed,
    encode,
)
from failover.guard.records import (
    GuardRecord,
    LeaseRecord,
    Places,
    boot_id,
    latest_renewals,
    read_lease,
    read_record,
    read_stand_in,
    write_lease,
    write_record,
)
from failover.guard.server import lock_is_free
from failover.guard.worker import Worker, inherited
from failover.guard.worker_process import WorkerProcess
from failover.model import Epoch, HostName

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
        HostName("jkt-db1"),
        LIMITS,
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


# --------------------------------------------------------------------------- a dead minder


@contextlib.contextmanager
def standing_in(worker: Worker, ours: socket.socket) -> Iterator[threading.Thread]:
    """Its minder dies; whatever becomes of the story, the worker is let go."""
    worker._keeper.paused.set()  # as after a silence: it renews once it stands in
    ours.close()
    running = threading.Thread(target=worker.run, daemon=True)
    running.start()
    try:
        yield running
    finally:
        write_lease(worker._places, LeaseRecord(boot_id(), SUCCESSOR))
        running.join(60.0)


def say(worker: Worker, *messages: FromWorker) -> None:
    for message in messages:
        worker._link.send(message)


def test_for_a_dead_minder_it_renews_past_the_deadline_and_a_new_one_goes_on_with_that(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=2.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    with standing_in(worker, ours) as running:
        wait_for(lambda: not is_paused(worker))
        renewed_s = renew_until(worker, boottime_s() + 2.5)
        wait_for(lambda: last_sent_s(host) == renewed_s)
        assert running.is_alive()
        assert not lock_is_free(host.places)
    assert not lock_is_free(host.places)
    assert desk.told == []


def is_paused(worker: Worker) -> bool:
    return worker._keeper.paused.is_set()


def last_sent_s(host: Host) -> float | None:
    found = latest_renewals(host.places, boot_id())
    return None if found is None else found.last_sent_s


def renew_until(worker: Worker, until_s: float) -> float:
    """Renewals a tick apart, as if committed; the time of the last one."""
    sent_s = 0.0

    def done() -> bool:
        nonlocal sent_s
        if boottime_s() - sent_s >= LIMITS.tick_s:
            sent_s = boottime_s()
            say(worker, Renewed(0x77, sent_s))
        return boottime_s() > until_s

    wait_for(done)
    return sent_s


def test_for_a_silent_one_it_renews_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be alive, and on its way to a kill."""
    monkeypatch.setattr(worker_module, "MINDER_SILENCE_LIMIT_S", 0.1)
    remember(host, grant=True, left_s=1.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    with ours:
        worker.run()
    assert is_paused(worker)
    assert lock_is_free(host.places)
    assert not desk.told[-1].granted
    assert read_stand_in(host.places, boot_id()) is None


def test_while_it_kills_it_renews_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZooKeeper was silent until the deadline came; a process that cannot be killed holds on."""
    remember(host, grant=True, left_s=0.5)
    worker, _, ours = worker_of(host, monkeypatch)
    monkeypatch.setattr(server, "kill_once", lambda places: 1)
    killing = worker._kill_once
    paused: list[bool] = []

    def kill_once() -> bool:
        paused.append(is_paused(worker))
        return killing()

    monkeypatch.setattr(worker, "_kill_once", kill_once)
    with standing_in(worker, ours):
        wait_for(lambda: len(paused) > 3)
    assert all(paused)


def stands_in_undisturbed(worker: Worker, desk: Desk, ours: socket.socket) -> None:
    with standing_in(worker, ours) as running:
        wait_for(lambda: not is_paused(worker))
        assert running.is_alive()
    assert desk.told == []


def test_a_lock_that_cannot_be_opened_ends_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(_places: Places) -> bool:
        raise OSError(errno.ENFILE, "too many open files")

    remember(host, grant=True, left_s=600.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    monkeypatch.setattr(server, "lock_is_free", no_descriptor)
    stands_in_undisturbed(worker, desk, ours)


def test_a_lock_that_was_replaced_is_no_sign_of_a_servers_end(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=600.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    host.places.lock.unlink()
    host.places.lock.touch()
    assert lock_is_free(host.places)
    stands_in_undisturbed(worker, desk, ours)


def test_what_ends_the_lease_is_not_renewed_and_the_deadline_comes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=1.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    with standing_in(worker, ours) as running:
        wait_for(lambda: not is_paused(worker))
        say(worker, ClaimRead(own=False), Renewed(0x77, boottime_s()))
        wait_for(lambda: is_paused(worker))
        running.join(60.0)
    assert lock_is_free(host.places)
    assert not desk.told[-1].granted


def test_a_claim_whose_server_is_gone_is_given_back_at_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(host, grant=True, left_s=600.0)
    worker, desk, ours = worker_of(host, monkeypatch)
    with standing_in(worker, ours) as running:
        wait_for(lambda: not is_paused(worker))
        host.end()
        running.join(60.0)
        assert not running.is_alive()
    assert not desk.told[-1].granted
