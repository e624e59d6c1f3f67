"""What stands, on record: findings that stay until they are seen to be gone, cuts that were made.

Invariant: a finding leaves the ledger only when a look that could have seen it did not. A host that
nobody can look at keeps its findings; unknown is not gone (I5). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from failover.model import HostName
from failover.policy import AcceptedFinding, Policy, over
from failover.residency.findings import (
    CutSeen,
    Finding,
    HostScan,
    Key,
    Ledger,
    OpenFinding,
    OpenGap,
    RecordedCut,
)
from failover.residency.ways import BY_CODE, SEEN_BY_BOTH, Seen

LOOK_AGE_S_MAX = 5.0  # an older look says nothing of now
CATALOGUES_AGE_S_MAX = 60.0
CUT_AGAIN_S = 60.0  # somebody who comes again and again is on record once a minute
OPEN_MAX = 1000
CUTS_MAX = 200
# A gap is on record once it is that old: a controller that starts or a host that reboots is none,
# and in the minute in which a site is lost nothing is written but what moves it.
GAP_ON_RECORD_S = 60.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What the next history entry has to say; all empty: nothing."""

    found: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()
    cut: tuple[CutSeen, ...] = ()
    gaps: tuple[OpenGap, ...] = ()
    gaps_over: tuple[HostName, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.found or self.gone or self.cut or self.gaps or self.gaps_over)


NOTHING_NEW = Changes()


def updated(
    policy: Policy, before: Ledger, scans: Iterable[HostScan], now_unix_s: float
) -> tuple[Ledger, Changes]:
    """The ledger by what living scanners say now, and what is new in it."""
    looked = tuple(scans)
    if not looked and not before.open and not before.cuts:
        return before, NOTHING_NEW
    seen = {
        finding.key: finding
        for scan in looked
        for finding in scan.findings
        if accepted_by(policy, finding, now_unix_s) is None
    }
    open_before = {each.finding.key: each for each in before.open}
    gone = [
        each.finding
        for key, each in open_before.items()
        if key not in seen and _gone(policy, each.finding, looked, now_unix_s)
    ]
    stays = {key: each for key, each in open_before.items() if each.finding not in gone}
    found = [finding for key, finding in seen.items() if key not in stays]
    found = found[: max(0, OPEN_MAX - len(stays))]
    opened = tuple(OpenFinding(finding, now_unix_s) for finding in found)
    cut = tuple(_new_cuts(before, looked, now_unix_s))
    after = Ledger((*stays.values(), *opened), _recorded(before, cut, now_unix_s), before.gaps)
    return after, Changes(tuple(found), tuple(gone), cut)


def with_gaps(
    ledger: Ledger,
    changes: Changes,
    now_are: Mapping[HostName, tuple[str, float]],
    now_unix_s: float,
) -> tuple[Ledger, Changes]:
    """The same with the gaps of now: per host, why, and for how many seconds already.

    One that is on record stays as it was told until there is none any more.
    """
    stays = tuple(gap for gap in ledger.gaps if gap.host in now_are)
    known = {gap.host for gap in stays}
    opened = tuple(
        OpenGap(host, why, now_unix_s - for_s)
        for host, (why, for_s) in now_are.items()
        if host not in known and for_s >= GAP_ON_RECORD_S
    )
    over = tuple(gap.host for gap in ledger.gaps if gap.host not in now_are)
    if not opened and not over:
        return ledger, changes
    return (
        replace(ledger, gaps=(*stays, *opened)),
        replace(changes, gaps=opened, gaps_over=over),
    )


def accepted_by(policy: Policy, finding: Finding, now_unix_s: float) -> AcceptedFinding | None:
    """Who answers for a finding now; None: nobody."""
    for accepted in policy.residency.accepted:
        same = (accepted.way, accepted.subject) == (finding.way, finding.subject)
        if same and not over(accepted.expires, now_unix_s):
            return accepted
    return None


def watched(policy: Policy) -> frozenset[HostName]:
    """Every host of which there may be findings: those of databases, and of controllers."""
    databases = (host.name for cluster in policy.clusters for host in cluster.hosts)
    return frozenset((*databases, *(site.controller.name for site in policy.sites)))


def _gone(policy: Policy, finding: Finding, scans: tuple[HostScan, ...], now_unix_s: float) -> bool:
    """Somebody looked lately where it would be seen; or it is accepted, or nobody's any more."""
    if finding.host not in watched(policy) or accepted_by(policy, finding, now_unix_s):
        return True
    return any(_could_see(scan, finding) for scan in scans if scan.host == finding.host)


def _could_see(scan: HostScan, finding: Finding) -> bool:
    """Of a way that both looks find something of, neither can tell whose this one is: both."""
    way, into_s = BY_CODE.get(finding.way), scan.catalogues_age_s
    looked = scan.age_s is not None and scan.age_s <= LOOK_AGE_S_MAX
    looked_into = into_s is not None and into_s <= CATALOGUES_AGE_S_MAX
    if finding.way in SEEN_BY_BOTH:
        return looked and looked_into
    return looked if way is not None and way.seen is Seen.EVERY_SECOND else looked_into


def _new_cuts(before: Ledger, scans: tuple[HostScan, ...], now_unix_s: float) -> Iterable[CutSeen]:
    """Two scanners may have ended sessions of the same stranger: it is one cut."""
    known = {cut.key: cut for cut in before.cuts}
    newest: dict[Key, CutSeen] = {}
    for cut in (cut for scan in scans for cut in scan.cuts):
        other = newest.get(cut.key)
        if other is None or cut.last_unix_s > other.last_unix_s:
            newest[cut.key] = cut
    for key, cut in newest.items():
        record = known.get(key)
        again = record is not None and cut.last_unix_s > record.last_unix_s
        if record is None or (again and now_unix_s - record.at_unix_s >= CUT_AGAIN_S):
            yield cut


def _recorded(
    before: Ledger, cuts: tuple[CutSeen, ...], now_unix_s: float
) -> tuple[RecordedCut, ...]:
    records = {cut.key: cut for cut in before.cuts}
    for cut in cuts:
        records.pop(cut.key, None)  # the newest last
        records[cut.key] = RecordedCut(cut.way, cut.host, cut.subject, now_unix_s, cut.last_unix_s)
    return tuple(records.values())[-CUTS_MAX:]
