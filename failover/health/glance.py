"""One more question, right before a turn that may turn on its answer. A thin edge.

While a plan stands, the leader's turn waits for what the new site has replayed; while a takeover
is judged, for what it has received since the claim has gone. An answer of the last round may be
half a second old, so PostgreSQL there is asked again, over connections kept for that. Who does not
answer at once is left out: then what the last round saw counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from failover.clock import boottime_s
from failover.health.inputs import Glanced
from failover.health.observation import ANSWER_LIMIT_S, NoAnswer, PostgresSeen
from failover.model import HostName, SiteName
from failover.policy import DatabaseHost, Policy
from failover.sites.postgres import PostgresProbe

LOOK_LIMIT_S = 0.1  # the turn waits no longer


@dataclass(slots=True)
class _Asked:
    """One server, its connection, and the question that it has yet to answer."""

    probe: PostgresProbe
    task: asyncio.Task[PostgresSeen | NoAnswer] | None = None
    asked_s: float = 0.0

    def ask(self) -> bool:
        """A new question, unless the last one still waits. A silent connection is given up in time:
        connecting alone takes longer than a look where the other site is far."""
        if self.task is not None and not self.task.done():
            if boottime_s() - self.asked_s > ANSWER_LIMIT_S:
                self.probe.abort()
            return False
        self.task, self.asked_s = asyncio.create_task(self.probe.ask()), boottime_s()
        return True

    @property
    def answer(self) -> PostgresSeen | None:
        done = self.task is not None and self.task.done() and not self.task.cancelled()
        if self.task is None or not done or self.task.exception() is not None:
            return None
        found = self.task.result()
        return found if isinstance(found, PostgresSeen) else None


class Glance:
    """Asks the hosts of one site. Call everything in one event loop."""

    def __init__(self, policy: Policy, *, password_file: Path | None) -> None:
        self._policy = policy
        self._password_file = password_file
        self._asked: dict[HostName, _Asked] = {}

    async def look(self, site: SiteName) -> tuple[Glanced, ...]:
        """What the servers of ``site`` say now. Ends within ``LOOK_LIMIT_S`` and a little; who was
        silent in the last look is not waited for. Never raises but for cancellation."""
        asked_s = boottime_s()
        now_asked = {host: one for host, one in self._servers(site).items() if one.ask()}
        tasks = [one.task for one in now_asked.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=LOOK_LIMIT_S)
        age_s = boottime_s() - asked_s
        answers = {host: one.answer for host, one in now_asked.items()}
        return tuple(
            Glanced(host, answer, age_s) for host, answer in answers.items() if answer is not None
        )

    async def connect(self, site: SiteName) -> None:
        """The connections that the next looks need, where there are none yet."""
        if not self._asked:
            await self.look(site)

    async def close(self) -> None:
        """Nothing is under way: give the connections back."""
        while self._asked:
            _, one = self._asked.popitem()
            one.probe.abort()
            if one.task is not None:
                await asyncio.wait([one.task], timeout=LOOK_LIMIT_S)
            await one.probe.close()

    def _servers(self, site: SiteName) -> dict[HostName, _Asked]:
        hosts = (host for cluster in self._policy.clusters for host in cluster.at(site))
        return {host.name: self._server(host) for host in hosts}

    def _server(self, host: DatabaseHost) -> _Asked:
        found = self._asked.get(host.name)
        if found is None:
            probe = PostgresProbe(host, password_file=self._password_file, limit_s=ANSWER_LIMIT_S)
            found = self._asked[host.name] = _Asked(probe)
        return found
