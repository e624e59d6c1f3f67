"""How a line of a scenario becomes a change of the world: the register and its patterns."""

from __future__ import annotations

import re
from collections.abc import Callable

from failover.health.observation import NoAnswer, NoAnswerKind
from tests.scenarios.world import (
    REFUSED,
    TIMED_OUT,
)

Change = Callable[..., None]
CHANGES: list[tuple[re.Pattern[str], Change]] = []
ANSWERS = {
    "refuses": REFUSED,
    "is silent": TIMED_OUT,
    "rejects": NoAnswer(NoAnswerKind.REJECTED, "the server says no"),
}
NUMBER = r"(-?\d+(?:\.\d+)?)"


def change(pattern: str) -> Callable[[Change], Change]:
    def register(function: Change) -> Change:
        CHANGES.append(
            (re.compile(pattern.replace("<n>", NUMBER).replace("<w>", r"(\S+)")), function)
        )
        return function

    return register
