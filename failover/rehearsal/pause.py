"""How long nobody took writes, from the guards' answers to "may this host take writes now?". Pure.

Invariant: the time in which no guard says yes is never measured too short. It is counted from the
sending of the last question that was answered yes to the arrival of the next yes, so it is too long
by at most one interval and one round trip at each end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from failover.model import ClusterName, SiteName
from failover.policy import DatabaseHost


@dataclass(frozen=True, slots=True)
class Yes:
    """One guard said that its host takes writes, at some moment between these two."""

    host: DatabaseHost
    sent_s: float
    answered_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """``length_s`` None: it was not measured, because one of both sites never said yes.

    ``both_sites``: the old site said yes after the new one had.
    """

    length_s: float | None
    both_sites: bool


def pause_of(said: Iterable[Yes], cluster: ClusterName, to_site: SiteName) -> Pause:
    """The longest time without a yes in one cluster while it moved to ``to_site``."""
    in_order = sorted((y for y in said if y.host.cluster == cluster), key=lambda y: y.sent_s)
    new = [yes for yes in in_order if yes.host.site == to_site]
    old = [yes for yes in in_order if yes.host.site != to_site]
    if not new or not old:
        return Pause(None, False)
    first_new_s = min(yes.answered_s for yes in new)
    longest_s = max(after.answered_s - before.sent_s for before, after in pairwise(in_order))
    return Pause(round(longest_s, 3), any(yes.sent_s > first_new_s for yes in old))
