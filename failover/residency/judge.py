"""What was seen of a server, against the allowlist: findings, and what is to be cut. Pure.

Invariant: what cannot be understood is a finding, never passed over. Nothing is cut but sessions
from outside, and walsenders that no declared network can explain; never a session of a declared
address, and never a slot that is declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address, ip_network

from failover.model import HostName
from failover.policy import Address, Cluster, DatabaseHost, Network, Policy, Purpose
from failover.residency.allowlist import covers, entry_of, permits, unmapped, unmapped_network
from failover.residency.facts import CLIENT, WALSENDER, HbaRule, HostFacts, Session
from failover.residency.findings import FINDINGS_MAX, Finding
from failover.residency.ways import SETTINGS

LOCAL_SOCKET = "local socket"
ANY_PURPOSE = tuple(Purpose)
READ_ONCE_MAX = 4096


@dataclass(frozen=True, slots=True)
class Cut:
    """Sessions from one address to end. ``address`` None: walsenders through the local socket."""

    finding: Finding
    address: Address | None
    walsenders_only: bool


@dataclass(frozen=True, slots=True)
class Judged:
    findings: tuple[Finding, ...]
    cuts: tuple[Cut, ...]


def judge_host(policy: Policy, host: DatabaseHost, facts: HostFacts, now_unix_s: float) -> Judged:
    """Everything that one look every second shows of one server."""
    cuts = tuple(_sessions(policy, host, facts.sessions, now_unix_s))
    others = [
        *_workers(host, facts.sessions),
        *_slots(policy, host, facts),
        *_hba(policy, host, facts.hba, now_unix_s),
        *_settings(policy, host.name, facts.settings),
        *_upstreams(policy, host, facts.upstreams, now_unix_s),
    ]
    return Judged(limited([*(cut.finding for cut in cuts), *others]), cuts)


def limited(found: list[Finding]) -> tuple[Finding, ...]:
    """Each once; where there are too many, the last says how many more."""
    distinct = list({finding.key: finding for finding in found}.values())
    if len(distinct) <= FINDINGS_MAX:
        return tuple(distinct)
    kept, host = distinct[: FINDINGS_MAX - 1], distinct[0].host
    more = Finding("unseen", host, "more findings", f"{len(distinct) - len(kept)} more")
    return (*kept, more)


# --------------------------------------------------------------------------- sessions


def _sessions(
    policy: Policy, host: DatabaseHost, sessions: tuple[Session, ...], now_unix_s: float
) -> Iterator[Cut]:
    for session in sessions:
        if session.kind == WALSENDER:
            way = _walsender(policy, session, now_unix_s)
        elif session.kind == CLIENT and _outside(policy, session, now_unix_s):
            way = "client"
        else:
            continue
        if way:
            place = LOCAL_SOCKET if session.address is None else str(unmapped(session.address))
            finding = Finding(way, host.name, place, _who(session))
            foreign = session.address is not None and _outside(policy, session, now_unix_s)
            yield Cut(finding, session.address, walsenders_only=not foreign)


def _walsender(policy: Policy, session: Session, now_unix_s: float) -> str:
    """Which way out it is; empty for none. Patroni asks for the server's identity through the local
    socket, and sends nothing: such a walsender stays in ``startup``."""
    address = session.address
    if address is None:
        return "local_walsender" if session.state not in ("", "startup") else ""
    if unmapped(address).is_loopback:
        return "local_walsender"
    if permits(policy, address, Purpose.REPLICATION, now_unix_s):
        return ""
    return "base_backup" if session.state == "backup" else "walsender"


def _outside(policy: Policy, session: Session, now_unix_s: float) -> bool:
    """From an address that counts for nothing. A client through loopback is on the host already."""
    address = session.address
    if address is None or unmapped(address).is_loopback:
        return False
    return entry_of(policy, address, now_unix_s) is None


def _who(session: Session) -> str:
    words = [f"role {session.role or 'unknown'}"]
    if session.superuser:
        words.append("a superuser, whose sessions are not ours to end")
    if session.database:
        words.append(f"database {session.database}")
    if session.slot:
        words.append(f"slot {session.slot}")
    return ", ".join(words)


def _workers(host: DatabaseHost, sessions: tuple[Session, ...]) -> Iterator[Finding]:
    for session in sessions:
        if session.kind.startswith("logical replication"):
            subject = f"{session.database or '?'}: worker"
            yield Finding("subscription", host.name, subject, session.kind)


# --------------------------------------------------------------------------- slots


def member_slot(name: HostName) -> str:
    """The slot that Patroni makes for a member (``slot_name_from_member_name`` in its dcs)."""
    marks = re.sub(r"[-.]", "_", str(name).lower())
    return re.sub(r"[^a-z0-9_]", lambda found: f"u{ord(found[0]):04d}", marks)[:63]


def declared_slots(policy: Policy, cluster: Cluster) -> tuple[str, ...]:
    """The slots that Patroni and this software make on the hosts of a cluster."""
    sites = (f"failover_{site.name}" for site in policy.data_sites)
    return (*sites, *(member_slot(host.name) for host in cluster.hosts))


def _slots(policy: Policy, host: DatabaseHost, facts: HostFacts) -> Iterator[Finding]:
    """A temporary physical slot lives and ends with its session, which is judged itself."""
    declared = declared_slots(policy, policy.cluster(host.cluster))
    for slot in facts.slots:
        if slot.logical:
            yield Finding("logical_slot", host.name, slot.name, f"database {slot.database}")
        elif not slot.temporary and slot.name not in declared:
            yield Finding("physical_slot", host.name, slot.name, "")


# --------------------------------------------------------------------------- pg_hba.conf


def _hba(
    policy: Policy, host: DatabaseHost, rules: tuple[HbaRule, ...], now_unix_s: float
) -> Iterator[Finding]:
    for rule in rules:
        if rule.broken:
            yield Finding("hba_unreadable", host.name, "pg_hba.conf", f"line {rule.line}")
        elif rule.type != "local" and rule.method != "reject":
            network = _network(rule.address, rule.netmask)
            if network is None or not _let_in(policy, rule, network, now_unix_s):
                yield Finding("hba_line", host.name, str(rule), "")
            if rule.method == "trust":
                yield Finding("hba_trust", host.name, str(rule), "")


@lru_cache(maxsize=READ_ONCE_MAX)  # the same lines again every second
def _network(address: str, netmask: str) -> Network | None:
    """None: everybody, a name, or nothing that can be understood."""
    if address == "samehost":
        return ip_network("127.0.0.1/32")
    try:
        return unmapped_network(ip_network(f"{address}/{_prefix(netmask)}", strict=False))
    except ValueError:
        return None


def _prefix(netmask: str) -> str:
    """PostgreSQL shows IPv6 masks as addresses, which ``ip_network`` does not take."""
    if ":" not in netmask:
        return netmask
    bits = f"{int(ip_address(netmask)):0128b}"
    if "01" in bits:
        raise ValueError(f"{netmask} is no mask")
    return str(bits.count("1"))


def _let_in(policy: Policy, rule: HbaRule, network: Network, now_unix_s: float) -> bool:
    if network.is_loopback:
        return True
    others = [database for database in rule.databases if database != "replication"]
    replication = (Purpose.REPLICATION,)
    return (
        "replication" not in rule.databases or covers(policy, network, replication, now_unix_s)
    ) and (not others or covers(policy, network, ANY_PURPOSE, now_unix_s))


# --------------------------------------------------------------------------- settings


RECOVERY_END = "/usr/lib/failover/barrier/recovery_end.sh"  # as guard/barrier.py says it


@lru_cache(maxsize=READ_ONCE_MAX)
def fingerprint(value: str) -> str:
    return sha256(value.encode()).hexdigest()


def allowed_values(policy: Policy, host: HostName, name: str) -> tuple[str, ...]:
    """Values of a setting that need no finding: what is declared, what is usual, and what the
    guard's start barrier sets (decision 0017)."""
    said = dict(policy.residency.settings)
    own = {"recovery_end_command": f"{RECOVERY_END} {policy.host(host).cluster}"}
    return (*SETTINGS[name], *(values[name] for values in (said, own) if name in values))


def _settings(
    policy: Policy, host: HostName, settings: tuple[tuple[str, str], ...]
) -> Iterator[Finding]:
    for name, digest in settings:
        values = allowed_values(policy, host, name) if name in SETTINGS else ()
        if digest not in [fingerprint(value) for value in values]:
            yield Finding("setting", host, name, f"SHA-256 {digest[:16]}…")


def _upstreams(
    policy: Policy, host: DatabaseHost, upstreams: tuple[str, ...], now_unix_s: float
) -> Iterator[Finding]:
    for upstream in upstreams:
        if upstream.startswith(("/", "@")):
            continue  # a socket of the same host
        try:
            inside = permits(policy, ip_address(upstream), Purpose.REPLICATION, now_unix_s)
        except ValueError:
            inside = False  # a name could be moved, "?" is a service file or an environment
        if not inside:
            yield Finding("upstream", host.name, upstream, "")
