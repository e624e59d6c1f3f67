"""HTTP at the answering end: with TLS and without on one port, until TLS is required.

For the guard's door and the controller's. Nothing here waits for a disk: the files are read again
in a thread, every few seconds, so a renewal needs no restart; one that is no good changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl

import structlog
from aiohttp import web

from failover.endpoints import endpoint
from failover.sealed import HANDSHAKE, End, context_of
from failover.transport import Identity, Served

REFRESH_S = 2.0
FIRST_LIMIT_S = 5.0  # to the first word, and again for the handshake
FULL_PAUSE_S = 0.1
IDLE_LIMIT_S = 60.0  # of a connection on which nobody asks: each is a descriptor
_IP_FREEBIND = 15  # linux/in.h; holds for IPv6 sockets too

log = structlog.get_logger(__name__)


class BothWays(web.BaseSite):
    """Answers each connection on ``listener`` in the way in which its client speaks."""

    def __init__(self, runner: web.AppRunner, listener: socket.socket, served: Served) -> None:
        """OSError where the files cannot be used."""
        super().__init__(runner)
        self._listener = listener
        self._served = served
        try:
            self._context = _read(served.identity)
        except OSError as error:
            raise OSError(f"{served.identity.host_file} cannot be used: {error}") from error
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        address, port, *_ = self._listener.getsockname()
        return f"https://{endpoint(address, port)}"

    async def start(self) -> None:
        await super().start()
        self._listener.setblocking(False)
        self._listener.listen(self._backlog)
        for task in (self._accept(), self._refresh()):
            self._begin(asyncio.ensure_future(task))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()
        await super().stop()

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with contextlib.suppress(OSError):  # said by `context_of`; the one before stays
                self._context = await asyncio.to_thread(_read, self._served.identity)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                link, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # a client that has gone already; or no descriptor is left
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    address, port, *_ = self._listener.getsockname()
                    log.error("http_door_closed", address=address, port=port, error=str(error))
                await asyncio.sleep(FULL_PAUSE_S)
                continue
            self._begin(asyncio.ensure_future(self._answer(link)))

    async def _answer(self, link: socket.socket) -> None:
        handler = self._runner.server
        assert handler is not None
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(FIRST_LIMIT_S):
                sealed = await _first(link) == HANDSHAKE
            if not sealed and self._served.required:
                raise ConnectionRefusedError("without TLS nobody is let in")
            await asyncio.get_running_loop().connect_accepted_socket(
                handler,
                link,
                ssl=self._context if sealed else None,
                ssl_handshake_timeout=FIRST_LIMIT_S if sealed else None,
            )
        except OSError:  # mute, gone, or not to be let in; ssl's and the time-out are of this kind
            link.close()
        except BaseException:
            link.close()
            raise


def listener(address: str, port: int) -> socket.socket:
    """Bound to this address, also while the host does not have it (yet): at boot, or unplugged.

    OSError where that cannot be.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
        bound.bind((address, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


async def serve(
    runner: web.AppRunner, address: str, port: int, served: Served | None = None
) -> web.AppRunner:
    """Answer for this application from now on. ``served``: with TLS.

    OSError where that cannot be, also where the files for TLS cannot be used.
    """
    await runner.setup()
    try:
        bound = listener(address, port)
        try:
            site = BothWays(runner, bound, served) if served else web.SockSite(runner, bound)
            await site.start()
        except OSError:
            bound.close()
            raise
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _read(identity: Identity) -> ssl.SSLContext:
    return context_of(identity, End.ANSWERS)


async def _first(link: socket.socket) -> bytes:
    """The first byte, which stays to be read; empty: closed."""
    loop = asyncio.get_running_loop()
    link.setblocking(False)
    there = loop.create_future()

    def tell() -> None:
        loop.remove_reader(link)
        if not there.done():
            there.set_result(None)

    loop.add_reader(link, tell)
    try:
        await there
    finally:
        loop.remove_reader(link)
    return link.recv(1, socket.MSG_PEEK)
