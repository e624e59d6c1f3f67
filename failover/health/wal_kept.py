"""Whether a standby that does not stream could still get the WAL it lacks. Pure.

A standby streams through a slot of its source, which keeps WAL from the standby's position on, up
to ``max_slot_wal_keep_size``. Patroni drops a slot that has lost its WAL and makes a new one, which
keeps from then on only. So a slot that keeps nothing as old as the standby's end says: not from
there any more. The reverse proves nothing: a standby that comes for removed WAL may move a slot
back to where it stands (PostgreSQL 17, ``PhysicalConfirmReceivedLocation``), and within
``max_slot_wal_keep_size`` that one counts as reserved: after a time without a slot, or a limit
that was raised. The files would tell, at the price of a directory of thousands for every look.
Invariant: what nobody saw is None; nothing is decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from failover.health.cluster_view import ClusterView, SideView
from failover.health.observation import PostgresSeen
from failover.health.scope import slot_name
from failover.health.sightings import HostView
from failover.model import HostName, Lsn

NO_NEIGHBOUR = "docs/operations/reinstate.md, a site with one host"


@dataclass(frozen=True, slots=True)
class WalGone:
    """The slot at ``source`` does not keep the WAL that follows ``end``, or says it does: ``sure``
    is False then, and a human looks into PostgreSQL's log."""

    host: HostName
    source: HostName
    slot: str
    end: Lsn
    keeps_from: Lsn | None  # None: there is no such slot, or it keeps nothing
    reseed: HostName | None  # who is copied first: of a leader's site another host, if there is one

    @property
    def sure(self) -> bool:
        return self.keeps_from is None or self.keeps_from > self.end

    def __str__(self) -> str:
        then = f"`failover reseed {self.reseed}`" if self.reseed else f"see {NO_NEIGHBOUR}"
        slot = f"{self.host} has WAL up to {self.end}, and slot {self.slot} at {self.source}"
        if not self.sure:
            return (
                f"{slot} claims to keep it from {self.keeps_from} on, which proves nothing: where "
                f'`journalctl -u patroni` on {self.host} has "already been removed", {then}'
            )
        keeps = f"keeps it from {self.keeps_from} on" if self.keeps_from else "keeps none"
        return f"{slot} {keeps}: if it does not come back by itself, {then}"


def not_streaming(side: SideView) -> tuple[HostView, ...]:
    """Hosts whose PostgreSQL answers, is in recovery and receives nothing."""
    return tuple(
        host
        for host in side.hosts
        if host.postgres is not None
        and host.postgres.in_recovery
        and host.postgres.receiver_streaming is False
    )


def wal_gone(cluster: ClusterView, side: SideView, host: HostView) -> WalGone | None:
    """Whether this host needs a new copy, where it does not stream; None: nothing is known."""
    seen, leader = host.postgres, leader_of(side)
    if host not in not_streaming(side) or seen is None or leader is None:
        return None
    reseed: HostName | None = host.host.name
    if leader.host == host.host:  # the standby leader: it streams from the other site
        source, slot = cluster.primary, slot_name(side.site)
        reseed = next((h.host.name for h in side.hosts if h != host), None)
    elif leader in not_streaming(side):  # it lacks WAL itself, and is copied from nowhere near
        return None
    else:
        source, slot = leader, member_slot(host.host.name)
    end = end_of(seen)
    if source is None or source.postgres is None or source.postgres.kept is None or end is None:
        return None
    keeps_from = next((s.keeps_from for s in source.postgres.kept if s.name == slot), None)
    return WalGone(host.host.name, source.host.name, slot, end, keeps_from, reseed)


def leader_of(side: SideView) -> HostView | None:
    """The host that the scope's leader key names."""
    leader = side.scope.leader if side.scope is not None else None
    return next((h for h in side.hosts if leader and leader.value == h.host.name), None)


def end_of(seen: PostgresSeen) -> Lsn | None:
    """Up to where a standby has WAL: received, or replayed from what it had before."""
    known = [lsn for lsn in (seen.received_lsn, seen.replayed_lsn) if lsn is not None]
    return max(known, default=None)


def member_slot(name: str) -> str:
    """The slot that Patroni makes for a member (``slot_name_from_member_name``)."""
    return re.sub(
        "[^a-z0-9_]",
        lambda found: "_" if found[0] in "-." else f"u{ord(found[0]):04d}",
        name.lower(),
    )[:64]
