"""One target of a leading controller: told everything that is due, in order, at least once.

Invariants: the place in ZooKeeper moves only after a delivery, so a controller that dies in between
delivers again, under the same id; what was delivered here is not delivered again because its place
could not be written. A target that is dead costs one try a minute. Nobody waits for a courier.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from failover.coordination import notifications as places
from failover.coordination.notifications import Place
from failover.coordination.store import Store, StoreUnavailable
from failover.history import HeadSeen
from failover.metrics.notifications import TargetMetrics
from failover.notifications.due import Notification, shortened, wanted
from failover.policy import NotificationTarget
from failover.znode import Committed, GroupPaths

log = structlog.get_logger(__name__)

LOOK_S = 1.0
FIRST_PAUSE_S = 1.0
PAUSE_S_MAX = 60.0
PASSED_MAX = 100  # entries of which nobody is told; then the place moves without a delivery

Deliver = Callable[[Notification, int], Awaitable[str]]
T = TypeVar("T")


class NotNow(Exception):
    """Try again, later and later."""


class Courier:
    """``deliver``: once; empty where it was delivered, else why not. ``worker``: a thread for
    ZooKeeper that nothing else waits for."""

    def __init__(
        self,
        target: NotificationTarget,
        store: Store,
        paths: GroupPaths,
        deliver: Deliver,
        metrics: TargetMetrics,
        worker: Executor,
    ) -> None:
        self._target = target
        self._store = store
        self._paths = paths
        self._deliver = deliver
        self._metrics = metrics
        self._worker = worker
        self._log = log.bind(group=paths.group, target=target.name)
        self._place: Place | None = None  # None: to be read
        self._read_to = ""
        self._head: HeadSeen | None = None
        self._waiting: deque[Notification] = deque()
        self._left_out = 0
        self._passed = 0  # entries since the place, while nothing waits
        self._delivered = ""  # the entry of the last one that was, on record or not

    async def run(self, head: Callable[[], HeadSeen | None]) -> None:
        """Without end. ``head``: the history's newest entry as last read; None: not known."""
        while True:
            more = False
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((NotNow, StoreUnavailable)),
                wait=wait_exponential_jitter(initial=FIRST_PAUSE_S, max=PAUSE_S_MAX),
            ):
                with attempt:
                    more = await self.step(head())
            if not more:
                await asyncio.sleep(LOOK_S)

    async def step(self, head: HeadSeen | None) -> bool:
        """Read what is new, deliver one. Whether more is due now. NotNow, StoreUnavailable."""
        if self._place is None:
            await self._begin()
        if head is not None and head != self._head:
            await self._read_new()
            self._head = head
        if not self._waiting:
            return False
        first = self._waiting[0]
        if first.entry > self._delivered:
            await self._tell(first)
        await self._move(first.entry)
        self._waiting.popleft()
        self._show()
        return bool(self._waiting)

    # ------------------------------------------------------------------ what is due

    async def _begin(self) -> None:
        """Where the target is. A target that is new is told of what happens from now on."""
        place = await self._in_thread(
            lambda: places.read_place(self._store, self._paths, self._target.name)
        )
        names = await self._in_thread(lambda: places.names(self._store, self._paths))
        newest = names[-1] if names else ""
        doubtful = bool(place.problem) or place.entry > newest
        if place.version is None or doubtful:
            self._delivered = ""  # of a history that is not this one
        if place.version is None:
            place = await self._moved(place, newest)
        elif doubtful:
            why = place.problem or f"it stands at {place.entry}, and the newest is {newest}"
            self._log.warning("notification_place_doubtful", why=why, todo="all is told again")
            place = Place("", place.version)
        self._place, self._read_to, self._head = place, place.entry, None
        self._waiting.clear()
        self._left_out = 0
        await self._read_new()

    async def _read_new(self) -> None:
        """Newer entries than those that were read. More than may wait: the oldest are left out."""
        window, entries = await self._in_thread(
            lambda: places.behind(self._store, self._paths, self._read_to)
        )
        for stored in entries:
            if stored.entry is None:
                self._log.warning("notification_impossible", entry=stored.name, why=stored.problem)
        new = wanted(self._paths.group, entries, self._target.events)
        kept, dropped = shortened((*self._waiting, *new))
        self._waiting = deque(kept)
        self._left_out += window.left_out + dropped
        self._read_to = window.names[-1] if window.names else self._read_to
        self._show()
        self._passed = 0 if self._waiting else self._passed + len(entries)
        if self._passed >= PASSED_MAX:
            await self._move(self._read_to)
            self._passed = 0

    # ------------------------------------------------------------------ delivering

    async def _tell(self, first: Notification) -> None:
        problem = await self._deliver(first, self._left_out)
        said = {"id": first.id, "told_of": first.event}
        if problem:
            self._metrics.failed()
            self._log.warning("notification_not_delivered", **said, why=problem)
            raise NotNow(problem)
        self._delivered = first.entry
        self._metrics.delivered()
        self._log.info("notification_delivered", **said)
        if self._left_out:
            self._log.error("notifications_left_out", entries=self._left_out)
            self._metrics.left_out(self._left_out)
            self._left_out = 0

    async def _move(self, entry: str) -> None:
        """NotNow where it is not known to be there: then it is read before anything else."""
        place = self._place
        assert place is not None
        self._place = await self._moved(place, entry)

    async def _moved(self, place: Place, entry: str) -> Place:
        outcome = await self._in_thread(
            lambda: places.write_place(self._store, self._paths, self._target.name, place, entry)
        )
        if isinstance(outcome, Committed):
            version = 0 if place.version is None else place.version + 1
            return Place(entry, version)
        self._place = None
        raise NotNow(f"the place of {self._target.name} was not written: {outcome.reason}")

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def _show(self) -> None:
        oldest = self._waiting[0].at_unix_s if self._waiting else None
        self._metrics.waiting(len(self._waiting), oldest)
