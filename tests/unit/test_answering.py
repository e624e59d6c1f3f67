"""HTTP with TLS and without on one port, with real sockets, in both kinds of event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
import uvloop
from aiohttp import web

from failover import answering
from failover.console.door import open_door
from failover.model import ClusterName, HostName, SiteName
from failover.pki.directory import Directory
from failover.policy import DatabaseHost
from failover.sites.doors import door, proof
from failover.transport import HostNames, Identity, Served

LOOPBACK = ip_address("127.0.0.1")
SERVER = HostNames("jakarta", "jkt-db1", LOOPBACK)
CLIENT = HostNames("jakarta", "jkt-ctl1", ip_address("10.77.1.31"))
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def pki(tmp_path: Path) -> Directory:
    found = Directory(tmp_path / "pki", "/tls")
    found.init("marketplace", datetime.now(UTC))
    for names in (SERVER, CLIENT):
        found.issue(names, datetime.now(UTC))
    return found


def identity(pki: Directory, names: HostNames) -> Identity:
    return Identity(str(pki.host_file(names)), str(pki.authority_file(names)))


@asynccontextmanager
async def opened(pki: Directory, *, required: bool = False) -> AsyncIterator[int]:
    """Its port."""
    made = web.Application()

    async def who(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.remote}")

    made.router.add_get("/", who)
    served = Served(identity(pki, SERVER), required)
    runner = await open_door(made, "127.0.0.1", 0, served)
    try:
        site = next(iter(runner.sites))
        yield int(site.name.rpartition(":")[2])
    finally:
        await runner.cleanup()


async def ask(port: int, believed: Identity | None) -> str:
    """Empty: not let in, or not believed."""
    host = DatabaseHost(
        *(HostName("jkt-db1"), SiteName("jakarta"), ClusterName("marketplace"), LOOPBACK),
        guard_port=port,
        http_identity=believed,
    )
    limit = aiohttp.ClientTimeout(total=20)
    try:
        async with aiohttp.ClientSession(timeout=limit) as session:  # noqa: SIM117
            async with session.get(door(host, "/"), ssl=proof(host)) as response:
                return await response.text()
    except (aiohttp.ClientError, OSError):
        return ""


def run(loop: Loop, work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await work()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(within())


@LOOPS
def test_each_client_is_answered_in_his_own_way(pki: Directory, loop: Loop) -> None:
    async def work() -> None:
        async with opened(pki) as port:
            assert await ask(port, None) == "http 127.0.0.1"
            assert await ask(port, identity(pki, CLIENT)) == "https 127.0.0.1"
        async with opened(pki, required=True) as port:
            assert await ask(port, None) == ""
            assert await ask(port, identity(pki, CLIENT)) == "https 127.0.0.1"

    run(loop, work)


@LOOPS
def test_a_stranger_is_not_believed(pki: Directory, loop: Loop, tmp_path: Path) -> None:
    stranger = Directory(tmp_path / "stranger", "/tls")
    stranger.init("marketplace", datetime.now(UTC))
    stranger.issue(CLIENT, datetime.now(UTC))
    moved = HostNames("jakarta", "jkt-db1", ip_address("10.77.1.11"))

    async def work() -> None:
        async with opened(pki) as port:
            assert await ask(port, identity(stranger, CLIENT)) == ""
        pki.issue(moved, datetime.now(UTC))
        async with opened(pki) as port:
            assert await ask(port, identity(pki, CLIENT)) == "", "another address"

    run(loop, work)


@LOOPS
def test_a_renewed_certificate_is_shown_without_a_restart(
    pki: Directory, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "REFRESH_S", 0.01)

    reads: list[Identity] = []
    read = answering._read

    def counted(found: Identity) -> ssl.SSLContext:
        reads.append(found)
        return read(found)

    monkeypatch.setattr(answering, "_read", counted)

    async def work() -> None:
        async with opened(pki) as port:
            before = await asyncio.to_thread(shown, port)
            good = pki.host_file(SERVER).read_text()
            pki.host_file(SERVER).write_text("no key")
            so_far = len(reads)
            while len(reads) < so_far + 2:
                assert await asyncio.to_thread(shown, port) == before
            assert await ask(port, identity(pki, CLIENT)) == "https 127.0.0.1", "as before"
            pki.host_file(SERVER).write_text(good)
            pki.issue(SERVER, datetime.now(UTC), renew=True)
            while await asyncio.to_thread(shown, port) == before:
                pass
            assert await ask(port, identity(pki, CLIENT)) == "https 127.0.0.1"

    run(loop, work)


def shown(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 20) as link,
        context.wrap_socket(link) as sealed,
    ):
        return sealed.getpeercert(binary_form=True) or b""


@LOOPS
def test_mute_and_hurried_clients_are_left_and_hold_nobody_up(
    pki: Directory, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "FIRST_LIMIT_S", 0.2)

    async def work() -> None:
        async with opened(pki) as port:
            mute = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(8)]
            mute[0].sendall(b"\x16")  # and no handshake after it
            for gone in mute[5:]:
                gone.close()
            assert await ask(port, None) == "http 127.0.0.1"
            assert await ask(port, identity(pki, CLIENT)) == "https 127.0.0.1"
            for link in mute[:5]:
                assert await asyncio.to_thread(link.recv, 1) == b"", "hung up"
                link.close()

    run(loop, work)


def test_files_that_are_no_good_open_no_door(pki: Directory) -> None:
    pki.host_file(SERVER).write_text("no key")

    async def work() -> None:
        with pytest.raises(OSError, match=r"host\.pem cannot be used: .*PEM"):
            async with opened(pki):
                pass

    run(asyncio.new_event_loop, work)


def test_it_listens_on_an_address_that_is_not_there_yet_and_on_no_other() -> None:
    """At boot, or while the network is unplugged: the service must come up all the same."""
    with answering.listener("192.0.2.1", 0) as bound:
        address, port = bound.getsockname()
        assert address == "192.0.2.1"
        bound.listen()
        with socket.socket() as client:
            client.settimeout(1.0)
            assert client.connect_ex(("127.0.0.1", port)) != 0
