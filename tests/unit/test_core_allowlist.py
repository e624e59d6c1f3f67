"""Where customer data may be: declared networks of data sites in Indonesia, nothing else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failover.residency.allowlist import allowed, candidates, site_of
from tests.scenarios.world import policy_of

POLICY = policy_of()


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("10.77.1.11", "jakarta"),
        ("10.77.2.255", "makassar"),
        ("::ffff:10.77.2.11", "makassar"),
        ("10.77.3.31", None),  # the witness holds no data
        ("10.78.1.11", None),
        ("::a4d:10b", None),  # the same bytes, but not a mapped address
        ("2001:db8::1", None),
    ],
)
def test_site_of(address: str, site: str | None) -> None:
    found = site_of(POLICY, ip_address(address))
    assert (found.name if found else None) == site


def test_a_site_abroad_may_hold_nothing() -> None:
    sites = tuple(replace(s, country="SG") if s.name == "makassar" else s for s in POLICY.sites)
    abroad = replace(POLICY, sites=sites)
    assert site_of(abroad, ip_address("10.77.2.11")) is None
    assert [h.name for h in candidates(abroad, abroad.clusters[0].hosts)] == ["jkt-db1", "jkt-db2"]


def test_a_host_in_the_other_sites_network_is_denied() -> None:
    host = replace(POLICY.clusters[0].hosts[0], address=ip_address("10.77.2.99"))
    assert not allowed(POLICY, host)


@given(st.ip_addresses())
def test_allowed_is_exactly_the_declared_networks(address: object) -> None:
    plain = address
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        plain = address.ipv4_mapped
    declared = [ip_network("10.77.1.0/24"), ip_network("10.77.2.0/24")]
    assert (site_of(POLICY, address) is not None) == any(plain in n for n in declared)  # type: ignore[arg-type, operator]
