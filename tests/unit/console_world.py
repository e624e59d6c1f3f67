"""A console as a controller serves it: its real HTTP door, fed with turns of a group in memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from controller_world import CLUSTER, JAKARTA, MAKASSAR, SURABAYA, Group
from prometheus_client import CollectorRegistry

from failover.clock import boottime_s
from failover.console.document import describe
from failover.console.door import application, open_door
from failover.controller import TickResult
from failover.coordination.recent_history import RecentHistory
from failover.health.observation import HostObservation, PostgresSeen
from failover.latest import Latest
from failover.metrics.controller import ControllerMetrics, Instruments
from failover.model import Automation, HostName, Lsn
from failover.policy import DatabaseHost, Policy


class Streaming(Group):
    """The same group, whose standbys say whom they stream from, and may lag."""

    makassar_lacks_bytes = 0

    def _host(self, host: DatabaseHost) -> HostObservation:
        seen = super()._host(host)
        if not isinstance(seen.postgres, PostgresSeen) or not seen.postgres.in_recovery:
            return seen
        source = self._source(host)
        lacks = self.makassar_lacks_bytes if host.site == MAKASSAR else 0
        end = Lsn(self.lsn - lacks)
        postgres = replace(
            seen.postgres,
            received_lsn=end,
            replayed_lsn=end,
            receiver_host=str(source.address),
            receiver_streaming=source.site != JAKARTA or self.jakarta_reachable,
        )
        return replace(seen, postgres=postgres)

    def _source(self, host: DatabaseHost) -> DatabaseHost:
        """The leader of its site; for that one, and at the active site, the primary."""
        primary = self.policy.host(self.primary)
        leads = next(h for h in self.policy.cluster(CLUSTER).at(host.site) if "db1" in h.name)
        return primary if primary.site == host.site or host == leads else leads


@dataclass
class Fed:
    """One group's newest turn at one site, and what it exports."""

    group: Streaming
    latest: Latest
    metrics: ControllerMetrics
    registry: CollectorRegistry
    age_s: float = 0.0  # of the newest turn, however slow the machine is

    @classmethod
    def of(cls, policy: Policy, automation: Automation = Automation.AUTO) -> Fed:
        group = Streaming(policy, automation=automation)
        registry = CollectorRegistry()
        metrics = ControllerMetrics(group.policy, SURABAYA, Instruments(registry))
        history = RecentHistory(group.stores[SURABAYA], group.paths)
        return cls(group, Latest(policy.group, history), metrics, registry)

    def run(self, duration_s: float) -> None:
        self.show(self.group.run(duration_s))

    def show(self, results: Sequence[TickResult]) -> None:
        result = [result for result in results if result.view.reader == SURABAYA][-1]
        self.metrics.tick_done(result, 0.01)
        if not result.view.store_problem:
            self.latest.history.read(result.view.history_head)
        self.latest.turn_ended(result, boottime_s())
        self.age_s = 0.0

    # ------------------------------------------------------------------ states

    def healthy(self) -> None:
        self.run(12)

    def takeover(self) -> None:
        """Jakarta is lost, Makassar is active and its promotion is not on record yet."""
        self.healthy()
        self.group.lose_jakarta()
        self.run(6)
        self.group.release()
        self.run(1)

    def taken_over(self) -> None:
        self.takeover()
        self.group.claim(HostName("mks-db1"))
        self.run(2)

    def hold(self) -> None:
        """As in a takeover, but Makassar lacks more than the budget: automation holds."""
        self.healthy()
        self.group.lsn += 200 * 1024 * 1024  # written, and not received over there
        self.group.makassar_lacks_bytes = 200 * 1024 * 1024
        self.run(2)
        self.group.lose_jakarta()
        self.run(6)
        self.group.release()
        self.run(1)

    def stale(self, age_s: float = 42.0) -> None:
        """The last turn was healthy, and there has been none since."""
        self.healthy()
        self.age_s = age_s
        self.grow_old()

    def grow_old(self) -> None:
        self.latest.ended_boottime_s = boottime_s() - self.age_s


@contextlib.contextmanager
def served(*fed: Fed) -> Iterator[str]:
    """The address of the door while the block runs."""
    loop = asyncio.new_event_loop()
    made = application(fed[0].registry, SURABAYA, [each.latest for each in fed], describe)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = asyncio.run_coroutine_threadsafe(open_door(made, "127.0.0.1", 0), loop)
    runner = opened.result(10)
    ageing = asyncio.run_coroutine_threadsafe(_keep_age(fed), loop)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        ageing.cancel()
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _keep_age(fed: Sequence[Fed]) -> None:
    while True:
        for each in fed:
            each.grow_old()
        await asyncio.sleep(0.1)
