"""The minder's answer to a proxy's "may this host take writes now?", asked again and again.

Invariant: news is told at once and to everybody; only what is no news to who asks may wait, and
never for longer than that proxy gives a check.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from failover.guard.logic import Writable

HOLD_S_MAX = 0.8  # HAProxy gives a check one second
TOLD_LATELY_S = 2.0
ASKERS_MAX = 64  # kept in mind beside those who asked lately
NEWS = {True: 1, False: 3}  # so often it is to be heard: HAProxy's `rise` and `fall`


@dataclass(frozen=True, slots=True)
class _Heard:
    """What somebody who looks again and again was told last, how often in a row, and when."""

    answer: Writable
    times: int
    at_s: float

    def is_no_news(self, says: Writable) -> bool:
        lately = time.monotonic() - self.at_s < TOLD_LATELY_S
        return lately and not _news(self.answer, says) and self.times >= NEWS[says.yes]

    def and_now(self, says: Writable) -> _Heard:
        return _Heard(says, 1 if _news(self.answer, says) else self.times + 1, time.monotonic())


def _news(before: Writable, now: Writable) -> bool:
    """To a proxy. After "nobody new" a plain no is: it cuts sessions. The other way it is none."""
    return before.yes != now.yes or (before.closes and not now.closes)


class ProxyQuestion:
    """``writable`` for every question of a proxy."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Writable]],
        as_last_seen: Callable[[], Writable],
        tick_s: Callable[[], float],
    ) -> None:
        """``look``: at the server anew; ``as_last_seen``: without a look, ``tick_s`` apart."""
        self._look = look
        self._as_last_seen = as_last_seen
        self._tick_s = tick_s
        self._heard: dict[str, _Heard] = {}  # by who asks: address, and worker of HAProxy

    async def writable(self, who: str, hold_s: float) -> Writable:
        """News at once; what is no news to who asks only after ``hold_s``, or instead of it the
        change that comes meanwhile: whoever looks often need not look more often for that."""
        says = await self._look()
        give_up_s = time.monotonic() + min(hold_s, HOLD_S_MAX)
        heard = self._heard.get(who, _Heard(says, 0, 0.0))
        while heard.is_no_news(says) and time.monotonic() < give_up_s:
            await asyncio.sleep(self._tick_s())
            if _news(says, self._as_last_seen()):
                says = await self._look()
        self._heard[who] = heard.and_now(says)
        if len(self._heard) > ASKERS_MAX:
            since_s = time.monotonic() - TOLD_LATELY_S
            self._heard = {name: each for name, each in self._heard.items() if each.at_s >= since_s}
        return says
