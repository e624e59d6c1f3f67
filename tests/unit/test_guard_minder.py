"""The minder with its doors, its files, a real server's processes and a scripted worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from guard_world import CLUSTER, Host
from structlog.testing import capture_logs

from failover.clock import boottime_s
from failover.guard import grant_keeper, host_question, proxy_question
from failover.guard import minder as minder_module
from failover.guard.acknowledgement import Barrier
from failover.guard.door_keeper import DoorKeeper
from failover.guard.doors import open_barrier_door, open_http_door_at_last
from failover.guard.grant_keeper import Reply
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.host_question import HostQuestion
from failover.guard.logic import Limits
from failover.guard.messages import HostAnswer, HostAsk, Purpose, Renewed
from failover.guard.minder import Minder
from failover.guard.nftables import KernelRefused, Nftables
from failover.guard.records import boot_id, read_record
from failover.guard.server import lock_is_free
from failover.model import HostName

# The deadline is long where it is not the point: a busy machine may stop all of this for seconds.
LIMITS = Limits(tick_s=0.1, deadline_s=60.0, in_place_s=1.0, fast_stop_s=0.5)
SHORT = replace(LIMITS, deadline_s=1.0)
STUB = Path(__file__).with_name("guard_stub_worker.py")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(grant_keeper, "RECORD_LIMIT_S", 60.0)  # its disk is as busy
    made = Host(tmp_path, start_limit_s=30.0)
    (tmp_path / "renew").touch()
    yield made
    made.end()


def stop_renewing(host: Host) -> None:
    (host.places.run_dir.parent / "renew").unlink()


def without_nftables() -> Nftables:
    """A host whose kernel has no barrier: the other kind needs a network of its own to try
    (tests/integration/test_acknowledgement_barrier.py)."""
    raise KernelRefused("nftables is not installed")


@contextlib.asynccontextmanager
async def minding(host: Host, limits: Limits = LIMITS) -> AsyncIterator[Minder]:
    command = (sys.executable, str(STUB), str(host.places.run_dir.parent))
    metrics = GuardMetrics("shop", "jkt-db1")
    barrier = DoorKeeper(Barrier(CLUSTER, (5432,)), host.places, kernel=without_nftables)
    minder = Minder(host.places, HostName("jkt-db1"), limits, boot_id(), metrics, command, barrier)
    running = asyncio.create_task(minder.run())
    door = await open_barrier_door(minder, host.places)
    try:
        await until(lambda: minder.guard.deadline_s is not None and minder.guard.armed)
        yield minder
    finally:
        door.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - a condition outside of this loop
            await asyncio.sleep(0.01)


async def start(host: Host) -> None:
    await asyncio.to_thread(host.start_server)


def test_a_permit_is_a_durable_grant_and_ends_with_the_last_process(host: Host) -> None:
    async def story() -> None:
        async with minding(host) as minder:
            assert not (await minder.writable()).yes
            await start(host)
            record = read_record(host.places, boot_id())
            assert record.grant is not None
            assert record.session_id == 0x77
            while not (await minder.writable()).yes:  # noqa: ASYNC110 - as in `until`
                await asyncio.sleep(0.01)
            process = host.processes[-1]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert minder.guard.grant is not None, "its child lives"
            os.kill(host.child_pid, signal.SIGKILL)
            await until(lambda: minder.guard.grant is None)
            await until(lambda: read_record(host.places, boot_id()).grant is None)

    asyncio.run(story())


def postmaster(host: Host) -> int:
    return int((host.places.data_dir / "postmaster.pid").read_text().split()[0])


def test_what_is_no_news_waits_for_the_change(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A no is told at once until HAProxy has heard it often enough to believe it."""
    monkeypatch.setattr(proxy_question, "HOLD_S_MAX", 30.0)
    monkeypatch.setattr(proxy_question, "TOLD_LATELY_S", 30.0)

    async def story() -> None:
        async with minding(host) as minder:
            asked = minder.proxy_question
            for _ in range(3):  # so often HAProxy has to hear it
                assert not (await asked.writable("10.77.1.41", 60.0)).yes
            held = asyncio.create_task(asked.writable("10.77.1.41", 60.0))
            assert not (await asked.writable("10.77.2.41", 60.0)).yes  # its first
            assert not held.done()
            await start(host)
            assert (await held).yes
            held = asyncio.create_task(asked.writable("10.77.1.41", 60.0))
            assert (await asked.writable("10.77.2.41", 60.0)).yes  # news to this one
            assert not held.done()
            os.kill(postmaster(host), signal.SIGKILL)
            os.kill(host.child_pid, signal.SIGKILL)
            assert not (await held).yes

    asyncio.run(story())


def test_nobody_new_from_the_moment_a_stop_is_asked_for(host: Host) -> None:
    """While its sessions still end, and the control file says that all is as before."""

    async def story() -> None:
        async with minding(host) as minder:
            await start(host)
            await until(lambda: minder.server.in_production)
            assert (await minder.writable()).yes
            lines = host.places.data_dir / "postmaster.pid"
            before = lines.read_text()
            lines.write_text(before + "\n" * 6 + "ready   \n")
            assert (await minder.writable()).yes
            lines.write_text(before + "\n" * 6 + "stopping\n")
            says = await minder.writable()
            assert (says.yes, says.closes) == (False, True)
            assert minder.server.in_production, "to the deadline and the door it writes"

    asyncio.run(story())


def test_the_deadline_kills_every_process_a_stopped_one_too(host: Host) -> None:
    async def story() -> None:
        async with minding(host, SHORT) as minder:
            await start(host)
            os.kill(host.child_pid, signal.SIGSTOP)
            stop_renewing(host)
            await until(lambda: minder.guard.grant is None)
            assert lock_is_free(host.places)
            assert not (await minder.writable()).yes

    asyncio.run(story())


def test_a_server_may_leave_recovery_only_with_a_grant(host: Host) -> None:
    """Whoever promoted it: the server itself asks, and any code above 125 ends it."""

    async def story() -> None:
        async with minding(host) as minder:
            code, said, _ = await asyncio.to_thread(host.call, "recovery_end.sh", CLUSTER)
            assert (code, "no_grant" in said) == (200, True)
            await start(host)
            code, said, _ = await asyncio.to_thread(host.call, "recovery_end.sh", CLUSTER)
            assert code == 0, said
            assert minder.status().barrier is False

    asyncio.run(story())


def test_a_renewal_that_the_kernel_does_not_know_prolongs_nothing_where_it_has_a_barrier(
    host: Host,
) -> None:
    async def story() -> None:
        async with minding(host) as minder:
            stop_renewing(host)
            renewals = minder.guard.renewals
            assert renewals is not None
            later = Renewed(renewals.session_id, renewals.last_sent_s + 1, announced=False)
            minder._door.enforced = True
            minder._on_message(later)
            assert minder.guard.renewals == renewals
            minder._door.enforced = False  # the deadline's kill is all there is, as before
            minder._on_message(later)
            assert minder.guard.renewals != renewals

    asyncio.run(story())


def test_a_plan_has_it_stopped(host: Host) -> None:
    """The postmaster gets SIGINT; the grant stays for as long as its child lives."""

    async def story() -> None:
        async with minding(host, replace(LIMITS, fast_stop_s=60.0)) as minder:
            await start(host)
            (host.places.run_dir.parent / "stop").touch()
            await until(lambda: minder.guard.stopping_since_s is not None)
            assert not (await minder.writable()).yes
            ended = await asyncio.to_thread(host.processes[-1].wait, 10.0)
            assert ended in (1, -signal.SIGINT)
            assert minder.guard.grant is not None, "its child lives"

    asyncio.run(story())


def test_what_hangs_under_a_plan_is_killed(host: Host) -> None:
    """A stopped postmaster hears no SIGINT; its child never does here."""

    async def story() -> None:
        async with minding(host) as minder:
            await start(host)
            os.kill(host.processes[-1].pid, signal.SIGSTOP)
            (host.places.run_dir.parent / "stop").touch()
            await until(lambda: minder.guard.grant is None)
            assert lock_is_free(host.places)
            assert await asyncio.to_thread(host.processes[-1].wait, 10.0) == -signal.SIGKILL

    asyncio.run(story())


def test_a_new_minder_goes_on_with_a_stop(host: Host) -> None:
    async def story() -> None:
        async with minding(host):
            await start(host)
            os.kill(host.processes[-1].pid, signal.SIGSTOP)
            (host.places.run_dir.parent / "stop").touch()
        async with minding(host) as minder:
            await until(lambda: minder.guard.grant is None)
            assert lock_is_free(host.places)

    asyncio.run(story())


def test_a_new_minder_takes_up_the_grant_and_the_deadline(host: Host) -> None:
    async def story() -> None:
        async with minding(host):
            await start(host)
        async with minding(host) as minder:
            assert (await minder.writable()).yes
            assert not lock_is_free(host.places)
        stop_renewing(host)
        renewals = minder.guard.renewals
        assert renewals is not None
        await until(lambda: boottime_s() > renewals.last_sent_s + SHORT.deadline_s)
        async with minding(host, SHORT) as minder:
            await until(lambda: minder.guard.grant is None)
            assert lock_is_free(host.places)

    asyncio.run(story())


def test_started_under_a_grant_it_is_ready_with_a_lease_of_its_own(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(minder_module, "notify", said.append)
    monkeypatch.setattr(minder_module, "OWN_LEASE_LIMIT_S", LIMITS.deadline_s)

    async def story() -> None:
        async with minding(host):
            await until(lambda: "READY=1" in said)  # it was granted nothing yet
            await start(host)
        stop_renewing(host)
        said.clear()
        started_s = boottime_s()
        async with minding(host) as minder:
            await until(lambda: minder.server.in_production)
            assert "READY=1" not in said
            (host.places.run_dir.parent / "renew").touch()
            await until(lambda: "READY=1" in said)
            renewals = minder.guard.renewals
            assert minder.guard.grant is not None
            assert renewals is not None
            assert renewals.base_sent_s is not None
            assert renewals.base_sent_s >= started_s

    asyncio.run(story())


def test_without_the_lease_file_the_deadline_has_passed(host: Host) -> None:
    async def story() -> None:
        async with minding(host):
            await start(host)
        host.places.lease.unlink()
        async with minding(host) as minder:
            await until(lambda: minder.guard.grant is None)
            assert lock_is_free(host.places)

    asyncio.run(story())


def test_a_server_that_was_not_asked_yet_is_not_silent(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard, a worker or a grant that is new has had no answer, and has not asked."""
    ahead_s = 0.0
    for module in (minder_module, grant_keeper):
        monkeypatch.setattr(module, "boottime_s", lambda: boottime_s() + ahead_s)
    limits = replace(LIMITS, deadline_s=1000.0)

    async def story() -> None:
        nonlocal ahead_s
        async with minding(host, limits) as minder:
            ago_s = minder.status().answered_s_ago
            assert ago_s is not None
            assert 0 <= ago_s < 30
            ahead_s = 50.0
            assert (minder.status().answered_s_ago or 0) >= 50
            os.kill(the_worker(), signal.SIGKILL)
            await until(lambda: (minder.status().answered_s_ago or 0) < 30)
            await until(lambda: minder.status().worker_alive)
            ahead_s = 100.0
            await start(host)
            assert minder.guard.grant is not None
            assert (minder.status().answered_s_ago or 0) < 30

    asyncio.run(story())


def the_worker() -> int:
    """This process' first worker: not one that was started in advance."""
    children = Path("/proc/self/task").glob("*/children")
    commands = {
        int(pid): Path(f"/proc/{pid}/cmdline").read_text()
        for tasks in children
        for pid in tasks.read_text().split()
    }
    (found,) = (p for p, text in commands.items() if STUB.name in text and "--spare" not in text)
    return found


def test_a_server_started_around_the_barrier_is_killed(host: Host) -> None:
    async def story() -> None:
        async with minding(host) as minder:
            await until(lambda: not minder.server.alive)
            direct = await asyncio.create_subprocess_exec(
                str(host.places.bin_dir / "postgres"), "-D", str(host.places.data_dir)
            )
            assert await asyncio.wait_for(direct.wait(), 60.0) == -signal.SIGKILL
            assert minder.guard.grant is None

    asyncio.run(story())


def test_a_hook_that_hangs_up_leaves_no_grant(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its yes is on the way: one that was ready a moment before counts as told."""

    async def on_the_way(_answer: object) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        async with minding(host) as minder:
            monkeypatch.setattr(minder.grants, "_conclude", on_the_way)
            (host.places.data_dir / "standby.signal").touch()
            await start(host)  # a grant would end by itself where no server lives
            await until(lambda: minder.server.alive)
            reader, writer = await asyncio.open_unix_connection(str(host.places.socket))
            writer.write(b"permit pre_promote 5\n")
            await writer.drain()
            writer.close()
            del reader
            await until(lambda: minder.grants.permits_seen > 0)
            await until(lambda: minder.guard.grant is None)

    asyncio.run(story())


def test_a_hook_that_hangs_up_takes_no_grant_from_one_that_was_told_yes(host: Host) -> None:
    """Patroni was restarted: the hook of the one before still waits, then goes."""

    async def story() -> None:
        async with minding(host) as minder:
            (host.places.data_dir / "standby.signal").touch()
            await start(host)
            await until(lambda: minder.server.alive)
            asked = [minder.grants.permit(Purpose.PRE_PROMOTE, 5.0) for _ in range(2)]
            late, told = (asyncio.create_task(each) for each in asked)
            done, _ = await asyncio.wait({late, told}, return_when=asyncio.FIRST_COMPLETED)
            assert done.pop().result().yes
            late.cancel()
            told.cancel()
            await asyncio.wait({late, told})
            assert minder.guard.grant is not None

    asyncio.run(story())


def test_the_promised_timeline_is_told_again_to_the_promotion(host: Host) -> None:
    """``promote`` is answered from memory, also by a minder that was started in between."""

    async def asked(purpose: str) -> str:
        reader, writer = await asyncio.open_unix_connection(str(host.places.socket))
        writer.write(f"permit {purpose} 5\n".encode())
        line = (await reader.readline()).decode().rstrip()
        writer.close()
        return line

    async def story() -> None:
        (host.places.data_dir / "standby.signal").touch()
        async with minding(host) as minder:
            await start(host)
            await until(lambda: minder.server.alive)
            assert await asked("pre_promote") == "yes timeline=101 granted: epoch 1"
            assert await asked("promote") == "yes timeline=101 granted: epoch 1"
        async with minding(host):
            assert await asked("promote") == "yes timeline=101 granted: epoch 1"

    asyncio.run(story())


def test_a_port_that_is_taken_is_waited_for(host: Host) -> None:
    async def story() -> None:
        async with minding(host) as minder:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                metrics = GuardMetrics("shop", "jkt-db1")
                with capture_logs() as said:
                    opening = asyncio.create_task(
                        open_http_door_at_last(minder, metrics, "127.0.0.1", port)
                    )
                    await until(lambda: any(e["event"] == "http_door_closed" for e in said))
                assert not opening.done()
            runner = await asyncio.wait_for(opening, 5.0)
            await runner.cleanup()

    asyncio.run(story())


def test_what_a_host_is_like_is_the_workers_to_say(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that says nothing costs who asks an answer, and the next one who asks nothing."""
    mute = host.places.run_dir.parent / "mute"

    async def story() -> None:
        async with minding(host) as minder:
            question = minder.host_question
            assert await question.report() == "{}"
            mute.touch()
            monkeypatch.setattr(host_question, "ANSWER_LIMIT_S", 0.1)
            assert await question.report() is None
            mute.unlink()
            monkeypatch.setattr(host_question, "ANSWER_LIMIT_S", 30.0)
            both = await asyncio.gather(question.report(), question.report())
            assert both == ["{}", "{}"]

    asyncio.run(story())


def test_a_proxy_that_asks_is_told_to_the_worker_up_to_a_number() -> None:
    sent: list[HostAsk] = []
    question = HostQuestion(sent.append, 4.5, "ab")
    for number in range(host_question.ASKERS_MAX + 10):
        question.asked("10.77.1.41")  # who asks again and again is among the newest
        question.asked(f"10.0.0.{number}")

    async def story() -> None:
        asking = asyncio.create_task(question.report())
        await until(lambda: bool(sent))
        question.answered(HostAnswer(sent[0].request, "{}"))
        assert await asking == "{}"

    asyncio.run(story())
    assert len(sent[0].asked) == host_question.ASKERS_MAX
    newest = [f"10.0.0.{n}" for n in range(11, host_question.ASKERS_MAX + 10)]
    assert {address for address, _ in sent[0].asked} == {"10.77.1.41", *newest}
    assert (sent[0].deadline_s, sent[0].configuration_sha256) == (4.5, "ab")
