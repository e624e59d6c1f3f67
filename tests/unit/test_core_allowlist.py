"""Where customer data may be: declared networks in Indonesia, for their purposes, until a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from failover.policy import (
    Address,
    DeclaredNetwork,
    Network,
    NetworkException,
    Policy,
    Purpose,
    Residency,
)
from failover.residency.allowlist import (
    Denied,
    allowed,
    candidates,
    covers,
    entry_of,
    judge_answers,
    permits,
    site_of,
    unmapped,
    unmapped_network,
)
from tests.scenarios.world import policy_of

POLICY = policy_of()
LAST_DAY = date(2027, 6, 30)
NOW_UNIX_S = datetime.combine(LAST_DAY, time(12), UTC).timestamp()
NEXT_DAY_UNIX_S = NOW_UNIX_S + 86400


def declared(
    network: Network, *purposes: Purpose, expires: date | None = None, country: str = "ID"
) -> DeclaredNetwork:
    return DeclaredNetwork(network, "PT Pasar", country, purposes or tuple(Purpose), expires)


def with_makassar(*networks: DeclaredNetwork) -> Policy:
    """Jakarta's 10.77.1.0/24 stays; Makassar has these."""
    sites = (replace(s, declared=networks) if s.name == "makassar" else s for s in POLICY.sites)
    return replace(POLICY, sites=tuple(sites))


def exception(network: Network, *purposes: Purpose) -> Policy:
    made = NetworkException(network, "Vendor", "SG", purposes, "CTO", "migration", LAST_DAY)
    return replace(POLICY, residency=Residency(exceptions=(made,)))


# --------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("10.77.1.11", "jakarta"),
        ("10.77.2.255", "makassar"),
        ("::ffff:10.77.2.11", "makassar"),
        ("10.77.3.31", None),  # the witness holds no data
        ("10.78.1.11", None),
        ("::a4d:10b", None),  # the same bytes, but not a mapped address
        ("64:ff9b::10.77.1.11", None),  # translated somewhere else
        ("2002:a4d:10b::1", None),
        ("2001:db8::1", None),
    ],
)
def test_site_of(address: str, site: str | None) -> None:
    found = site_of(POLICY, ip_address(address), NOW_UNIX_S)
    assert (found.name if found else None) == site


def test_a_site_abroad_may_hold_nothing() -> None:
    sites = tuple(replace(s, country="SG") if s.name == "makassar" else s for s in POLICY.sites)
    abroad = replace(POLICY, sites=sites)
    assert site_of(abroad, ip_address("10.77.2.11"), NOW_UNIX_S) is None
    found = candidates(abroad, abroad.clusters[0].hosts, NOW_UNIX_S)
    assert [h.name for h in found] == ["jkt-db1", "jkt-db2"]


def test_a_network_abroad_of_a_site_at_home_counts_for_nothing() -> None:
    abroad = with_makassar(declared(ip_network("10.77.2.0/24"), country="SG"))
    assert entry_of(abroad, ip_address("10.77.2.11"), NOW_UNIX_S) is None


def test_a_host_in_the_other_sites_network_is_denied() -> None:
    host = replace(POLICY.clusters[0].hosts[0], address=ip_address("10.77.2.99"))
    assert not allowed(POLICY, host, NOW_UNIX_S)


def test_the_last_day_counts_and_the_next_does_not() -> None:
    policy = with_makassar(declared(ip_network("10.77.2.0/24"), expires=LAST_DAY))
    host = POLICY.clusters[0].hosts[2]
    assert allowed(policy, host, NOW_UNIX_S)
    assert not allowed(policy, host, NEXT_DAY_UNIX_S)


def test_whole_copies_stand_only_in_networks_for_replication() -> None:
    network = ip_network("10.77.2.0/24")
    others = [purpose for purpose in Purpose if purpose is not Purpose.REPLICATION]
    policy = with_makassar(declared(network, *others))
    assert candidates(policy, POLICY.clusters[0].hosts[2:], NOW_UNIX_S) == ()
    assert permits(policy, ip_address("10.77.2.11"), Purpose.CLIENT, NOW_UNIX_S)


def test_an_exception_lets_in_for_its_purpose_until_its_end_and_makes_no_candidate() -> None:
    policy = exception(ip_network("192.0.2.0/28"), Purpose.OPERATIONS, Purpose.REPLICATION)
    address = ip_address("192.0.2.3")
    assert permits(policy, address, Purpose.OPERATIONS, NOW_UNIX_S)
    assert not permits(policy, address, Purpose.CLIENT, NOW_UNIX_S)
    assert not permits(policy, address, Purpose.OPERATIONS, NEXT_DAY_UNIX_S)
    host = replace(POLICY.clusters[0].hosts[0], address=address)
    assert not allowed(policy, host, NOW_UNIX_S)


@pytest.mark.parametrize(
    ("network", "inside"),
    [
        ("10.77.1.0/24", True),
        ("10.77.1.64/26", True),
        ("10.77.2.11/32", True),
        ("10.77.0.0/16", False),
        ("10.77.2.0/23", False),  # half of it is the witness's
        ("0.0.0.0/0", False),
        ("::/0", False),
        ("::ffff:10.77.1.0/120", True),
        ("::ffff:0:0/96", False),
        ("::/80", False),
    ],
)
def test_covers(network: str, inside: bool) -> None:
    wanted = (Purpose.REPLICATION, Purpose.CLIENT)
    assert covers(POLICY, ip_network(network), wanted, NOW_UNIX_S) is inside


def test_two_halves_cover_the_whole() -> None:
    halves = (declared(ip_network("10.80.0.0/25")), declared(ip_network("10.80.0.128/25")))
    policy = with_makassar(*halves)
    assert covers(policy, ip_network("10.80.0.0/24"), (Purpose.CLIENT,), NOW_UNIX_S)


# --------------------------------------------------------------------------- properties


def networks(version: int) -> st.SearchStrategy[Any]:
    """Any network that failover.yaml takes, and not 10.77.0.0/16, which is the fixed sites'."""
    bits, widest = (32, 8) if version == 4 else (128, 16)
    made = st.builds(
        lambda number, prefix: ip_network((number >> (bits - prefix) << (bits - prefix), prefix)),
        st.integers(0, 2**bits - 1),
        st.integers(widest, bits),
    )
    fixed = ip_network("10.77.0.0/16")
    mapped = ip_network("::ffff:0:0/96")
    return made.filter(lambda n: not n.overlaps(fixed if version == 4 else mapped))


ANY_NETWORK = networks(4) | networks(6)
PURPOSES = st.lists(st.sampled_from(Purpose), min_size=1, unique=True)
DECLARED = st.builds(
    lambda network, purposes, expires: declared(network, *purposes, expires=expires),
    ANY_NETWORK,
    PURPOSES,
    st.none() | st.dates(date(2026, 1, 1), date(2029, 1, 1)),
)
FIXED = [declared(ip_network("10.77.1.0/24"))]


def near(network: Network) -> st.SearchStrategy[Address]:
    """An address at or around the borders of a network."""
    first = int(network.network_address)
    last = first + network.num_addresses - 1
    bits = network.max_prefixlen
    kind = type(network.network_address)
    places = (first - 1, first, (first + last) // 2, last, last + 1)
    return st.sampled_from([kind(place) for place in places if 0 <= place < 2**bits])


def inside(lines: Sequence[DeclaredNetwork], address: Address, purpose: Purpose) -> bool:
    """By plain arithmetic on the numbers of addresses."""
    number, version = int(address), address.version
    if version == 6 and number >> 32 == 0xFFFF:
        number, version = number & 0xFFFFFFFF, 4
    return any(
        line.network.version == version
        and int(line.network.network_address) <= number
        and number < int(line.network.network_address) + line.network.num_addresses
        and purpose in line.purposes
        and (line.expires is None or line.expires >= LAST_DAY)
        for line in lines
    )


@given(lines=st.lists(DECLARED, max_size=4), data=st.data(), purpose=st.sampled_from(Purpose))
def test_permitted_is_exactly_what_is_declared(
    lines: list[DeclaredNetwork], data: st.DataObject, purpose: Purpose
) -> None:
    distinct = [
        line for i, line in enumerate(lines)
        if not any(
            line.network.version == o.network.version and line.network.overlaps(o.network)  # type: ignore[arg-type]
            for o in lines[:i]
        )
    ]  # fmt: skip
    policy = with_makassar(*distinct)
    addresses = st.ip_addresses()
    for line in distinct:
        addresses |= near(line.network)
    address = data.draw(addresses)
    assume(address not in ip_network("10.77.3.0/24"))
    lines_that_count = [*distinct, *FIXED]
    assert permits(policy, address, purpose, NOW_UNIX_S) == inside(
        lines_that_count, address, purpose
    )
    holds = inside(lines_that_count, address, Purpose.REPLICATION)
    assert (site_of(policy, address, NOW_UNIX_S) is not None) == holds


@given(st.ip_addresses(v=4), st.sampled_from(Purpose))
def test_a_mapped_address_is_the_address_it_maps(address: Address, purpose: Purpose) -> None:
    mapped = ip_address(f"::ffff:{address}")
    assert unmapped(mapped) == address
    assert permits(POLICY, mapped, purpose, NOW_UNIX_S) == permits(
        POLICY, address, purpose, NOW_UNIX_S
    )


@given(st.ip_addresses(v=6))
def test_no_other_address_of_ipv6_is_taken_for_ipv4(address: IPv6Address) -> None:
    assume(address.ipv4_mapped is None)
    assert unmapped(address) == address
    assert entry_of(POLICY, address, NOW_UNIX_S) is None  # nothing of IPv6 is declared there


@given(network=networks(4), wider=st.integers(0, 8))
def test_what_covers_a_network_permits_its_first_and_last(network: IPv4Network, wider: int) -> None:
    policy = with_makassar(declared(network, Purpose.CLIENT))
    asked = network.supernet(new_prefix=max(0, network.prefixlen - wider))
    found = covers(policy, asked, (Purpose.CLIENT,), NOW_UNIX_S)
    assert found == (asked == network)
    mapped = ip_network(f"::ffff:{asked.network_address}/{asked.prefixlen + 96}")
    assert unmapped_network(mapped) == asked
    assert covers(policy, mapped, (Purpose.CLIENT,), NOW_UNIX_S) == found
    if found:
        for address in (asked[0], asked[-1]):
            assert permits(policy, address, Purpose.CLIENT, NOW_UNIX_S)


# --------------------------------------------------------------------------- names

ANSWERS = st.lists(near(ip_network("10.77.1.0/24")) | st.ip_addresses(), max_size=5)


@given(answers=ANSWERS, purpose=st.sampled_from(Purpose))
def test_one_answer_outside_denies_all_and_none_is_denied(
    answers: list[Address], purpose: Purpose
) -> None:
    judged = judge_answers(POLICY, answers, purpose, NOW_UNIX_S)
    if answers and all(permits(POLICY, a, purpose, NOW_UNIX_S) for a in answers):
        assert judged == tuple(unmapped(a) for a in answers)
    else:
        assert isinstance(judged, Denied)
        for address in answers:
            if not permits(POLICY, address, purpose, NOW_UNIX_S):
                assert str(address) in judged.reason


@given(st.lists(ANSWERS, min_size=1, max_size=6))
def test_only_the_present_answer_counts(story: list[list[Address]]) -> None:
    """A name that was inside a moment ago is judged by what it stands for now, and what may be
    dialled is always an address that was judged."""
    for answers in story:
        judged = judge_answers(POLICY, answers, Purpose.BACKUP, NOW_UNIX_S)
        if not isinstance(judged, Denied):
            assert all(permits(POLICY, a, Purpose.BACKUP, NOW_UNIX_S) for a in judged)
            assert len(judged) == len(answers)


def test_no_answer_is_unknown_and_denied() -> None:
    judged = judge_answers(POLICY, [], Purpose.BACKUP, NOW_UNIX_S)
    assert judged == Denied("it resolves to nothing, and unknown is denied")
