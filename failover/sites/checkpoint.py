"""Primaries make a checkpoint while customers still write: before a planned move.

A server that is told to stop writes out all that is dirty first, and nobody writes then: with
much memory that would be the longest part of a move's pause. Nothing is changed by asking, nor by
asking in vain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.health.observation import NoAnswer
from failover.model import HostName
from failover.policy import DatabaseHost
from failover.sites.observer_connection import ObserverConnection, PasswordUnread
from failover.sites.postgres import ask_once

# One that took longer leaves as much behind as was written in its time: another one follows.
SHORT_S = 1.0
ROUNDS_MAX = 3
ASK_S = 3.0  # who is a primary
LIMIT_S = 600.0
TELL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """One server that is a primary, or did not say whether it is.

    ``took_s``: each checkpoint that it made. ``trouble``: why there is not one more.
    ``unfinished``: not one was finished in all of ``LIMIT_S``.
    """

    host: HostName
    cluster: str
    took_s: tuple[float, ...] = ()
    trouble: str = ""
    unfinished: bool = False


async def checkpoint_primaries(
    hosts: Iterable[DatabaseHost],
    password_file: Path,
    waiting: Callable[[float], None],
    *,
    limit_s: float = LIMIT_S,
) -> tuple[Checkpointed, ...]:
    """All at once; standbys are left alone and not in the answer.

    ``waiting`` is given the seconds so far, every ``TELL_EVERY_S``; what it raises ends the wait.
    """
    asked = [asyncio.ensure_future(_host(host, password_file, limit_s)) for host in hosts]
    started_s, left = time.monotonic(), set(asked)
    try:
        while left:
            _, left = await asyncio.wait(left, timeout=TELL_EVERY_S)
            if left:
                waiting(time.monotonic() - started_s)
    finally:
        for one in left:
            one.cancel()
    return tuple(answer for one in asked if (answer := one.result()) is not None)


async def _host(host: DatabaseHost, password_file: Path, limit_s: float) -> Checkpointed | None:
    """None: a standby."""
    try:
        row = await ask_once(
            _connection(host, password_file), ASK_S, "SELECT pg_is_in_recovery() AS standby"
        )
        if isinstance(row, NoAnswer):
            return Checkpointed(host.name, host.cluster, trouble=row.detail)
        return None if row["standby"] else await _primary(host, password_file, limit_s)
    except PasswordUnread as error:
        return Checkpointed(host.name, host.cluster, trouble=str(error))


async def _primary(host: DatabaseHost, password_file: Path, limit_s: float) -> Checkpointed:
    took_s: tuple[float, ...] = ()
    give_up_s = time.monotonic() + limit_s
    while len(took_s) < ROUNDS_MAX and not (took_s and took_s[-1] <= SHORT_S):
        started_s = time.monotonic()
        left_s = give_up_s - started_s
        connection = _connection(host, password_file, statement_s=left_s)
        row = await ask_once(connection, left_s, "SELECT failover.checkpoint()")
        now_s = time.monotonic()
        if isinstance(row, NoAnswer):
            # One that it finished leaves little, however long another one takes. Its own limit for
            # the statement is the same moment.
            late = not took_s and now_s >= give_up_s - 0.1
            return Checkpointed(host.name, host.cluster, took_s, row.detail, unfinished=late)
        took_s = (*took_s, now_s - started_s)
    return Checkpointed(host.name, host.cluster, took_s)


def _connection(
    host: DatabaseHost, password_file: Path, statement_s: float | None = None
) -> ObserverConnection:
    return ObserverConnection(
        host,
        password_file=password_file,
        limit_s=ASK_S,
        application_name="failover switchover",
        statement_s=statement_s,
    )
