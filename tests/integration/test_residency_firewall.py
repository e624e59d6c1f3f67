"""The rendered firewall in a database host's network: nothing leaves for a stranger, v4 or v6."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from ipaddress import ip_address, ip_network

import psycopg
import pytest
from residency_server import (
    JAKARTA,
    PASSWORD,
    Server,
    Stranger,
    execute,
    policy_for,
    server,
    stranger,
    wait_for,
)

from failover.policy import DeclaredNetwork, Policy, Purpose
from failover.render import render

pytestmark = pytest.mark.lab

IPV6 = {"cap_add": ["NET_ADMIN"], "sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"}}
SERVER6, STRANGER6 = "fd00:77::11", "fd00:77::99"
OPENED = (
    "host all,replication all 0.0.0.0/0 scram-sha-256 # opened",
    "host all,replication all ::/0 scram-sha-256 # opened",
)


@pytest.fixture(scope="module")
def db() -> Iterator[Server]:
    with server(**IPV6) as found:
        root(found, f"ip -6 address add {SERVER6}/64 dev eth0 nodad")
        for line in OPENED:
            found.let_in(line)
        yield found


@pytest.fixture(scope="module")
def singapore() -> Iterator[Stranger]:
    with stranger(**IPV6) as found:
        code, said = found.run(f"ip -6 address add {STRANGER6}/64 dev eth0 nodad")
        assert code == 0, said
        yield found


def root(db: Server, command: str) -> str:
    code, said = execute(db.container, [], command)
    assert code == 0, said
    return said


def load(db: Server, policy: Policy) -> None:
    text = next(text for path, text in render(policy).items() if path.parts[-1] == "residency.nft")
    root(db, f"cat > /tmp/residency.nft <<'END'\n{text}END\nnft -f /tmp/residency.nft")


def refused_packets(db: Server) -> int:
    said = root(db, "nft list counter inet failover_residency refused")
    found = re.search(r"packets (\d+)", said)
    assert found, said
    return int(found[1])


def reached(db: Server, address: str) -> bool:
    """A packet from the server's host gets there: nothing listens, and that is what is heard."""
    said = db.run(f"psql -X -d 'host={address} user=x connect_timeout=2' -c 'select 1' 2>&1; true")
    assert "failed" in said, said
    return "Connection refused" in said


def copied_bytes(singapore: Stranger, address: str) -> int:
    """What of a base backup arrives within 3 s."""
    copy = f"timeout 3 pg_basebackup -X none -c fast -Ft -D - -h {address}"
    return int(singapore.run(f"{copy} 2>/dev/null | wc -c")[1])


def test_nothing_leaves_for_a_stranger_and_all_else_works(db: Server, singapore: Stranger) -> None:
    for address in (str(db.host.address), SERVER6):
        assert copied_bytes(singapore, address) > 1_000_000, "else this test proves nothing"
    for address in (singapore.address, STRANGER6):
        assert reached(db, address), "else this test proves nothing"
    slow = f"pg_basebackup -X none -c fast -r 64k -Ft -D - -h {db.host.address} > /tmp/slow"
    singapore.start(slow)
    arrived = "stat -c %s /tmp/slow"
    wait_for(lambda: int(singapore.run(arrived)[1] or 0) > 0, 10)

    load(db, policy_for(db.host))
    before = int(singapore.run(arrived)[1])
    for address in (str(db.host.address), SERVER6):
        assert copied_bytes(singapore, address) == 0
    assert int(singapore.run(arrived)[1]) == before, "a copy under way is stopped as well"
    assert refused_packets(db) > 0
    for address in (singapore.address, STRANGER6):
        assert not reached(db, address)

    with psycopg.connect(  # this machine is declared, for operations
        host=str(db.host.address), user="failover_observer", password=PASSWORD, dbname="postgres"
    ) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    load(db, policy_for(db.host))  # again: the same rules, once
    assert root(db, "nft list tables").count("failover_residency") == 1


def test_every_kind_of_rule_is_understood_and_an_end_is_kept(
    db: Server, singapore: Stranger
) -> None:
    def declared(network: str, expires: date | None) -> DeclaredNetwork:
        return DeclaredNetwork(ip_network(network), "PT", "ID", tuple(Purpose), expires)

    def load_with(expires: date) -> None:
        policy = policy_for(db.host)
        added = (
            declared(f"{singapore.address}/32", expires),
            declared(f"{STRANGER6}/128", expires),
            declared("fd00:9::/48", None),
        )
        sites = (
            replace(s, declared=(*s.declared, *added)) if s.name == JAKARTA else s
            for s in policy.sites
        )
        load(db, replace(policy, sites=tuple(sites)))

    load_with(date(2100, 1, 1))
    assert copied_bytes(singapore, str(db.host.address)) > 0
    assert copied_bytes(singapore, str(ip_address(SERVER6))) > 0
    load_with(date(2020, 1, 1))
    assert copied_bytes(singapore, str(db.host.address)) == 0
    assert copied_bytes(singapore, str(ip_address(SERVER6))) == 0
