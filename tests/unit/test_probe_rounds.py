"""Rounds of probes against sockets on this machine: silent ones, closed ones, answering ones."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web

from failover.config import load
from failover.health import probes
from failover.health.observation import (
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperSeen,
)
from failover.health.probes import Observer, _ask_all, _Question
from failover.model import SiteName
from failover.policy import DatabaseHost, Policy, Site, ZooKeeperServer

LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections (the kernel does) and never says a word, as a frozen process."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def on_loopback(policy: Policy, ports: dict[str, int], default: int) -> Policy:
    """Every host and server on this machine; ``ports`` by host name, others at ``default``."""

    def host(known: DatabaseHost) -> DatabaseHost:
        port = ports.get(known.name, default)
        return replace(
            known, address=LOOPBACK, postgres_port=port, patroni_port=port, guard_port=port
        )

    def site(known: Site) -> Site:
        servers = tuple(
            replace(s, address=LOOPBACK, client_port=ports.get(s.name, default))
            for s in known.zookeeper
        )
        return replace(known, zookeeper=servers)

    return replace(
        policy,
        sites=tuple(site(known) for known in policy.sites),
        clusters=tuple(replace(c, hosts=tuple(host(h) for h in c.hosts)) for c in policy.clusters),
    )


async def rounds(policy: Policy, count: int) -> list[SiteObservation]:
    """The first rounds of an observer."""
    seen: list[SiteObservation] = []
    enough = asyncio.Event()

    def done(observation: SiteObservation) -> None:
        seen.append(observation)
        if len(seen) >= count:
            enough.set()

    observer = Observer(policy, SiteName("surabaya"), password_file=None)
    task = asyncio.create_task(observer.run(done))
    await asyncio.wait_for(enough.wait(), count * 2.0 + 2.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return seen[:count]


def test_silent_hosts_do_not_delay_a_round_nor_each_other(silent_port: int) -> None:
    policy = on_loopback(load(Path("tests/open.yaml")), {}, silent_port)
    started = time.monotonic()
    seen = asyncio.run(rounds(policy, 3))
    assert time.monotonic() - started < 4.5
    assert [observation.sequence for observation in seen] == [1, 2, 3]
    assert max(observation.round_duration_s for observation in seen) < 1.4
    kinds = {
        part.kind if isinstance(part, NoAnswer) else None
        for observation in seen
        for host in observation.hosts
        for part in (host.postgres, host.patroni, host.guard)
    }
    assert kinds == {NoAnswerKind.TIMED_OUT}


def test_known_silence_does_not_slow_the_next_rounds(silent_port: int) -> None:
    policy = on_loopback(load(Path("tests/open.yaml")), {}, silent_port)
    seen = asyncio.run(rounds(policy, 6))
    honest_s = 0.9
    assert seen[0].round_duration_s >= honest_s  # the first question has the whole limit
    assert [later for later in seen[1:] if later.round_duration_s >= honest_s] == []


def test_one_that_recovers_slowly_is_waited_for_again() -> None:
    """Slower than a suspect is waited for, faster than the limit: it must not stay a suspect."""
    delay_s = 5.0

    async def slow() -> str:
        await asyncio.sleep(delay_s)
        return "here"

    async def story() -> list[object]:
        nonlocal delay_s
        question = _Question(slow)
        answers: list[object] = []
        for step in range(7):
            delay_s = 5.0 if step < 2 else 0.5
            await _ask_all([question])
            answers.append(question.answer())
            await asyncio.sleep(0.25)
        return answers

    answers = asyncio.run(story())
    assert isinstance(answers[0], NoAnswer)
    assert answers[-1] == "here"


def test_a_closed_port_is_refused_at_once(closed_port: int) -> None:
    policy = on_loopback(load(Path("tests/open.yaml")), {}, closed_port)
    (seen,) = asyncio.run(rounds(policy, 1))
    assert seen.round_duration_s < 0.9
    for host in seen.hosts:
        for part in (host.postgres, host.patroni, host.guard):
            assert isinstance(part, NoAnswer)
            assert part.kind is NoAnswerKind.REFUSED


def test_one_that_answers_is_seen_beside_silent_ones(silent_port: int) -> None:
    async def story() -> SiteObservation:
        async def status(_request: web.Request) -> web.Response:
            return web.json_response({"state": "running", "role": "primary", "timeline": 1})

        application = web.Application()
        application.router.add_get("/patroni", status)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        policy = on_loopback(load(Path("tests/open.yaml")), {"jkt-db1": port}, silent_port)
        (seen,) = await rounds(policy, 1)
        await runner.cleanup()
        return seen

    seen = asyncio.run(story())
    first = next(host for host in seen.hosts if host.host == "jkt-db1")
    assert isinstance(first.patroni, PatroniSeen)
    assert first.patroni.role == "primary"


def test_an_answer_that_stands_is_not_asked_for_again_and_no_answer_never_stands() -> None:
    asked: list[int | NoAnswer] = []

    async def several(*, stands_s: float, answers: list[int | NoAnswer]) -> list[int | NoAnswer]:
        given = iter(answers)

        async def ask() -> int | NoAnswer:
            asked.append(answer := next(given))
            return answer

        question: _Question[int] = _Question(ask)
        question.stands_s = stands_s
        seen = []
        for _ in range(3):
            await _ask_all([question])
            seen.append(question.answer())
        return seen

    refused = NoAnswer(NoAnswerKind.REFUSED, "nobody there")
    assert asyncio.run(several(stands_s=0.0, answers=[1, 2, 3])) == [1, 2, 3]
    asked.clear()
    assert asyncio.run(several(stands_s=3600.0, answers=[1])) == [1, 1, 1]
    assert asked == [1]
    late = several(stands_s=3600.0, answers=[refused, refused, 7])
    assert asyncio.run(late) == [refused, refused, 7]


@pytest.mark.parametrize(
    ("leads", "times"),
    [(("sby-zk1",), 1), (("jkt-zk1",), 3), (("sby-zk1", "jkt-zk1"), 3), ((), 3)],
)
def test_only_while_the_witness_leads_zookeeper_is_asked_less_often(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, leads: tuple[str, ...], times: int
) -> None:
    """Its leader may be restarted where it does not, if all the others serve: no old answers."""
    monkeypatch.setattr(probes, "ZOOKEEPER_ANSWER_STANDS_S", 3600.0)
    asked: Counter[str] = Counter()

    async def answering(server: ZooKeeperServer, _limit_s: float) -> ZooKeeperSeen:
        asked[server.name] += 1
        mode = ZooKeeperMode.LEADER if server.name in leads else ZooKeeperMode.FOLLOWER
        return ZooKeeperSeen(mode, epoch=1)

    monkeypatch.setattr(probes, "ask_zookeeper", answering)
    policy = on_loopback(load(Path("tests/open.yaml")), {}, closed_port)
    asyncio.run(rounds(policy, 3))
    # A fourth round may have begun.
    assert all(found in (times, times if times == 1 else 4) for found in asked.values())
    assert len(asked) == 3
