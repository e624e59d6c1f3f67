"""Notifications to a real HTTP server and real commands: at least once, in order, in country."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from notification_world import (
    EVERYTHING,
    PATHS,
    POLICY,
    Recorded,
    Server,
    Told,
    command,
    serving,
)
from structlog.testing import capture_logs

from failover.coordination.store import StoreUnavailable
from failover.lab.monitoring.receiver import make_server
from failover.notifications import command as commands
from failover.notifications import webhook as webhooks
from failover.notifications.courier import PASSED_MAX, NotNow
from failover.notifications.due import WAITING_MAX, Notification
from failover.policy import NotificationKind, Residency, Url, WebhookFormat
from failover.znode import Create, Set


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def begin(recorded: Recorded, told: Told) -> None:
    """A target's first look: what was before it is not its business."""
    assert steps(recorded, told) == 0


def steps(recorded: Recorded, told: Told, *, tries: int = 1) -> int:
    """Deliver until nothing is due. How many steps; ``tries``: of those that are put off."""
    done = put_off = 0

    async def run() -> None:
        nonlocal done, put_off
        more = True
        while more:
            try:
                more = await told.courier.step(recorded.head)
                done += more
            except (NotNow, StoreUnavailable):
                put_off += 1
                if put_off >= tries:
                    raise
        done += bool(told.courier._delivered)

    asyncio.run(run())
    return done


# --------------------------------------------------------------------------- delivered


def test_a_webhook_is_told_once_each_in_order(recorded: Recorded, server: Server) -> None:
    recorded.happens("takeover")  # before the target was declared
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    for event in ("takeover", "promoted", "reinstated"):
        recorded.happens(event)
    steps(recorded, told)
    steps(recorded, told)
    assert [document["event"] for document in server.documents] == ["takeover", "reinstated"]
    headers, _ = server.requests[0]
    assert headers["Content-Type"] == "application/json"
    assert recorded.place() == recorded.newest
    assert told.metric("delivered_total") == 2.0
    assert told.metric("failed_total") == 0.0
    assert told.metric("pending") == 0.0
    assert told.metric("oldest_pending_timestamp_seconds") is None


def test_only_what_the_target_wants(recorded: Recorded, server: Server) -> None:
    told = Told(recorded, server.webhook(events=(NotificationKind.HOLD,)))
    begin(recorded, told)
    for event in ("takeover", "held", "residency"):
        recorded.happens(event)
    steps(recorded, told)
    assert [document["event"] for document in server.documents] == ["held"]


def test_a_command_gets_the_document_and_a_fixed_environment(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILOVER_SECRET_OF_THE_CONTROLLER", "x")
    hook = command(tmp_path, f"cat > {tmp_path}/in; env > {tmp_path}/env; pwd > {tmp_path}/pwd")
    told = Told(recorded, hook)
    begin(recorded, told)
    recorded.happens("takeover")
    steps(recorded, told)
    assert json.loads((tmp_path / "in").read_text())["event"] == "takeover"
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert {k: v for k, v in given.items() if k not in ("PWD", "_", "SHLVL", "OLDPWD")} == (
        commands.ENVIRONMENT
    )
    assert (tmp_path / "pwd").read_text() == "/\n"
    assert recorded.place() == recorded.newest


def test_what_understands_alertmanager_understands_it(recorded: Recorded, tmp_path: Path) -> None:
    """The receiver of Alertmanager's webhooks in the lab."""
    file = tmp_path / "received.jsonl"
    receiver = make_server(("127.0.0.1", 0), file)
    port = receiver.server_address[1]
    hook = Server(port=port).webhook(format=WebhookFormat.ALERTMANAGER)
    told = Told(recorded, hook)
    begin(recorded, told)
    recorded.happens("takeover")

    async def deliver() -> None:
        serving = asyncio.get_running_loop().run_in_executor(None, receiver.handle_request)
        await told.courier.step(recorded.head)
        await serving

    asyncio.run(deliver())
    receiver.server_close()
    (line,) = [json.loads(text) for text in file.read_text().splitlines()]
    assert line["notification"]["alerts"][0]["labels"]["event"] == "takeover"


# --------------------------------------------------------------------------- not delivered


def test_a_target_that_refuses_is_asked_again_and_nothing_overtakes(
    recorded: Recorded, server: Server
) -> None:
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    recorded.happens("takeover")
    recorded.happens("reinstated")
    before = recorded.place()
    server.status = 503
    with capture_logs() as said, pytest.raises(NotNow, match="503"):
        steps(recorded, told, tries=3)
    assert [document["event"] for document in server.documents] == ["takeover"] * 3
    assert len({document["id"] for document in server.documents}) == 1
    assert recorded.place() == before
    assert (told.metric("failed_total"), told.metric("pending")) == (3.0, 2.0)
    assert told.metric("oldest_pending_timestamp_seconds") == 1_800_000_000.0
    assert {line["event"] for line in said} == {"notification_not_delivered"}
    server.status = 204
    steps(recorded, told)
    assert [document["event"] for document in server.documents[3:]] == ["takeover", "reinstated"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(recorded: Recorded, server: Server, status: int) -> None:
    with serving() as elsewhere:
        server.status = status
        server.headers = {"Location": f"http://127.0.0.1:{elsewhere.port}/"}
        assert str(status) in once(server, recorded)
        assert elsewhere.requests == []


def once(server: Server, recorded: Recorded, limit_s: float = 20.0, **changes: object) -> str:
    """Why one notification is not delivered; empty: it is."""
    recorded.happens("takeover")
    told = Told(recorded, server.webhook(**changes))
    found: list[Notification] = []

    async def keep(notification: Notification, left_out: int) -> str:
        found.append(notification)
        return ""

    told.courier._deliver = keep
    begin(recorded, told)
    recorded.happens("takeover")
    steps(recorded, told)
    return asyncio.run(
        webhooks.deliver(POLICY, server.webhook(**changes), found[0], 0, limit_s=limit_s)
    )


def test_a_webhook_that_hangs_is_given_up(recorded: Recorded, server: Server) -> None:
    server.hangs = True
    assert once(server, recorded, 0.5) == "no answer within 0.5 s"
    assert server.asked.is_set()


def test_a_webhook_that_is_not_there(recorded: Recorded) -> None:
    with serving() as gone:
        pass
    assert "Cannot connect" in once(gone, recorded)


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo no number; exit 3", "it ended with 3: no number"), ("kill -9 $$", "it ended with -9")],
)
def test_a_command_that_fails(recorded: Recorded, tmp_path: Path, script: str, why: str) -> None:
    told = Told(recorded, command(tmp_path, script))
    begin(recorded, told)
    recorded.happens("takeover")
    with pytest.raises(NotNow, match=why):
        steps(recorded, told)
    assert recorded.place() != recorded.newest


def test_a_command_that_is_not_there(recorded: Recorded, tmp_path: Path) -> None:
    told = Told(recorded, replace(command(tmp_path, ""), path=str(tmp_path / "nothing")))
    begin(recorded, told)
    recorded.happens("takeover")
    with pytest.raises(NotNow, match="it cannot be run"):
        steps(recorded, told)


def _is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_command_that_hangs_is_killed_with_what_it_started(
    recorded: Recorded, tmp_path: Path
) -> None:
    written = tmp_path / "child"
    hook = command(tmp_path, f"sleep 1000 & echo $! > {written}; wait")
    limit_s = 0.25

    async def briefly(notification: Notification, left_out: int) -> str:
        return await commands.deliver(hook, notification, left_out, limit_s=limit_s)

    told = Told(recorded, hook, deliver=briefly)
    begin(recorded, told)
    recorded.happens("takeover")
    while not written.exists() or not written.read_text().endswith("\n"):  # it got that far
        limit_s *= 2
        with pytest.raises(NotNow, match=rf"it had not ended after {limit_s:g} s, and was killed"):
            steps(recorded, told)
    child = int(written.read_text())
    until_s = time.monotonic() + 60.0  # SIGKILL takes effect when the kernel comes to it
    while not _is_over(child):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.killpg(child, 0)


# --------------------------------------------------------------------------- nothing abroad


def test_an_address_outside_is_not_dialled(recorded: Recorded, server: Server) -> None:
    nowhere = replace(POLICY, residency=Residency())  # the exception of the other tests has ended
    told = Told(recorded, server.webhook(), policy=nowhere)
    begin(recorded, told)
    recorded.happens("takeover")
    with pytest.raises(NotNow, match="declared nowhere for operations"):
        steps(recorded, told)
    assert server.requests == []


@pytest.mark.parametrize("answers", [("127.0.0.1", "203.0.113.9"), ("203.0.113.9",), ()])
def test_a_name_is_judged_at_every_connection(
    recorded: Recorded, server: Server, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]
) -> None:
    """The address that was judged is dialled; once the name has moved, nothing is."""
    said = [ip_address("127.0.0.1")]

    async def resolve(name: str) -> tuple[object, ...]:
        assert name == "hooks.example.id"
        return tuple(said)

    monkeypatch.setattr(webhooks, "resolve", resolve)
    url = Url(f"http://hooks.example.id:{server.port}/", "hooks.example.id", server.port)
    told = Told(recorded, server.webhook(url=url))
    begin(recorded, told)
    recorded.happens("takeover")
    steps(recorded, told)
    assert server.requests[0][0]["Host"] == f"hooks.example.id:{server.port}"
    said[:] = [ip_address(each) for each in answers]
    recorded.happens("takeover")
    with pytest.raises(NotNow, match=r"hooks\.example\.id is not dialled"):
        steps(recorded, told)
    assert len(server.requests) == 1


def test_the_environments_proxy_is_not_used(
    recorded: Recorded, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert once(server, recorded) == ""
        assert proxy.requests == []


# --------------------------------------------------------------------------- the bearer


def test_a_bearer_is_read_anew_each_time(
    recorded: Recorded, server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "bearer"
    file.write_text("first\n")
    file.chmod(0o600)
    told = Told(recorded, server.webhook(bearer_file=str(file)))
    begin(recorded, told)
    recorded.happens("takeover")
    steps(recorded, told)
    file.write_text("second")
    recorded.happens("takeover")
    steps(recorded, told)
    sent = [headers["Authorization"] for headers, _ in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("hunter2", 0o644, "is open to everybody on this host"),
        ("", 0o600, "does not hold one word"),
        ("hunter2 x", 0o600, "does not hold one word"),
        ("hunter2\nx", 0o600, "does not hold one word"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_bearer_that_cannot_be_used_is_told_and_not_shown(
    recorded: Recorded, server: Server, tmp_path: Path, content: str | None, mode: int, why: str
) -> None:
    file = tmp_path / "bearer"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    problem = once(server, recorded, bearer_file=str(file))
    assert why in problem
    assert "hunter2" not in problem
    assert server.requests == []


# --------------------------------------------------------------------------- at least once


def test_a_controller_that_dies_before_it_says_so_delivers_again_under_the_same_id(
    recorded: Recorded, server: Server
) -> None:
    first = Told(recorded, server.webhook())
    begin(recorded, first)
    recorded.happens("takeover")

    async def die(entry: str) -> None:
        raise SystemExit

    first.courier._move = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        steps(recorded, first)
    assert len(server.requests) == 1
    second = Told(recorded, server.webhook(), store=recorded.world.session())
    steps(recorded, second)
    steps(recorded, second)
    assert [document["event"] for document in server.documents] == ["takeover", "takeover"]
    assert len({document["id"] for document in server.documents}) == 1
    assert recorded.place() == recorded.newest


def test_a_place_that_cannot_be_written_delivers_nothing_twice(
    recorded: Recorded, server: Server
) -> None:
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    recorded.happens("takeover")
    recorded.store.lose_answers = True  # it is written, and the controller does not learn of it
    with pytest.raises(NotNow, match="was not written"):
        steps(recorded, told)
    recorded.store.silent = True
    with pytest.raises(StoreUnavailable):
        steps(recorded, told)
    recorded.store.silent = recorded.store.lose_answers = False
    recorded.happens("reinstated")
    steps(recorded, told)
    assert [document["event"] for document in server.documents] == ["takeover", "reinstated"]


def test_who_leads_next_goes_on_and_who_led_before_notices(
    recorded: Recorded, server: Server
) -> None:
    before = Told(recorded, server.webhook())
    begin(recorded, before)
    recorded.happens("takeover")
    after = Told(recorded, server.webhook(), store=recorded.world.session())
    steps(recorded, after)
    recorded.happens("reinstated")
    with pytest.raises(NotNow, match="another version"):
        steps(recorded, before)  # told again what it had not read of; its place is refused
    steps(recorded, before)
    with pytest.raises(NotNow, match="another version"):
        steps(recorded, after)
    steps(recorded, after)
    assert recorded.place() == recorded.newest
    assert {document["event"] for document in server.documents} == {"takeover", "reinstated"}


def test_a_target_that_was_dead_gets_everything_and_hears_what_was_too_much(
    recorded: Recorded, server: Server
) -> None:
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    for _ in range(WAITING_MAX // 2):
        recorded.happens("held")
    server.status = 500
    with pytest.raises(NotNow):
        steps(recorded, told)
    for _ in range(WAITING_MAX // 2 + 2):
        recorded.happens("held")
    server.status = 200
    server.requests.clear()
    with capture_logs() as said:
        asyncio.run(one(recorded, told))
    assert server.documents[0]["left_out"] == 2
    assert server.documents[0]["number"] == 4  # 1: initialised; 2 and 3 are left out
    assert told.metric("left_out_total") == 2.0
    assert told.metric("pending") == WAITING_MAX - 1
    assert [line["entries"] for line in said if line["event"] == "notifications_left_out"] == [2]
    asyncio.run(one(recorded, told))
    assert server.documents[1]["left_out"] == 0

    another = Told(recorded, server.webhook(), store=recorded.world.session())
    asyncio.run(one(recorded, another))
    assert [d["number"] for d in server.documents] == [4, 5, 6], "whoever takes over goes on"


async def one(recorded: Recorded, told: Told) -> None:
    await told.courier.step(recorded.head)


def test_a_place_that_makes_no_sense_is_told_and_nothing_is_lost(
    recorded: Recorded, server: Server
) -> None:
    begin(recorded, Told(recorded, server.webhook()))
    recorded.happens("takeover")
    for data in (b"{", b'{"entry": "e-0000009999", "schema": 1}', b'{"entry": 3}'):
        server.requests.clear()
        found = recorded.writer.read(PATHS.notified("hook"))
        assert found is not None
        recorded.writer.commit((Set(found.path, data, found.version),))
        with capture_logs() as said:
            steps(recorded, Told(recorded, server.webhook()))
        assert "notification_place_doubtful" in {line["event"] for line in said}
        assert [document["event"] for document in server.documents] == ["takeover"]
        assert recorded.place() == recorded.newest


def test_an_entry_that_is_not_understood_stops_nothing(recorded: Recorded, server: Server) -> None:
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    recorded.writer.commit((Create(PATHS.history_entry, b"{", sequence=True),))
    recorded.happens("takeover")
    with capture_logs() as said:
        steps(recorded, told)
    assert [document["event"] for document in server.documents] == ["takeover"]
    assert "notification_impossible" in {line["event"] for line in said}


def test_the_place_follows_a_history_of_which_nobody_is_told(
    recorded: Recorded, server: Server
) -> None:
    told = Told(recorded, server.webhook())
    begin(recorded, told)
    first = recorded.place()
    for _ in range(PASSED_MAX - 1):
        recorded.happens("in_sync")
    asyncio.run(one(recorded, told))
    assert recorded.place() == first
    recorded.happens("in_sync")
    asyncio.run(one(recorded, told))
    assert recorded.place() == recorded.newest
    assert server.requests == []


def test_every_target_has_a_place_of_its_own(recorded: Recorded, tmp_path: Path) -> None:
    good, bad = command(tmp_path, "cat", "good"), command(tmp_path, "exit 1", "bad")
    told = [Told(recorded, each) for each in (good, bad)]
    for each in told:
        begin(recorded, each)
    recorded.happens("takeover")
    steps(recorded, told[0])
    with pytest.raises(NotNow):
        steps(recorded, told[1])
    assert recorded.place("good") == recorded.newest
    assert recorded.place("bad") != recorded.newest
    assert good.events == EVERYTHING
