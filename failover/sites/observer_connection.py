"""One connection of ``failover_observer`` to one server, kept open, bounded in time.

``abort`` ends a wait from outside without psycopg's own cancellation, which would dial the silent
host again and wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from failover.policy import DatabaseHost
from failover.sites.trouble import one_line
from failover.transport import libpq_parameters

OBSERVER_ROLE = "failover_observer"
OBSERVER_DATABASE = "postgres"
GONE_AFTER_S = 20.0
NOTICED_SOON: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class PasswordUnread(Exception):
    """Trouble of our own: the other side was not asked."""


class ObserverConnection:
    """Connects when it is first asked, and again after a close."""

    def __init__(
        self,
        host: DatabaseHost,
        *,
        password_file: Path | None,
        limit_s: float,
        application_name: str,
        database: str = OBSERVER_DATABASE,
        options: str = "",
        statement_s: float | None = None,
    ) -> None:
        """``limit_s``: to connect, and for a statement unless ``statement_s`` gives it longer; then
        a host that is gone is noticed within ``GONE_AFTER_S`` all the same."""
        self._host = host
        self._password_file = password_file
        self._limit_s = limit_s
        self._application_name = application_name
        self._database = database
        self._options = options
        self._statement_s = statement_s
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    @property
    def kept(self) -> bool:
        """There is one from before."""
        return self._connection is not None

    async def rows(
        self, query: str, parameters: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows. psycopg.Error or OSError where there is no answer: the caller closes then."""
        connection = await self._connected()
        cursor = await connection.execute(query, parameters)
        return await cursor.fetchall()

    def abort(self) -> None:
        """Break the connection under a waiting question, which then ends with an error."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        with contextlib.suppress(OSError, psycopg.Error):
            duplicate = socket.socket(fileno=os.dup(connection.pgconn.socket))
            try:
                duplicate.shutdown(socket.SHUT_RDWR)
            finally:
                duplicate.close()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        *others, last = self._passwords()
        async with asyncio.timeout(self._limit_s):
            for password in others:
                # Whatever the trouble is: what a refusal says depends on the server's language.
                with contextlib.suppress(psycopg.OperationalError):
                    self._connection = await self._connect(password)
                    return self._connection
            self._connection = await self._connect(last)
        return self._connection

    async def _connect(self, password: str | None) -> psycopg.AsyncConnection[dict[str, Any]]:
        limit_ms = int(self._limit_s * 1000)
        statement_ms = limit_ms if self._statement_s is None else int(self._statement_s * 1000)
        return await psycopg.AsyncConnection.connect(
            host=str(self._host.address),
            port=self._host.postgres_port,
            user=OBSERVER_ROLE,
            password=password,
            dbname=self._database,
            application_name=self._application_name,
            client_encoding="utf-8",  # an SQL_ASCII database would answer in bytes
            tcp_user_timeout=limit_ms,
            options=f"-c statement_timeout={statement_ms} {self._options}".strip(),
            autocommit=True,
            row_factory=dict_row,
            **({} if self._statement_s is None else NOTICED_SOON),
            **libpq_parameters(self._host.postgres_authorities),
        )

    def _passwords(self) -> tuple[str | None, ...]:
        """At least one; two while it is being replaced (`failover secrets rotate-password`)."""
        if self._password_file is None:  # libpq then looks at PGPASSFILE
            return (None,)
        try:
            text = self._password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PasswordUnread(f"not asked: {one_line(error)}") from None
        except UnicodeDecodeError:
            raise PasswordUnread(f"not asked: {self._password_file}: not UTF-8") from None
        return tuple(line.strip() for line in text.splitlines()) or ("",)
