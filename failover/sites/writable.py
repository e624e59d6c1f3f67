"""Asks every guard, many times a second, what HAProxy asks it: may this host take writes now?

A thread with an event loop of its own, for the seconds that a planned move takes. Only a yes is
kept, with the moments between which it was given; whatever else comes back is no yes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aiohttp

from failover.clock import boottime_s
from failover.policy import DatabaseHost
from failover.rehearsal.pause import Yes
from failover.sites.doors import door, proof

INTERVAL_S = 0.025
LIMIT_S = 1.0
END_LIMIT_S = 3.0


class WritableWatch:
    """``said`` may be read at any time, and has everything once the watch has ended."""

    def __init__(self, hosts: Sequence[DatabaseHost]) -> None:
        self.said: list[Yes] = []
        self._hosts = tuple(hosts)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._ask_all()), name="writable-watch", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=END_LIMIT_S)

    async def _ask_all(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as session:
            await asyncio.gather(*(self._ask_again(session, host) for host in self._hosts))

    async def _ask_again(self, session: aiohttp.ClientSession, host: DatabaseHost) -> None:
        while not self._stop.is_set():
            sent_s = boottime_s()
            if await _says_yes(session, host):
                self.said.append(Yes(host, sent_s, boottime_s()))
            await asyncio.sleep(max(0.0, sent_s + INTERVAL_S - boottime_s()))


async def _says_yes(session: aiohttp.ClientSession, host: DatabaseHost) -> bool:
    try:
        async with session.get(door(host, "/writable"), ssl=proof(host)) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError):
        return False


@contextmanager
def watching_writable(hosts: Sequence[DatabaseHost]) -> Iterator[WritableWatch]:
    """Asks while the block runs."""
    watch = WritableWatch(hosts)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
