"""`failover check` as the witness's controller would ask, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from drill import wait_until

from failover.lab.lab import Lab
from failover.model import HostName, SiteKind

SAID_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    checks: dict[str, dict[str, Any]]

    @property
    def failing(self) -> set[str]:
        return {name for name, check in self.checks.items() if check["fails"]}

    def of_verdict(self, verdict: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["verdict"] == verdict}


def asked_on(lab: Lab) -> HostName:
    (witness,) = (site for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    return witness.controller.name


def check(lab: Lab, *options: str) -> Answer:
    """As the witness's controller would ask."""
    command = ["failover", "check", "-o", "json", *options]
    ended = lab.exec(asked_on(lab), command, user="failover")
    document = json.loads(ended.out)
    assert document["schema"] == 1
    assert document["passed"] == (ended.code == 0)
    return Answer(ended.code, {each["check"]: each for each in document["checks"]})


def fails_exactly(lab: Lab, names: set[str]) -> None:
    """Observers, Patroni and proxies need a moment to notice."""
    seen: list[Answer] = []

    def so() -> bool:
        seen.append(check(lab))
        return seen[-1].failing == names

    try:
        wait_until("the check says so", so, SAID_WITHIN_S)
    except AssertionError:
        told = {name: seen[-1].checks[name] for name in seen[-1].failing ^ names}
        raise AssertionError(json.dumps(told, indent=1)) from None
    assert seen[-1].code == (1 if names else 0)
    for name in names:
        assert seen[-1].checks[name]["fix"]
