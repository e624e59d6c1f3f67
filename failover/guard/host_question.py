"""The minder's part of `failover check`'s question for its host: it passes it on to the worker.

The minder has one task, the deadline, so it looks at nothing here and waits for nothing:
``host_report`` does, in the worker. Invariant: one question to the worker at a time, and who asks
waits for its answer for ``ANSWER_LIMIT_S`` at the most, the minder never.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from failover import __version__
from failover.guard.messages import HostAnswer, HostAsk

ANSWER_LIMIT_S = 2.0
ASKERS_MAX = 64


class HostQuestion:
    """``asked`` for every question of a proxy; ``report`` for `failover check`."""

    def __init__(
        self, send: Callable[[HostAsk], None], deadline_s: float, configuration_sha256: str
    ) -> None:
        """``configuration_sha256``: of failover.yaml as this guard read it."""
        self._send = send
        self._deadline_s = deadline_s
        self._configuration_sha256 = configuration_sha256
        self._asked_s: dict[str, float] = {}
        self._requests = 0
        self._answered: asyncio.Future[str] | None = None

    def asked(self, address: str) -> None:
        """The newest are remembered: a new proxy has to be seen however many strangers asked."""
        self._asked_s.pop(address, None)
        self._asked_s[address] = time.monotonic()
        if len(self._asked_s) > ASKERS_MAX:
            del self._asked_s[next(iter(self._asked_s))]

    async def report(self) -> str | None:
        """A ``HostReport`` as JSON; None: the worker gives none in time."""
        if self._answered is None or self._answered.done():
            self._answered = self._ask()
        answered = self._answered  # several may wait for one answer
        try:
            return await asyncio.wait_for(asyncio.shield(answered), ANSWER_LIMIT_S)
        except TimeoutError:
            if self._answered is answered:
                self._answered = None  # that worker may be gone: the next one who asks asks anew
            return None

    def _ask(self) -> asyncio.Future[str]:
        self._requests += 1
        now_s = time.monotonic()
        asked = tuple((who, round(now_s - at_s, 1)) for who, at_s in self._asked_s.items())
        self._send(
            HostAsk(
                self._requests, __version__, self._deadline_s, self._configuration_sha256, asked
            )
        )
        return asyncio.get_running_loop().create_future()

    def answered(self, answer: HostAnswer) -> None:
        waiting = self._answered
        if answer.request == self._requests and waiting is not None and not waiting.done():
            waiting.set_result(answer.report)
