"""Asks a server for the ways out of it, and ends sessions there: the narrow role, no more (I7).

Only the functions of residency.sql and public catalogues are read: no row, no slot's contents, no
statement. Every question ends within its limit; a stuck host is broken off by ``abort``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from failover.health.observation import NoAnswer, NoAnswerKind
from failover.policy import Address, DatabaseHost
from failover.residency.facts import (
    Catalogues,
    DatabaseFacts,
    HbaRule,
    HostFacts,
    Role,
    Session,
    SharedFacts,
    Slot,
)
from failover.sites.observer_connection import (
    OBSERVER_DATABASE,
    ObserverConnection,
    PasswordUnread,
)
from failover.sites.postgres import no_answer_of
from failover.sites.trouble import timed_out

LOOK_LIMIT_S = 3.0
ABORT_GRACE_S = 0.2
# A database's owner must not be able to put his own functions in the place of PostgreSQL's.
_OPTIONS = "-c search_path=pg_catalog,pg_temp -c default_transaction_read_only=on"

HOST_QUERY = """
SELECT (SELECT coalesce(json_agg(s), '[]') FROM failover.sessions() s) AS sessions,
       (SELECT coalesce(json_agg(h), '[]') FROM failover.hba_rules() h) AS hba,
       (SELECT coalesce(json_agg(o), '[]') FROM failover.out_settings() o) AS settings,
       (SELECT coalesce(json_agg(u), '[]') FROM failover.upstreams() u) AS upstreams,
       (SELECT coalesce(json_agg(json_build_object(
            'name', slot_name, 'logical', slot_type = 'logical', 'temporary', temporary,
            'database', database)), '[]') FROM pg_replication_slots) AS slots
"""

SHARED_QUERY = """
SELECT (SELECT json_agg(json_build_object('name', rolname, 'superuser', rolsuper,
                                          'replication', rolreplication))
        FROM pg_roles WHERE rolsuper OR rolreplication) AS roles,
       (SELECT coalesce(json_agg(ARRAY[g.rolname, m.rolname]), '[]')
        FROM pg_auth_members a
        JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
        WHERE g.rolname LIKE 'pg\\_%' OR g.rolsuper) AS members,
       (SELECT coalesce(json_agg(ARRAY[d.datname, s.subname]), '[]')
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid) AS subscriptions,
       (SELECT coalesce(json_agg(ARRAY[d.datname::text, r.rolname::text,
                                       split_part(c, '=', 1)]), '[]')
        FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
        LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c) AS settings,
       (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn) AS databases
"""

# Options of a foreign server may be anything; only where they point to is taken along.
DATABASE_QUERY = """
SELECT (SELECT coalesce(json_agg(pubname), '[]') FROM pg_publication) AS publications,
       (SELECT coalesce(json_agg(ARRAY[s.srvname::text, w.fdwname::text,
            array_to_string(ARRAY(SELECT o FROM unnest(s.srvoptions) o
                WHERE o ~ '^(host|hostaddr|port|dbname|server|address)='), ' ')]), '[]')
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw) AS servers,
       (SELECT coalesce(json_agg(srvname || '/' || usename), '[]')
        FROM pg_user_mappings) AS mappings,
       (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension) AS extensions,
       (SELECT coalesce(json_agg(lanname), '[]') FROM pg_language
        WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')) AS languages,
       (SELECT coalesce(json_agg(n.nspname || '.' || p.proname), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prolang = 13 AND p.oid >= 16384 AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND d.deptype = 'e')) AS c_functions,
       (SELECT coalesce(json_agg(evtname), '[]') FROM pg_event_trigger
        WHERE evtenabled IN ('A', 'O')) AS triggers
"""

END_QUERY = """
SELECT * FROM failover.end_sessions(%(address)s::inet, %(walsenders_only)s, %(kept)s::text[])
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Ended:
    """One session that was to be ended, and whether it was; ``slot_dropped``: the one it held."""

    kind: str
    role: str
    slot: str
    ended: bool
    slot_dropped: bool


class ResidencyScan:
    """Looks at one server again and again, and into its databases, over two connections that stay
    open and one more for each further database."""

    def __init__(
        self, host: DatabaseHost, *, password_file: Path | None, limit_s: float = LOOK_LIMIT_S
    ) -> None:
        self._host = host
        self._password_file = password_file
        self._limit_s = limit_s
        self._every_second = self._connection(OBSERVER_DATABASE, "")

    async def look(self) -> HostFacts | NoAnswer:
        """Sessions, slots, pg_hba.conf, settings. Never raises but for cancellation."""

        async def ask() -> HostFacts:
            return host_facts((await self._every_second.rows(HOST_QUERY))[0])

        return await self._bounded(self._every_second, ask)

    async def end(
        self, address: Address | None, walsenders_only: bool, kept_slots: tuple[str, ...]
    ) -> tuple[Ended, ...] | NoAnswer:
        """End the sessions from one address (None: sending walsenders on the local socket)."""
        parameters = {
            "address": None if address is None else str(address),
            "walsenders_only": walsenders_only,
            "kept": list(kept_slots),
        }

        async def ask() -> tuple[Ended, ...]:
            rows = await self._every_second.rows(END_QUERY, parameters)
            return tuple(
                Ended(r["kind"], r["role"] or "", r["slot"] or "", r["ended"], r["slot_dropped"])
                for r in rows
            )

        return await self._bounded(self._every_second, ask)

    async def look_into(self) -> Catalogues | NoAnswer:
        """The catalogues of every database, one after the other, over connections of their own.
        None stays: they would take the places that are reserved for those who look all the time."""
        first = self._connection(OBSERVER_DATABASE, _OPTIONS)
        try:
            shared = await self._asked(first, SHARED_QUERY, shared_facts)
            if isinstance(shared, NoAnswer):
                return shared
            of_first = await self._database(first, OBSERVER_DATABASE)
        finally:
            await first.close()
        databases, unread = [], []
        for name in shared.databases:
            found = of_first if name == OBSERVER_DATABASE else await self._once(name)
            if isinstance(found, DatabaseFacts):
                databases.append(found)
            elif found.kind is NoAnswerKind.TIMED_OUT:
                return found  # the server, not the database
            else:
                unread.append((name, found.detail))
        return Catalogues(shared, tuple(databases), tuple(unread))

    async def close(self) -> None:
        await self._every_second.close()

    async def _once(self, name: str) -> DatabaseFacts | NoAnswer:
        connection = self._connection(name, _OPTIONS)
        try:
            return await self._database(connection, name)
        finally:
            await connection.close()

    async def _database(
        self, connection: ObserverConnection, name: str
    ) -> DatabaseFacts | NoAnswer:
        def facts(row: dict[str, Any]) -> DatabaseFacts:
            return database_facts(name, row)

        return await self._asked(connection, DATABASE_QUERY, facts)

    async def _asked(
        self,
        connection: ObserverConnection,
        query: str,
        facts: Callable[[dict[str, Any]], Answer],
    ) -> Answer | NoAnswer:
        async def ask() -> Answer:
            return facts((await connection.rows(query))[0])

        return await self._bounded(connection, ask)

    async def _bounded(
        self, connection: ObserverConnection, ask: Callable[[], Awaitable[Answer]]
    ) -> Answer | NoAnswer:
        task, aborted = asyncio.ensure_future(ask()), False
        try:
            await asyncio.wait([task], timeout=self._limit_s)
            if not task.done():
                aborted = True
                connection.abort()
                await asyncio.wait([task], timeout=ABORT_GRACE_S)
            if not task.done():
                task.cancel()
                return timed_out(self._limit_s)
            return task.result()
        except asyncio.CancelledError:
            connection.abort()
            task.cancel()
            raise
        except PasswordUnread as error:
            return NoAnswer(NoAnswerKind.TIMED_OUT, str(error))
        except (psycopg.Error, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()
            return timed_out(self._limit_s) if aborted else no_answer_of(error, self._limit_s)

    def _connection(self, database: str, options: str) -> ObserverConnection:
        return ObserverConnection(
            self._host,
            password_file=self._password_file,
            limit_s=self._limit_s,
            application_name="failover residency",
            database=database,
            options=options,
        )


# --------------------------------------------------------------------------- rows as facts


def host_facts(row: dict[str, Any]) -> HostFacts:
    """The row of ``HOST_QUERY``. ValueError, KeyError, TypeError where it cannot be understood."""
    return HostFacts(
        sessions=tuple(_session(each) for each in row["sessions"]),
        slots=tuple(
            Slot(s["name"], s["logical"], s["temporary"], s["database"] or "") for s in row["slots"]
        ),
        hba=tuple(_rule(each) for each in row["hba"]),
        settings=tuple((s["name"], s["sha256"]) for s in row["settings"]),
        upstreams=tuple(row["upstreams"]),
    )


def _session(found: dict[str, Any]) -> Session:
    address = found["address"]
    return Session(
        kind=found["kind"],
        role=found["role"] or "",
        superuser=found["superuser"],
        database=found["database"] or "",
        address=None if address is None else ip_interface(address).ip,
        state=found["state"] or "",
        slot=found["slot"] or "",
        sessions=found["sessions"],
        sent_bytes=found["sent_bytes"],
    )


def _rule(found: dict[str, Any]) -> HbaRule:
    return HbaRule(
        line=found["line"],
        type=found["type"] or "",
        databases=tuple(found["databases"] or ()),
        roles=tuple(found["roles"] or ()),
        address=found["address"] or "",
        netmask=found["netmask"] or "",
        method=found["method"] or "",
        broken=found["broken"],
    )


def shared_facts(row: dict[str, Any]) -> SharedFacts:
    """The row of ``SHARED_QUERY``."""
    return SharedFacts(
        roles=tuple(Role(r["name"], r["superuser"], r["replication"]) for r in row["roles"]),
        members=tuple((granted, member) for granted, member in row["members"]),
        subscriptions=tuple((database, name) for database, name in row["subscriptions"]),
        settings=tuple((d or "", r or "", name) for d, r, name in row["settings"]),
        databases=tuple(row["databases"]),
    )


def database_facts(name: str, row: dict[str, Any]) -> DatabaseFacts:
    """The row of ``DATABASE_QUERY``."""
    return DatabaseFacts(
        name=name,
        publications=tuple(row["publications"]),
        servers=tuple((server, wrapper, points) for server, wrapper, points in row["servers"]),
        mappings=tuple(row["mappings"]),
        extensions=tuple(row["extensions"]),
        languages=tuple(row["languages"]),
        c_functions=tuple(row["c_functions"]),
        triggers=tuple(row["triggers"]),
    )
