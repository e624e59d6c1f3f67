"""The couriers of one group, on a thread and a loop of their own, while this controller leads.

Invariant: nothing that a target, a resolver, a file or a command does can delay a look, a plan or a
step: the controller's loop shares nothing with this one but its newest turn, which it only reads,
and the ZooKeeper client, which holds no lock while it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import assert_never

import structlog

from failover.clock import boottime_s
from failover.coordination.store import Store
from failover.history import HeadSeen
from failover.latest import Latest
from failover.metrics.controller import Instruments
from failover.metrics.notifications import TargetMetrics
from failover.notifications import command, webhook
from failover.notifications.courier import Courier, Deliver
from failover.policy import CommandHook, NotificationTarget, Policy, Webhook
from failover.znode import GroupPaths

log = structlog.get_logger(__name__)

LOOK_S = 0.5
TURN_AGE_S_MAX = 5.0  # an older turn does not say who leads
AFTER_A_BUG_S = 60.0
END_LIMIT_S = 1.0


class Notifier:
    """Of one group. Costs nothing where no target is declared."""

    def __init__(
        self, policy: Policy, site: str, store: Store, latest: Latest, instruments: Instruments
    ) -> None:
        self._policy = policy
        self._store = store
        self._latest = latest
        self._metrics = {
            target.name: TargetMetrics(policy, site, target.name, instruments)
            for target in policy.notifications
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if not self._policy.notifications:
            return
        name = f"notify-{self._policy.group}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What is under way is broken off, and done again by whoever leads next. At once."""
        if self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._main.cancel)

    def join(self) -> None:
        """Wait for its end, and not for ever."""
        if self._thread is not None:
            self._thread.join(timeout=END_LIMIT_S)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._while_leading())

    async def _while_leading(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        running: list[asyncio.Task[None]] = []
        with ThreadPoolExecutor(1, thread_name_prefix="notify-zookeeper") as worker:
            try:
                while True:
                    if self._leading() and not running:
                        running = [
                            asyncio.create_task(self._contained(target, worker))
                            for target in self._policy.notifications
                        ]
                    elif running and not self._leading():
                        running = await self._ended(running)
                    await asyncio.sleep(LOOK_S)
            finally:
                await self._ended(running)

    async def _ended(self, running: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for metrics in self._metrics.values():
            metrics.not_leading()
        return []

    async def _contained(self, target: NotificationTarget, worker: ThreadPoolExecutor) -> None:
        """A mistake in here ends no courier for good, and no other target's."""
        while True:
            courier = Courier(
                target,
                self._store,
                GroupPaths(self._policy.group),
                deliverer(self._policy, target),
                self._metrics[target.name],
                worker,
            )
            try:
                await courier.run(self._head)
            except Exception as error:
                log.error("courier_failed", target=target.name, exc_info=error)
            await asyncio.sleep(AFTER_A_BUG_S)

    def _leading(self) -> bool:
        result = self._latest.result
        fresh = boottime_s() - self._latest.ended_boottime_s < TURN_AGE_S_MAX
        return result is not None and result.leading and fresh

    def _head(self) -> HeadSeen | None:
        result = self._latest.result
        if result is None or result.view.store_problem:
            return None
        return result.view.history_head


def deliverer(policy: Policy, target: NotificationTarget) -> Deliver:
    """How this target is told once."""
    match target:
        case Webhook():
            return partial(webhook.deliver, policy, target)
        case CommandHook():
            return partial(command.deliver, target)
        case _:
            assert_never(target)
