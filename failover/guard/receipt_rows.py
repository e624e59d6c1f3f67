"""Ask the server that stands on the old branch what its files are called, and for keys of rows.

On this host's socket, as the guard's own superuser; the controller's role has no way to this
(I7, decision 0015). Invariant: only the key columns that failover.yaml names are read, of rows
that the lost transactions changed, read-only, and never after the time that is given.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from failover.guard.local_connection import ANSWER_LIMIT_S, Connection, connected_locally
from failover.model import Lsn
from failover.policy import ReceiptTable
from failover.receipt.branch import Branch
from failover.receipt.compose import Answers, TableKeys
from failover.receipt.rows import Held, Wanted, match, places, wanted_rows
from failover.receipt.waldump import FileNode

PLACES_PER_QUERY = 500
PLACES_MAX = 200_000  # in all tables together


_READY = "select pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn(), '0/0')"

# A TOAST table goes by the name of the table whose values it holds.
_NAMES = """
select file.tablespace, file.number, space.nspname || '.' || named.relname
       || case when owner.oid is null then '' else ' (toast)' end
from unnest(%s::oid[], %s::oid[]) as file (tablespace, number)
join pg_class as own on own.oid = pg_filenode_relation(file.tablespace, file.number)
left join pg_class as owner on owner.reltoastrelid = own.oid and own.relkind = 't'
join pg_class as named on named.oid = coalesce(owner.oid, own.oid)
join pg_namespace as space on space.oid = named.relnamespace
"""

# The table itself, or every partition of it.
_FILES = """
select coalesce(nullif(leaf.reltablespace, 0), (select dattablespace from pg_database
                                                where datname = current_database())),
       (select oid from pg_database where datname = current_database()),
       pg_relation_filenode(leaf.oid), space.nspname, leaf.relname
from pg_class as named join pg_namespace as home on home.oid = named.relnamespace,
     lateral (select named.oid as oid union select relid from pg_partition_tree(named.oid)) as part
join pg_class as leaf on leaf.oid = part.oid
join pg_namespace as space on space.oid = leaf.relnamespace
where home.nspname = %s and named.relname = %s and leaf.relkind = 'r'
"""


class NotReady(Exception):
    """The server cannot say it yet, or not at all. The message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server on this host."""

    socket_dir: str
    port: int


def ask(server: Server, branch: Branch, tables: Sequence[ReceiptTable], until_s: float) -> Answers:
    """Names and keys, with what is missing said in the answer. ``until_s``: monotonic.

    NotReady where the server does not answer, or has not replayed its own branch (yet).
    """
    try:
        limit_s = _left_s(until_s)
        with connected_locally(server.socket_dir, server.port, limit_s=limit_s) as connection:
            _check_ready(connection, branch.last_lsn)
            databases = _databases(connection)
    except psycopg.Error as error:
        raise NotReady(f"PostgreSQL on this host does not answer: {_words(error)}") from None
    answers = Answers(databases=databases)
    touched = {file.database for file in branch.rows if file.database}
    for number in sorted(touched & databases.keys()):
        here = [one for one in tables if one.database == databases[number]]
        answers = _with_database(server, number, here, branch, answers, until_s)
    absent = [one for one in tables if one.database not in databases.values()]
    problems = [TableKeys(one, (), (), f"there is no database {one.database}") for one in absent]
    return replace(answers, tables=(*answers.tables, *problems))


def _left_s(until_s: float) -> float:
    """And a little for the question that is under way then."""
    return max(0.0, until_s - time.monotonic()) + ANSWER_LIMIT_S


def _check_ready(connection: Connection, last_lsn: Lsn) -> None:
    row = connection.execute(_READY).fetchone()
    in_recovery, replayed = row or (False, "0/0")
    if not in_recovery:
        raise NotReady("PostgreSQL on this host is not in recovery: its rows are not this branch's")
    if Lsn.parse(str(replayed)) <= last_lsn:
        raise NotReady(f"PostgreSQL on this host has replayed only {replayed} of its own branch")


def _databases(connection: Connection) -> dict[int, str]:
    rows = connection.execute("select oid, datname from pg_database where datallowconn").fetchall()
    return {int(str(number)): str(name) for number, name in rows}


def _with_database(
    server: Server,
    number: int,
    tables: Sequence[ReceiptTable],
    branch: Branch,
    answers: Answers,
    until_s: float,
) -> Answers:
    """The answers, and those of one database. What cannot be had is a problem of its tables."""
    name = answers.databases[number]
    files = [file for file in branch.rows if file.database in (number, 0)]
    try:
        with connected_locally(
            server.socket_dir, server.port, name, _left_s(until_s)
        ) as connection:
            connection.autocommit = True  # one table's error does not end the others
            names = {**answers.names, **_names(connection, files)}
            found = tuple(_keys_of(connection, one, branch, until_s) for one in tables)
    except psycopg.Error as error:
        failed = (TableKeys(one, (), (), f"{one.name}: {_words(error)}") for one in tables)
        return replace(answers, tables=(*answers.tables, *failed))
    return replace(answers, names=names, tables=(*answers.tables, *found))


def _names(connection: Connection, files: Sequence[FileNode]) -> dict[FileNode, str]:
    asked = ([file.tablespace for file in files], [file.number for file in files])
    rows = connection.execute(_NAMES, asked).fetchall()
    said = {(int(str(space)), int(str(number))): str(name) for space, number, name in rows}
    return {
        file: said[file.tablespace, file.number]
        for file in files
        if (file.tablespace, file.number) in said
    }


def _keys_of(
    connection: Connection, table: ReceiptTable, branch: Branch, until_s: float
) -> TableKeys:
    """The keys of one named table and of all its partitions."""
    found = TableKeys(table, (), ())
    if time.monotonic() > until_s:
        return replace(found, problem=f"{table.name}: the time was up")
    try:
        parts = connection.execute(_FILES, (table.schema, table.table)).fetchall()
        if not parts:
            return replace(found, problem=f"there is no table {table.name}")
        for tablespace, database, number, schema, name in parts:
            file = FileNode(int(str(tablespace)), int(str(database)), int(str(number)))
            wanted = wanted_rows(branch.lost, file)
            leaf = sql.Identifier(str(schema), str(name))
            held = _held(connection, leaf, table.key, wanted, until_s)
            keys, without = match(wanted, held)
            found = replace(found, keys=(*found.keys, *keys), without=(*found.without, *without))
    except psycopg.Error as error:
        return replace(found, problem=f"{table.name}: {_words(error)}")
    except (TimeoutError, UnicodeDecodeError) as error:
        return replace(found, problem=f"{table.name}: {error}")
    return found


def _held(
    connection: Connection,
    table: sql.Identifier,
    columns: Sequence[str],
    wanted: Sequence[Wanted],
    until_s: float,
) -> dict[tuple[int, int], Held]:
    """What the wanted places hold. TimeoutError where the time, or the number, is up."""
    asked = places(wanted)
    if len(asked) > PLACES_MAX:
        raise TimeoutError(f"{len(asked)} rows are too many to be read ({PLACES_MAX} at most)")
    query = sql.SQL("select ctid::text, xmin::text, {} from only {} where ctid = any(%s::tid[])")
    as_text = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in columns)
    statement = query.format(as_text, table)
    held: dict[tuple[int, int], Held] = {}
    for begin in range(0, len(asked), PLACES_PER_QUERY):
        if time.monotonic() > until_s:
            raise TimeoutError(f"the time was up with {len(asked) - begin} rows not read")
        batch = [f"({block},{offset})" for block, offset in asked[begin : begin + PLACES_PER_QUERY]]
        for ctid, xmin, *key in connection.execute(statement, (batch,)):
            block, _, offset = str(ctid).strip("()").partition(",")
            values = tuple(None if value is None else str(value) for value in key)
            held[int(block), int(offset)] = Held(int(str(xmin)), values)
    return held


def _words(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
