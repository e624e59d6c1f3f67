"""Who got the claim last, and the newest timeline number that was promised to anybody.

One persistent znode per cluster, written in the transaction of every permit. PostgreSQL numbers a
new timeline one above the newest that it knows, so two sites could both make a timeline 3, and
nobody could tell the two branches apart. Invariant: no number is promised to two hosts, whichever
site they stand at. Pure.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import (
    HostField,
    NotExactly,
    SiteField,
    TimelineField,
    UnixSeconds,
    read_exactly,
)
from failover.model import ClusterName, HostName, SiteName, TimelineId
from failover.state import GroupState
from failover.znode import Znode


@dataclass(frozen=True, slots=True)  # what a newer version adds is left out
class LastWriter:
    """``timeline``: no newer number was promised so far; 0 in a record of an older version.

    ``promised``: it was promised to this host, by this very permit.
    ``judged_unix_s``: under which judgement of who may be promoted the permit was given, by when
    that was (``GroupState.epoch_started_unix_s``); a name, compared with nothing but itself.
    ``first``: for a promotion, and no permit under that judgement was used before this one.
    """

    host: HostField
    site: SiteField
    timeline: TimelineField = TimelineId(0)
    promised: bool = False
    judged_unix_s: UnixSeconds = 0.0  # in a record of an older version
    first: bool = False  # in one of an older version: it can have been used


_RECORD: TypeAdapter[LastWriter] = TypeAdapter(LastWriter)


def read_last_writer(znode: Znode | None) -> LastWriter | None:
    """None where there is none, or where it cannot be understood: then nobody is it."""
    return None if znode is None else _read(znode.data)


@lru_cache(maxsize=64)  # it changes with a permit only, and is read with every look
def _read(data: bytes) -> LastWriter | None:
    try:
        return read_exactly(_RECORD, data)
    except NotExactly:
        return None


def encode_last_writer(writer: LastWriter) -> bytes:
    return _RECORD.dump_json(writer)


def permitted_hosts(
    state: GroupState,
    cluster: ClusterName,
    last: HostName | None,
    *,
    marked: bool,
    judged_unix_s: UnixSeconds = 0.0,
) -> frozenset[HostName] | None:
    """Who alone may write, by what was acknowledged; None: nobody is kept from it by that.

    In a synchronous mode those that surely have everything: who is on record, and who wrote
    ``last`` (None: cannot be understood, or is not there). Before the epoch's promotion is on
    record ``min_lsn`` decides who is the first; from that permit on (``judged_unix_s``: what its
    record says) only he may, since he may have acknowledged what nobody else has.
    ``marked``: the record of the last writer is there. Every permit
    leaves one, so without it nobody has ever written only where nothing has happened yet, in
    epoch 1 with nobody on record; anywhere else it was removed, and says nothing of who did.
    """
    recorded = state.clusters[cluster]
    if not state.protection.synchronous:
        return None
    if not recorded.promoted:
        if marked and last is None:
            return frozenset()  # there was a first one, and nothing says who
        first = last if 0.0 < judged_unix_s == state.epoch_started_unix_s else None
        return None if first is None else frozenset({first})
    if not marked and state.epoch == 1 and not recorded.have:
        return None
    return frozenset(recorded.have) | ({last} if last is not None else set())


def next_writer(
    host: HostName,
    site: SiteName,
    last: LastWriter | None,
    known: TimelineId,
    *,
    judged_unix_s: float,
    promotion: bool,
    claim_kept: bool,
) -> LastWriter:
    """The record that a permit for this host leaves. ``known``: the newest timeline it knows of.

    A promotion that is permitted once more under the same claim (Patroni tries again, or the first
    answer was lost) keeps its number: a number left out costs a file on every host.
    """
    newest = known if last is None else max(known, last.timeline)
    if not promotion:
        return LastWriter(host, site, newest, judged_unix_s=judged_unix_s)
    unused = last is not None and not_used(last, host, known)
    number = newest if unused and claim_kept else TimelineId(newest + 1)
    first = last is not None and (last.judged_unix_s != judged_unix_s or (last.first and unused))
    return LastWriter(host, site, number, promised=True, judged_unix_s=judged_unix_s, first=first)


def not_used(last: LastWriter, host: HostName, known: TimelineId) -> bool:
    """It promised a timeline to this host, which has not made it: PostgreSQL leaves the history
    file of a timeline before it leaves recovery, and takes no other number (decision 0010)."""
    return last.promised and last.host == host and known < last.timeline
