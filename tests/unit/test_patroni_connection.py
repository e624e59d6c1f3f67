"""Patroni's connection to ZooKeeper leaves a server that accepts and then says nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import kazoo.client
import pytest
from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

from failover.coordination.patroni import PatroniConnection

TTL_S = 20.0


@contextmanager
def frozen_after_the_question() -> Iterator[tuple[str, list[float]]]:
    """It says that it serves and answers no handshake. Its address, and when it was dialled."""
    listener = socket.create_server(("127.0.0.1", 0))
    handshakes: list[float] = []
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
                kept.append(connection)
                if connection.recv(4) == b"srvr":
                    connection.sendall(b"Mode: follower\n")
                    connection.close()
                else:
                    handshakes.append(time.monotonic())
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield "{}:{}".format(*listener.getsockname()), handshakes
    finally:
        listener.close()
        for connection in kept:
            connection.close()


def test_a_handshake_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kazoo.client, "ConnectionHandler", PatroniConnection)
    with frozen_after_the_question() as (one, dialled_one), frozen_after_the_question() as (two, _):
        retry = KazooRetry(max_delay=1, max_tries=-1)  # as Patroni has it
        client = KazooClient(f"{one},{two}", timeout=TTL_S, connection_retry=retry)
        client.start_async()
        try:
            give_up_s = time.monotonic() + 8.0
            while len(dialled_one) < 2 and time.monotonic() < give_up_s:
                time.sleep(0.05)
        finally:
            client.stop()
            client.close()
    first_s, second_s = dialled_one[:2]
    assert second_s - first_s < 4.0  # the other one in between; kazoo alone: 10 s for each
