"""systemd's notification socket (sd_notify(3)): one datagram, no library needed."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable


def notify(state: str) -> None:
    """Tell systemd, where there is one. Never waits, never fails."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)


class Heartbeat:
    """Of a process with several parts: systemd's watchdog hears of it once each of them has gone on
    since the last time, so one part that hangs is enough to be started anew (``WatchdogSec``)."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._parts = frozenset(parts)
        self._awaited = set(self._parts)

    def beat(self, part: str) -> None:
        self._awaited.discard(part)
        if not self._awaited:
            self._awaited = set(self._parts)
            notify("WATCHDOG=1")
