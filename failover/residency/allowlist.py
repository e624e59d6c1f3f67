"""Where customer data may be: the declared networks of the data sites, in Indonesia (I4).

Deny by default; an address that is in no declared network is denied. Candidates are filtered here
before anything is ranked. Pure; resolves no names and guesses no countries.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from failover.model import SiteKind
from failover.policy import Address, DatabaseHost, Policy, Site

COUNTRY = "ID"


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 one; every other address as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def site_of(policy: Policy, address: Address) -> Site | None:
    """The data site in whose declared networks the address is; None: data may not go there."""
    plain = unmapped(address)
    for site in policy.sites:
        holds_data = site.kind is SiteKind.DATA and site.country == COUNTRY
        if holds_data and any(plain in network for network in site.networks):
            return site
    return None


def allowed(policy: Policy, host: DatabaseHost) -> bool:
    """The host stands in a declared network, and in that of the site it is said to be at."""
    site = site_of(policy, host.address)
    return site is not None and site.name == host.site


def candidates(policy: Policy, hosts: Iterable[DatabaseHost]) -> tuple[DatabaseHost, ...]:
    """Those hosts that may hold customer data, in their order."""
    return tuple(host for host in hosts if allowed(policy, host))
