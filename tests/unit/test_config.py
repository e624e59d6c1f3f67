"""failover.yaml: every mistake at once, each with its path and a hint; nothing guessed."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from failover.access import Access, ZooKeeperAccess
from failover.checks.privileges import NEEDED
from failover.cli.config import command
from failover.config import ConfigError, load, parse
from failover.config.units import Wrong, duration_s, size_bytes
from failover.model import Automation, ProtectionMode, SiteKind
from failover.policy import LossBudget, Policy, ReceiptTable
from failover.transport import TransportSecurity, Wire

DEPLOYED = Path(__file__).parents[2] / "deploy" / "failover.yaml"

GOOD = """\
group: shop
owner: PT Toko
initial_site: jakarta
sites:
  jakarta:
    kind: data
    country: ID
    networks: [10.1.0.0/24]
    zookeeper: [{name: jz, address: 10.1.0.1, myid: 1}]
    controller: {name: jc, address: 10.1.0.2}
    proxies: [{name: jp, address: 10.1.0.3}]
  makassar:
    kind: data
    country: ID
    networks: [10.2.0.0/24]
    zookeeper: [{name: mz, address: 10.2.0.1, myid: 2}]
    controller: {name: mc, address: 10.2.0.2}
  surabaya:
    kind: witness
    country: ID
    networks: [10.3.0.0/24]
    zookeeper: [{name: sz, address: 10.3.0.1, myid: 3}]
    controller: {name: sc, address: 10.3.0.2}
clusters:
  shop:
    hosts:
      jakarta: [{name: jd, address: 10.1.0.4}]
      makassar: [{name: md, address: 10.2.0.4}]
"""


def mistakes(text: str) -> list[str]:
    """Every mistake in a text, without its line."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [re.sub(r"^line \d+: ", "", str(problem)) for problem in caught.value.problems]


def changed(*edits: tuple[str, str]) -> str:
    """The good file with each old text replaced by its new one, once."""
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


# --------------------------------------------------------------------------- what is right


def test_the_deployed_file() -> None:
    policy = load(DEPLOYED)
    assert [site.name for site in policy.sites] == ["jakarta", "makassar", "surabaya"]
    assert policy.lease_s == 6.0
    assert policy.automation is Automation.AUTO
    assert [host.name for host in policy.clusters[0].hosts] == [
        *("jkt-db1", "jkt-db2"),
        *("mks-db1", "mks-db2"),
    ]
    assert policy.sites[2].kind is SiteKind.WITNESS


def test_defaults_are_the_policys_and_careful() -> None:
    policy = parse(GOOD)
    required = Wire.REQUIRE
    closed = Policy(
        *(policy.group, policy.sites, policy.clusters, policy.initial_site),
        tls=TransportSecurity(required, required, required, required),
        access=ZooKeeperAccess(Access.REQUIRE),
    )
    assert policy == closed
    assert policy.automation is Automation.OBSERVE
    assert policy.protection is ProtectionMode.MAX_AVAILABILITY
    assert policy.loss_budget == LossBudget(bytes=16 * 1024**2, seconds=10.0)


def test_units() -> None:
    policy = parse(
        "lease: 8s\nlocal_recovery: 1500ms\ncooldown: 2h\n"
        "loss_budget: {bytes: 0.5KiB, time: 2min}\n"
        "max_slot_wal_keep_size: 1GiB\nsalvage_size_max: 2TiB\n" + GOOD
    )
    assert (policy.lease_s, policy.local_recovery_s, policy.cooldown_s) == (8.0, 1.5, 7200.0)
    assert policy.loss_budget == LossBudget(bytes=512, seconds=120.0)
    assert policy.max_slot_wal_keep_bytes == 1024**3
    assert policy.salvage_bytes_max == 2 * 1024**4


def test_tables_of_a_loss_receipt() -> None:
    named = "    loss_receipt: {shop.public.payment: [id], shop.Odd.Name: [a, The Key]}\n"
    with pytest.raises(ConfigError):  # a space: PostgreSQL would take it, this file does not
        parse(GOOD + named)
    policy = parse(GOOD + named.replace("The Key", "TheKey"))
    assert policy.clusters[0].loss_receipt == (
        ReceiptTable("shop", "public", "payment", ("id",)),
        ReceiptTable("shop", "Odd", "Name", ("a", "TheKey")),
    )
    assert policy.clusters[0].loss_receipt[0].name == "public.payment"
    assert parse(GOOD).clusters[0].loss_receipt == ()


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("{public.payment: [id]}", "'public.payment' cannot be the name of a table"),
        ("{shop.public.payment: []}", "must not be empty"),
        ("{shop.public.payment: [a.b]}", "'a.b' cannot be the name of a column"),
        ("[shop.public.payment]", "must be a mapping"),
    ],
)
def test_tables_of_a_loss_receipt_that_cannot_be(named: str, told: str) -> None:
    (problem,) = mistakes(f"{GOOD}    loss_receipt: {named}\n")
    assert told in problem
    assert "clusters.shop.loss_receipt" in problem


@pytest.mark.parametrize(
    ("lease", "lease_s"), [("6s", 6.0), ("7500ms", 7.5), ("8s", 8.0), ("20s", 20.0)]
)
def test_leases_that_are_tried(lease: str, lease_s: float) -> None:
    assert parse(f"lease: {lease}\n" + GOOD).lease_s == lease_s


@pytest.mark.parametrize("role", NEEDED)
def test_no_cluster_is_called_like_a_role_of_ours(role: str) -> None:
    """Its clients' role has its name, and would be ours."""
    assert any("is reserved" in each for each in mistakes(GOOD.replace("shop:", f"{role}:")))


def test_five_zookeeper_servers_and_ipv6() -> None:
    policy = parse(
        changed(
            ("myid: 1}]", "myid: 1}, {name: jz2, address: 10.1.0.9, myid: 4}]"),
            ("myid: 2}]", "myid: 2}, {name: mz2, address: 10.2.0.9, myid: 5}]"),
            ("address: 10.3.0.1, myid: 3", "address: fd00::1, myid: 6"),
            ("10.3.0.0/24", "10.3.0.0/24, fd00::/64"),
        )
    )
    assert len(policy.zookeeper_servers) == 5
    assert [s.name for s in policy.patroni_zookeeper(policy.initial_site)] == ["jz", "jz2"]


# --------------------------------------------------------------------------- all at once


def test_every_mistake_in_one_run_in_the_order_of_the_file() -> None:
    text = changed(
        ("group: shop", "group: shop\nleese: 6s\nlease: 6\nprotection: max-performence"),
        ("initial_site: jakarta", "initial_site: surabaya"),
        ("country: ID", "country: SG"),
        ("[10.1.0.0/24]", "[0.0.0.0/0]"),
        ("controller: {name: jc, address", "controller: {name: jc, adress"),
        ("[10.2.0.0/24]", "[10.2.0.0/24, 10.3.0.0/16]"),
        ("myid: 2", 'myid: "2"'),
        ("    zookeeper: [{name: sz, address: 10.3.0.1, myid: 3}]\n", ""),
        ("jakarta: [{name: jd", "jakarte: [{guard_port: 99999, name: jd"),
    )
    assert mistakes(text) == [
        "leese: unknown key (did you mean lease?)",
        "lease: 6 has no unit (did you mean 6s?)",
        "protection: 'max-performence' is not known (did you mean max-performance?)",
        "initial_site: 'surabaya' is not a data site (known: jakarta, makassar)",
        "sites: 2 ZooKeeper servers in all (3 (one at each site) or 5 (two at each data site, "
        "one at the witness))",
        "sites.jakarta.country: 'SG' is not Indonesia (every site stands in Indonesia, "
        "country: ID; no data leaves it)",
        "sites.jakarta.networks[0]: 0.0.0.0/0 is open to the world (declare the site's own "
        "networks, /8 at the widest)",
        "sites.jakarta.zookeeper[0].myid: 1 is the highest, and jakarta is not the witness "
        "(give a server at surabaya the highest myid: it is to lead)",
        "sites.jakarta.controller.address: is missing (for example `address: 10.77.1.11`)",
        "sites.jakarta.controller.adress: unknown key (did you mean address?)",
        "sites.makassar.zookeeper[0].myid: must be a whole number",
        "sites.surabaya.zookeeper: is missing",
        "sites.surabaya.networks[0]: 10.3.0.0/24 overlaps 10.3.0.0/16 of makassar (every address "
        "belongs to one site)",
        "clusters.shop.hosts: no database host at jakarta (at least one at each data site, "
        "better two)",
        "clusters.shop.hosts.jakarte: unknown site (did you mean jakarta?)",
        "clusters.shop.hosts.jakarte[0].guard_port: must be at most 65535",
    ]


def test_lines_are_said() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(changed(("myid: 3", "myid: 300"), ("group: shop", "group: Shop!")))
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (1, "group"),
        (22, "sites.surabaya.zookeeper[0].myid"),
    ]
    assert str(caught.value).startswith("failover.yaml: 2 mistakes\n  line 1: group: 'Shop!' ")


# --------------------------------------------------------------------------- one by one


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        pytest.param(
            [("kind: witness", "kind: data")],
            [
                "sites: exactly two sites must be `kind: data`, here 3 (jakarta, makassar, "
                "surabaya)",
                "sites: no site is `kind: witness` (a third site with a ZooKeeper server and a "
                "controller; it holds no customer data)",
                "clusters.shop.hosts: no database host at surabaya (at least one at each data "
                "site, better two)",
            ],
            id="no witness",
        ),
        pytest.param(
            [("kind: witness", "kind: wittness")],
            ["sites.surabaya.kind: 'wittness' is not known (did you mean witness?)"],
            id="a kind misspelt does not count as a missing witness",
        ),
        pytest.param(
            [("10.2.0.0/24]", "10.1.0.128/25, 10.2.0.0/24]")],
            [
                "sites.makassar.networks[0]: 10.1.0.128/25 overlaps 10.1.0.0/24 of jakarta "
                "(every address belongs to one site)"
            ],
            id="overlapping networks",
        ),
        pytest.param(
            [("10.3.0.0/24", "'::/0'"), ("10.2.0.0/24", "10.2.0.0/24, 128.0.0.0/1")],
            [
                "sites.makassar.networks[1]: 128.0.0.0/1 is open to the world (declare the "
                "site's own networks, /8 at the widest)",
                "sites.surabaya.networks[0]: ::/0 is open to the world (declare the site's own "
                "networks, /16 at the widest)",
            ],
            id="open to the world, also in halves",
        ),
        pytest.param(
            [("10.3.0.0/24", "10.3.0.0/24, '::ffff:0:0/96'")],
            [
                "sites.surabaya.networks[1]: ::ffff:0:0/96 is a network of mapped IPv4 addresses "
                "(declare it as IPv4)"
            ],
            id="all of IPv4 in disguise",
        ),
        pytest.param(
            [("10.1.0.0/24", "10.1.0.7/24"), ("10.2.0.0/24", "10.2.0.0")],
            [
                "sites.jakarta.networks[0]: 10.1.0.7/24 has bits outside its prefix "
                "(did you mean 10.1.0.0/24?)",
                "sites.makassar.networks[0]: '10.2.0.0' has no prefix length (a network, for "
                "example 10.77.1.0/24)",
            ],
            id="networks that are none",
        ),
        pytest.param(
            [("address: 10.1.0.4", "address: 10.9.0.4"), ("address: 10.2.0.4", "address: md")],
            [
                "clusters.shop.hosts.jakarta[0].address: 10.9.0.4 is in no network of jakarta "
                "(declared: 10.1.0.0/24)",
                "clusters.shop.hosts.makassar[0].address: 'md' is not an IP address (an IP "
                "address, for example 10.77.1.11)",
            ],
            id="addresses outside, and names instead of addresses",
        ),
        pytest.param(
            [("address: 10.1.0.4", "address: 127.0.0.1")],
            [
                "clusters.shop.hosts.jakarta[0].address: 127.0.0.1 cannot be reached from "
                "another site (an IP address, for example 10.77.1.11)"
            ],
            id="loopback",
        ),
        pytest.param(
            [("name: md, address: 10.2.0.4", "name: jd, address: 10.2.0.1")],
            [
                "clusters.shop.hosts.makassar[0].address: 10.2.0.1 is also mz's (one address for "
                "each host)",
                "clusters.shop.hosts.makassar[0].name: 'jd' is the name of another host (host "
                "names are Patroni's member names too: one for each host in all sites)",
            ],
            id="names and addresses twice",
        ),
        pytest.param(
            [("myid: 2", "myid: 1")],
            ["sites.makassar.zookeeper[0].myid: 1 is another server's (one for each)"],
            id="myid twice",
        ),
        pytest.param(
            [("myid: 2", "myid: 7")],
            [
                "sites.makassar.zookeeper[0].myid: 7 is the highest, and makassar is not the "
                "witness (give a server at surabaya the highest myid: it is to lead)"
            ],
            id="the witness would not lead",
        ),
        pytest.param(
            [("myid: 1}]", "myid: 1}, {name: jz2, address: 10.1.0.9, myid: 0x1}]"),
             ("myid: 0x1", "myid: 4"), ("myid: 3", "myid: 5")],
            [
                "sites: 4 ZooKeeper servers in all (3 (one at each site) or 5 (two at each data "
                "site, one at the witness))"
            ],
            id="four ZooKeeper servers",
        ),
        pytest.param(
            [
                (
                    "myid: 3}]",
                    "myid: 3}, {name: s2, address: 10.3.0.8, myid: 4}, "
                    "{name: s3, address: 10.3.0.9, myid: 5}]",
                )
            ],
            [
                "sites.surabaya.zookeeper: 3 of 5 servers: without surabaya there is no quorum "
                "(no site may have a majority)"
            ],
            id="a majority at one site",
        ),
        pytest.param(
            [("makassar: [{name: md, address: 10.2.", "surabaya: [{name: md, address: 10.3.")],
            [
                "clusters.shop.hosts: no database host at makassar (at least one at each data "
                "site, better two)",
                "clusters.shop.hosts.surabaya: a witness holds no customer data, so no database",
            ],
            id="a database at the witness",
        ),
        pytest.param(
            [("  shop:\n", "  postgres:\n")],
            [
                "clusters.postgres: 'postgres' is reserved (a cluster's name is also its database "
                "and its clients' role)"
            ],
            id="reserved name",
        ),
        pytest.param(
            [("{name: jd,", "{name: jd, guard_port: 5432,"),
             ("  shop:\n", "  shop:\n    proxy_port: 8404\n")],
            [
                "clusters.shop.proxy_port: 8404 is the port of HAProxy's metrics (another one)",
                "clusters.shop.hosts.jakarta[0].guard_port: 5432 is used twice on this host "
                "(PostgreSQL, Patroni, the guard and a pooler need a port each)",
            ],
            id="ports twice",
        ),
        pytest.param(
            [("group: shop", "group: shop\nlease: 5s")],
            [
                "lease: 5s is too short; losing one ZooKeeper server would stop a healthy primary "
                "(an election takes up to 3.1 s). The least is 6s."
            ],
            id="lease too short",
        ),
        pytest.param(
            [("group: shop", "group: shop\nlease: 12s")],
            [
                "lease: 12s is not a tried profile (6s to 8s; or 20s for hosts that rely on a "
                "hardware watchdog)"
            ],
            id="lease between the profiles",
        ),
        pytest.param(
            [("group: shop", "group: shop\nlease: " + "9" * 400 + "s")],
            [
                f"lease: '{'9' * 55}…' is not a duration (a number and a unit: 500ms, 6s, "
                "10min, 2h, 1d)"
            ],
            id="lease beyond reason",
        ),
        pytest.param(
            [("group: shop", "group: shop\nzookeeper_restart_command: restart {servr}")],
            [
                "zookeeper_restart_command: does not name the server as the word {server} (for "
                "example `/usr/lib/failover/restart-zookeeper {server}`)"
            ],
            id="restart of nobody",
        ),
        pytest.param(
            [("group: shop", "group: shop\npatroni_namespace: service")],
            ["patroni_namespace: is not a path in ZooKeeper (for example /service)"],
            id="namespace",
        ),
        pytest.param(
            [("group: shop", "group: shop\nloss_budget: {bytes: 16MB, time: -1s}")],
            [
                "loss_budget.bytes: '16MB' has no known unit (did you mean 16MiB?)",
                "loss_budget.time: '-1s' is not a duration (a number and a unit: 500ms, 6s, "
                "10min, 2h, 1d)",
            ],
            id="loss budget",
        ),
    ],
)  # fmt: skip
def test_each_mistake(edits: list[tuple[str, str]], expected: list[str]) -> None:
    assert mistakes(changed(*edits)) == expected


# --------------------------------------------------------------------------- secrets


def test_secrets_are_refused_and_never_repeated() -> None:
    text = changed(
        ("group: shop", "group: shop\nreplication_password: hunter2"),
        ("{name: jd,", "{name: jd, api_key: hunter2,"),
        ("address: 10.2.0.4", "address: 'postgres://replicator:hunter2@10.2.0.4'"),
        ("initial_site: jakarta", "initial_site: 'password=hunter2'"),
    )
    hint = "(put it into /etc/failover/secrets/, mode 0600; this file is the same at every site)"
    found = mistakes(text)
    assert found == [
        f"replication_password: secrets do not belong in this file {hint}",
        f"initial_site: this looks like a secret {hint}",
        f"clusters.shop.hosts.jakarta[0].api_key: secrets do not belong in this file {hint}",
        f"clusters.shop.hosts.makassar[0].address: this looks like a secret {hint}",
    ]
    assert "hunter2" not in "".join(found)


# --------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty (start from deploy/failover.yaml)"),
        ("# nothing\n", "the file is empty (start from deploy/failover.yaml)"),
        ("[1, 2]", "line 1: must be a mapping (lines of `key: value`)"),
        ("group: shop\nsites: [", "line 2: not YAML: expected the node content"),
        ("a: 1\n b: 2", "line 2: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2", "line 2: not YAML: but found another document"),
        ("a: !!python/object:os.system x", "line 1: not YAML: could not determine a constructor"),
        ("\x01", "not YAML: unacceptable character #x0001"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_cannot_be_parsed_is_said_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert str(problem).startswith(expected)


def test_keys_twice_and_values_that_are_none() -> None:
    text = changed(
        ("    country: ID\n", "    country: ID\n    country: ID\n"),
        ("group: shop", "group: 2021-13-45"),
        ("proxies: [", "proxies: &self [*self, "),
    )
    assert mistakes(text)[:1] == [
        "group: cannot be read: month must be in 1..12 (quote it if it is meant as text)"
    ]
    assert "sites.jakarta.country: given twice, first in line 7 (keep one)" in mistakes(text)
    assert "sites.jakarta.proxies[0]: an anchor that contains itself (write it out)" in mistakes(
        text
    )
    assert mistakes("on: 1")[0] == "the key 'on' is not text (quote it: \"on\")"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"absent\.yaml: 1 mistake\n.*cannot be read: no such file"
    ):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"group: \xe9")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load(tmp_path / "latin.yaml")


# --------------------------------------------------------------------------- never a traceback


@given(st.text())
def test_any_text_is_a_policy_or_a_list_of_mistakes(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.problems


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(line=st.integers(0, len(GOOD.splitlines()) - 1), junk=JUNK)
def test_any_value_anywhere_is_a_mistake_and_never_a_traceback(line: int, junk: object) -> None:
    import yaml

    lines = GOOD.splitlines()
    key = lines[line].split(":")[0]
    lines[line] = f"{key}: {yaml.safe_dump(junk, default_flow_style=True, width=10**6).strip()}"
    text = "\n".join(lines).replace("\n...", "")
    with suppress(ConfigError):
        parse(text)


@given(st.text())
def test_units_never_guess(text: str) -> None:
    for parser in (duration_s, size_bytes):
        with suppress(Wrong):
            assert parser(text) >= 0


# --------------------------------------------------------------------------- the command


def test_check_prints_and_exits(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(changed(("myid: 2", "myid: 1")))
    result = CliRunner().invoke(command, ["check", "--config", str(good)])
    assert result.exit_code == 0
    assert "in order. Group shop: jakarta (data), makassar (data), surabaya" in result.output
    assert "`failover check`" in result.output
    result = CliRunner().invoke(command, ["check", "--config", str(bad)])
    assert result.exit_code == 2
    assert "line 16: sites.makassar.zookeeper[0].myid: 1 is another server's" in result.output
    result = CliRunner().invoke(command, ["check", "-o", "json", "--config", str(bad)])
    assert result.exit_code == 2
    assert '"path": "sites.makassar.zookeeper[0].myid"' in result.output


# --------------------------------------------------------------------------- scopes that were there


def scopes(said: str) -> str:
    return changed(("    hosts:\n", f"    scopes: {{{said}}}\n    hosts:\n"))


def test_scopes_have_the_names_that_they_had() -> None:
    policy = parse(scopes("jakarta: Shop-Main"))
    cluster, sites = policy.clusters[0], policy.data_sites
    assert [cluster.scope(site.name) for site in sites] == ["Shop-Main", "shop-makassar"]


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("surabaya: x", "not a data site"),
        ("jakarta: shop-makassar", "is the scope of"),
        ("jakarta: same, makassar: same", "same is the scope of shop at jakarta"),
        ("jakarta: a/b", "cannot be the name of a scope"),
    ],
)
def test_mistakes_in_scopes(said: str, mistake: str) -> None:
    assert any(mistake in each for each in mistakes(scopes(said)))
