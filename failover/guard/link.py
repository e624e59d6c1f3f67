"""The worker's end of the socket pair. The minder's end is ``worker_process``."""

from __future__ import annotations

import select
import socket
import threading

import structlog

from failover.guard.messages import FromWorker, encode

log = structlog.get_logger(__name__)


class Link:
    """The socket to the minder. ``send`` from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._mutex = threading.Lock()
        self._rest = b""
        self._gone = False
        self._unheard: list[FromWorker] = []

    def send(self, message: FromWorker) -> None:
        """Kept for whoever stands in when the minder is gone; the main thread notices that."""
        news = None
        with self._mutex:
            try:
                self._sock.sendall(encode(message))
            except OSError as error:
                news = None if self._gone else error
                self._gone = True
                self._unheard.append(message)
        if news is not None:  # not under the mutex: a log that hangs must hold up nobody else
            log.warning("minder_gone", error=str(news))

    def unheard(self) -> list[FromWorker]:
        """What was said since the last call to a minder that is gone."""
        with self._mutex:
            found, self._unheard = self._unheard, []
        return found

    def lines(self, limit_s: float) -> list[bytes] | None:
        """Whole lines that came within the limit; None at the end of the connection."""
        if not select.select([self._sock], [], [], limit_s)[0]:
            return []
        try:
            chunk = self._sock.recv(65536)
        except OSError:
            return None
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines
