"""The probe of PostgreSQL against a real server, set up by the rendered post-bootstrap script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from observed_server import PASSWORD, Server, observed_server, observer_password

from failover.config import load
from failover.health.glance import Glance
from failover.health.inputs import Glanced
from failover.health.observation import NoAnswer, NoAnswerKind, PostgresSeen
from failover.health.probes import _ask_all, _Question
from failover.model import ClusterName, SiteName
from failover.policy import Cluster
from failover.sites.postgres import PostgresProbe

pytestmark = pytest.mark.lab

CONFIG = Path("tests/open.yaml").resolve()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with observed_server() as server:
        yield server


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    return observer_password(tmp_path)


def story(
    server: Server,
    password_file: Path,
    tell: Callable[[Callable[[], Awaitable[PostgresSeen | NoAnswer]]], Awaitable[None]],
) -> None:
    """Run ``tell`` with a function that asks once, as a round of probes does."""

    async def run() -> None:
        probe = PostgresProbe(server.host, password_file=password_file, limit_s=1.0)
        question = _Question(probe.ask, probe.abort)

        async def ask() -> PostgresSeen | NoAnswer:
            started = time.monotonic()
            await _ask_all([question])
            assert time.monotonic() - started < 1.4
            return question.answer()

        await tell(ask)
        await probe.close()

    asyncio.run(run())


def kind(answer: PostgresSeen | NoAnswer) -> NoAnswerKind | None:
    return answer.kind if isinstance(answer, NoAnswer) else None


def test_a_primary_is_seen_through_the_narrow_functions(
    server: Server, password_file: Path
) -> None:
    async def tell(ask: Callable[[], Awaitable[PostgresSeen | NoAnswer]]) -> None:
        seen = await ask()
        assert isinstance(seen, PostgresSeen), seen
        assert (seen.in_recovery, seen.timeline, seen.received_lsn) == (False, 1, None)
        assert seen.current_lsn is not None
        assert len(seen.system_identifier) > 10

    story(server, password_file, tell)


def test_a_frozen_server_times_out_on_a_kept_connection_and_comes_back(
    server: Server, password_file: Path
) -> None:
    async def tell(ask: Callable[[], Awaitable[PostgresSeen | NoAnswer]]) -> None:
        assert kind(await ask()) is None
        server.container.pause()
        try:
            for _ in range(3):
                assert kind(await ask()) is NoAnswerKind.TIMED_OUT
        finally:
            server.container.unpause()
        answers = [kind(await ask()) for _ in range(3)]
        assert answers[-1] is None
        assert set(answers) <= {None, NoAnswerKind.TIMED_OUT}

    story(server, password_file, tell)


def test_a_restart_costs_at_most_one_answer_and_a_stop_is_refused(
    server: Server, password_file: Path
) -> None:
    control = "/usr/lib/postgresql/17/bin/pg_ctl -D /tmp/data -w -m fast"

    async def tell(ask: Callable[[], Awaitable[PostgresSeen | NoAnswer]]) -> None:
        before, again = await ask(), await ask()
        server.run(f"{control} restart > /tmp/restart.log")
        after = await ask()
        assert isinstance(before, PostgresSeen)
        assert isinstance(again, PostgresSeen)
        assert isinstance(after, PostgresSeen)
        assert before.started == again.started != after.started  # one run, and another
        server.run(f"{control} stop")
        assert kind(await ask()) is NoAnswerKind.REFUSED
        server.run(f"{control} start > /tmp/start.log")
        assert kind(await ask()) is None

    story(server, password_file, tell)


def test_a_standby_without_upstream_says_what_it_has(server: Server, password_file: Path) -> None:
    control = "/usr/lib/postgresql/17/bin/pg_ctl -D /tmp/data -w -m fast"

    async def tell(ask: Callable[[], Awaitable[PostgresSeen | NoAnswer]]) -> None:
        server.run(f"touch /tmp/data/standby.signal && {control} restart > /tmp/restart.log")
        try:
            seen = await ask()
            assert isinstance(seen, PostgresSeen), seen
            assert (seen.in_recovery, seen.receiver_streaming, seen.timeline) == (True, False, 1)
            assert seen.replayed_lsn is not None
        finally:
            server.run(f"rm /tmp/data/standby.signal && {control} restart > /tmp/restart.log")

    story(server, password_file, tell)


def test_a_glance_leaves_out_who_does_not_answer_at_once(
    server: Server, password_file: Path
) -> None:
    site = SiteName("jakarta")
    policy = replace(load(CONFIG), clusters=(Cluster(ClusterName("shop"), (server.host,)),))

    async def run() -> None:
        glance = Glance(policy, password_file=password_file)
        (seen,) = await answered(glance)
        assert (seen.host, seen.postgres.in_recovery) == (server.host.name, False)
        server.container.pause()
        try:
            assert await glance.look(site) == ()
            assert await glance.look(site) == ()
        finally:
            server.container.unpause()
        (again,) = await answered(glance)
        assert again.postgres.system_identifier == seen.postgres.system_identifier
        await glance.close()

    async def answered(glance: Glance) -> tuple[Glanced, ...]:
        """A first look may be too short for a new connection on a busy machine."""
        give_up_s = time.monotonic() + 10
        while not (found := await glance.look(site)):
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)
        return found

    asyncio.run(run())


def test_a_wrong_password_is_an_answer_and_a_missing_one_is_our_own_trouble(
    server: Server, password_file: Path
) -> None:
    async def tell(ask: Callable[[], Awaitable[PostgresSeen | NoAnswer]]) -> None:
        assert kind(await ask()) is NoAnswerKind.REJECTED
        password_file.unlink()  # noqa: ASYNC240
        answer = await ask()
        assert isinstance(answer, NoAnswer)
        assert answer.kind is NoAnswerKind.TIMED_OUT
        assert "not asked" in answer.detail

    password_file.write_text("wrong", encoding="utf-8")
    story(server, password_file, tell)


def test_the_observer_reads_no_row_and_no_password(server: Server) -> None:
    server.run("psql -h /run/postgresql -qc 'create table secret as select 42 as answer' postgres")
    for query in (
        "select * from secret",
        "select primary_conninfo from (select setting as primary_conninfo from pg_settings "
        "where name = 'primary_conninfo') s where primary_conninfo is not null",
    ):
        code, output = server.container.exec_run(
            ["psql", "-h", "127.0.0.1", "-U", "failover_observer", "-tAc", query, "postgres"],
            environment={"PGPASSWORD": PASSWORD},
        )
        assert code != 0 or output.strip() == b"", output
