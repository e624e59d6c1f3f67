"""What a PostgreSQL server says of itself, asked as ``failover_observer``, which can read no row.

One connection per host, kept open: a new one per round costs the server a process. Every answer
is awaited for ``limit_s`` at most.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import psycopg

from failover.foreign import whole_number
from failover.health.observation import (
    NoAnswer,
    NoAnswerKind,
    PostgresSeen,
    SlotSeen,
    WalsenderSeen,
)
from failover.model import TIMELINE_MAX, Lsn, TimelineId
from failover.policy import DatabaseHost
from failover.sites.observer_connection import ObserverConnection, PasswordUnread
from failover.sites.trouble import no_answer, one_line, timed_out

# The timeline of a primary is in the name of the file it writes; a standby's is what it receives
# or, while it receives nothing, that of the file it received last. Its control file is older, by
# up to a restartpoint, and is asked only in case there is no such file.
# One column: psycopg's time for a row goes by its columns, and each is asked eight times a second.
QUERY = """
SELECT row_to_json(answer) AS answer FROM (
SELECT r.in_recovery,
       CASE WHEN r.in_recovery THEN NULL ELSE pg_current_wal_lsn()::text END AS current_lsn,
       CASE WHEN r.in_recovery THEN NULL
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS current_timeline_hex,
       CASE WHEN r.in_recovery THEN pg_last_wal_receive_lsn()::text END AS received_lsn,
       CASE WHEN r.in_recovery THEN pg_last_wal_replay_lsn()::text END AS replayed_lsn,
       w.status AS receiver_status, w.sender_host, w.received_tli,
       CASE WHEN r.in_recovery AND w.received_tli IS NULL
            THEN failover.wal_timeline() END AS wal_tli,
       (pg_control_checkpoint()).timeline_id AS checkpoint_tli,
       (pg_control_recovery()).min_recovery_end_timeline AS recovery_tli,
       (pg_control_system()).system_identifier::text AS system_identifier,
       (SELECT coalesce(json_agg(ARRAY[slot_name::text, restart_lsn::text]), '[]')
        FROM pg_replication_slots
        WHERE slot_type = 'physical' AND NOT temporary AND restart_lsn IS NOT NULL
          AND wal_status IS DISTINCT FROM 'lost') AS kept,
       current_setting('synchronous_standby_names') AS sync_names,
       CASE WHEN r.in_recovery THEN '[]'::json
            ELSE (SELECT coalesce(json_agg(ARRAY[application_name, state, flush_lsn::text,
                                                 sync_state]), '[]')
                  FROM failover.walsenders()) END AS walsenders,
       failover.checkpointer_idle() AS checkpointer_idle,
       extract(epoch FROM pg_postmaster_start_time())::text AS started
FROM (SELECT pg_is_in_recovery() AS in_recovery) r
LEFT JOIN failover.wal_receiver() w ON true
) answer
"""

SIZE_LIMIT_S = 30.0  # it stats every file of every database


class PostgresProbe:
    """Asks one server, again and again, over one connection."""

    def __init__(self, host: DatabaseHost, *, password_file: Path | None, limit_s: float) -> None:
        self._limit_s = limit_s
        self._aborted = False
        self._connection = ObserverConnection(
            host,
            password_file=password_file,
            limit_s=limit_s,
            application_name="failover controller",
        )

    async def ask(self) -> PostgresSeen | NoAnswer:
        """One answer or the reason for none. Never raises but for cancellation."""
        self._aborted = False
        kept = self._connection.kept
        answer = await self._ask()
        if kept and isinstance(answer, NoAnswer) and answer.kind is NoAnswerKind.REJECTED:
            answer = await self._ask()  # the server had been restarted in between
        return answer

    async def _ask(self) -> PostgresSeen | NoAnswer:
        try:
            rows = await self._connection.rows(QUERY)
            return seen(rows[0]["answer"])
        except PasswordUnread as error:
            return NoAnswer(NoAnswerKind.TIMED_OUT, str(error))
        except (psycopg.Error, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            await self.close()
            return timed_out(self._limit_s) if self._aborted else no_answer_of(error, self._limit_s)

    def abort(self) -> None:
        """Break the connection under a waiting ``ask``, which then ends with an error."""
        self._aborted = True
        self._connection.abort()

    async def close(self) -> None:
        await self._connection.close()


async def ask_once(
    connection: ObserverConnection,
    limit_s: float,
    query: str,
    parameters: dict[str, Any] | None = None,
) -> dict[str, Any] | NoAnswer:
    """The first row, or the reason for none; the connection is closed. PasswordUnread."""
    asking = asyncio.ensure_future(connection.rows(query, parameters))
    try:
        await asyncio.wait([asking], timeout=limit_s)
        if not asking.done():
            connection.abort()
            asking.cancel()
            return timed_out(limit_s)
        return asking.result()[0]
    except (psycopg.Error, OSError, ValueError, IndexError) as error:
        return no_answer_of(error, limit_s)
    finally:
        with contextlib.suppress(psycopg.Error, OSError):
            await connection.close()


async def ask_size(host: DatabaseHost, password_file: Path) -> int | NoAnswer:
    """Bytes of all databases of the cluster, as its server says; WAL is not counted.
    PasswordUnread where that file cannot be read."""
    connection = ObserverConnection(
        host,
        password_file=password_file,
        limit_s=SIZE_LIMIT_S,
        application_name="failover reseed",
    )
    row = await ask_once(connection, SIZE_LIMIT_S, "SELECT failover.databases_bytes() AS bytes")
    if isinstance(row, NoAnswer):
        return row
    if row["bytes"] is None:
        return NoAnswer(NoAnswerKind.MALFORMED, "the query gave no size")
    return int(row["bytes"])


def seen(row: dict[str, Any]) -> PostgresSeen:
    """The answer to ``QUERY`` as an observation. ValueError where it cannot be understood."""
    in_recovery = bool(row["in_recovery"])
    received = _lsn(row["received_lsn"])
    return PostgresSeen(
        in_recovery=in_recovery,
        timeline=_timeline(row),
        current_lsn=_lsn(row["current_lsn"]),
        received_lsn=received,
        replayed_lsn=_lsn(row["replayed_lsn"]),
        receiver_streaming=(row["receiver_status"] == "streaming") if in_recovery else None,
        receiver_host=row["sender_host"] if in_recovery else None,
        system_identifier=row["system_identifier"],
        kept=tuple(SlotSeen(name, Lsn.parse(keeps_from)) for name, keeps_from in row["kept"]),
        sync_names=row["sync_names"],
        walsenders=tuple(
            WalsenderSeen(name or "", state or "", _lsn(flushed), sync_state or "")
            for name, state, flushed, sync_state in row["walsenders"]
        ),
        checkpointer_idle=row["checkpointer_idle"],
        started=row["started"],
    )


def _timeline(row: dict[str, Any]) -> TimelineId:
    if not row["in_recovery"]:
        return TimelineId(int(row["current_timeline_hex"], 16))
    names = ("received_tli", "wal_tli", "recovery_tli", "checkpoint_tli")
    known = (row[name] for name in names if row[name] is not None)
    return TimelineId(max(whole_number(each, TIMELINE_MAX) for each in known))


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)


def no_answer_of(error: Exception, limit_s: float) -> NoAnswer:
    """libpq reports most failures to connect without an SQLSTATE: its words are what there is."""
    if not isinstance(error, psycopg.Error):
        return no_answer(error, limit_s)
    text = one_line(error)
    if "Connection refused" in text:
        return NoAnswer(NoAnswerKind.REFUSED, text)
    said_something = ("FATAL", "closed the connection", "reset by peer", "terminat")
    if error.sqlstate is not None or any(words in text for words in said_something):
        return NoAnswer(NoAnswerKind.REJECTED, text)
    return NoAnswer(NoAnswerKind.TIMED_OUT, text)
