"""What failover.yaml says about residency: all of it, and every mistake at once."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config import GOOD, changed, mistakes

from failover.config import ConfigError, load, parse
from failover.config.names import name_problems
from failover.policy import AcceptedFinding, DeclaredNetwork, Endpoint, NetworkException, Purpose

FULL = (
    changed(
        (
            "[10.1.0.0/24]",
            "[10.1.0.0/24, {network: 10.9.0.0/16, owner: PT Kurir, purpose: [client], "
            "expires: 2027-06-30}, {network: 'fd00:9::/48', purpose: [backup]}]",
        )
    )
    + """\
residency:
  endpoints:
    - {name: archive, host: backup.example.id, port: 443, purpose: backup}
    - {name: metrics, host: 10.3.0.9, port: 9090, purpose: operations}
  exceptions:
    - {network: 192.0.2.0/28, owner: Vendor, country: SG, purpose: [operations], approver: CTO,
       reason: migration support, expires: 2026-12-31}
  accepted:
    - {way: extension, subject: shop/dblink, approver: CTO, reason: old job, expires: 2026-12-31}
  settings: {archive_command: pgbackrest archive-push %p}
  cut: false
"""
)


def test_everything_that_can_be_said() -> None:
    policy = parse(FULL)
    first, courier, backups = policy.sites[0].declared
    everything = tuple(Purpose)
    assert first == DeclaredNetwork(ip_network("10.1.0.0/24"), "PT Toko", "ID", everything)
    assert (courier.owner, courier.purposes) == ("PT Kurir", (Purpose.CLIENT,))
    assert (courier.expires, backups.purposes) == (date(2027, 6, 30), (Purpose.BACKUP,))
    assert policy.sites[2].declared[0].purposes == (Purpose.OPERATIONS,)
    said = policy.residency
    assert said.endpoints == (
        Endpoint("archive", "backup.example.id", 443, Purpose.BACKUP),
        Endpoint("metrics", ip_address("10.3.0.9"), 9090, Purpose.OPERATIONS),
    )
    day = date(2026, 12, 31)
    assert said.exceptions == (
        NetworkException(
            network=ip_network("192.0.2.0/28"),
            owner="Vendor",
            country="SG",
            purposes=(Purpose.OPERATIONS,),
            approver="CTO",
            reason="migration support",
            expires=day,
        ),
    )
    assert said.accepted == (AcceptedFinding("extension", "shop/dblink", "CTO", "old job", day),)
    assert said.settings == (("archive_command", "pgbackrest archive-push %p"),)
    assert said.cut is False


def test_every_mistake_about_residency_in_one_run() -> None:
    text = changed(
        ("owner: PT Toko\n", ""),
        ("[10.1.0.0/24]", "[{network: 10.1.0.0/24, country: SG, purpose: [replication, cleint]}]"),
        ("[10.2.0.0/24]", "[{network: 10.2.0.0/24, purpose: [client, operations]}]"),
        ("[10.3.0.0/24]", "[{network: 10.3.0.0/24, expires: next year, until: 2027-01-01}]"),
    ) + (
        "residency:\n"
        "  endpoints:\n"
        "    - {name: a, host: 203.0.113.9, port: 443, purpose: backup}\n"
        "    - {name: a, host: 10.2.0.9, port: 443, purpose: backup}\n"
        "    - {name: b, host: not-a-name, port: 443, purpose: backup}\n"
        "  exceptions:\n"
        "    - {network: 0.0.0.0/0, owner: V, country: SG, purpose: [client], approver: C,\n"
        "       reason: r, expires: 2026-12-31}\n"
        "    - {network: 192.0.2.0/28, owner: V, country: SG, purpose: [backup], reason: ' '}\n"
        "    - {network: 10.2.0.0/25, owner: V, country: ID, purpose: [client], approver: C,\n"
        "       reason: r, expires: 2026-12-31}\n"
        "  accepted: [{way: extention, subject: s, approver: C, reason: r, expires: 2026-12-31}]\n"
        "  settings: {archive_comand: x}\n"
        "  cut: perhaps\n"
    )
    hint = "(add replication to its purpose, or declare another network)"
    assert mistakes(text) == [
        "owner: is missing (for example `owner: PT Pasar Nusantara`)",
        "sites.jakarta.networks[0].country: 'SG' is not Indonesia (what has to be let in from "
        "elsewhere stands under residency.exceptions, with approver, reason and end)",
        "sites.jakarta.networks[0].purpose[1]: 'cleint' is not known (did you mean client?)",
        "sites.jakarta.zookeeper[0].address: 10.1.0.1 stands in 10.1.0.0/24, which is not for "
        "operations (add operations to its purpose, or declare another network)",
        "sites.jakarta.controller.address: 10.1.0.2 stands in 10.1.0.0/24, which is not for "
        "operations (add operations to its purpose, or declare another network)",
        "sites.jakarta.proxies[0].address: 10.1.0.3 stands in 10.1.0.0/24, which is not for "
        "client (add client to its purpose, or declare another network)",
        "sites.surabaya.networks[0].expires: 'next year' is not a day (a day, for example "
        "2027-06-30)",
        "sites.surabaya.networks[0].until: unknown key (known: country, expires, network, owner, "
        "purpose)",
        f"clusters.shop.hosts.makassar[0].address: 10.2.0.4 stands in 10.2.0.0/24, which is not "
        f"for replication {hint}",
        "residency.endpoints[0].host: 203.0.113.9 is in no declared network (declare its network "
        "first)",
        "residency.endpoints[1].host: 10.2.0.9 stands in 10.2.0.0/24, which is not for backup "
        "(add backup to its purpose, or declare another network)",
        "residency.endpoints[1].name: 'a' is given twice (one for each)",
        "residency.endpoints[2].host: 'not-a-name' is not an address or a name (an IP address, "
        "or a full name, for example backup.example.id)",
        "residency.exceptions[0].network: 0.0.0.0/0 is open to the world (declare the site's own "
        "networks, /8 at the widest)",
        "residency.exceptions[1].approver: is missing (for example `approver: PT Pasar Nusantara`)",
        "residency.exceptions[1].expires: is missing (for example `expires: 2027-06-30`)",
        "residency.exceptions[1].purpose: backup in SG: a whole copy of a cluster stays in "
        "Indonesia (no exception is made of that)",
        "residency.exceptions[1].reason: ' ' says nothing (in words, on one line)",
        "residency.exceptions[2]: 10.2.0.0/25 overlaps 10.2.0.0/24 of makassar (every address "
        "belongs to one site)",
        "residency.accepted[0].way: 'extention' is no way out that is known (did you mean "
        "extension?)",
        "residency.settings.archive_comand: is not looked at (did you mean archive_command?)",
        "residency.cut: must be true or false",
    ]


# --------------------------------------------------------------------------- names


def told(answers: dict[str, list[str]]) -> list[str]:
    policy = parse(FULL)
    found = name_problems(
        policy, lambda name: tuple(ip_address(each) for each in answers.get(name, []))
    )
    return [str(problem) for problem in found]


def test_a_name_is_refused_where_any_of_its_addresses_is_outside() -> None:
    name = "backup.example.id"
    assert told({name: ["10.1.0.50"]}) == []
    assert told({name: ["10.1.0.50", "fd00:9::5"]}) == []
    assert told({name: ["10.1.0.50", "203.0.113.9"]}) == [
        "residency.endpoints[0].host: backup.example.id: it resolves to 203.0.113.9, declared "
        "nowhere for backup"
    ]
    assert told({name: ["10.3.0.50"]}) != []  # inside, and not for backups
    assert told({name: []}) == []  # no mistake of the file: denied to who would dial it


def test_a_resolver_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    monkeypatch.setattr("failover.config.names.RESOLVE_LIMIT_S", 0.05)
    never = Event()
    assert name_problems(parse(FULL), lambda name: (never.wait(), ())[1]) == []


def test_the_file_is_refused_with_its_names_only_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "failover.yaml"
    path.write_text(FULL)
    assert load(path).residency.endpoints[0].host == "backup.example.id"
    with pytest.raises(ConfigError, match=re.escape("it resolves to 203.0.113.9")):
        load(path, resolver=lambda name: (ip_address("203.0.113.9"),))


# --------------------------------------------------------------------------- any network


@given(
    st.one_of(
        st.ip_addresses().flatmap(
            lambda a: st.integers(0, a.max_prefixlen).map(lambda prefix: f"{a}/{prefix}")
        ),
        st.from_regex(r"[0-9a-f:./]{1,30}", fullmatch=True),
    )
)
def test_any_network_is_narrow_and_exact_or_refused(text: str) -> None:
    """What is taken is neither wide, nor mapped, nor wider than it is written."""
    written = GOOD.replace("[10.1.0.0/24]", f"[10.1.0.0/24, '{text}']")
    with suppress(ConfigError):
        network = parse(written).sites[0].declared[1].network
        assert network.prefixlen >= (8 if network.version == 4 else 16)
        assert ip_network(text) == network
        assert network.version == 4 or network.network_address.ipv4_mapped is None
