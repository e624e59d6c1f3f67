"""Where customer data may be and move: the networks that the operator has declared (I4).

Invariant: deny by default. An address counts only by a declared network in Indonesia that is there
for the purpose and has not run out, or by an exception that has not; all else is outside. Whole
copies stand at data sites alone, never by an exception. Candidates are filtered here before
anything is ranked. Pure: the time is an argument, no name is resolved, no country is guessed from
an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Any

from failover.model import SiteKind
from failover.policy import (
    Address,
    DatabaseHost,
    DeclaredNetwork,
    Network,
    NetworkException,
    Policy,
    Purpose,
    Site,
    over,
)

COUNTRY = "ID"
COMPARED_MAX = 4096
_MAPPED = ip_network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the allowlist. ``site`` is None for an exception."""

    declared: DeclaredNetwork | NetworkException
    site: Site | None

    @property
    def network(self) -> Network:
        return self.declared.network

    @property
    def inside(self) -> bool:
        """In Indonesia, or by an exception; it may have run out."""
        return self.site is None or self.site.country == self.declared.country == COUNTRY

    def counts(self, now_unix_s: float) -> bool:
        """Inside, and not run out."""
        return self.inside and not over(self.declared.expires, now_unix_s)


def entries(policy: Policy) -> tuple[Entry, ...]:
    """Every line, whether it counts or not: the sites' networks, then the exceptions."""
    declared = (Entry(each, site) for site in policy.sites for each in site.declared)
    return (*declared, *(Entry(each, None) for each in policy.residency.exceptions))


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 one; every other address as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def unmapped_network(network: Network) -> Network:
    """The IPv4 network inside a mapped one; every other network as it is."""
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):  # type: ignore[arg-type]
        return network
    first = unmapped(network.network_address)
    return ip_network(f"{first}/{network.prefixlen - 96}")


def entry_of(policy: Policy, address: Address, now_unix_s: float) -> Entry | None:
    """The line that covers an address now; None: it is outside."""
    plain = unmapped(address)
    for entry in entries(policy):
        if plain in entry.network and entry.counts(now_unix_s):
            return entry
    return None


def permits(policy: Policy, address: Address, purpose: Purpose, now_unix_s: float) -> bool:
    """Whether data may go to this address for this purpose now."""
    entry = entry_of(policy, address, now_unix_s)
    return entry is not None and purpose in entry.declared.purposes


def covers(
    policy: Policy, network: Network, purposes: Iterable[Purpose], now_unix_s: float
) -> bool:
    """Whether every address of a network may be there for at least one of the purposes."""
    wanted = set(purposes)
    inside = tuple(
        entry.network
        for entry in entries(policy)
        if entry.counts(now_unix_s) and not wanted.isdisjoint(entry.declared.purposes)
    )
    return _inside(unmapped_network(network), inside)


@lru_cache(maxsize=COMPARED_MAX)  # the same lines of pg_hba.conf are judged every second
def _inside(plain: Network, networks: tuple[Network, ...]) -> bool:
    """Whether the networks together have every address of one."""
    alike: list[Any] = [each for each in networks if each.version == plain.version]
    return any(plain.subnet_of(each) for each in collapse_addresses(alike))


def site_of(policy: Policy, address: Address, now_unix_s: float) -> Site | None:
    """The data site in whose networks whole copies may stand at this address; None: nowhere."""
    entry = entry_of(policy, address, now_unix_s)
    if entry is None or entry.site is None or entry.site.kind is not SiteKind.DATA:
        return None
    return entry.site if Purpose.REPLICATION in entry.declared.purposes else None


def allowed(policy: Policy, host: DatabaseHost, now_unix_s: float) -> bool:
    """The host stands in such a network, and in one of the site it is said to be at."""
    site = site_of(policy, host.address, now_unix_s)
    return site is not None and site.name == host.site


def candidates(
    policy: Policy, hosts: Iterable[DatabaseHost], now_unix_s: float
) -> tuple[DatabaseHost, ...]:
    """Those hosts that may hold customer data, in their order."""
    return tuple(host for host in hosts if allowed(policy, host, now_unix_s))


# --------------------------------------------------------------------------- names


@dataclass(frozen=True, slots=True)
class Denied:
    """Why nothing may be sent to a name now."""

    reason: str


def judge_answers(
    policy: Policy, answers: Sequence[Address], purpose: Purpose, now_unix_s: float
) -> tuple[Address, ...] | Denied:
    """The addresses that a name stands for, where all are inside; else why none may be used.

    One answer outside denies all: which of them a library would dial is not ours to say. The
    caller dials what is returned here, never the name, so that no later answer counts.
    """
    if not answers:
        return Denied("it resolves to nothing, and unknown is denied")
    outside = [a for a in answers if not permits(policy, a, purpose, now_unix_s)]
    if outside:
        listed = ", ".join(str(address) for address in outside)
        return Denied(f"it resolves to {listed}, declared nowhere for {purpose}")
    return tuple(unmapped(address) for address in answers)
