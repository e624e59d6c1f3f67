"""How a command looks at the group: a few reads within a second or two, judged by the core.

Ages and lags in seconds need two looks at least; one command that looks for LOOK_S seconds knows
less of the past than the leading controller, and says so. Reads only; never part of a decision.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from failover.cli.exit_codes import ExitCode
from failover.clock import boottime_s
from failover.coordination.gather import Gatherer, Now
from failover.coordination.store import StoreForbidden
from failover.health.inputs import ViewInputs
from failover.health.verdict import Verdict, judge
from failover.health.view import View, build_view

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy

LOOK_S = 1.2  # observers publish about twice a second
INTERVAL_S = 0.4


@dataclass(frozen=True, slots=True)
class Seen:
    """One look, judged. ``looked_for_s``: how long this process has been looking."""

    inputs: ViewInputs
    view: View
    verdict: Verdict
    looked_for_s: float

    @classmethod
    def of(cls, policy: Policy, inputs: ViewInputs, looked_for_s: float) -> Seen:
        view = build_view(policy, inputs)
        return cls(inputs, view, judge(view), looked_for_s)

    @property
    def unusable(self) -> ExitCode | None:
        return unusable(self.view, self.verdict)


def unusable(view: View, verdict: Verdict) -> ExitCode | None:
    """The exit code where there is nothing to judge: no answer, or no usable state."""
    if view.store_forbidden:
        return ExitCode.FORBIDDEN
    if view.store_problem:
        return ExitCode.UNREACHABLE
    unreadable = view.state is None or verdict.code == "state_unreadable"
    return ExitCode.STATE_UNREADABLE if unreadable else None


def allowed(seen: Seen) -> Seen:
    """The same look. StoreForbidden where the ensemble answered and does not let this key read: to
    judge that would find the quorum lost."""
    if seen.view.store_forbidden:
        raise StoreForbidden(seen.view.store_problem)
    return seen


class Reader:
    """Looks again and again through one store, and remembers what the ages need."""

    def __init__(self, policy: Policy, store: Store) -> None:
        self._policy = policy
        self.store = store
        self._gatherer = Gatherer(policy, policy.sites[-1].name, first_sight_age_s=None)
        self._started_s = boottime_s()

    def look(self) -> Seen:
        now = Now(time.time(), boottime_s())
        inputs = self._gatherer.gather(self.store, now)
        return Seen.of(self._policy, inputs, now.boottime_s - self._started_s)

    def settle(self, for_s: float = LOOK_S) -> Seen:
        """Look for so long; the last look."""
        while (seen := self.look()).looked_for_s < for_s:
            time.sleep(INTERVAL_S)
        return seen

    def forever(self, interval_s: float = 1.0) -> Iterator[Seen]:
        """One look per interval until interrupted."""
        while True:
            yield self.look()
            time.sleep(interval_s)


def without_ensemble(policy: Policy, problem: str) -> Seen:
    """What is to be concluded where the ensemble gave no answer at all."""
    reader = policy.sites[-1].name
    inputs = ViewInputs(now_unix_s=time.time(), reader=reader, store_problem=problem)
    return Seen.of(policy, inputs, 0.0)


@contextmanager
def observing(policy: Policy) -> Iterator[Reader]:
    """A reader of the real ensemble. StoreUnavailable when nothing answers within 5 s."""
    from failover.coordination.connect import open_store

    with open_store(policy) as store:
        yield Reader(policy, store)
