"""What is known of ways out of the country: the ledger brought up to date by living scanners. Pure.

Every reader computes the same; the leading controller writes it down. Invariant: what nobody looks
at is a gap and said as one, never taken for clean.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from failover.model import HostName
from failover.policy import AcceptedFinding, Policy
from failover.residency.findings import Finding, HostScan, Key, Ledger, LedgerSeen, OpenFinding
from failover.residency.ledger import (
    CATALOGUES_AGE_S_MAX,
    LOOK_AGE_S_MAX,
    OPEN_MAX,
    Changes,
    accepted_by,
    updated,
    with_gaps,
)

NO_LEDGER = LedgerSeen(Ledger())


@dataclass(frozen=True, slots=True)
class Gap:
    """A host of which not everything is known now, and why."""

    host: HostName
    why: str


@dataclass(frozen=True, slots=True)
class Unscanned:
    """A host of which the reader has not known everything for so long, as far as it has seen."""

    host: HostName
    for_s: float


@dataclass(frozen=True, slots=True)
class ResidencyView:
    """``ledger`` is what should stand on record; ``changes``: how it differs from what does.

    ``problem``: what is on record cannot be understood. ``missing``: what is not known for sure.
    """

    ledger: Ledger
    changes: Changes
    version: int | None
    problem: str
    accepted: tuple[tuple[Finding, AcceptedFinding], ...]
    gaps: tuple[Gap, ...]
    scans: tuple[HostScan, ...]
    missing: tuple[str, ...] = ()

    @property
    def to_be_recorded(self) -> bool:
        """A ledger that is not understood may name what stands where nobody can look now: it is
        written anew once every host was looked at (unknown is not gone)."""
        return not self.gaps if self.problem else bool(self.changes)

    @property
    def open(self) -> tuple[OpenFinding, ...]:
        return self.ledger.open


def residency_view(
    policy: Policy,
    seen: LedgerSeen,
    scans: Iterable[HostScan],
    now_unix_s: float,
    unscanned: Iterable[Unscanned] = (),
) -> ResidencyView:
    """``unscanned``: how old gaps are; one of unknown age is new."""
    looked = tuple(scans)
    gaps = gaps_of(policy, looked)
    ages = {each.host: each.for_s for each in unscanned}
    ledger, changes = with_gaps(
        *updated(policy, seen.ledger, looked, now_unix_s),
        {gap.host: (gap.why, ages.get(gap.host, 0.0)) for gap in gaps},
        now_unix_s,
    )
    answered = {
        finding.key: (finding, accepted)
        for scan in looked
        for finding in scan.findings
        if (accepted := accepted_by(policy, finding, now_unix_s)) is not None
    }
    return ResidencyView(
        ledger=ledger,
        changes=changes,
        version=seen.version,
        problem=seen.problem,
        accepted=tuple(answered.values()),
        gaps=gaps,
        scans=looked,
        missing=tuple(_missing(seen, ledger, looked, answered.keys())),
    )


def _missing(
    seen: LedgerSeen, ledger: Ledger, scans: tuple[HostScan, ...], answered: Container[Key]
) -> Iterable[str]:
    if seen.problem:
        yield (
            f"residency: what stands open on record cannot be understood ({seen.problem}); "
            "written anew when every host was looked at"
        )
    known = {each.finding.key for each in ledger.open}
    found = {finding.key for scan in scans for finding in scan.findings}
    left_out = sum(key not in known and key not in answered for key in found)
    if left_out:
        yield f"residency: {left_out} more findings than the {OPEN_MAX} that are kept on record"


def gaps_of(policy: Policy, scans: tuple[HostScan, ...]) -> tuple[Gap, ...]:
    """Every database host of which not everything is known by these scans."""
    return tuple(_gaps(policy, scans))


def _gaps(policy: Policy, scans: tuple[HostScan, ...]) -> Iterable[Gap]:
    by_host: dict[HostName, tuple[HostScan, ...]] = {}
    for scan in scans:
        by_host[scan.host] = (*by_host.get(scan.host, ()), scan)
    for cluster in policy.clusters:
        for host in cluster.hosts:
            why = _gap(by_host.get(host.name, ()))
            if why:
                yield Gap(host.name, why)


def _gap(scans: tuple[HostScan, ...]) -> str:
    if not scans:
        return "no living controller scans it"
    ages = [scan.age_s for scan in scans if scan.age_s is not None]
    problem = next((f": {scan.problem}" for scan in scans if scan.problem), "")
    if not ages:
        return f"not looked at yet{problem}"
    if min(ages) > LOOK_AGE_S_MAX:
        return f"not looked at for {min(ages):.0f} s{problem}"
    into = [scan.catalogues_age_s for scan in scans if scan.catalogues_age_s is not None]
    if not into:
        return "its databases were not looked into yet"
    if min(into) > CATALOGUES_AGE_S_MAX:
        return f"its databases were not looked into for {min(into):.0f} s"
    return ""


def lines(view: ResidencyView) -> tuple[str, ...]:
    """The open findings, as evidence of a verdict."""
    return tuple(str(each.finding) for each in view.open)
