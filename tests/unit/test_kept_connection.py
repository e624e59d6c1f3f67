"""A guard is asked over one connection that stays open, with TLS: it costs one handshake, and a
broken or silent one is found as fast as a new one would be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from failover.console.door import open_door
from failover.health.observation import GuardSeen, NoAnswer, NoAnswerKind
from failover.model import ClusterName, HostName, SiteName
from failover.pki.directory import Directory
from failover.policy import DatabaseHost
from failover.sites.guard_http import ask_guard
from failover.transport import HostNames, Identity, Served

LOOPBACK = ip_address("127.0.0.1")
SERVER = HostNames("jakarta", "jkt-db1", LOOPBACK)
CLIENT = HostNames("jakarta", "jkt-ctl1", ip_address("10.77.1.31"))
STATUS = (
    b'{"armed": true, "granted": true, "writable": true, "worker_alive": true, '
    b'"server_alive": true, "epoch": 4, "deadline_in_s": 3.0, "salvaged_epoch": null}'
)


@pytest.fixture
def pki(tmp_path: Path) -> Directory:
    found = Directory(tmp_path / "pki", "/tls")
    found.init("marketplace", datetime.now(UTC))
    for names in (SERVER, CLIENT):
        found.issue(names, datetime.now(UTC))
    return found


def identity(pki: Directory, names: HostNames) -> Identity:
    return Identity(str(pki.host_file(names)), str(pki.authority_file(names)))


class Door:
    """A guard's, and who came: the port of each question's connection."""

    def __init__(self, pki: Directory) -> None:
        self._pki = pki
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.came_from: list[int] = []
        self.mute = False

    async def open(self) -> None:
        made = web.Application()
        made.router.add_get("/status", self._status)
        served = Served(identity(self._pki, SERVER), required=True)
        self._runner = await open_door(made, "127.0.0.1", self.port, served)
        self.port = int(next(iter(self._runner.sites)).name.rpartition(":")[2])

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.came_from.append(request.transport.get_extra_info("peername")[1])
        if self.mute:
            await asyncio.Event().wait()
        return web.Response(body=STATUS, content_type="application/json")


Ask = Callable[[], Awaitable[object]]


@asynccontextmanager
async def observer(door: Door, pki: Directory, limit_s: float) -> AsyncIterator[Ask]:
    """Asks as an observer does, over a session of its own."""
    names = (HostName("jkt-db1"), SiteName("jakarta"), ClusterName("marketplace"))
    own = identity(pki, CLIENT)
    host = DatabaseHost(*names, LOOPBACK, guard_port=door.port, http_identity=own)
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield lambda: ask_guard(session, host, limit_s)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(within())


def test_one_handshake_for_many_questions(pki: Directory) -> None:
    async def work() -> None:
        door = Door(pki)
        await door.open()
        async with observer(door, pki, 20.0) as ask:
            answers = [await ask() for _ in range(5)]
        assert [isinstance(answer, GuardSeen) for answer in answers] == [True] * 5
        assert len(set(door.came_from)) == 1
        await door.close()

    run(work)


def test_a_silent_one_is_found_within_the_limit_and_not_asked_again(pki: Directory) -> None:
    async def work() -> None:
        door = Door(pki)
        await door.open()
        async with observer(door, pki, 2.0) as ask:
            assert isinstance(await ask(), GuardSeen)
            door.mute = True
            began_s = time.monotonic()
            found = await ask()
            assert isinstance(found, NoAnswer)
            assert found.kind is NoAnswerKind.TIMED_OUT
            assert time.monotonic() - began_s < 30.0, "the limit, and a busy machine"
            door.mute = False
            assert isinstance(await ask(), GuardSeen)
        assert door.came_from[0] == door.came_from[1] != door.came_from[2], "over a new one"
        await door.close()

    run(work)


def test_a_broken_one_is_replaced_within_the_question(pki: Directory) -> None:
    """A guard that was started anew has answered: nothing of it is missed."""

    async def work() -> None:
        door = Door(pki)
        await door.open()
        async with observer(door, pki, 20.0) as ask:
            assert isinstance(await ask(), GuardSeen)
            await door.close()
            await door.open()
            assert isinstance(await ask(), GuardSeen)
        assert len(set(door.came_from)) == 2
        await door.close()

    run(work)
