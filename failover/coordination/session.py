"""A kazoo client that gives up on a silent server in time, and keeps its session.

kazoo alone waits up to five seconds for a frozen server (connect and handshake), and does not
notice a black-holed one while requests are being sent. Here

* a server is dialled only after it said that it serves (``srvr``, all servers asked at once), so
  that neither a frozen nor a black-holed nor an electing server costs a second of the lease;
* connecting, and the handshake, are given up after ``answer_limit_s``;
* ``drop_socket`` ends the connection but not the session: kazoo goes on with the next server;
* a session can be taken up again by another process with its id and password.

Invariant: nothing here closes a session but ``stop``. Who holds a claim must not call that.
"""

from __future__ import annotations

import logging
import math
import select
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.handlers.utils import fileobj_to_fd
from kazoo.protocol.connection import ConnectionHandler
from kazoo.retry import ForceRetryError, KazooRetry

from failover.coordination.keys import KeyRing
from failover.coordination.store import StoreUnavailable
from failover.endpoints import endpoint
from failover.sealed import Question, break_off, context_of, dial
from failover.transport import Identity
from failover.znode import Set

PROBE_LIMIT_S = 0.3  # for one question to all servers; the sites are tens of milliseconds apart
PROBE_GRACE_S = 0.1
PROBE_PAUSE_S = (
    0.1  # all clients ask all servers meanwhile, which an election has to share its CPU with
)
POLL_MAX_S = 86_400.0  # poll counts milliseconds in a C int
# With TLS every question is a handshake for both ends, 4 ms of a core for each, and there are a
# dozen clients: more often they would slow down the election that they wait for.
SEALED_PAUSE_S = 0.2
# A handshake is a round trip more, and a dozen clients may want one of the same server at once.
SEALED_LIMIT_S = 0.7
SEALED_GRACE_S = 0.35
STOP_LIMIT_S = 1.0
_WORD = b"srvr"
_NOT_SERVING = b"not currently serving"


class OwnFilesUnusable(StoreUnavailable):
    """This process cannot use its own key or authorities, so it asked no server: nothing is known
    of the ensemble. The message names the file."""


@dataclass(frozen=True, slots=True)
class Server:
    """One ZooKeeper server's client address."""

    address: str
    port: int
    identity: Identity | None = None  # TLS, and what is proved; None: without

    def __str__(self) -> str:
        """As kazoo reads it."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What takes a session up again: secret, because the password is all it takes."""

    session_id: int
    password: bytes


def serving(
    servers: Sequence[Server], avoid: Server | None = None, limit_s: float | None = None
) -> Server | None:
    """The first server that says it serves clients; ``avoid`` only where no other one does.

    After any answer, also a bad one, the others have a short grace: one of two servers being dead
    must not slow down the discovery that the other has finished its election.
    """
    sealed = any(server.identity for server in servers)
    limit_s = limit_s or (SEALED_LIMIT_S if sealed else PROBE_LIMIT_S)
    grace_s = SEALED_GRACE_S if sealed else PROBE_GRACE_S
    avoided: Server | None = None
    selector = selectors.DefaultSelector()
    end_s = time.monotonic() + limit_s
    try:
        for server in servers:
            _dial(selector, server)
        while selector.get_map() and (left_s := end_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                asked: _Asked = key.data
                says = _progress(selector, key)
                if says is True and asked.server != avoid:
                    return asked.server
                if says is True:
                    avoided = asked.server
                if says is not None:
                    end_s = min(end_s, time.monotonic() + grace_s)
    finally:
        for key in list(selector.get_map().values()):
            _hang_up(selector, key.fileobj)
        selector.close()
    return avoided


def _dial(selector: selectors.BaseSelector, server: Server) -> None:
    family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex((server.address, server.port))
    selector.register(sock, selectors.EVENT_WRITE, _Asked(server))


class _Asked:
    """A server while it is being asked."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._sealed: Question | None = None

    def begin(self) -> bytes:
        """What to send once connected. OSError where our own files are no good."""
        where = self.server
        if where.identity is None:
            return _WORD
        self._sealed = Question(where.identity, where.address, _WORD)
        return self._sealed.begin()

    def answer(self, data: bytes) -> tuple[bytes, bytes]:
        """What was said so far, and what to send to hear more. OSError: not believed."""
        if self._sealed is None:
            return data, b""
        more = self._sealed.received(data)
        return bytes(self._sealed.answer), more


def _progress(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bool | None:
    """Ask once connected. True: it serves; False: it does not; None: nothing is known."""
    sock = key.fileobj
    assert isinstance(sock, socket.socket)
    try:
        if key.events & selectors.EVENT_WRITE:
            sock.send(key.data.begin())  # it fits into the empty buffer of a new connection
            selector.modify(sock, selectors.EVENT_READ, key.data)
            return None
        data = sock.recv(16384)
        answer, more = key.data.answer(data)
        if more:
            sock.send(more)
        if data and not answer:
            return None  # the handshake goes on
    except OSError:
        answer = b""
    _hang_up(selector, sock)
    # Anything but "not serving" will do: an ensemble may not allow the command at all.
    return bool(answer) and _NOT_SERVING not in answer


def _hang_up(selector: selectors.BaseSelector, sock: Any) -> None:
    selector.unregister(sock)
    sock.close()


def renew(client: SessionClient, token: Set) -> bool:
    """Commit one renewal within the limit. False: the token is gone, and its session with it.

    The one unconditional write there is (the token's name is the condition). Without an answer
    the socket is dropped and StoreUnavailable raised: it may have been committed all the same.
    """
    result = client.set_async(token.path, token.data, version=-1)
    try:
        result.get(timeout=client.answer_limit_s)
    except NoNodeError:
        return False
    except client.handler.timeout_exception:
        client.drop_socket()
        raise StoreUnavailable(f"renewal unanswered for {client.answer_limit_s:g} s") from None
    except KazooException as error:
        raise StoreUnavailable(f"connection lost ({type(error).__name__})") from None
    return True


def dial_sealed(
    *, address: tuple[str, int], timeout: float, ca: str, certfile: str, **_: Any
) -> socket.socket:
    """In the place of kazoo's own, which believes the system's authorities, reads all of them for
    every connection, looks names up, and gives each part of a handshake the whole time-out."""
    return dial(*address, Identity(certfile, ca), timeout)


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._limit_s = limit_s

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = self._limit_s
        if kwargs.get("use_ssl"):
            return dial_sealed(**kwargs)
        return super().create_connection(*args, **kwargs)

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """As kazoo's own, which makes and closes an epoll four times for every request: half of
        what its thread costs. Seconds; None: without end. TypeError for a socket that was closed,
        as there; ``xlist`` is left out, as there.

        An error or a hang-up counts for whatever was asked of that socket, and so does a
        descriptor that was closed under it: using it tells kazoo that the connection is lost.
        """
        readers = [
            (fileobj_to_fd(file), file) for file in rlist
        ]  # once: it may be closed meanwhile
        writers = [(fileobj_to_fd(file), file) for file in wlist]
        wanted = {number: select.POLLIN for number, _ in readers}
        for number, _ in writers:
            wanted[number] = wanted.get(number, 0) | select.POLLOUT
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        # What TLS has taken off the socket already no descriptor tells of.
        held = [file for _, file in readers if isinstance(file, ssl.SSLSocket) and file.pending()]
        found = dict(poll.poll(0 if held else _poll_ms(timeout)))
        readable = [
            file
            for number, file in readers
            if file in held or found.get(number, 0) & ~select.POLLOUT
        ]
        writable = [file for number, file in writers if found.get(number, 0) & ~select.POLLIN]
        return readable, writable, []


def _poll_ms(timeout_s: float | None) -> int | None:
    """Rounded up: a wait that became 0 ms would be a busy loop. What is over is over: for poll,
    less than 0 is without end."""
    if timeout_s is None:
        return None
    return math.ceil(min(max(timeout_s, 0.0), POLL_MAX_S) * 1000)


class ImpatientConnection(ConnectionHandler):  # type: ignore[misc]
    """kazoo's connection with a limit on the handshake and a better choice of the server."""

    limit_s = 1.0
    keys: KeyRing | None = None  # shown at every connection, as they are then
    _last_tried: Server | None = None

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        if self.keys is not None:
            self.keys.show(self.client)
        read_timeout_ms, connect_timeout_ms = super()._connect(host, hostip, port)
        return read_timeout_ms, connect_timeout_ms

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        return super()._invoke(min(timeout, self.limit_s), request, xid)

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        """One server that serves now, another than the last one where there is a choice."""
        client = self.client
        identity = Identity(client.certfile, client.ca) if client.use_ssl else None
        listed = [Server(address, port, identity) for address, port in client.hosts]
        try:
            found = serving(listed, avoid=self._last_tried)
        except OSError as error:  # no descriptor, no memory: kazoo's thread would end for good
            raise ForceRetryError(f"nobody was asked: {error}") from error
        if found is None:
            self._last_tried = None  # whoever serves after this is another matter than before
            raise ForceRetryError("no server serves")
        self._last_tried = found
        return [(found.address, found.address, found.port)]


class _Connection(ImpatientConnection):
    def __init__(self, client: SessionClient, retry: KazooRetry, limit_s: float) -> None:
        super().__init__(client, retry, logger=client.logger)
        self.limit_s = limit_s

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        read_timeout_ms, connect_timeout_ms = super()._connect(host, hostip, port)
        self.client.negotiated_ms = round(read_timeout_ms * 3 / 2)  # kazoo keeps two thirds of it
        return read_timeout_ms, connect_timeout_ms


def usable(identity: Identity) -> None:
    """OwnFilesUnusable where no server can be reached for our own files' sake, said at once."""
    try:
        context_of(identity)
    except OSError as error:
        why = _unreadable(identity) or f"{error} ({identity.host_file}, {identity.authority_file})"
        raise OwnFilesUnusable(f"our own key or authorities cannot be used: {why}") from None


def _unreadable(identity: Identity) -> str:
    """The first file that cannot be read, and why; OpenSSL's errors name none. Empty: both can."""
    for file in (identity.host_file, identity.authority_file):
        try:
            Path(file).open("rb").close()
        except OSError as error:
            return str(error)
    return ""


def _sealed_with(identity: Identity) -> dict[str, Any]:
    """In kazoo's words."""
    return {
        "use_ssl": True,
        "verify_certs": True,
        "check_hostname": True,
        "ca": identity.authority_file,
        "certfile": identity.host_file,
        "keyfile": identity.host_file,
    }


class SessionClient(KazooClient):  # type: ignore[misc]
    """One ZooKeeper session. ``start_async`` begins it; requests as with any kazoo client.

    ``on_session(session_id)`` is called from kazoo's thread at every (re)connection: a changed id
    means that the session before is over. ``on_suspended()`` when the connection is lost.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        session_ms: int,
        answer_limit_s: float,
        saved: SavedSession | None = None,
        on_session: Callable[[int], None] | None = None,
        on_suspended: Callable[[], None] | None = None,
        logger: logging.Logger | None = None,
        keys: KeyRing | None = None,
    ) -> None:
        self.servers = tuple(servers)
        self.answer_limit_s = answer_limit_s
        self.negotiated_ms = 0  # what the ensemble gave; 0 until it is known
        self._on_session = on_session
        self._on_suspended = on_suspended
        identity = servers[0].identity
        if identity is not None:
            usable(identity)
        pause_s = PROBE_PAUSE_S if identity is None else SEALED_PAUSE_S
        retry = KazooRetry(max_tries=-1, delay=pause_s, backoff=1, max_jitter=0.0)
        super().__init__(
            hosts=",".join(str(server) for server in servers),
            timeout=session_ms / 1000,
            client_id=(saved.session_id, saved.password) if saved else None,
            handler=_Handler(answer_limit_s),
            connection_retry=retry,
            randomize_hosts=False,
            logger=logger,
            **(_sealed_with(identity) if identity else {}),
        )
        self._connection = _Connection(self, retry, answer_limit_s)
        self.add_listener(self._state_changed)
        self._connection.keys = keys
        if keys is not None:
            keys.watch(self)

    @property
    def session_id(self) -> int | None:
        """The present session while connected, else None."""
        saved = self.saved_session
        return saved.session_id if saved else None

    @property
    def saved_session(self) -> SavedSession | None:
        """Id and password of the present session while connected, else None."""
        client_id = self.client_id
        if client_id is None or client_id[0] is None:
            return None
        return SavedSession(client_id[0], client_id[1])

    @property
    def has_ended(self) -> bool:
        """kazoo's one thread is gone, by whatever nobody thought of: nothing connects any more."""
        thread = self._connection._connection_routine
        return thread is not None and not thread.is_alive()

    def stop_aside(self) -> None:
        """``stop`` and ``close``; returns within STOP_LIMIT_S, whatever comes of it.

        kazoo waits for a connection attempt that is under way; nobody else has to.
        """
        stopper = threading.Thread(target=self._stop, name="zookeeper-stop", daemon=True)
        stopper.start()
        stopper.join(STOP_LIMIT_S)

    def _stop(self) -> None:
        with suppress(Exception):  # on the way out; there is nobody to tell
            self.stop()
            self.close()

    def drop_socket(self) -> None:
        """End the connection, not the session: the next server is dialled at once."""
        sock = self._connection._socket
        if sock is not None:
            break_off(sock)

    def _state_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            session_id = self.session_id
            if session_id is not None and self._on_session is not None:
                self._on_session(session_id)
        elif self._on_suspended is not None:
            self._on_suspended()
