"""What a database host may send where: the rules of its firewall, from the allowlist. Pure.

Invariant: a packet leaves for a declared network, for what that network is there for, or not at
all. No names, no connection tracking: a session that was open before is stopped too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from failover.policy import DatabaseHost, Network, Policy, Purpose
from failover.residency.allowlist import entries

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Group:
    """Networks of one family, one purpose and one end. ``before``: the first moment that does not
    count any more, in the host's own time zone, as nft reads it."""

    purpose: Purpose
    version: int
    networks: tuple[Network, ...]
    expires: date | None

    @property
    def set_name(self) -> str:
        until = f"_until_{self.expires:%Y%m%d}" if self.expires else ""
        return f"{self.purpose}{self.version}{until}"

    @property
    def type(self) -> str:
        return f"ipv{self.version}_addr"

    @property
    def match(self) -> str:
        """The beginning of every rule for these networks."""
        family = "ip" if self.version == 4 else "ip6"
        time = ""
        if self.expires is not None:
            time = f' meta time < "{self.expires + timedelta(days=1):%Y-%m-%d} 00:00:00"'
        return f"{family} daddr @{self.set_name}{time}"


def groups(policy: Policy) -> tuple[Group, ...]:
    """Every declared network that may ever count, by purpose, family and end."""
    found: dict[tuple[Purpose, int, date | None], list[Network]] = {}
    for entry in entries(policy):
        for purpose in entry.declared.purposes if entry.inside else ():
            key = (purpose, entry.network.version, entry.declared.expires)
            found.setdefault(key, []).append(entry.network)
    ordered = sorted(found.items(), key=lambda item: (*item[0][:2], str(item[0][2] or "")))
    return tuple(Group(*key[:2], tuple(nets), key[2]) for key, nets in ordered)


def rules(policy: Policy, host: DatabaseHost) -> Iterator[tuple[str, str]]:
    """(comment, rule) in order; the comment stands above the first of its rules."""
    for group in groups(policy):
        for what, ports in _ports(policy, host, group.purpose):
            yield f"{group.purpose}: {what}", f"{group.match} {ports} accept"
        yield f"{group.purpose}: errors and pings", f"{group.match} {_icmp(group)} accept"


def _ports(policy: Policy, host: DatabaseHost, purpose: Purpose) -> Iterator[tuple[str, str]]:
    hosts = [each for cluster in policy.clusters for each in cluster.hosts]
    postgres = _set(each.postgres_port for each in hosts)
    match purpose:
        case Purpose.REPLICATION:
            patroni = _set(each.patroni_port for each in hosts)
            yield "standbys and their upstreams", f"tcp sport {host.postgres_port}"
            yield "standbys and their upstreams", f"tcp dport {postgres}"
            yield "Patroni asks its members", f"tcp sport {host.patroni_port}"
            yield "Patroni asks its members", f"tcp dport {patroni}"
        case Purpose.CLIENT:
            answers = _set((*host.client_ports, host.guard_port))
            yield "answers of PostgreSQL, and of the guard to HAProxy", f"tcp sport {answers}"
        case Purpose.BACKUP:
            yield "backups", "meta l4proto tcp"
        case Purpose.OPERATIONS:
            zookeeper = _set(each.client_port for each in policy.zookeeper_servers)
            answers = _set((*host.client_ports, host.patroni_port, host.guard_port, SSH_PORT))
            yield "answers to controllers, monitoring and operators", f"tcp sport {answers}"
            yield "ZooKeeper", f"tcp dport {zookeeper}"
            yield "names and time", "meta l4proto { tcp, udp } th dport { 53, 123 }"
    for endpoint in policy.residency.endpoints:
        if endpoint.purpose is purpose and purpose is not Purpose.BACKUP:
            port = f"meta l4proto {{ tcp, udp }} th dport {endpoint.port}"
            yield f"endpoint {endpoint.name}", port


def _icmp(group: Group) -> str:
    if group.version == 4:
        return "icmp type { echo-request, echo-reply, destination-unreachable, time-exceeded }"
    return (
        "icmpv6 type { echo-request, echo-reply, destination-unreachable, packet-too-big, "
        "time-exceeded }"
    )


def _set(ports: object) -> str:
    distinct = sorted({int(port) for port in ports})  # type: ignore[attr-defined]
    return str(distinct[0]) if len(distinct) == 1 else "{ " + ", ".join(map(str, distinct)) + " }"
