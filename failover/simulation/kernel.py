"""Virtual time, and processes that run in it.

A process is plain synchronous code in a greenlet: it waits with ``Kernel.sleep`` and can be frozen,
thawed or killed between any two steps of it, as a real one can. Invariant: one process runs at a
time and the order depends on the seed alone. Nothing here knows what is simulated.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """Thrown into a process that is killed. No Exception: the code under test must not see it."""


WAYS_OUT = 9  # how often somebody may wait while he ends


class Process:
    """One simulated process. Create it with ``Kernel.spawn``."""

    __slots__ = (
        "_fiber",
        "_kernel",
        "_missed",
        "_wait",
        "alive",
        "children",
        "failure",
        "name",
        "stops",
    )

    def __init__(self, kernel: Kernel, name: str, body: Callable[[], None]) -> None:
        self._kernel = kernel
        self._wait = 0  # number of the present wait: an event for an older one is void
        self._missed = False  # the wait ended while frozen
        self._fiber: Any = greenlet(lambda: self._run(body), kernel.hub)
        self.name = name
        self.alive = True
        self.stops: set[str] = set()  # why it does not run: it is frozen while there is a reason
        self.children: list[Process] = []  # frozen, thawed and killed with it
        self.failure: BaseException | None = None

    def _run(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Killed:
            pass
        except BaseException as error:  # told by the kernel, which stops the simulation
            self.failure = error
        self.alive = False
        self._kernel.forget(self._fiber)

    @property
    def frozen(self) -> bool:
        return bool(self.stops)

    def freeze(self, reason: str = "process") -> None:
        """It runs no further (SIGSTOP); the clock goes on."""
        self.stops.add(reason)
        for child in self.children:
            child.freeze(reason)

    def thaw(self, reason: str = "process") -> None:
        """It runs again; a wait that ended in the meantime ends now."""
        for child in self.children:
            child.thaw(reason)
        self.stops.discard(reason)
        if self._missed and self.alive and not self.stops:
            self._missed = False
            self._kernel.resume_after(0.0, self, self._wait)

    def kill(self) -> None:
        """It ends here (SIGKILL): no further step of it happens."""
        for child in self.children:
            child.kill()
        if not self.alive:
            return
        self.alive = False
        self._wait += 1
        if self._fiber is getcurrent():
            raise Killed
        if self._fiber:  # started and not over
            self._fiber.parent = getcurrent()
            self._fiber.throw(Killed)

    def end(self) -> None:
        """Nothing is left of it, also where it was killed and waits on its way out."""
        self.alive = False
        self._wait += 1
        for _ in range(WAYS_OUT):
            if not self._fiber:
                return
            self._fiber.parent = getcurrent()
            self._fiber.throw(Killed)

    def wake(self) -> None:
        """End its present wait early."""
        if self.alive:
            self._kernel.resume_after(0.0, self, self._wait)

    def resume(self, wait: int) -> None:
        """Go on, where that wait is still the present one. Called by the kernel alone."""
        if wait != self._wait or not self.alive:
            return
        if self.stops:
            self._missed = True
            return
        self._wait += 1
        self._fiber.switch()
        if self.failure is not None:
            raise self.failure


class Kernel:
    """The clock, the queue of what happens next, and all chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.hub: Any = getcurrent()
        self.events = 0
        # What is called, or the process that goes on and the number of the wait that is over.
        self._queue: list[tuple[float, int, Callable[[], None] | None, Process | None, int]] = []
        self._count = 0
        self._until_s = -1.0  # of the present ``run``
        self._processes: dict[Any, Process] = {}
        self.log: list[str] | None = None  # a list: keep a transcript in it

    def note(self, text: str) -> None:
        """A line of the transcript, where one is kept."""
        if self.log is not None:
            self.log.append(f"{self.now:9.3f}  {text}")

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Let something happen at a time (never before now)."""
        self._count += 1
        heapq.heappush(self._queue, (max(when_s, self.now), self._count, what, None, 0))

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        self.at(self.now + delay_s, what)

    def resume_after(self, delay_s: float, process: Process, wait: int) -> None:
        """Let a process go on at the end of that wait of its."""
        self._count += 1
        when_s = self.now + delay_s if delay_s > 0.0 else self.now
        heapq.heappush(self._queue, (when_s, self._count, None, process, wait))

    def every(self, interval_s: float, what: Callable[[], None]) -> None:
        """Let something happen for ever, from now on."""

        def again() -> None:
            what()
            self.after(interval_s, again)

        self.after(interval_s, again)

    def spawn(self, name: str, body: Callable[[], None], delay_s: float = 0.0) -> Process:
        """Start a process."""
        process = Process(self, name, body)
        self._processes[process._fiber] = process
        self.resume_after(delay_s, process, process._wait)
        return process

    def forget(self, fiber: Any) -> None:
        """That process is over."""
        self._processes.pop(fiber, None)

    @property
    def process(self) -> Process | None:
        """The process that is running now."""
        return self._processes.get(getcurrent())

    def sleep(self, duration_s: float) -> None:
        """The running process waits. Outside any process time stands still: a test that calls
        simulated code directly sees it happen in one instant."""
        process = self._processes.get(getcurrent())
        if process is None:
            return
        queue = self._queue
        when_s = self.now + duration_s if duration_s > 0.0 else self.now
        goes_on = process.alive and not process.stops  # killed, it may be on its way out
        if goes_on and when_s <= self._until_s and (not queue or queue[0][0] > when_s):
            # Nothing happens before that: no need of the way through the hub.
            self.now = when_s
            self.events += 1
            process._wait += 1
            return
        self._count += 1
        heapq.heappush(queue, (when_s, self._count, None, process, process._wait))
        self.hub.switch()

    def run(self, until_s: float) -> None:
        """Let everything happen that happens until then."""
        queue, pop = self._queue, heapq.heappop
        self._until_s = until_s
        while queue and queue[0][0] <= until_s:
            self.now, _, what, process, wait = pop(queue)
            self.events += 1
            if process is not None:
                process.resume(wait)
            elif what is not None:
                what()
        self.now, self._until_s = until_s, -1.0

    def close(self) -> None:
        """End every process: greenlets that are left would keep their world in memory."""
        for process in list(self._processes.values()):
            process.end()
        self._processes.clear()
        self._queue.clear()
