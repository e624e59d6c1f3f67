"""No question to the server on this host waits longer than was said, whatever the server does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from failover.guard.local_connection import connected_locally
from failover.guard.wal_end import ask_server

PORT = 5432
LETS_IN = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"  # AuthenticationOk, ReadyForQuery


@pytest.fixture
def stopped_backend(tmp_path: Path) -> Iterator[str]:
    """A server that lets anybody in and is then stopped: it answers no question."""
    sessions: list[socket.socket] = []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / f".s.PGSQL.{PORT}"))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    session, _ = listener.accept()
                except OSError:
                    return
                session.recv(1024)
                session.sendall(LETS_IN)
                sessions.append(session)

        threading.Thread(target=serve, daemon=True).start()
        yield str(tmp_path)
        listener.shutdown(socket.SHUT_RDWR)
    for session in sessions:
        session.close()


def test_the_time_is_up_under_a_question(stopped_backend: str) -> None:
    with (
        pytest.raises(psycopg.OperationalError),
        connected_locally(stopped_backend, PORT, limit_s=0.2) as connection,
    ):
        connection.execute("select 1")


def test_a_stopped_backend_is_a_server_that_does_not_answer(stopped_backend: str) -> None:
    """The guard's worker asks on the thread that answers permits."""
    assert ask_server(stopped_backend, PORT) is None
