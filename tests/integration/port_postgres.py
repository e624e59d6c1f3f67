"""What a session with PostgreSQL can do, through HAProxy or not: `psql` on hosts of the lab."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from port_hosts import run

from failover.model import HostName
from failover.reference.ports import Can

SHOP = "marketplace"  # the customers' database, and their role
SERVER = "postgres"
TABLE = "ports_audit"
OTHER_PROOF = "/etc/failover/other-authority.pem"  # on the customers' hosts: of another authority
LIMIT_S = 3

OK, DENIED, READ_ONLY = "00000", "42501", "25006"
WRITES = frozenset({OK, READ_ONLY})  # a standby takes none
NO_WRITES = frozenset({DENIED, READ_ONLY})

WHERE = "SELECT pg_catalog.pg_is_in_recovery() AS standby \\gset\n\\echo #standby :standby\n"

Wanted = tuple[tuple[str, frozenset[str]], ...]


def _denied(*statements: str) -> Wanted:
    return tuple((each, NO_WRITES) for each in statements)


def _allowed(*statements: str) -> Wanted:
    return tuple((each, frozenset({OK})) for each in statements)


# Whoever is no superuser: no file, no program, no role, no WAL, nobody else's session.
OF_THE_SERVER = _denied(
    "SELECT count(rolpassword) FROM pg_catalog.pg_authid",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/ports_audit'",
    "SELECT pg_catalog.lo_import('/etc/passwd')",
    "CREATE ROLE ports_audit SUPERUSER",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "SELECT pg_catalog.pg_reload_conf()",
    "SELECT pg_catalog.pg_switch_wal()",
    "SELECT pg_catalog.pg_promote(false)",
    "SELECT pg_catalog.pg_create_physical_replication_slot('ports_audit', false, true)",
    "SELECT * FROM pg_catalog.pg_logical_slot_peek_changes('ports_audit', NULL, NULL)",
    "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity "
    "WHERE usename = 'postgres' LIMIT 1",
    "SET ROLE postgres",
    "SET ROLE pg_read_server_files",
    "CREATE SUBSCRIPTION ports_audit CONNECTION 'host=192.0.2.1 password=x' "
    "PUBLICATION p WITH (connect = false)",
    "CREATE EXTENSION dblink",
)
NO_STATEMENTS_OF_OTHERS = _allowed(
    "SELECT 1 / (NOT pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER'))::integer",
    "SELECT 1 / (count(*) = 0)::integer FROM pg_catalog.pg_stat_activity "
    "WHERE usename <> current_user AND query NOT IN ('', '<insufficient privilege>')",
)
CUSTOMER: Wanted = (
    *_allowed(f"SELECT * FROM {TABLE}"),
    (f"INSERT INTO {TABLE} VALUES (2)", WRITES),
    *OF_THE_SERVER,
    *NO_STATEMENTS_OF_OTHERS,
)
OBSERVER: Wanted = (
    *_allowed("SELECT * FROM failover.walsenders()", "SELECT * FROM pg_catalog.pg_settings"),
    *_denied(
        "CREATE TABLE ports_audit_of_observer ()",
        "CREATE SCHEMA ports_audit",
        "SET ROLE failover_functions",
        "SET ROLE failover_cutter",
    ),
    *OF_THE_SERVER,
    *NO_STATEMENTS_OF_OTHERS,
)
OBSERVER_IN_THE_SHOP: Wanted = _denied(
    f"SELECT * FROM {TABLE}",
    f"INSERT INTO {TABLE} VALUES (2)",
    f"COPY {TABLE} TO STDOUT",
    "CREATE TABLE ports_audit_of_observer ()",
)
REWINDER: Wanted = (
    *_allowed("SELECT pg_catalog.pg_read_binary_file('PG_VERSION')"),
    *_denied(
        "SELECT pg_catalog.pg_read_binary_file('/etc/passwd')",
        "SELECT pg_catalog.pg_read_binary_file('../../../../../etc/passwd')",
        "CREATE TABLE ports_audit_of_rewinder ()",
    ),
    *OF_THE_SERVER,
    *NO_STATEMENTS_OF_OTHERS,
)


@dataclass(frozen=True, slots=True)
class Login:
    """``source``: the host of the lab that connects. ``options``: more of what libpq takes."""

    source: HostName
    address: str
    port: int
    user: str
    password: str
    database: str
    options: str


def refusal(login: Login, statement: str = "SELECT 1") -> str:
    """Why there is no session; empty: there was one, and it did that."""
    ended = _run(login, f"\\set ON_ERROR_STOP 1\n{statement};\n")
    return "" if ended[0] == 0 else refusal_of(ended[1])


def unexpected(login: Login, wanted: Wanted) -> str:
    """Which statements did not end as they should, with how they did; empty: none.

    Every one in a transaction of its own, that is taken back. Only a standby says "read-only": on a
    primary that would hide that nobody refused.
    """
    script = "".join(
        _taken_back(f"{statement};\n\\echo #{number} :SQLSTATE\n")
        for number, (statement, _) in enumerate(wanted)
    )
    _, out = _run(login, f"{WHERE}\\o /dev/null\n{script}")
    found = {int(n): state for n, state in re.findall(r"^#(\d+) (\w{5})$", out, re.M)}
    if not found:
        return refusal_of(out)
    never = frozenset() if re.search("^#standby t$", out, re.M) else frozenset({READ_ONLY})
    wrong = [
        f"{found.get(number, 'no answer')} {statement}"
        for number, (statement, states) in enumerate(wanted)
        if found.get(number) not in states - never
    ]
    return "; ".join(wrong)


def _run(login: Login, script: str) -> tuple[int, str]:
    where = (
        f"host={login.address} port={login.port} user={login.user} dbname={login.database} "
        f"connect_timeout={LIMIT_S} options='-c statement_timeout={LIMIT_S}s' {login.options}"
    )
    command = (
        f"PGPASSWORD={shlex.quote(login.password)} timeout {3 * LIMIT_S} "
        f"psql -w -X -q -A -t -d {shlex.quote(where)} <<'END'\n{script}END\n"
    )
    return run(login.source, command)


def _taken_back(statement: str) -> str:
    """ALTER SYSTEM is not for transactions; what it would set here is nothing new."""
    return statement if statement.startswith("ALTER SYSTEM") else f"BEGIN;\n{statement}ROLLBACK;\n"


def refusal_of(text: str) -> str:
    """What libpq, or the server, gave for a reason."""
    for said, can in (
        ("does not support SSL", Can.NO_TLS),
        ("password authentication failed", Can.PASSWORD),
        ("rejects", Can.NO_LINE),
        ("no pg_hba.conf entry", Can.NO_LINE),
        ("server closed the connection unexpectedly", Can.CLOSED),
        ("Connection reset by peer", Can.CLOSED),
    ):
        if said in text:
            return can
    return text.strip() or "no answer"
