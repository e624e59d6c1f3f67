"""The switches of ``tls``: what each position renders, and who dials how."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from failover.config import ConfigError, parse
from failover.lab.workload.inside import targets_of
from failover.model import SiteName
from failover.policy import Policy
from failover.render import Tree, render
from failover.transport import Wire, libpq_parameters

TEXT = (Path(__file__).parents[2] / "deploy" / "failover.yaml").read_text(encoding="utf-8")
DB1 = PurePosixPath("jakarta/jkt-db1/etc/patroni/patroni.yml")
WORDS = ("off", "accept", "use", "require")


def switched(**wires: str) -> Policy:
    lines = [f"  {name}: {mode}" for name, mode in wires.items()]
    return parse("\n".join([TEXT, "tls:", *lines, ""]))


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


def test_off_is_what_is_rendered_without_a_word_about_it() -> None:
    assert render(switched(postgresql="off", directory="/elsewhere")) == render(parse(TEXT))


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
