"""Who got the claim last, and the newest timeline number that was promised to anybody.

One persistent znode per cluster, written in the transaction of every permit. PostgreSQL numbers a
new timeline one above the newest that it knows, so two sites could both make a timeline 3, and
nobody could tell the two branches apart. Invariant: no number is promised to two hosts, whichever
site they stand at. Pure.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from failover.model import HostName, SiteName, TimelineId
from failover.znode import Znode


@dataclass(frozen=True, slots=True)
class LastWriter:
    """``timeline``: no newer number was promised so far; 0 in a record of an older version.

    ``promised``: it was promised to this host, by this very permit.
    """

    host: HostName
    site: SiteName
    timeline: TimelineId = TimelineId(0)
    promised: bool = False


_RECORD: TypeAdapter[LastWriter] = TypeAdapter(LastWriter)


def read_last_writer(znode: Znode | None) -> LastWriter | None:
    """None where there is none, or where it cannot be understood: then nobody is it."""
    if znode is None:
        return None
    try:
        return _RECORD.validate_json(znode.data)
    except ValidationError:
        return None


def encode_last_writer(writer: LastWriter) -> bytes:
    return _RECORD.dump_json(writer)


def next_writer(
    host: HostName,
    site: SiteName,
    last: LastWriter | None,
    known: TimelineId,
    *,
    promotion: bool,
    claim_kept: bool,
) -> LastWriter:
    """The record that a permit for this host leaves. ``known``: the newest timeline it knows of.

    A promotion that is permitted once more under the same claim (Patroni tries again, or the first
    answer was lost) keeps its number: a number left out costs a file on every host.
    """
    newest = known if last is None else max(known, last.timeline)
    if not promotion:
        return LastWriter(host, site, newest)
    unused = last is not None and last.promised and last.host == host and known < last.timeline
    number = newest if unused and claim_kept else TimelineId(newest + 1)
    return LastWriter(host, site, number, promised=True)
