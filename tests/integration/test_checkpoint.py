"""The checkpoint before a planned move, asked for as a controller would, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from observed_server import Server, observed_server, observer_password

from failover.policy import DatabaseHost
from failover.sites import checkpoint
from failover.sites.checkpoint import ROUNDS_MAX, Checkpointed, checkpoint_primaries

pytestmark = pytest.mark.lab

DIRTY = "insert into money select i, repeat('x', 200) from generate_series(1, 20000) i"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with observed_server() as server:
        yield server


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    return observer_password(tmp_path)


def ask(
    hosts: list[DatabaseHost],
    password_file: Path,
    *,
    limit_s: float = 60.0,
    waiting: Callable[[float], None] = lambda _s: None,
) -> tuple[Checkpointed, ...]:
    return asyncio.run(checkpoint_primaries(hosts, password_file, waiting, limit_s=limit_s))


def dirty_buffers(server: Server) -> int:
    server.sql("create extension if not exists pg_buffercache")
    return int(server.sql("select count(*) from pg_buffercache where isdirty"))


def test_a_primary_writes_out_what_is_dirty(server: Server, password_file: Path) -> None:
    server.sql("create table if not exists money (id bigint, note text)")
    server.sql(DIRTY)
    before = dirty_buffers(server)
    (made,) = ask([server.host], password_file)
    assert (made.host, made.trouble, made.unfinished) == ("db1", "", False)
    assert 1 <= len(made.took_s) <= ROUNDS_MAX
    assert before > 500
    assert dirty_buffers(server) < before / 5


def test_a_server_without_the_function_is_said(server: Server, password_file: Path) -> None:
    server.sql("alter function failover.checkpoint() rename to checkpoint_of_old")
    try:
        (made,) = ask([server.host], password_file)
    finally:
        server.sql("alter function failover.checkpoint_of_old() rename to checkpoint")
    assert made.took_s == ()
    assert "failover.checkpoint() does not exist" in made.trouble
    assert not made.unfinished


def test_who_does_not_finish_in_time_is_unfinished(
    server: Server, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpointer stands still, as where a disk does."""
    waited_s: list[float] = []
    monkeypatch.setattr(checkpoint, "TELL_EVERY_S", 0.2)
    checkpointer = server.sql(
        "select pid from pg_stat_activity where backend_type = 'checkpointer'"
    )
    server.run(f"kill -STOP {checkpointer}")
    try:
        (made,) = ask([server.host], password_file, limit_s=1.0, waiting=waited_s.append)
    finally:
        server.run(f"kill -CONT {checkpointer}")
    assert made.took_s == ()
    assert made.unfinished
    assert waited_s


def test_nobody_else_waits_for_a_host_that_is_silent(server: Server, password_file: Path) -> None:
    nobody = replace(server.host, name="db2", postgres_port=1)
    made = {one.host: one for one in ask([server.host, nobody], password_file)}
    assert made["db1"].took_s
    assert "refused" in made["db2"].trouble


def test_a_password_that_cannot_be_read_is_said(server: Server, tmp_path: Path) -> None:
    (made,) = ask([server.host], tmp_path / "observer.password")
    assert "observer.password" in made.trouble


def test_a_standby_is_left_alone(server: Server, password_file: Path) -> None:
    control = "/usr/lib/postgresql/17/bin/pg_ctl -D /tmp/data -w -m fast"
    server.run(f"touch /tmp/data/standby.signal && {control} restart >/dev/null")
    try:
        assert ask([server.host], password_file) == ()
    finally:
        server.run(
            f"{control} stop >/dev/null; rm /tmp/data/standby.signal; {control} start >/dev/null"
        )
