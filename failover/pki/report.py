"""Who has which certificate, by whom and until when, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from failover.pki.authority import (
    Certificate,
    common_name,
    days_left,
    read_certificates,
    says,
    signed_by,
)
from failover.pki.directory import Directory, read
from failover.transport import HostNames


@dataclass(frozen=True, slots=True)
class Row:
    """One certificate, or the want of one. ``problem``: empty where it is in order."""

    who: str
    site: str
    by: str
    until: str
    days_left: float | None
    problem: str


def report(
    directory: Directory, hosts: Sequence[HostNames], now: datetime, warn_days: float
) -> list[Row]:
    """Those who are trusted, then every host. PkiError where a file cannot be read."""
    trusted = directory.trusted()
    rows = [_row(each, common_name(each.subject), "", now, warn_days) for each in trusted]
    return [*rows, *(_of_host(directory, names, trusted, now, warn_days) for names in hosts)]


def of_file(path: Path, now: datetime, warn_days: float) -> Iterator[Row]:
    """Every certificate in a file. PkiError where there is none."""
    for found in read(path, read_certificates):
        yield _row(found, common_name(found.subject), "", now, warn_days)


def _of_host(
    directory: Directory,
    names: HostNames,
    trusted: Sequence[Certificate],
    now: datetime,
    warn_days: float,
) -> Row:
    held = directory.held(names)
    if held is None:
        return Row(names.host, names.site, "", "", None, "has none: `failover pki issue`")
    row = _row(held.certificate, names.host, names.site, now, warn_days)
    if row.problem:
        return row
    problem = ""
    if not any(signed_by(held.certificate, each) for each in trusted):
        problem = "its authority is not trusted: `failover pki issue`"
    elif not says(held.certificate, names):
        problem = "its names have changed: `failover pki issue`"
    return Row(row.who, row.site, row.by, row.until, row.days_left, problem)


def _row(found: Certificate, who: str, site: str, now: datetime, warn_days: float) -> Row:
    left = days_left(found, now)
    problem = ""
    if left <= 0:
        problem = "its time is over"
    elif left < warn_days:
        problem = f"ends in less than {warn_days:g} days"
    until = found.not_valid_after_utc.strftime("%Y-%m-%d")
    return Row(who, site, common_name(found.issuer), until, round(left, 2), problem)
