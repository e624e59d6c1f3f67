"""The scanner against a real server: what is seen, cut and refused, and what it cannot see."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from residency_server import (
    PASSWORD,
    Server,
    Stranger,
    policy_for,
    server,
    stranger,
    wait_for,
)

from failover.model import SiteName
from failover.policy import Policy
from failover.residency.findings import HostScan
from failover.scanner import Scanner

pytestmark = pytest.mark.lab

CUT_S_MAX = 5.0
LOOK_INTO_S_MAX = 8.0  # the interval is shortened below
REPLICATION_OPENED = "host replication all 0.0.0.0/0 scram-sha-256 # opened"
CLIENTS_OPENED = "host all all 0.0.0.0/0 scram-sha-256 # opened"


class Running:
    """A scanner in a thread of its own, as it runs in a controller."""

    def __init__(self, policy: Policy, password_file: Path) -> None:
        self.scanner = Scanner(policy, SiteName("jakarta"), password_file=password_file)
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self.scanner.run())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def scan(self, host: str = "jkt-db1") -> HostScan:
        return next(scan for scan in self.scanner.scans() if scan.host == host)

    def found(self) -> set[tuple[str, str]]:
        return {(finding.way, finding.subject) for finding in self.scan().findings}

    def sessions_cut(self, way: str, subject: str) -> int:
        return sum(c.sessions for c in self.scan().cuts if (c.way, c.subject) == (way, subject))

    def wait_cut(self, way: str, subject: str, after: Callable[[], object]) -> float:
        """How long after the stranger began it was that he was cut."""
        before = self.sessions_cut(way, subject)
        after()
        return wait_for(lambda: self.sessions_cut(way, subject) > before, CUT_S_MAX)


@pytest.fixture(scope="module")
def db() -> Iterator[Server]:
    with server() as found:
        yield found


@pytest.fixture(scope="module")
def singapore() -> Iterator[Stranger]:
    with stranger() as found:
        yield found


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "observer.password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scanning(db: Server, password_file: Path) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("failover.scanner.CATALOGUES_INTERVAL_S", 1.0)
        patch.setattr("failover.scanner.GONE_AFTER_S", 3.0)
        found = Running(policy_for(db.host), password_file)
        wait_for(lambda: found.scan().catalogues_age_s is not None, 20)
        yield found
        found.stop()


@pytest.fixture
def running(db: Server, scanning: Running) -> Iterator[Running]:
    yield scanning
    db.let_out()


def test_a_rendered_server_has_no_way_out(running: Running) -> None:
    """But for the line of pg_hba.conf by which this test's scanner comes in."""
    scan = running.scan()
    assert [str(finding) for finding in scan.findings] == [
        "hba_line on jkt-db1: host all failover_observer 172.16.0.0/255.240.0.0 scram-sha-256"
    ]
    assert scan.cuts == ()
    assert scan.problem == ""


def test_an_opened_line_is_found_before_anybody_comes(db: Server, running: Running) -> None:
    db.run(f"sed -i '1i {REPLICATION_OPENED}' /tmp/data/pg_hba.conf")  # not even loaded
    line = ("hba_line", "host replication all 0.0.0.0/0.0.0.0 scram-sha-256")
    assert wait_for(lambda: line in running.found(), CUT_S_MAX) < CUT_S_MAX
    db.let_out()
    wait_for(lambda: line not in running.found(), CUT_S_MAX)


def test_streaming_is_cut_and_its_slot_dropped_but_never_a_declared_one(
    db: Server, singapore: Stranger, running: Running
) -> None:
    db.let_in(REPLICATION_OPENED)
    receive = f"pg_receivewal -n -D /tmp -h {db.host.address} --slot"
    db.sql("select pg_create_physical_replication_slot('failover_makassar')")
    for slot in ("theirs", "failover_makassar"):
        if slot == "theirs":
            code, output = singapore.run(f"{receive} theirs --create-slot")
            assert code == 0, output
        took_s = running.wait_cut(
            "walsender",
            singapore.address,
            lambda s=slot: singapore.start(f"{receive} {s}"),  # type: ignore[misc]
        )
        assert took_s < CUT_S_MAX
    assert db.sql("select slot_name from pg_replication_slots").split() == ["failover_makassar"]
    (cut,) = [c for c in running.scan().cuts if c.way == "walsender"]
    assert cut.slots == ("theirs",)
    db.sql("select pg_drop_replication_slot('failover_makassar')")


def test_a_base_backup_is_cut(db: Server, singapore: Stranger, running: Running) -> None:
    db.let_in(REPLICATION_OPENED)
    copy = f"pg_basebackup -X none -c fast -r 256k -D /tmp/copy -h {db.host.address}"
    running.wait_cut("base_backup", singapore.address, lambda: singapore.start(copy))
    wait_for(lambda: singapore.run("pgrep pg_basebackup")[0] != 0, CUT_S_MAX)


def test_a_client_from_outside_is_cut(db: Server, singapore: Stranger, running: Running) -> None:
    db.let_in(CLIENTS_OPENED)
    sleep = f"PGUSER=marketplace psql -h {db.host.address} -c 'select pg_sleep(60)' marketplace"
    running.wait_cut("client", singapore.address, lambda: singapore.start(sleep))
    wait_for(lambda: singapore.run("pgrep psql")[0] != 0, CUT_S_MAX)


def test_a_walsender_through_the_socket_is_cut(db: Server, running: Running) -> None:
    """A tunnel's end, or a copy by hand; a question for the server's identity is neither."""
    db.run("psql -h /run/postgresql -U replicator -c IDENTIFY_SYSTEM 'replication=1'")
    receive = "pg_receivewal -n -D /tmp -h /run/postgresql -U replicator & "
    running.wait_cut("local_walsender", "local socket", lambda: db.run(f"{receive} sleep 0"))


def test_a_superusers_session_is_a_finding_that_stays_until_it_is_gone(
    db: Server, singapore: Stranger, running: Running
) -> None:
    db.let_in(CLIENTS_OPENED)
    db.sql(f"create role root superuser login password '{PASSWORD}'")
    there = ("client", singapore.address)
    cut_before = running.sessions_cut(*there)
    try:
        sleep = f"psql -h {db.host.address} -U root -c 'select pg_sleep(3)' postgres"
        singapore.start(sleep)
        wait_for(lambda: there in running.found(), CUT_S_MAX)
        assert running.sessions_cut(*there) == cut_before
        wait_for(lambda: ("superuser_role", "root") in running.found(), LOOK_INTO_S_MAX)
        wait_for(lambda: there not in running.found(), 20)
    finally:
        db.sql("drop role root")
    wait_for(lambda: ("superuser_role", "root") not in running.found(), LOOK_INTO_S_MAX)


def test_ddl_that_opens_a_way_is_refused_in_new_databases_too(db: Server) -> None:
    db.sql("create database fresh")
    statements = (
        "create publication p for all tables",
        "create subscription s connection 'host=192.0.2.1' publication p with (connect=false)",
        "create extension dblink",
        "create extension postgres_fdw",
        "create foreign data wrapper w",
    )
    commands = " ".join(f'-c "{each}"' for each in statements)
    for database in ("postgres", "marketplace", "fresh"):
        said = db.run(f"psql -h /run/postgresql -Xq {commands} {database} 2>&1; true")
        assert said.count("is refused") == len(statements), said
    db.sql("create extension pgcrypto", database="fresh")
    db.sql("drop database fresh")


def test_what_a_superuser_made_all_the_same_is_found_and_stays_until_it_is_gone(
    db: Server, running: Running
) -> None:
    """Event triggers off, as a superuser may; in a database that was not there before."""
    db.sql("create database hidden", "create role wide", "create role copier replication")
    db.sql("create role sly", "grant postgres to sly")
    db.sql("grant pg_execute_server_program to wide", "alter system set archive_command = 'curl'")
    db.sql("alter system set archive_mode = on", "alter system set log_destination = 'syslog'")
    db.sql("alter database hidden set session_preload_libraries = 'auto_explain'")
    db.sql("select pg_create_physical_replication_slot('forgotten')", "select pg_reload_conf()")
    db.sql(
        "alter event trigger failover_refuse_way_out disable",
        "alter event trigger failover_refuse_extension disable",
        "create publication offered",
        "create extension dblink",
        "create extension postgres_fdw",
        "create server abroad foreign data wrapper postgres_fdw options (host '192.0.2.1')",
        "create user mapping for postgres server abroad options (user 'x', password 'hidden')",
        "create subscription pull connection 'host=192.0.2.1' publication p "
        "with (connect=false, enabled=false)",
        "create function raw(bytea, text) returns bytea language c "
        "as '\\$libdir/pgcrypto', 'pg_digest'",
        database="hidden",
    )
    expected = {
        ("publication", "hidden/offered"),
        ("extension", "hidden/dblink"),
        ("extension", "hidden/postgres_fdw"),
        ("foreign_server", "hidden/abroad"),
        ("foreign_server", "hidden/abroad/postgres"),
        ("subscription", "hidden/pull"),
        ("c_function", "hidden/public.raw"),
        ("trigger_missing", "hidden/failover_refuse_way_out"),
        ("program_role", "wide in pg_execute_server_program"),
        ("replication_role", "copier"),
        ("superuser_role", "sly in postgres"),
        ("setting", "session_preload_libraries of database hidden, role any"),
        ("setting", "log_destination"),
        ("physical_slot", "forgotten"),
    }
    wait_for(lambda: expected <= running.found(), LOOK_INTO_S_MAX)
    assert "hidden" not in {word for f in running.scan().findings for word in f.detail.split("=")}
    forget = ("alter subscription pull set (slot_name = none)", "drop subscription pull")
    db.sql(*forget, database="hidden")
    wait_for(lambda: ("subscription", "hidden/pull") not in running.found(), LOOK_INTO_S_MAX)
    db.sql("drop database hidden", "drop role wide", "drop role copier", "drop role sly")
    db.sql("alter system reset all")
    db.sql("select pg_drop_replication_slot('forgotten')", "select pg_reload_conf()")
    wait_for(lambda: not expected & running.found(), LOOK_INTO_S_MAX)


def test_a_database_that_hides_is_a_finding(db: Server, running: Running) -> None:
    db.sql("create database closed", "revoke connect on database closed from public")
    try:
        wait_for(lambda: ("unseen", "database closed") in running.found(), LOOK_INTO_S_MAX)
    finally:
        db.sql("drop database closed")


# --------------------------------------------------------------------------- blind


def as_observer(db: Server, query: str, database: str) -> str:
    """What the role gets to see, or the SQLSTATE of its refusal."""
    try:
        with psycopg.connect(
            host=str(db.host.address),
            user="failover_observer",
            password=PASSWORD,
            dbname=database,
            client_encoding="utf-8",
            autocommit=True,
        ) as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return str(cursor.fetchall()) if cursor.description else "done"
    except psycopg.Error as error:
        return error.sqlstate or "no SQLSTATE"


def test_the_narrow_role_reads_nothing_of_a_customer(db: Server) -> None:
    """Neither a row, nor a slot's contents, nor another session's statement, nor a password."""
    db.sql("create table payment as select 42 as answer", database="marketplace")
    db.sql("alter system set primary_conninfo = 'host=10.0.0.1 password=hunter2'")
    db.sql("select pg_reload_conf()", "select pg_create_physical_replication_slot('s')")
    statement = "psql -h /run/postgresql -c \"select pg_sleep(5), 'card 4111'\" marketplace"
    db.run(f"{statement} >/dev/null 2>&1 & sleep 0.3")
    attempts = [
        ("marketplace", "select * from payment"),
        ("marketplace", "copy payment to stdout"),
        (
            "postgres",
            "select string_agg(query, ' ') from pg_stat_activity "
            "where query ~ '4111' and pid <> pg_backend_pid()",
        ),
        ("postgres", "select pg_read_file('postgresql.auto.conf')"),
        ("postgres", "select * from pg_hba_file_rules"),
        ("postgres", "select setting from pg_settings where name = 'primary_conninfo'"),
        ("postgres", "select rolpassword from pg_authid where rolpassword is not null"),
        ("postgres", "select * from pg_logical_slot_peek_binary_changes('s', null, null)"),
        ("postgres", "select pg_create_physical_replication_slot('mine')"),
        ("postgres", "copy (select 1) to program 'true'"),
        ("postgres", "set role failover_functions"),
        ("postgres", "set role failover_cutter"),
        (
            "postgres",
            "select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user",
        ),
        ("postgres", "create function failover.sessions2() returns int language sql as 'select 1'"),
    ]
    try:
        for database, query in attempts:
            said = as_observer(db, query, database)
            assert said in ("42501", "[]", "[(None,)]"), (query, said)
        told = as_observer(db, "select * from failover.upstreams()", "postgres")
        assert told == "[('10.0.0.1',)]"
    finally:
        db.sql("alter system reset all", "select pg_reload_conf()")
        db.sql("select pg_drop_replication_slot('s')")


# --------------------------------------------------------------------------- stuck


def test_a_stuck_host_holds_up_nobody(db: Server, password_file: Path) -> None:
    with server("jkt-db2") as other:
        running = Running(policy_for(db.host, other.host), password_file)
        try:
            wait_for(lambda: all(s.age_s is not None for s in running.scanner.scans()), 20)
            other.container.pause()
            oldest_s, until_s = 0.0, time.monotonic() + 6
            while time.monotonic() < until_s:
                oldest_s = max(oldest_s, running.scan("jkt-db1").age_s or 0.0)
                time.sleep(0.1)
            assert oldest_s < 2.5
            assert (running.scan("jkt-db2").age_s or 0.0) > 3.0
            assert running.scan("jkt-db2").problem.startswith("no answer within")
            other.container.unpause()
            wait_for(lambda: (running.scan("jkt-db2").age_s or 9.9) < 2.5, 15)
        finally:
            running.stop()
