"""What `failover check` reads of a server, against a real one set up by the rendered scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from residency_server import CONFIG, PASSWORD, Server, server

from failover.checks.found import ClockFound, DatabaseFound, PostgresFound
from failover.checks.privileges import MEANT, OBSERVER
from failover.config import load
from failover.health.observation import NoAnswer
from failover.render.expected import expected
from failover.sites.readiness_scan import ask_readiness

pytestmark = pytest.mark.lab

NAMES = ("wal_log_hints", "max_wal_size", "tcp_user_timeout")


@pytest.fixture(scope="module")
def db() -> Iterator[Server]:
    with server() as found:
        yield found


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "observer.password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def look(db: Server, password_file: Path) -> tuple[PostgresFound, ClockFound | None]:
    asked = ask_readiness(db.host, password_file=password_file, names=NAMES)
    found, clock = asyncio.run(asked)
    assert isinstance(found, PostgresFound), found
    return found, clock


def database(found: PostgresFound, name: str = "marketplace") -> DatabaseFound:
    return next(each for each in found.databases if each.name == name)


def test_a_rendered_server_has_what_is_meant_and_no_more(db: Server, password_file: Path) -> None:
    found, clock = look(db, password_file)
    assert found.version_number // 10000 == 17
    assert not found.in_recovery
    assert found.setting("max_wal_size") == ("1024", "MB")
    roles = {role.name: (role.attributes, role.member_of) for role in found.roles}
    for name, meant in MEANT.items():
        if name in roles:
            assert {*roles[name][0]} == {*meant[0]}, name
            assert {*roles[name][1]} == {*meant[1]}, name
    assert {"failover_observer", "failover_functions", "failover_cutter"} <= set(roles)
    assert found.unread == ()
    assert {each.name for each in found.databases} == {"marketplace", "postgres"}
    assert all(each.readable == () for each in found.databases)
    functions = database(found, "postgres").functions
    assert len(functions) > 8
    narrow = [f for f in functions if f.definer]
    assert {f.owner for f in narrow} == {"failover_functions", "failover_cutter"}
    assert not any(f.public for f in narrow)
    there = {(f.signature, f.owner, f.sha256) for f in narrow}
    rendered = expected(load(CONFIG), b"").host(db.host.name).functions
    assert {(f.signature, f.owner, f.sha256) for f in rendered} == there
    assert "plpgsql 1.0" in found.available
    every = [*found.collations, *(c for d in found.databases for c in d.collations)]
    assert [c for c in every if c.recorded != c.actual] == []
    assert clock is not None
    assert clock.ahead_s_min <= 0.05
    assert clock.ahead_s_max >= -0.05  # it is this very machine's


def test_what_is_granted_too_much_is_seen(db: Server, password_file: Path) -> None:
    db.sql(
        "create table customer (id int, name text)",
        "grant select (name) on customer to failover_observer",
        "create function everything() returns bigint language sql security definer "
        "as 'select count(*) from customer'",
        database="marketplace",
    )
    db.sql("grant pg_read_all_data to failover_functions", "alter role failover_observer createdb")
    try:
        found, _ = look(db, password_file)
        assert (OBSERVER, "public.customer") in database(found).readable
        assert ("failover_functions", "public.customer") in database(found).readable
        (made,) = (f for f in database(found).functions if f.signature == "public.everything()")
        assert (made.definer, made.observer, made.public) == (True, True, True)
        observer = next(role for role in found.roles if role.name == OBSERVER)
        assert "createdb" in observer.attributes
    finally:
        db.sql("revoke pg_read_all_data from failover_functions")
        db.sql("alter role failover_observer nocreatedb")
        db.sql("drop function everything()", "drop table customer", database="marketplace")


def test_an_index_built_with_another_version_is_seen(db: Server, password_file: Path) -> None:
    db.sql("create database words encoding 'UTF8' locale 'C' template template0")
    try:
        db.sql(
            'create table word (w text collate \\"id-x-icu\\" primary key)',
            "update pg_collation set collversion = '1' where collname = 'id-x-icu'",
            database="words",
        )
        found, _ = look(db, password_file)
        wrong = [c for c in database(found, "words").collations if c.recorded != c.actual]
        assert [(c.where, c.recorded) for c in wrong] == [("collation id-x-icu in words", "1")]
        assert wrong[0].actual
    finally:
        db.sql("drop database words")


def test_a_wrong_password_is_no_answer(db: Server, tmp_path: Path) -> None:
    path = tmp_path / "observer.password"
    path.write_text("wrong\n", encoding="utf-8")
    found, clock = asyncio.run(ask_readiness(db.host, password_file=path, names=NAMES))
    assert isinstance(found, NoAnswer)
    assert clock is None
