"""What clients were told against what the database has. Pure: values in, a report out.

Invariant: whatever is not known counts against the database as ``indeterminate``, never as lost
and never as kept; an attempt that ended after the database was read is not judged at all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.survivors import Survivors
from failover.model import SiteName


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict over a history of attempts."""

    attempts: int
    acked: int
    failed: int
    indeterminate: int
    indeterminate_found: int
    lost: tuple[Attempt, ...]  # acknowledged, and not there; oldest first
    duplicated: tuple[str, ...]  # ids that are there, or were recorded, more than once
    appeared: tuple[str, ...]  # ids that are there although the client was told "no"
    money_problems: tuple[str, ...]

    @property
    def indeterminate_missing(self) -> int:
        return self.indeterminate - self.indeterminate_found

    @property
    def money_adds_up(self) -> bool:
        return not self.money_problems

    @property
    def problems(self) -> tuple[str, ...]:
        """What must never be, in any protection mode. Loss is counted apart, it may be allowed."""
        found = [f"money: {problem}" for problem in self.money_problems]
        found += [f"transaction {one} is there more than once" for one in self.duplicated]
        found += [f"transaction {one} is there, its client was told no" for one in self.appeared]
        return tuple(found)


def judge(attempts: Iterable[Attempt], survivors: Survivors) -> Report:
    """Compare a history with the database that survived."""
    judged = sorted(
        (one for one in attempts if one.ended_s <= survivors.taken_s), key=lambda one: one.ended_s
    )
    by_outcome = Counter(one.outcome for one in judged)
    there = survivors.ids
    recorded = Counter(one.id for one in judged)
    twice = {one for one, times in recorded.items() if times > 1}
    twice |= {one for one, times in there.items() if times > 1}
    return Report(
        attempts=len(judged),
        acked=by_outcome[Outcome.ACKED],
        failed=by_outcome[Outcome.FAILED],
        indeterminate=by_outcome[Outcome.INDETERMINATE],
        indeterminate_found=sum(
            one.outcome is Outcome.INDETERMINATE and one.id in there for one in judged
        ),
        lost=tuple(one for one in judged if one.outcome is Outcome.ACKED and one.id not in there),
        duplicated=tuple(sorted(twice)),
        appeared=tuple(
            one.id for one in judged if one.outcome is Outcome.FAILED and one.id in there
        ),
        money_problems=survivors.money_problems,
    )


def acked_by_both(
    attempts: Iterable[Attempt], *, new_site: SiteName, since_s: float
) -> tuple[Attempt, ...]:
    """Acknowledgements of the old site after the first one of the new site (I1).

    Only what ended after ``since_s``, the moment of the fault, is looked at. An acknowledgement
    whose server is not known is counted against the old site: doubt is not safety.
    """
    acks = [one for one in attempts if one.outcome is Outcome.ACKED and one.ended_s > since_s]
    first_s = min((one.ended_s for one in acks if one.server_site == new_site), default=None)
    if first_s is None:
        return ()
    late = (one for one in acks if one.ended_s > first_s and one.server_site != new_site)
    return tuple(sorted(late, key=lambda one: one.ended_s))


def acked_around_another(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Acknowledgements on a session that had one before another server began to give them (I1).

    A session is one backend of one run of a server. Where that is promoted again after another one,
    its sessions are new ones: whoever answers on an old one never stopped being a writer. So this
    sees two writers of one site as well, and needs no moment of a fault. What names no server is
    left to ``acked_by_both``.
    """
    acks = sorted(
        (one for one in attempts if one.outcome is Outcome.ACKED and one.server is not None),
        key=lambda one: one.ended_s,
    )
    began_s: dict[tuple[str, str, int], float] = {}
    began_at: dict[str, list[float]] = {}  # of each server's sessions, in order
    late = []
    for one in acks:
        session = (one.run, one.client, one.session)
        if session not in began_s:
            began_s[session] = one.ended_s
            began_at.setdefault(str(one.server), []).append(one.ended_s)
        since_s, others = began_s[session], (t for s, t in began_at.items() if s != one.server)
        if any(_any_between(times, since_s, one.ended_s) for times in others):
            late.append(one)
    return tuple(late)


def _any_between(times: Sequence[float], from_s: float, to_s: float) -> bool:
    return bisect_right(times, from_s) < bisect_left(times, to_s)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without an acknowledgement, between two of them. Boot time in seconds."""

    from_s: float
    to_s: float

    @property
    def length_s(self) -> float:
        return self.to_s - self.from_s


def longest_gap(
    attempts: Iterable[Attempt], *, site: SiteName, via: Via = Via.PROXY, since_s: float = 0.0
) -> Gap | None:
    """The longest time that all clients of one site together were without an acknowledgement.

    Gaps that end after ``since_s`` count, with the acknowledgement before it as their beginning.
    None where there are not two acknowledgements around any such time.
    """
    acks = acks_of(attempts, site=site, via=via)
    gaps = [Gap(before, after) for before, after in pairwise(acks) if after > since_s]
    return max(gaps, key=lambda gap: gap.length_s, default=None)


def acks_of(attempts: Iterable[Attempt], *, site: SiteName, via: Via) -> Sequence[float]:
    """When the clients of one site were given an acknowledgement, in order."""
    return sorted(
        one.ended_s
        for one in attempts
        if one.outcome is Outcome.ACKED and one.site == site and one.via is via
    )
