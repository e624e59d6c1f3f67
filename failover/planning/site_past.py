"""When a site was last lost, and whether a host was salvaged since: what no view shows. Pure.

A host of a site that was taken over may have acknowledged WAL that nobody else has, for as long
as it was not salvaged. After a switchover there is none: the old primaries proved where they
stopped, and the new site had all of it. Invariant: a move that the history does not have is
unknown, and unknown holds (I5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from failover.model import Epoch
from failover.state import HistoryEntry, PlanKind

ARMED = "group_armed"  # by hand, and which site was active before is not on record
_BEGIN_AN_EPOCH = frozenset({PlanKind.TAKEOVER.value, PlanKind.SWITCHOVER.value, ARMED})


@dataclass(frozen=True, slots=True)
class SitePast:
    """``lost_in``: the newest epoch that began with a takeover from this site; None: none did.
    ``unknown``: why that cannot be told; empty: it can. ``salvaged_in``: of one of its hosts, the
    newest epoch with a finished salvage."""

    lost_in: Epoch | None = None
    unknown: str = ""
    salvaged_in: Epoch | None = None

    @property
    def may_have_more(self) -> bool | None:
        """Whether the host may have WAL of before the loss; None: not known."""
        if self.unknown:
            return None
        if self.lost_in is None:
            return False
        return self.salvaged_in is None or self.salvaged_in < self.lost_in


def last_loss(newest_first: Iterable[HistoryEntry], epoch: Epoch, active: bool) -> SitePast:
    """Of the site that is ``active`` in ``epoch``, or of the other one. Reads as far as need be."""
    either = False  # of what was before an arming a takeover counts for both sites
    for entry in newest_first:
        if epoch <= 1:
            break
        if entry.epoch != epoch or entry.event not in _BEGIN_AN_EPOCH:
            continue
        active = not active  # before that move
        either = either or entry.event == ARMED
        if entry.event == PlanKind.TAKEOVER.value and (active or either):
            return SitePast(lost_in=epoch)
        epoch = Epoch(epoch - 1)
    if epoch > 1:
        return SitePast(unknown=f"the history does not say how epoch {epoch} began")
    return SitePast()
