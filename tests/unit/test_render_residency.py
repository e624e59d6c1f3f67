"""The firewall, pg_hba and HAProxy's list: the declared networks, all of them and no other."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from failover.config import load
from failover.policy import DeclaredNetwork, Endpoint, NetworkException, Policy, Purpose, Residency
from failover.render import Tree, render
from failover.render.egress import groups
from failover.residency.allowlist import COUNTRY

POLICY = load(Path(__file__).parents[2] / "tests" / "open.yaml")
HOST = PurePosixPath("jakarta/jkt-db1")
LAST_DAY = date(2027, 6, 30)


def widened(*declared: DeclaredNetwork, residency: Residency = POLICY.residency) -> Policy:
    """Jakarta has these networks as well."""
    sites = (
        replace(s, declared=(*s.declared, *declared)) if s.name == "jakarta" else s
        for s in POLICY.sites
    )
    return replace(POLICY, sites=tuple(sites), residency=residency)


def network(text: str, *purposes: Purpose, expires: date | None = None) -> DeclaredNetwork:
    return DeclaredNetwork(ip_network(text), "PT Kurir", COUNTRY, purposes, expires)


def firewall(tree: Tree) -> str:
    return tree[HOST / "etc/failover/residency.nft"]


def elements(text: str) -> dict[str, str]:
    """Of each set, by name."""
    found = re.findall(r"set (\w+) \{\s+type \S+\s+flags interval\s+elements = \{ (.*?) \}", text)
    return dict(found)


def test_every_database_host_has_the_firewall_and_its_unit() -> None:
    tree = render(POLICY)
    for cluster in POLICY.clusters:
        for host in cluster.hosts:
            at = PurePosixPath(host.site, host.name)
            assert "policy drop;" in tree[at / "etc/failover/residency.nft"]
            unit = tree[at / "etc/systemd/system/failover-residency.service"]
            assert "ExecStart=/usr/sbin/nft -f /etc/failover/residency.nft\n" in unit
            assert "RequiredBy=patroni.service\n" in unit
    others = [path for path in tree if path.name == "residency.nft" and "db" not in path.parts[1]]
    assert others == []


def test_both_families_purposes_and_ends_are_told_apart() -> None:
    policy = widened(
        network("fd00:9::/48", Purpose.REPLICATION),
        network("10.90.0.0/16", Purpose.CLIENT, expires=LAST_DAY),
        network("fd00:8::/48", Purpose.OPERATIONS),
    )
    text = firewall(render(policy))
    assert elements(text) == {
        "backup4": "10.77.1.0/24, 10.77.2.0/24",
        "client4": "10.77.1.0/24, 10.77.2.0/24",
        "client4_until_20270630": "10.90.0.0/16",
        "operations4": "10.77.1.0/24, 10.77.2.0/24, 10.77.3.0/24",
        "operations6": "fd00:8::/48",
        "replication4": "10.77.1.0/24, 10.77.2.0/24",
        "replication6": "fd00:9::/48",
    }
    assert "ip6 daddr @replication6 tcp sport 5432 accept" in text
    assert (
        'ip daddr @client4_until_20270630 meta time < "2027-07-01 00:00:00" '
        "tcp sport { 5432, 8009 } accept"
    ) in text
    assert "@client4_until_20270630 tcp" not in text, "no rule without its end"


def test_names_are_never_rendered_and_endpoints_get_their_port() -> None:
    said = Residency(
        endpoints=(
            Endpoint("metrics", "receiver.example.id", 4318, Purpose.OPERATIONS),
            Endpoint("log", ip_address("10.77.3.9"), 6514, Purpose.OPERATIONS),
        )
    )
    text = firewall(render(widened(residency=said)))
    assert "example" not in text
    for port in (4318, 6514):
        assert f"ip daddr @operations4 meta l4proto {{ tcp, udp }} th dport {port} accept" in text


def test_exceptions_are_rendered_for_their_purpose_until_their_end() -> None:
    made = NetworkException(
        network=ip_network("192.0.2.0/28"),
        owner="Vendor",
        country="SG",
        purposes=(Purpose.CLIENT,),
        approver="CTO",
        reason="migration",
        expires=LAST_DAY,
    )
    tree = render(widened(residency=Residency(exceptions=(made,))))
    assert elements(firewall(tree))["client4_until_20270630"] == "192.0.2.0/28"
    proxy = tree[PurePosixPath("jakarta/jkt-proxy1/etc/haproxy/haproxy.cfg")]
    assert "acl declared src 192.0.2.0/28\n" in proxy
    assert "192.0.2.0/28 scram-sha-256  # exception, Vendor, until 2027-06-30" in hba_text(tree)


def hba_text(tree: Tree) -> str:
    return tree[HOST / "etc/patroni/patroni.yml"]


def test_a_network_abroad_is_in_no_file() -> None:
    abroad = replace(network("203.0.113.0/24", *Purpose), country="SG")
    tree = render(widened(abroad))
    assert [path for path, text in tree.items() if "203.0.113" in text] == []


def test_superusers_are_refused_over_the_network_first_of_all() -> None:
    loaded = yaml.safe_load(hba_text(render(POLICY)))
    over_network = [line for line in loaded["postgresql"]["pg_hba"] if line.startswith("host")]
    assert over_network[:2] == [
        "host all postgres all reject",
        "host replication postgres all reject",
    ]


def test_haproxy_refuses_who_is_not_declared() -> None:
    text = render(POLICY)[PurePosixPath("makassar/mks-proxy1/etc/haproxy/haproxy.cfg")]
    listen = text.split("listen marketplace")[1].split("frontend")[0]
    assert re.findall(r"acl declared src (\S+)", listen) == ["10.77.1.0/24", "10.77.2.0/24"]
    assert "tcp-request connection reject unless declared\n" in listen


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
def test_a_set_has_exactly_the_networks_of_its_purpose(version: int, data: st.DataObject) -> None:
    bits = 32 if version == 4 else 128
    base = int(ip_network("172.16.0.0/12" if version == 4 else "fd11::/16").network_address)
    numbers = data.draw(st.lists(st.integers(0, 255), unique=True, max_size=5))
    made = [
        DeclaredNetwork(
            ip_network((base + (number << (bits - 24)), 24)),
            "PT",
            COUNTRY,
            tuple(data.draw(st.lists(st.sampled_from(Purpose), min_size=1, unique=True))),
        )
        for number in numbers
    ]
    found = {g.purpose: set(g.networks) for g in groups(widened(*made)) if g.version == version}
    for purpose in Purpose:
        fixed = [e for s in POLICY.sites for e in s.declared if version == 4]
        wanted = {each.network for each in (*fixed, *made) if purpose in each.purposes}
        assert found.get(purpose, set()) == wanted
