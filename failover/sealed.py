"""TLS: who is believed, at both ends; one question without I/O, a connection in time.

Invariant: nobody is believed but who proves, by the group's own authorities, the address that was
dialled. The system's authorities are never asked. Files are read again once they have changed, so
that a renewal needs no restart; a renewal that is no good changes nothing.
"""

from __future__ import annotations

import functools
import socket
import ssl
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path

import structlog

from failover.resumption import keep, take
from failover.transport import Identity

CHUNK_BYTES = 65536

HANDSHAKE = b"\x16"  # how TLS begins (RFC 8446, 5.1); no word of HTTP does


class End(Enum):
    """Of a connection."""

    DIALS = "dials"
    ANSWERS = "answers"
    ANSWERS_KNOWN = "answers_known"  # only who proves himself too


log = structlog.get_logger(__name__)
_in_force: dict[tuple[Identity, End], ssl.SSLContext] = {}
_told: dict[Identity, str] = {}


def context_of(identity: Identity, end: End = End.DIALS) -> ssl.SSLContext:
    """For one end of a connection, as of what the files say now.

    Files that are no good leave the ones before in force, in this process: a renewal that was
    copied wrongly must not cost a running guard its lease. OSError, ssl.SSLError without any.
    """
    try:
        versions = _version(identity.host_file), _version(identity.authority_file)
        found = _context(identity, end, *versions)
    except OSError as error:
        last = _in_force.get((identity, end))
        if last is None:
            raise
        if _told.get(identity) != str(error):
            _told[identity] = str(error)
            log.error("certificate_unusable", files=identity.host_file, error=str(error))
        return last
    _in_force[identity, end] = found
    _told.pop(identity, None)
    return found


def _version(path: str) -> tuple[int, int]:
    """Changes with every rename. OSError says which file it is."""
    found = Path(path).stat()
    return found.st_mtime_ns, found.st_ino


@functools.lru_cache(maxsize=8)
def _context(identity: Identity, end: End, *_versions: tuple[int, int]) -> ssl.SSLContext:
    dials = end is End.DIALS  # then it verifies, the name too
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if dials else ssl.PROTOCOL_TLS_SERVER)
    if end is End.ANSWERS_KNOWN:
        context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(identity.authority_file)
    context.load_cert_chain(identity.host_file)
    return context


class Question:
    """One question to one server and what comes back, sealed. Give it bytes, send what it gives.

    ``port``: its session is taken up by the next question there. None: a whole handshake each
    time; ZooKeeper makes a context for every connection, and so takes no ticket back (3.9.3).
    """

    def __init__(
        self, identity: Identity, address: str, question: bytes, *, port: int | None = None
    ) -> None:
        self.answer = bytearray()
        self.over = False  # the other end has said that nothing more comes
        self._question = question
        self._asked = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context_of(identity)
        self._address, self._port = address, port
        self._taken = None if port is None else take(context, address, port)
        self._end = context.wrap_bio(
            *(self._incoming, self._outgoing),
            server_hostname=address,
            session=self._taken.session if self._taken else None,
        )

    def begin(self) -> bytes:
        """What is to be sent first."""
        return self.received(b"")

    def received(self, data: bytes) -> bytes:
        """What is to be sent now; ``answer`` has what was said so far. SSLError: not believed."""
        self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            if not self._asked:
                self._end.do_handshake()
                self._end.write(self._question)
                self._asked = True
            while part := self._end.read(CHUNK_BYTES):
                self.answer += part
            self._ended()
        return self._outgoing.read()

    def _ended(self) -> None:
        self.over = True
        if self._port is not None:
            keep(self._end, self._address, self._port, self._taken)


def dial(address: str, port: int, identity: Identity | None, limit_s: float) -> socket.socket:
    """A connection, with TLS where there is an identity; the handshake is inside of the limit.

    OSError (ssl.SSLError is one) where there is none by then. The limit is that of every later
    operation too.
    """
    until_s = time.monotonic() + limit_s
    sock = socket.create_connection((address, port), limit_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if identity is None:
            return sock
        sealed = context_of(identity).wrap_socket(
            sock, server_hostname=address, do_handshake_on_connect=False
        )
    except BaseException:
        sock.close()
        raise
    try:
        sealed.settimeout(max(0.001, until_s - time.monotonic()))
        sealed.do_handshake()  # all of it within that time
        sealed.settimeout(limit_s)
    except BaseException:
        sealed.close()
        raise
    return sealed


def break_off(sock: socket.socket) -> None:
    """End a connection under whoever uses it. Not as SSLSocket does, which first makes the socket
    a plain one: what another thread sends in that instant would go out in the open."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
