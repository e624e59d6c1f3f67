"""What a controller concludes at this moment, worked out beside it from the same znodes.

The same gatherer, view, verdict table and planner as the controllers', so what the demo shows is
what decides. Read-only: a plan that comes out here is shown, never committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.gather import Gatherer, Now
from failover.coordination.kazoo_store import KazooStore
from failover.health.verdict import Verdict, judge
from failover.health.view import View, build_view
from failover.lab.watch import without_servers_of
from failover.model import SiteKind, SiteName
from failover.planning.plan import Gate, Hold, Plan
from failover.planning.planner import plan
from failover.policy import Policy


@dataclass(frozen=True, slots=True)
class Evidence:
    """One look."""

    at_s: float  # boot time
    view: View
    verdict: Verdict
    next_step: Plan | Hold

    @property
    def gates(self) -> tuple[Gate, ...]:
        return self.next_step.gates

    @property
    def epoch(self) -> int | None:
        return self.view.state.epoch if self.view.state else None


class EvidenceReader:
    """Looks again and again; it remembers what ages are counted from."""

    def __init__(self, store: KazooStore, policy: Policy) -> None:
        witness = next(site.name for site in policy.sites if site.kind is SiteKind.WITNESS)
        self._store = store
        self._policy = policy
        self._gatherer = Gatherer(policy, witness, first_sight_age_s=None)

    def look(self) -> Evidence:
        """What would be concluded now. An ensemble that does not answer is in the view."""
        now = Now(unix_s=time.time(), boottime_s=boottime_s())
        view = build_view(self._policy, self._gatherer.gather(self._store, now))
        verdict = judge(view)
        return Evidence(now.boottime_s, view, verdict, plan(view, verdict))


@contextmanager
def evidence_reader(policy: Policy, *, without: SiteName | None = None) -> Iterator[EvidenceReader]:
    """A reader that connects to the ZooKeeper servers of every site but ``without``."""
    reachable = policy if without is None else without_servers_of(policy, without)
    with open_store(reachable) as store:
        yield EvidenceReader(store, policy)
