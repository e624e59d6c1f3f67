"""Asks a server once for what ``failover check`` compares: the narrow role, no more (I7).

Public catalogues and settings alone: no row, no statement. Every question ends within its limit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from failover.checks.found import (
    ClockFound,
    CollationFound,
    DatabaseFound,
    FunctionFound,
    PostgresFound,
    RoleFound,
    SlotFound,
)
from failover.checks.privileges import BLIND, OBSERVER
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.policy import DatabaseHost
from failover.sites.observer_connection import (
    OBSERVER_DATABASE,
    ObserverConnection,
    PasswordUnread,
)
from failover.sites.postgres import ask_once

LIMIT_S = 3.0
# A database's owner must not be able to put his own functions in the place of PostgreSQL's.
# Given up here, a question must not go on there.
_OPTIONS = (
    "-c search_path=pg_catalog,pg_temp -c default_transaction_read_only=on "
    f"-c statement_timeout={LIMIT_S * 1000:.0f}"
)

SERVER_QUERY = """
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_number,
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM clock_timestamp())::float8 AS unix_s,
       (SELECT coalesce(json_agg(ARRAY[name, setting, coalesce(unit, '')]), '[]')
        FROM pg_settings WHERE name = ANY(%(names)s)) AS settings,
       (SELECT coalesce(json_agg(json_build_object(
            'name', slot_name, 'logical', slot_type = 'logical', 'active', active,
            'wal_status', wal_status, 'safe', safe_wal_size)), '[]')
        FROM pg_replication_slots WHERE NOT temporary) AS slots,
       (SELECT coalesce(json_agg(json_build_object(
            'name', r.rolname, 'superuser', r.rolsuper, 'createrole', r.rolcreaterole,
            'createdb', r.rolcreatedb, 'replication', r.rolreplication,
            'bypassrls', r.rolbypassrls, 'login', r.rolcanlogin,
            'member_of', (SELECT coalesce(json_agg(g.rolname), '[]')
                          FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid
                          WHERE a.member = r.oid))), '[]')
        FROM pg_roles r WHERE NOT starts_with(r.rolname, 'pg_')) AS roles,
       (SELECT coalesce(json_agg(ARRAY['database ' || datname, datcollversion,
                                       pg_database_collation_actual_version(oid)]), '[]')
        FROM pg_database WHERE datallowconn) AS collations,
       (SELECT coalesce(json_agg(DISTINCT name || ' ' || version), '[]')
        FROM pg_available_extension_versions) AS available,
       (SELECT coalesce(json_agg(ARRAY[name::text, default_version]), '[]')
        FROM pg_available_extensions) AS extensions,
       (SELECT coalesce(json_agg(datname ORDER BY datname), '[]')
        FROM pg_database WHERE datallowconn AND NOT datistemplate) AS databases
"""

# Of collations those that an index of a user's hangs on, and ICU's root one: its version is that of
# the library. What belongs to an extension is that extension's business.
DATABASE_QUERY = """
SELECT (SELECT coalesce(json_agg(ARRAY[extname::text, extversion]), '[]')
        FROM pg_extension) AS extensions,
       (SELECT coalesce(json_agg(ARRAY['collation ' || c.collname, c.collversion,
                                       pg_collation_actual_version(c.oid)]), '[]')
        FROM pg_collation c
        WHERE c.collprovider <> 'd'
          AND (c.collname = 'und-x-icu'
               OR c.oid IN (SELECT unnest(indcollation::oid[]) FROM pg_index
                            WHERE indexrelid >= 16384))) AS collations,
       (SELECT coalesce(json_agg(ARRAY[r.rolname::text, n.nspname || '.' || c.relname]), '[]')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
        WHERE r.rolname = ANY(%(blind)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND c.oid >= 16384
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
          AND (has_table_privilege(r.oid, c.oid, 'SELECT')
               OR has_any_column_privilege(r.oid, c.oid, 'SELECT'))) AS readable,
       (SELECT coalesce(json_agg(json_build_object(
            'signature', p.oid::regprocedure::text, 'owner', pg_get_userbyid(p.proowner),
            'public', p.proacl IS NULL OR EXISTS (
                SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0),
            'observer', has_function_privilege(%(observer)s, p.oid, 'EXECUTE'),
            'definer', p.prosecdef,
            'callers', (SELECT coalesce(json_agg(DISTINCT pg_get_userbyid(a.grantee)), '[]')
                        FROM aclexplode(p.proacl) a
                        WHERE a.grantee NOT IN (0, p.proowner)),
            'settings', coalesce(to_json(p.proconfig), '[]'),
            'sha256', encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE (p.prosecdef OR n.nspname = 'failover') AND p.oid >= 16384
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                          AND d.objid = p.oid AND d.deptype = 'e')) AS functions
"""

ATTRIBUTES = ("superuser", "createrole", "createdb", "replication", "bypassrls", "login")


async def ask_readiness(
    host: DatabaseHost, *, password_file: Path | None, names: tuple[str, ...]
) -> tuple[PostgresFound | NoAnswer, ClockFound | None]:
    """The server and each of its databases, one after the other, and how far its clock is ahead.

    ``names``: of the settings that are wanted. Never raises but for cancellation.
    """
    sent_s = time.time()
    row = await _row(host, password_file, OBSERVER_DATABASE, SERVER_QUERY, {"names": list(names)})
    if isinstance(row, NoAnswer):
        return row, None
    clock = ClockFound(host.name, row["unix_s"] - time.time(), row["unix_s"] - sent_s)
    parameters = {"blind": list(BLIND), "observer": OBSERVER}
    databases, unread = [], []
    for name in row["databases"]:
        inside = await _row(host, password_file, name, DATABASE_QUERY, parameters)
        if isinstance(inside, NoAnswer):
            unread.append((name, inside.detail))
        else:
            databases.append(database_found(name, inside))
    try:
        return server_found(row, tuple(databases), tuple(unread)), clock
    except (KeyError, TypeError, ValueError) as error:
        return NoAnswer(NoAnswerKind.MALFORMED, f"catalogues: {error!r}"), clock


async def _row(
    host: DatabaseHost,
    password_file: Path | None,
    database: str,
    query: str,
    parameters: dict[str, Any],
) -> dict[str, Any] | NoAnswer:
    connection = ObserverConnection(
        host,
        password_file=password_file,
        limit_s=LIMIT_S,
        application_name="failover check",
        database=database,
        options=_OPTIONS,
    )
    try:
        return await ask_once(connection, LIMIT_S, query, parameters)
    except PasswordUnread as error:
        return NoAnswer(NoAnswerKind.TIMED_OUT, str(error))


# --------------------------------------------------------------------------- rows as values


def server_found(
    row: dict[str, Any],
    databases: tuple[DatabaseFound, ...] = (),
    unread: tuple[tuple[str, str], ...] = (),
) -> PostgresFound:
    """The row of ``SERVER_QUERY``. KeyError, TypeError, ValueError: it cannot be understood."""
    return PostgresFound(
        version=row["version"],
        version_number=row["version_number"],
        in_recovery=row["in_recovery"],
        settings=tuple((name, value, unit) for name, value, unit in row["settings"]),
        slots=tuple(
            SlotFound(s["name"], s["logical"], s["active"], s["wal_status"] or "", s["safe"])
            for s in row["slots"]
        ),
        roles=tuple(
            RoleFound(
                r["name"], tuple(a for a in ATTRIBUTES if r[a]), tuple(sorted(r["member_of"]))
            )
            for r in row["roles"]
        ),
        collations=tuple(CollationFound(*found) for found in row["collations"]),
        available=frozenset(row["available"]),
        extensions=tuple((name, version) for name, version in row["extensions"]),
        databases=databases,
        unread=unread,
    )


def database_found(name: str, row: dict[str, Any]) -> DatabaseFound:
    """The row of ``DATABASE_QUERY``."""
    return DatabaseFound(
        name=name,
        extensions=tuple((extension, version) for extension, version in row["extensions"]),
        collations=tuple(
            CollationFound(f"{what} in {name}", recorded, actual)
            for what, recorded, actual in row["collations"]
        ),
        readable=tuple((role, relation) for role, relation in row["readable"]),
        functions=tuple(
            FunctionFound(
                signature=f["signature"],
                owner=f["owner"],
                public=f["public"],
                observer=f["observer"],
                definer=f["definer"],
                callers=tuple(sorted(f["callers"])),
                settings=tuple(f["settings"]),
                sha256=f["sha256"],
            )
            for f in row["functions"]
        ),
    )
