"""Which ZooKeeper server is dialled (failover/coordination/session.py), with real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
from kazoo.retry import ForceRetryError

import failover.coordination.session as session_module
from failover.coordination.session import Server, SessionClient, serving

FOLLOWER = b"Zookeeper version: 3.9.3\nMode: follower\n"
ELECTING = b"This ZooKeeper instance is not currently serving requests\n"
FROZEN = None  # accepts and says nothing, as a stopped process does


@contextmanager
def server(answer: bytes | None, delay_s: float = 0.0) -> Iterator[Server]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(4) == b"srvr":
                    time.sleep(delay_s)
                    connection.sendall(answer or b"")

    if answer is not None:
        threading.Thread(target=serve, daemon=True).start()
    try:
        yield Server(*listener.getsockname())
    finally:
        listener.close()


def closed() -> Server:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return Server(*listener.getsockname())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_a_frozen_server_costs_nothing_where_another_serves(stack: ExitStack) -> None:
    frozen, good = stack.enter_context(server(FROZEN)), stack.enter_context(server(FOLLOWER))
    began_s = time.monotonic()
    assert serving([frozen, good], limit_s=600.0) == good
    assert time.monotonic() - began_s < 60  # long before the limit


def test_an_electing_server_does_not_serve(stack: ExitStack) -> None:
    electing = stack.enter_context(server(ELECTING))
    assert serving([electing, closed()]) is None


def test_the_last_tried_only_where_there_is_no_other(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "PROBE_GRACE_S", 60.0)  # for a busy machine
    last, other = stack.enter_context(server(FOLLOWER)), stack.enter_context(server(FOLLOWER, 0.02))
    assert serving([last, other], avoid=last, limit_s=60.0) == other
    assert serving([last, closed()], avoid=last, limit_s=60.0) == last


def test_the_last_tried_is_as_good_as_any_once_nobody_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end of an election, where the other server is the one that was lost."""
    only = Server("127.0.0.1", 1)
    says: list[Server | None] = [only, only, None, only]
    avoided: list[Server | None] = []

    def serves(_servers: Sequence[Server], avoid: Server | None = None) -> Server | None:
        avoided.append(avoid)
        return says[len(avoided) - 1]

    monkeypatch.setattr(session_module, "serving", serves)
    client = SessionClient([only], session_ms=6000, answer_limit_s=1.0)
    for _ in says:
        with suppress(ForceRetryError):
            client._connection._expand_client_hosts()
    assert avoided == [None, only, only, None]


def test_without_a_descriptor_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else would end kazoo's thread for good."""

    def exhausted(_servers: Sequence[Server], avoid: Server | None = None) -> Server | None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(session_module, "serving", exhausted)
    client = SessionClient([Server("127.0.0.1", 1)], session_ms=6000, answer_limit_s=1.0)
    with pytest.raises(ForceRetryError, match="Too many open files"):
        client._connection._expand_client_hosts()


def test_stopping_aside_waits_for_nobody_and_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """kazoo's ``stop`` waits for a dial that is under way, and may fail."""
    monkeypatch.setattr(session_module, "STOP_LIMIT_S", 0.01)
    client = SessionClient([Server("127.0.0.1", 1)], session_ms=6000, answer_limit_s=1.0)
    over, closed = threading.Event(), threading.Event()
    monkeypatch.setattr(client, "stop", over.wait)
    monkeypatch.setattr(client, "close", closed.set)
    client.stop_aside()
    assert not closed.is_set()
    over.set()
    assert closed.wait(60)

    def fails() -> None:
        raise OSError("whatever it is")

    monkeypatch.setattr(client, "stop", fails)
    client.stop_aside()


def test_nobody_answers_within_the_limit(stack: ExitStack) -> None:
    frozen = stack.enter_context(server(FROZEN))
    began_s = time.monotonic()
    assert serving([frozen, closed()]) is None
    assert time.monotonic() - began_s < 60  # it ends by itself


def test_a_server_that_knows_no_such_command_will_do(stack: ExitStack) -> None:
    strict = stack.enter_context(
        server(b"srvr is not executed because it is not in the whitelist.")
    )
    assert serving([strict]) == strict
