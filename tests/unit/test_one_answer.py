"""One question over a connection of its own, asked of real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import pytest

from failover.health.observation import NoAnswer, NoAnswerKind, PatroniSeen
from failover.model import ClusterName, HostName, SiteName
from failover.policy import DatabaseHost
from failover.sites.one_answer import ANSWER_BYTES_MAX, answer_to
from failover.sites.patroni import ask_patroni

LOOPBACK = ip_address("127.0.0.1")
DOCUMENT = b'HTTP/1.0 200 OK\r\n\r\n{"state": "running", "role": "primary"}'

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _asked(serve: Serve, ask: Callable[[int], Awaitable[object]]) -> object:
    served: list[asyncio.Task[None]] = []

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    try:
        return await ask(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


def _patroni(serve: Serve, limit_s: float = 5.0) -> PatroniSeen | NoAnswer:
    def ask(port: int) -> Awaitable[PatroniSeen | NoAnswer]:
        host = DatabaseHost(
            HostName("db1"), SiteName("s"), ClusterName("c"), LOOPBACK, patroni_port=port
        )
        return ask_patroni(host, limit_s)

    found = asyncio.run(_asked(serve, ask))
    assert isinstance(found, PatroniSeen | NoAnswer)
    return found


def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        for byte in DOCUMENT:
            writer.write(bytes([byte]))
            await writer.drain()

    found = _patroni(serve)
    assert isinstance(found, PatroniSeen)
    assert found.role == "primary"
    assert asked[0].startswith(b"GET /patroni HTTP/1.0\r\n")


def test_closed_without_a_word_is_a_no() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    found = _patroni(serve)
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.REJECTED


def test_who_never_ends_is_given_up_in_time() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DOCUMENT)
        await asyncio.Event().wait()

    found = _patroni(serve, limit_s=0.2)
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.TIMED_OUT


def test_an_answer_without_end_is_not_kept() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * ANSWER_BYTES_MAX)
            await writer.drain()

    with pytest.raises(ValueError, match="more than"):
        asyncio.run(_asked(serve, lambda port: answer_to(b"?", LOOPBACK, port)))


def test_nobody_there_is_refused() -> None:
    host = DatabaseHost(HostName("db1"), SiteName("s"), ClusterName("c"), LOOPBACK, patroni_port=1)
    found = asyncio.run(ask_patroni(host, 5.0))
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.REFUSED
