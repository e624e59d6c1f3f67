"""The phases of a cluster as ``state`` records them, and every way from one to another. Pure.

Invariant: no plan moves a cluster along an edge that is not in ``EDGES``; the plan checks see to
it, and a test that every step of the planner has an edge and every edge but the first a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from failover.planning.plan import StepName
from failover.state import ClusterState, StandbyScope


class Phase(StrEnum):
    """Where one cluster stands. Derived from ``state`` alone, so that nothing is remembered."""

    PROTECTED = "protected"  # the active site serves, the other is told to follow
    PROMOTING = "promoting"  # a new site is active; its promotion is not on record
    ALONE = "alone"  # the active site serves, the other stands in quarantine


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a phase to another. ``step`` None: done by ``failover init``."""

    before: Phase | None
    after: Phase
    step: StepName | None
    sentence: str


EDGES: tuple[Edge, ...] = (
    Edge(
        None,
        Phase.PROTECTED,
        None,
        "failover init writes epoch 1, and the guards give permits only at the first active site.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROMOTING,
        StepName.TAKEOVER,
        "The claims are gone: one transaction fences and quarantines the lost site and makes the "
        "other one active in the next epoch.",
    ),
    Edge(
        Phase.PROMOTING,
        Phase.PROMOTING,
        StepName.TAKEOVER,
        "The site that was to be promoted is lost before that is on record, and an operator asks "
        "for the other one.",
    ),
    Edge(
        Phase.PROMOTING,
        Phase.ALONE,
        StepName.RECORD_PROMOTION,
        "A host of the new site holds the claim of the new epoch and works as primary; hosts with "
        "less WAL than was judged may have permits from now on.",
    ),
    Edge(
        Phase.PROMOTING,
        Phase.PROTECTED,
        StepName.RECORD_PROMOTION,
        "The same where the other site follows already, because it was not lost.",
    ),
    Edge(
        Phase.ALONE,
        Phase.PROTECTED,
        StepName.REINSTATE,
        "The WAL of a returned host is copied: the fence goes, the old site follows the new one.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROTECTED,
        StepName.FOLLOW,
        "The primary moved inside its site: the standby site is pointed at the new one.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROTECTED,
        StepName.BEGIN_SWITCHOVER,
        "A plan is frozen: the active site gets no permit any more, and its scope is told to "
        "follow the other one, which stops its primary.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROTECTED,
        StepName.BEGIN_TAKEOVER,
        "The same where the claims are held and a database is of no use: the guards stop it.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROMOTING,
        StepName.SWITCHOVER,
        "The stopped-proofs are there and the other site has replayed past them: one transaction "
        "makes it active in the next epoch.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROTECTED,
        StepName.ABANDON_SWITCHOVER,
        "Its time was over before its primary had stopped, or that was killed: all is as it was.",
    ),
    Edge(
        Phase.PROTECTED,
        Phase.PROMOTING,
        StepName.ABANDON_SWITCHOVER,
        "Its primary had stopped: a host of the same site with all of that WAL is promoted again.",
    ),
)


def _staying(step: StepName, sentence: str) -> tuple[Edge, ...]:
    """A step about the protection moves nothing; a site that is alone has replicas as well."""
    return tuple(Edge(phase, phase, step, sentence) for phase in (Phase.PROTECTED, Phase.ALONE))


EDGES += (
    *_staying(
        StepName.DROP_SYNCHRONOUS,
        "A standby is of no use to wait for: it leaves the record and the list in one transaction.",
    ),
    Edge(
        Phase.PROMOTING,
        Phase.PROMOTING,
        StepName.DROP_SYNCHRONOUS,
        "A plan went back and the list stayed: what only shrinks waits for no record.",
    ),
    *_staying(
        StepName.LIST_SYNCHRONOUS,
        "A standby keeps up: commits are made to wait for it; it is not on record yet.",
    ),
    *_staying(
        StepName.RECORD_SYNCHRONOUS,
        "That the list is in force is proved: its hosts surely have everything from now on.",
    ),
    *(
        Edge(
            each,
            each,
            StepName.NAME_CANDIDATE,
            "Nobody leads, and a host without a permit is ahead: Patroni is told who has one.",
        )
        for each in Phase
    ),
)


def phase(recorded: ClusterState) -> Phase:
    """The phase that a cluster's record stands for; every record has exactly one."""
    if not recorded.promoted:
        return Phase.PROMOTING
    following = recorded.standby is StandbyScope.FOLLOWING
    return Phase.PROTECTED if following else Phase.ALONE


def edge(before: Phase, after: Phase, step: StepName) -> Edge | None:
    """The edge that this step takes from one phase to the other; None: it may not."""
    return next((e for e in EDGES if (e.before, e.after, e.step) == (before, after, step)), None)
