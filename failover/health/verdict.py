"""The named failure scenarios: view → verdict. First matching row wins. Pure, no side effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.health.view import View


class Consequence(StrEnum):
    """What a verdict asks the planner for. Whether it may is for the gates to say."""

    NOTHING = "nothing"
    HOLD = "hold"
    TAKEOVER = "takeover"
    RECORD_PROMOTION = "record_promotion"
    REINSTATE = "reinstate"
    FOLLOW = "follow"
    RESTART_ZOOKEEPER = "restart_zookeeper"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The scenario that the view matches. ``page``: a human is needed now."""

    code: str
    sentence: str
    consequence: Consequence
    evidence: tuple[str, ...]
    page: bool = False


def judge(view: View) -> Verdict:
    """The first row that matches; the last one always does."""
    raise NotImplementedError(view)
