"""One more question, right before a turn that may turn on its answer. A thin edge.

While a plan stands, the leader's turn waits for what the new site has replayed; while a takeover
is judged, for what it has received since the claim has gone. An answer of the last round may be
half a second old, so PostgreSQL there is asked again, over connections kept for that. Who does not
answer at once is left out: then what the last round saw counts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from failover.clock import boottime_s
from failover.health.inputs import Glanced
from failover.health.observation import NoAnswer, PostgresSeen
from failover.model import HostName, SiteName
from failover.policy import DatabaseHost, Policy
from failover.sites.postgres import PostgresProbe

ANSWER_LIMIT_S = 0.1


class Glance:
    """Asks the hosts of one site. Call everything in one event loop."""

    def __init__(self, policy: Policy, *, password_file: Path | None) -> None:
        self._policy = policy
        self._password_file = password_file
        self._probes: dict[HostName, PostgresProbe] = {}
        self._late: set[asyncio.Task[PostgresSeen | NoAnswer]] = set()

    async def look(self, site: SiteName) -> tuple[Glanced, ...]:
        """What the servers of ``site`` say now. Ends within ``ANSWER_LIMIT_S`` and a little."""
        asked_s = boottime_s()
        asked = {host: asyncio.create_task(p.ask()) for host, p in self._probes_of(site).items()}
        await asyncio.wait(asked.values(), timeout=ANSWER_LIMIT_S)
        for host, task in asked.items():
            if not task.done():
                self._give_up(host, task)
        answers = {host: task.result() for host, task in asked.items() if task.done()}
        return tuple(
            Glanced(host, answer, boottime_s() - asked_s)
            for host, answer in answers.items()
            if isinstance(answer, PostgresSeen)
        )

    async def close(self) -> None:
        """No plan stands: give the connections back."""
        while self._probes:
            _, probe = self._probes.popitem()
            await probe.close()

    def _probes_of(self, site: SiteName) -> dict[HostName, PostgresProbe]:
        hosts = (h for cluster in self._policy.clusters for h in cluster.at(site))
        return {host.name: self._probes.setdefault(host.name, self._probe(host)) for host in hosts}

    def _probe(self, host: DatabaseHost) -> PostgresProbe:
        return PostgresProbe(host, password_file=self._password_file, limit_s=ANSWER_LIMIT_S)

    def _give_up(self, host: HostName, task: asyncio.Task[PostgresSeen | NoAnswer]) -> None:
        """Break the connection under the question, which then ends by itself, and make a new one
        next time."""
        self._late.add(task)  # the loop itself holds no reference
        task.add_done_callback(self._late.discard)
        self._probes.pop(host).abort()
