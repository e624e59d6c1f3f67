"""The switches of ``tls``: what each position renders, and who dials how."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from example_config import EXAMPLE, WIRES, example

from failover.config import ConfigError, parse
from failover.lab.workload.inside import targets_of
from failover.model import SiteName
from failover.policy import Policy
from failover.rebuild.zoo_cfg import part
from failover.render import Tree, render
from failover.transport import Identity, Served, Wire, libpq_parameters

DB1 = PurePosixPath("jakarta/jkt-db1/etc/patroni/patroni.yml")
WORDS = ("off", "accept", "use", "require")


def switched(**wires: str) -> Policy:
    return parse(example(**wires))


def patroni(tree: Tree) -> dict[str, Any]:
    loaded = yaml.safe_load(tree[DB1])
    assert isinstance(loaded, dict)
    return loaded


def test_a_switch_has_four_positions_and_its_ends_have_two_names() -> None:
    assert [switched(postgresql=word).tls.postgresql for word in WORDS] == list(Wire)
    assert switched(postgresql="true").tls.postgresql is Wire.REQUIRE
    assert switched(postgresql="false").tls.postgresql is Wire.OFF
    with pytest.raises(ConfigError, match="'yes please' is not known"):
        switched(postgresql="yes please")


@pytest.mark.parametrize("directory", ["relative/tls", '"/etc/a, b"', "/etc/../tls", "/etc/tls/"])
def test_a_directory_that_some_file_would_not_take_is_a_mistake(directory: str) -> None:
    with pytest.raises(ConfigError, match=r"tls\.directory"):
        switched(directory=directory)


def test_required_is_what_nobody_has_to_say() -> None:
    assert parse(EXAMPLE).tls == switched(**dict.fromkeys(WIRES, "require")).tls


def test_where_every_wire_is_off_the_directory_is_rendered_for_nobody() -> None:
    said = render(switched(directory="/elsewhere"))
    without = render(switched())
    changed = {path.name for path in without if said[path] != without[path]}
    assert (changed, said.keys()) == ({"failover-tls.conf"}, without.keys())


def test_neighbouring_positions_understand_one_another() -> None:
    """Of servers and clients that are one step apart, in both orders."""
    for one, other in zip(list(Wire), list(Wire)[1:], strict=False):
        for server, client in ((one, other), (other, one)):
            assert server.served or not client.dialled
            assert client.dialled or not server.required


@pytest.mark.parametrize("mode", WORDS)
def test_postgresql(mode: str) -> None:
    policy = switched(postgresql=mode)
    wire, local = policy.tls.postgresql, patroni(render(policy))["postgresql"]
    assert local["parameters"].get("ssl", "off") == ("on" if wire.served else "off")
    ways = {line.split()[0] for line in local["pg_hba"] if not line.endswith("reject")}
    assert ways == {"local", "hostssl" if wire.required else "host"}
    assert ("hostnossl all all all reject" in local["pg_hba"]) is wire.required
    for role in ("replication", "rewind"):
        verified = local["authentication"][role].get("sslmode") == "verify-full"
        assert verified is wire.dialled
    assert "sslmode" not in local["authentication"]["superuser"], "it stays on the local socket"
    hosts = policy.clusters[0].hosts
    dialled = libpq_parameters(hosts[0].postgres_authorities)
    assert (dialled.get("sslmode") == "verify-full") is wire.dialled


def zoo_cfg(policy: Policy) -> dict[str, str]:
    text = render(policy)[PurePosixPath("jakarta/jkt-zk1/etc/zookeeper/zoo.cfg")]
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key: value for key, _, value in lines}


@pytest.mark.parametrize("mode", WORDS)
def test_zookeeper(mode: str) -> None:
    """What they do to real servers: tests/integration/test_transport_zookeeper.py."""
    policy = switched(zookeeper=mode)
    wire, found = policy.tls.zookeeper, zoo_cfg(policy)
    assert ("secureClientPort" in found) is wire.required
    assert ("clientPort" in found) is not wire.required
    assert found.get("sslQuorum") == (None if not wire.served else str(wire.dialled).lower())
    for name in ("learner.closeSocketAsync", "leader.closeSocketAsync"):
        assert found.get(name) == ("true" if wire.served else None), "no wait for who is gone"
    for name in ("portUnification", "client.portUnification"):
        assert found.get(name) == (None if not wire.served else str(not wire.required).lower())
    for prefix in ("ssl", "ssl.quorum"):
        place = found.get(f"{prefix}.keyStore.location")
        assert place == ("/etc/failover/tls/host.pem" if wire.served else None)
    document = patroni(render(policy))["zookeeper"]
    assert document.get("use_ssl", False) is wire.dialled
    assert document.get("verify", False) is wire.dialled
    identity = Identity("/etc/failover/tls/host.pem", "/etc/failover/tls/ca.pem")
    for server in policy.zookeeper_servers:
        assert server.identity == (identity if wire.dialled else None)


@pytest.mark.parametrize("mode", WORDS)
def test_patroni(mode: str) -> None:
    """What they do to real ones: tests/integration/test_transport_patroni.py."""
    policy = switched(patroni=mode)
    wire, document = policy.tls.patroni, patroni(render(policy))
    rest, host, ca = document["restapi"], "/etc/failover/tls/host.pem", "/etc/failover/tls/ca.pem"
    assert (rest.get("certfile") == host) is wire.served
    assert (rest.get("cafile") == ca) is wire.dialled, "the others are told to come with TLS"
    assert (rest.get("verify_client") == "required") is wire.required
    ctl = {"cacert": ca, "certfile": host, "keyfile": host}
    assert document.get("ctl") == (ctl if wire.served else None)
    assert rest["authentication"] == {"username": "patroni"}
    for database in policy.clusters[0].hosts:
        assert database.patroni_identity == (Identity(host, ca) if wire.dialled else None)


@pytest.mark.parametrize("mode", WORDS)
def test_http(mode: str) -> None:
    """What they do to a real HAProxy: tests/integration/test_transport_http.py."""
    policy = switched(http=mode)
    wire, tree = policy.tls.http, render(policy)
    haproxy = tree[PurePosixPath("jakarta/jkt-proxy1/etc/haproxy/haproxy.cfg")]
    checked = "check-ssl verify required ca-file /etc/failover/tls/ca.pem" in haproxy
    named = [
        f"port 8009 tcp-ut 20s verifyhost {h.name}\n" in haproxy for h in policy.clusters[0].hosts
    ]
    assert {checked, *named, "check inter 300ms" in haproxy} == {wire.dialled}
    identity = Identity("/etc/failover/tls/host.pem", "/etc/failover/tls/ca.pem")
    assert policy.tls.http_served == (Served(identity, wire.required) if wire.served else None)
    for each in (*policy.clusters[0].hosts, *(site.controller for site in policy.sites)):
        assert each.http_identity == (identity if wire.dialled else None)
    for targets in ("guards", "controllers"):
        path = PurePosixPath(f"surabaya/sby-ctl1/etc/failover/prometheus/{targets}.yml")
        schemes = {each["labels"].get("__scheme__", "http") for each in yaml.safe_load(tree[path])}
        assert schemes == {"https" if wire.dialled else "http"}


def test_the_unit_has_what_tls_needs_on_its_class_path() -> None:
    unit = PurePosixPath("surabaya/sby-zk1/etc/systemd/system/zookeeper.service")
    plain, sealed = (render(switched(zookeeper=mode))[unit] for mode in ("off", "accept"))
    assert "netty" not in plain
    assert ":/usr/share/java/netty-codec.jar" in sealed
    assert "TieredStopAtLevel" not in plain
    assert " -XX:TieredStopAtLevel=1 " in sealed


def test_who_is_on_no_host_of_the_group_has_his_files_elsewhere() -> None:
    wires = dict.fromkeys(("zookeeper", "postgresql", "patroni", "http"), "require")
    policy = switched(**wires).with_tls_in("/home/me/tls")
    assert {s.identity for s in policy.zookeeper_servers} == {
        Identity("/home/me/tls/host.pem", "/home/me/tls/ca.pem")
    }
    hosts = policy.clusters[0].hosts
    assert {host.postgres_authorities for host in hosts} == {"/home/me/tls/ca.pem"}
    mine = Identity("/home/me/tls/host.pem", "/home/me/tls/ca.pem")
    assert {(h.patroni_identity, h.http_identity) for h in hosts} == {(mine, mine)}
    assert {site.controller.http_identity for site in policy.sites} == {mine}
    assert switched(zookeeper="off").with_tls_in("/elsewhere").zookeeper_servers[0].identity is None
    assert render(policy) == render(switched(**wires))


def test_a_server_alone_lets_no_other_host_in_with_tls_neither() -> None:
    """`break-glass` keeps clients of other hosts out: its address, under whichever name."""
    for mode in ("off", "require"):
        policy = switched(zookeeper=mode)
        text = render(policy)[PurePosixPath("jakarta/jkt-zk1/etc/zookeeper/zoo.cfg")]
        lines = part(text, [1], unseen=True).splitlines()
        assert "10.77.1.21" not in [line.partition("=")[2] for line in lines]
        assert [line for line in lines if line.lower().endswith("clientportaddress=127.0.0.1")]


def test_key_and_certificate_are_where_the_operator_says() -> None:
    policy = switched(postgresql="require", directory="/srv/tls")
    local = patroni(render(policy))["postgresql"]
    assert local["parameters"]["ssl_cert_file"] == "/srv/tls/host.pem"
    assert local["parameters"]["ssl_key_file"] == "/srv/tls/host.pem"
    assert local["authentication"]["rewind"]["sslrootcert"] == "/srv/tls/ca.pem"


@pytest.mark.parametrize("via", ["proxy", "direct"])
def test_customers_of_the_lab_verify_through_the_proxy_too(via: str) -> None:
    policy = switched(postgresql="use")
    targets = targets_of(policy, policy.clusters[0], SiteName("makassar"), via)
    assert {one.authorities for one in targets} == {"/etc/failover/tls/ca.pem"}
