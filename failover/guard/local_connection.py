"""Connections to the running server on this host, as its superuser, that end in time.

Invariant: no question waits longer than was said, whatever the server does. ``statement_timeout``
acts in the server, so a backend that is stopped, or hangs on a disk, would never hear of it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

SOCKET_DIR = "/run/postgresql"
SQL_LIMIT_S = 1
ANSWER_LIMIT_S = 2.0  # one question: longer than the server's own limit, which says more

Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def connected_locally(
    socket_dir: str, port: int, dbname: str = "postgres", limit_s: float = ANSWER_LIMIT_S
) -> Iterator[Connection]:
    """For ``limit_s`` after it is there at most, then it is broken under whoever waits.

    psycopg.Error: within two seconds where nobody answers, else when the time is up.
    """
    connection = psycopg.connect(
        host=socket_dir,
        port=port,
        user="postgres",
        dbname=dbname,
        connect_timeout=SQL_LIMIT_S,
        application_name="failover_guard",
        client_encoding="utf8",  # of a database in SQL_ASCII psycopg would give bytes
        options=f"-c statement_timeout={SQL_LIMIT_S}s",
    )
    # Of our own, so that a late break never meets another file that got the number meanwhile.
    line = socket.socket(fileno=os.dup(connection.pgconn.socket))
    watch = threading.Timer(limit_s, _break, (line,))
    watch.daemon = True
    watch.start()
    try:
        with connection:
            yield connection
    finally:
        watch.cancel()
        watch.join()
        line.close()


def _break(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
