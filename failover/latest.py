"""What a controller knows right now, for whoever shows it: its newest turn and the newest history.

Written by one task of the service, read by others and by the notifier's thread: each value is
replaced as a whole. Nothing is decided by it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from failover.controller import TickResult
from failover.coordination.recent_history import RecentHistory
from failover.coordination.store import StoreUnavailable
from failover.model import GroupName

HISTORY_LOOK_S = 1.0


@dataclass(slots=True)
class Latest:
    """``result`` None: no turn has ended yet. ``ended_boottime_s``: when it ended."""

    group: GroupName
    history: RecentHistory
    result: TickResult | None = None
    ended_boottime_s: float = 0.0

    def turn_ended(self, result: TickResult, boottime_s: float) -> None:
        self.result, self.ended_boottime_s = result, boottime_s


async def keep_history(latest: Latest, worker: Executor, changed: Callable[[], None]) -> None:
    """Read the history when its head has changed, for ever. ``worker``: not the turns' thread."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(HISTORY_LOOK_S)
        result, history = latest.result, latest.history
        if result is None or result.view.store_problem:
            continue
        head = result.view.history_head
        if history.outdated(head):
            with contextlib.suppress(StoreUnavailable):  # the next look tries again
                await loop.run_in_executor(worker, history.read, head)
                changed()
