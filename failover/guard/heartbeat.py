"""A little WAL now and then on an idle primary, so that its standbys are not left in doubt.

A standby that was restarted, or has changed its timeline, begins to receive at the start of the
segment, and says nothing of what it has received before it is past what was replayed. On an idle
primary that could take hours, and so long a takeover would hold: promoted from half a segment,
PostgreSQL panics. Nothing of what a standby says of its receiver would tell sooner
(``written_lsn`` may be left over from the timeline before).

And several in a row where the list of who is waited for has changed: PostgreSQL lets commits go
that wait for a host no longer listed when another standby next says something, after a reload not
before. Where all sessions wait no WAL is written, and a standby that receives nothing answers
walsender's ping alone, every 2.5 s.

Only where this host has a grant. Never waits for long, and nothing waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg

from failover.guard.local_connection import Connection, connected_locally

INTERVAL_S = 5.0
HURRIED_INTERVAL_S = 0.2
HURRIED_S = 2.0  # Patroni has reloaded the list by then, a late turn of its loop included


class Heartbeat:
    """``run`` in a thread of its own: a disk that hangs holds nobody else up."""

    def __init__(
        self,
        socket_dir: str,
        port: int,
        serves: Callable[[], bool],
        answered: Callable[[], None],
    ) -> None:
        """``serves``: whether this host's server is the primary, under a grant. ``answered`` is
        told whenever it answers: then it is not useless, whatever others see."""
        self._socket_dir = socket_dir
        self._port = port
        self._serves = serves
        self._answered = answered
        self._end_of_wal = ""
        self._changed = threading.Event()
        self._hurried_until_s = 0.0

    def hurry(self) -> None:
        """The list of who is waited for has changed. From any thread."""
        self._hurried_until_s = time.monotonic() + HURRIED_S
        self._changed.set()

    def run(self) -> None:
        while True:
            hurried = time.monotonic() < self._hurried_until_s
            self._changed.wait(HURRIED_INTERVAL_S if hurried else INTERVAL_S)
            self._changed.clear()
            if self._serves():
                self.beat(always=time.monotonic() < self._hurried_until_s)

    def beat(self, *, always: bool = False) -> bool:
        """Write a record where nobody has written since the last beat, or ``always``.

        Returns whether it did. The record is a snapshot of the running transactions, which
        PostgreSQL writes every 15 seconds itself while there is anything to say (a hundred bytes).
        """
        try:
            with connected_locally(self._socket_dir, self._port) as connection:
                end, before = _end_of_wal(connection), self._end_of_wal
                self._answered()
                writes = always or end == before
                if writes:
                    connection.execute("select pg_log_standby_snapshot()")
                    end = _end_of_wal(connection)
        except psycopg.Error:
            return False  # it is being stopped, or started
        self._end_of_wal = end
        return writes


def _end_of_wal(connection: Connection) -> str:
    row = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
    return str(row[0]) if row is not None else ""
