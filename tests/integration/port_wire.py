"""Bytes to a port and what comes back, with TLS or without: who hangs up on whom, and how soon."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from failover.reference.ports import Can

LIMIT_S = 3.0  # of each try
TLS_RECORDS = (0x15, 0x16)  # an alert, a handshake (RFC 8446, 5.1)
ALERT = 0x15


@dataclass(frozen=True, slots=True)
class Heard:
    answer: bytes  # what was said inside TLS, where there is TLS
    first: int | None  # the first byte on the wire; None: not one came
    closed: bool  # by the other end, within the limit; an alert ends a connection too

    @property
    def refusal(self) -> Can | None:
        """Of whoever came with TLS; None: he was heard."""
        if self.first not in TLS_RECORDS:
            return Can.NO_TLS
        return Can.HANDSHAKE if self.closed and not self.answer else None

    @property
    def plain_refusal(self) -> Can | None:
        """The same of whoever came without."""
        nothing = self.first is None or self.first == ALERT
        return Can.NEEDS_TLS if nothing and self.closed else None


def client_context(host_file: Path | None) -> ssl.SSLContext:
    """Of a client that believes everybody: what counts is whom the server believes.

    ``host_file``: what it proves; None: nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if host_file is not None:
        context.load_cert_chain(host_file)
    return context


def talk(
    address: str,
    port: int,
    words: bytes,
    context: ssl.SSLContext | None = None,
    limit_s: float = LIMIT_S,
) -> Heard:
    """Say that, and hear everything until the other end closes or the limit is over.

    OSError where nobody listens.
    """
    with socket.create_connection((address, port), LIMIT_S) as link:
        wire = _Wire(link, limit_s)
        return _plainly(wire, words) if context is None else _sealed(wire, words, context)


def _plainly(wire: _Wire, words: bytes) -> Heard:
    with contextlib.suppress(OSError):
        wire.link.sendall(words)
    while wire.more():
        pass
    said = bytes(wire.all)
    return Heard(said, said[0] if said else None, wire.closed)


def _sealed(wire: _Wire, words: bytes, context: ssl.SSLContext) -> Heard:
    """Not ssl's own socket: whether the other end spoke TLS at all is seen on the wire alone."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context.wrap_bio(incoming, outgoing)
    answer, shaken = bytearray(), False
    try:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                if not shaken:
                    end.do_handshake()
                    end.write(words)
                    shaken = True
                while part := end.read(65536):
                    answer += part
                break  # the other end has said that nothing more comes
            wire.link.sendall(outgoing.read())
            if not (part := wire.more()):
                break
            incoming.write(part)
    except OSError:  # ssl's is one: refused
        wire.closed = True
    first = wire.all[0] if wire.all else None
    return Heard(bytes(answer), first, wire.closed)


class _Wire:
    """What comes from the other end, until it closes or the limit is over."""

    def __init__(self, link: socket.socket, limit_s: float) -> None:
        self.link = link
        self._until_s = time.monotonic() + limit_s
        self.all = bytearray()
        self.closed = False

    def more(self) -> bytes:
        """Empty: nothing more comes, or not in time."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            return b""
        self.link.settimeout(left_s)
        try:
            part = self.link.recv(65536)
        except TimeoutError:
            return b""
        except OSError:
            part = b""
        self.closed = not part
        self.all += part
        return part
