"""The report as plain values: configuration, history and ledger for a period → Report. Pure.

Invariant: nothing about customers is in it (networks, hosts, roles, names of objects; no row, no
statement, no value of a setting), and what the sources do not say is said to be unknown. It judges
nothing that was not judged on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from failover.history import HeadSeen
from failover.history_check import Stored, check_history
from failover.model import SiteKind
from failover.policy import Address, Policy, Purpose, over
from failover.residency.allowlist import entries as lines
from failover.residency.allowlist import entry_of
from failover.residency.findings import LedgerSeen
from failover.residency.report.record import CutTold, GapTold, Spell, Told, reconciled, told
from failover.residency.ways import WAYS, Seen
from failover.state import HistoryEntry, HistoryHead

REPORT_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, the last one included."""

    first: date
    last: date

    @property
    def from_unix_s(self) -> float:
        return _midnight(self.first)

    @property
    def to_unix_s(self) -> float:
        """The end of the last day, which is not in it any more."""
        return _midnight(self.last + timedelta(days=1))

    def has(self, at_unix_s: float) -> bool:
        return self.from_unix_s <= at_unix_s < self.to_unix_s

    def touches(self, from_unix_s: float, to_unix_s: float | None) -> bool:
        """Something that began then and ended then (None: it did not) was there in the period."""
        ended_before = to_unix_s is not None and to_unix_s < self.from_unix_s
        return from_unix_s < self.to_unix_s and not ended_before


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A declared network. ``over``: its last day had passed when the report was made."""

    network: str
    site: str
    country: str
    owner: str
    purposes: tuple[str, ...]
    expires: str | None
    over: bool


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """A network that the rule forbids. ``over``: its last day has passed, it counts no more."""

    network: str
    owner: str
    country: str
    purposes: tuple[str, ...]
    approver: str
    reason: str
    expires: str
    over: bool


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    way: str
    subject: str
    approver: str
    reason: str
    expires: str
    over: bool


@dataclass(frozen=True, slots=True)
class HostRow:
    """``kind``: database, proxy, zookeeper, controller. ``network`` None: in none that counts."""

    name: str
    kind: str
    site: str
    cluster: str | None
    address: str
    network: str | None


@dataclass(frozen=True, slots=True)
class ReceiverRow:
    """Who may receive something of a database host, by the configuration.

    ``kind``: replication, observer, proxy, endpoint. ``place``: address or name, with the port.
    """

    name: str
    kind: str
    purpose: str
    place: str
    site: str | None


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting that runs a command or names a place, as declared: its fingerprint alone."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ChainRow:
    """Whether the history is what was written, and which one the report was made from."""

    whole: bool
    chained: int
    unchained: int
    head_number: int | None
    head_sha256: str | None
    compared_with_logs: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that the sources do not say. ``code``: a text of ``texts``; ``count``: in it."""

    code: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything, language apart."""

    group: str
    version: str
    made_unix_s: float
    period: Period
    configuration_sha256: str
    cuts_enabled: bool
    chain: ChainRow
    disagreements: int | None  # of history and ledger; None: the ledger could not be read
    findings: tuple[Spell, ...]
    cuts: tuple[CutTold, ...]
    gaps: tuple[GapTold, ...]
    exceptions: tuple[ExceptionRow, ...]
    accepted: tuple[AcceptedRow, ...]
    networks: tuple[NetworkRow, ...]
    hosts: tuple[HostRow, ...]
    receivers: tuple[ReceiverRow, ...]
    settings: tuple[SettingRow, ...]
    unobservable: tuple[str, ...]
    limits: tuple[Limit, ...]

    @property
    def reliable(self) -> bool:
        """The chain is whole, and the ledger says the same as the history."""
        return self.chain.whole and self.disagreements == 0


@dataclass(frozen=True, slots=True)
class Sources:
    """What a report is made from: the history in the order of its znodes, its head, heads that
    controllers have logged, the ledger, and the SHA-256 of failover.yaml as it was read."""

    entries: Sequence[Stored]
    head: HeadSeen
    logged: Sequence[HistoryHead]
    ledger: LedgerSeen
    configuration_sha256: str


def compose(
    policy: Policy, sources: Sources, period: Period, *, made_unix_s: float, version: str
) -> Report:
    """The report for a period; ``made_unix_s``: now."""
    known = [stored.entry for stored in sources.entries if stored.entry is not None]
    said, disagreements = _told(known, sources.ledger)
    chain = _chain(sources)
    return Report(
        group=policy.group,
        version=version,
        made_unix_s=made_unix_s,
        period=period,
        configuration_sha256=sources.configuration_sha256,
        cuts_enabled=policy.residency.cut,
        chain=chain,
        disagreements=disagreements,
        findings=tuple(f for f in said.findings if period.touches(f.from_unix_s, f.to_unix_s)),
        cuts=tuple(cut for cut in said.cuts if period.has(cut.at_unix_s)),
        gaps=tuple(gap for gap in said.gaps if period.touches(gap.from_unix_s, gap.to_unix_s)),
        exceptions=tuple(exceptions(policy, made_unix_s)),
        accepted=tuple(_accepted(policy, made_unix_s)),
        networks=tuple(_networks(policy, made_unix_s)),
        hosts=tuple(_hosts(policy, made_unix_s)),
        receivers=tuple(_receivers(policy)),
        settings=tuple(
            SettingRow(name, sha256(value.encode()).hexdigest())
            for name, value in policy.residency.settings
        ),
        unobservable=tuple(way.code for way in WAYS if way.seen is Seen.NEVER),
        limits=tuple(_limits(said, chain, disagreements, period, made_unix_s)),
    )


def _told(entries: list[HistoryEntry], seen: LedgerSeen) -> tuple[Told, int | None]:
    said = told(entries)
    if seen.problem:
        return said, None
    return reconciled(said, seen.ledger)


def _chain(sources: Sources) -> ChainRow:
    wrong = check_history(sources.entries, sources.head, sources.logged)
    head = sources.head.head
    return ChainRow(
        whole=not wrong,
        chained=sum(stored.number > 0 for stored in sources.entries),
        unchained=sum(s.entry is not None and s.number == 0 for s in sources.entries),
        head_number=head.number if head else None,
        head_sha256=head.sha256 if head else None,
        compared_with_logs=len(sources.logged),
        wrong=tuple(finding.what for finding in wrong),
    )


# --------------------------------------------------------------------------- what is declared


def _purposes(purposes: tuple[Purpose, ...]) -> tuple[str, ...]:
    return tuple(purpose.value for purpose in purposes)


def _networks(policy: Policy, now_unix_s: float) -> Iterator[NetworkRow]:
    for line in lines(policy):
        if line.site is None:
            continue
        each = line.declared
        yield NetworkRow(
            network=str(each.network),
            site=line.site.name,
            country=each.country,
            owner=each.owner,
            purposes=_purposes(each.purposes),
            expires=each.expires.isoformat() if each.expires else None,
            over=over(each.expires, now_unix_s),
        )


def exceptions(policy: Policy, now_unix_s: float) -> Iterator[ExceptionRow]:
    """Every exception of failover.yaml, those that are over included."""
    for each in policy.residency.exceptions:
        yield ExceptionRow(
            network=str(each.network),
            owner=each.owner,
            country=each.country,
            purposes=_purposes(each.purposes),
            approver=each.approver,
            reason=each.reason,
            expires=each.expires.isoformat(),
            over=over(each.expires, now_unix_s),
        )


def _accepted(policy: Policy, now_unix_s: float) -> Iterator[AcceptedRow]:
    for each in policy.residency.accepted:
        yield AcceptedRow(
            way=each.way,
            subject=each.subject,
            approver=each.approver,
            reason=each.reason,
            expires=each.expires.isoformat(),
            over=over(each.expires, now_unix_s),
        )


def _hosts(policy: Policy, now_unix_s: float) -> Iterator[HostRow]:
    def row(name: str, kind: str, site: str, address: Address, cluster: str | None) -> HostRow:
        line = entry_of(policy, address, now_unix_s)
        network = str(line.network) if line else None
        return HostRow(name, kind, site, cluster, str(address), network)

    for cluster in policy.clusters:
        for host in cluster.hosts:
            yield row(host.name, "database", host.site, host.address, cluster.name)
    for site in policy.sites:
        for proxy in site.proxies:
            yield row(proxy.name, "proxy", site.name, proxy.address, None)
        for server in site.zookeeper:
            yield row(server.name, "zookeeper", site.name, server.address, None)
        yield row(site.controller.name, "controller", site.name, site.controller.address, None)


def _receivers(policy: Policy) -> Iterator[ReceiverRow]:
    for cluster in policy.clusters:
        for host in cluster.hosts:
            place = _place(host.address, host.postgres_port)
            purpose = Purpose.REPLICATION.value
            yield ReceiverRow(host.name, "replication", purpose, place, host.site)
    for site in policy.sites:
        for proxy in site.proxies if site.kind is SiteKind.DATA else ():
            purpose = Purpose.CLIENT.value
            yield ReceiverRow(proxy.name, "proxy", purpose, str(proxy.address), site.name)
        observer = site.controller
        purpose = Purpose.OPERATIONS.value
        yield ReceiverRow(observer.name, "observer", purpose, str(observer.address), site.name)
    for each in policy.endpoints:
        place = _place(each.host, each.port)
        yield ReceiverRow(each.name, "endpoint", each.purpose.value, place, None)


def _place(host: Address | str, port: int) -> str:
    text = str(host)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


# --------------------------------------------------------------------------- what is not said


def _limits(
    said: Told, chain: ChainRow, disagreements: int | None, period: Period, made_unix_s: float
) -> Iterator[Limit]:
    """First what is particular to this report, then what is always so."""
    if not chain.whole:
        yield Limit("chain_not_whole", len(chain.wrong))
    if disagreements is None:
        yield Limit("ledger_unreadable")
    elif disagreements:
        yield Limit("disagreements", disagreements)
    if period.to_unix_s > made_unix_s:
        yield Limit("period_not_over")
    if chain.unchained:
        yield Limit("unchained", chain.unchained)
    if said.left_out:
        yield Limit("left_out", sum(count for _, count in said.left_out))
    if said.rewritten_unix_s:
        yield Limit("rewritten", len(said.rewritten_unix_s))
    if said.odd:
        yield Limit("odd", said.odd)
    if not chain.compared_with_logs:
        yield Limit("not_compared")
    for code in ALWAYS:
        yield Limit(code)


ALWAYS = (
    "configuration_now",
    "no_leader",
    "short_gaps",
    "between_looks",
    "declared_sessions",
    "gone_means",
    "cut_again",
    "clock",
)
