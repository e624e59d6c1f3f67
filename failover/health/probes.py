"""Asks every database host and every ZooKeeper server, in parallel, and publishes what came back.

Invariant: one round ends within ``ANSWER_LIMIT_S`` plus a little, however many hosts are silent,
and what was silent in the last round delays the next one by ``SUSPECT_WAIT_S`` only: news of the
living must not wait for the dead. An answer belongs to the round in which it was asked for and
given; what comes later only ends the suspicion. ZooKeeper's servers alone are asked less often
while the witness is seen to lead, and their good answers stand until then. A timeout is a value,
not an exception. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp

from failover.clock import boottime_s
from failover.health.observation import (
    ANSWER_LIMIT_S,
    ROUND_INTERVAL_S,
    GuardSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    PostgresSeen,
    Round,
    SiteObservation,
    ZooKeeperMode,
    ZooKeeperObservation,
    ZooKeeperSeen,
)
from failover.model import SiteKind, SiteName
from failover.policy import DatabaseHost, Policy, ZooKeeperServer
from failover.residency.findings import HostScan
from failover.sites.guard_http import ask_guard
from failover.sites.patroni import ask_patroni
from failover.sites.postgres import PostgresProbe
from failover.sites.trouble import one_line, timed_out
from failover.sites.zookeeper_status import ask_zookeeper

# A question to ZooKeeper is a connection of its own, with TLS 10 ms of a processor. Only while the
# witness leads: where it does not, its leader may be restarted, on condition that all others serve.
ZOOKEEPER_ANSWER_STANDS_S = 2.0
SUSPECT_WAIT_S = 0.25  # what was silent last time goes on being waited for in the background
ABORT_GRACE_S = 0.1  # for a broken connection to be noticed by the one who waits on it
CLOCK_SLACK_S = 0.01

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Answered:
    """How long one answer of a round took. ``part``: postgres, patroni, guard, zookeeper."""

    part: str
    seconds: float


class _Question(Generic[Answer]):
    """One thing to ask again and again. While an old question waits, no new one is asked, nor while
    an answer is younger than ``stands_s``; what was no answer does not stand."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Answer | NoAnswer]],
        abort: Callable[[], None] | None = None,
    ) -> None:
        self._ask = ask
        self._abort = abort
        self.stands_s = 0.0
        self._asked_s = 0.0
        self._asked_now = False  # in the present round
        self.suspect = False  # silent in the last round
        self.took_s: float | None = None  # to the last answer; None: it was none
        self.task: asyncio.Task[Answer | NoAnswer] | None = None

    def begin(self) -> None:
        """A new round: ask, unless the last question waits for its end or its answer stands."""
        if self._stands():
            self.took_s = None
            return
        self._asked_now = self.task is None or self.task.done()
        if not self._asked_now:
            return
        if not _silent(self._result()):
            self.suspect = False
        self._asked_s, self.took_s = time.monotonic(), None
        self.task = asyncio.ensure_future(self._run())

    def _stands(self) -> bool:
        """Not where it came after its round, which had waited in vain."""
        found = self._result()
        if found is None or isinstance(found, NoAnswer) or self.suspect:
            return False
        return time.monotonic() - self._asked_s < self.stands_s

    def give_up(self) -> bool:
        """Break the connection of a question that has waited for its time. True: it was one."""
        task = self.task
        overdue = time.monotonic() - self._asked_s >= ANSWER_LIMIT_S - CLOCK_SLACK_S
        if task is None or task.done() or not overdue:
            return False
        if self._abort is not None:
            self._abort()
        else:
            task.cancel()
        return True

    def answer(self) -> Answer | NoAnswer:
        """What this round brought. Also decides whether the next round waits for it."""
        result = self._result() if self._asked_now else None
        found = result if result is not None else timed_out(ANSWER_LIMIT_S)
        self.suspect = _silent(found)
        return found

    def _result(self) -> Answer | NoAnswer | None:
        task = self.task
        return task.result() if task is not None and task.done() and not task.cancelled() else None

    async def _run(self) -> Answer | NoAnswer:
        try:
            answer = await self._ask()
            if not isinstance(answer, NoAnswer):
                self.took_s = time.monotonic() - self._asked_s
            return answer
        except Exception as error:  # a probe's bug must not end the observer: it is said instead
            return NoAnswer(NoAnswerKind.TIMED_OUT, f"the probe failed: {one_line(error)}")


def _silent(answer: object) -> bool:
    return answer is None or (
        isinstance(answer, NoAnswer) and answer.kind is NoAnswerKind.TIMED_OUT
    )


class _HostQuestions:
    """The three things that are asked of one database host."""

    def __init__(
        self, host: DatabaseHost, session: aiohttp.ClientSession, password_file: Path | None
    ) -> None:
        self.host = host
        probe = PostgresProbe(host, password_file=password_file, limit_s=ANSWER_LIMIT_S)
        self.close = probe.close
        self.postgres: _Question[PostgresSeen] = _Question(probe.ask, probe.abort)
        self.patroni: _Question[PatroniSeen] = _Question(lambda: ask_patroni(host, ANSWER_LIMIT_S))
        self.guard: _Question[GuardSeen] = _Question(
            lambda: ask_guard(session, host, ANSWER_LIMIT_S)
        )

    @property
    def parts(self) -> dict[str, _Question[Any]]:
        return {"postgres": self.postgres, "patroni": self.patroni, "guard": self.guard}

    def observation(self) -> HostObservation:
        return HostObservation(
            host=self.host.name,
            postgres=self.postgres.answer(),
            patroni=self.patroni.answer(),
            guard=self.guard.answer(),
        )


class Observer:
    """One site's eyes on one group. ``latest`` is the last finished round, ``answered`` how long
    its answers took."""

    def __init__(
        self,
        policy: Policy,
        site: SiteName,
        *,
        password_file: Path | None,
        version: str = "",
        scans: Callable[[], tuple[HostScan, ...]] = tuple,
    ) -> None:
        """``scans``: what the scanner of ways out knows now; it is published along."""
        self._policy = policy
        self._site = site
        self._password_file = password_file
        self._version = version
        self._scans = scans
        self._sequence = 0
        self.latest: Round | None = None
        self.answered: tuple[Answered, ...] = ()

    async def run(self, round_done: Callable[[SiteObservation], None]) -> None:
        """Rounds without end, ``ROUND_INTERVAL_S`` apart or as soon as the last one is over."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            hosts = self._hosts(session)
            servers = {server: _zookeeper(server) for server in self._policy.zookeeper_servers}
            try:
                while True:
                    started_s = time.monotonic()
                    began_s = boottime_s()
                    self.latest = Round(await self._round(hosts, servers), began_s)
                    round_done(self.latest.observation)
                    await asyncio.sleep(started_s + ROUND_INTERVAL_S - time.monotonic())
            finally:
                for host in hosts:
                    await host.close()

    def _hosts(self, session: aiohttp.ClientSession) -> tuple[_HostQuestions, ...]:
        return tuple(
            _HostQuestions(host, session, self._password_file)
            for cluster in self._policy.clusters
            for host in cluster.hosts
        )

    async def _round(
        self,
        hosts: tuple[_HostQuestions, ...],
        servers: dict[ZooKeeperServer, _Question[ZooKeeperSeen]],
    ) -> SiteObservation:
        taken_unix_s, started_s = time.time(), time.monotonic()
        asked = [pair for host in hosts for pair in host.parts.items()]
        asked += [("zookeeper", question) for question in servers.values()]
        await _ask_all(question for _, question in asked)
        self.answered = tuple(
            Answered(part, question.took_s) for part, question in asked if question.took_s
        )
        self._sequence += 1
        zookeeper = tuple(
            ZooKeeperObservation(server.name, question.answer())
            for server, question in servers.items()
        )
        stands_s = ZOOKEEPER_ANSWER_STANDS_S if _witness_leads(self._policy, zookeeper) else 0.0
        for question in servers.values():
            question.stands_s = stands_s
        return SiteObservation(
            observer=self._site,
            sequence=self._sequence,
            taken_unix_s=taken_unix_s,
            round_duration_s=round(time.monotonic() - started_s, 3),
            hosts=tuple(host.observation() for host in hosts),
            zookeeper=zookeeper,
            version=self._version,
            residency=self._scans(),
        )


def _zookeeper(server: ZooKeeperServer) -> _Question[ZooKeeperSeen]:
    return _Question(lambda: ask_zookeeper(server, ANSWER_LIMIT_S))


def _witness_leads(policy: Policy, seen: tuple[ZooKeeperObservation, ...]) -> bool:
    """And nobody else says so of himself: for a moment two can."""
    leads = {
        each.server
        for each in seen
        if isinstance(each.answer, ZooKeeperSeen) and each.answer.mode is ZooKeeperMode.LEADER
    }
    sites = {policy.site(s.site).kind for s in policy.zookeeper_servers if s.name in leads}
    return sites == {SiteKind.WITNESS}


async def _ask_all(questions: Iterable[_Question[Any]]) -> None:
    """Ask everything at once; come back when it is time to look at the answers."""
    asked = list(questions)
    started_s = time.monotonic()
    for question in asked:
        question.begin()
    await _wait((q for q in asked if not q.suspect), ANSWER_LIMIT_S)
    await _wait((q for q in asked if q.suspect), started_s + SUSPECT_WAIT_S - time.monotonic())
    given_up = [question for question in asked if question.give_up()]
    await _wait(given_up, ABORT_GRACE_S)


async def _wait(questions: Iterable[_Question[Any]], limit_s: float) -> None:
    tasks = [question.task for question in questions if question.task is not None]
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.0, limit_s))
