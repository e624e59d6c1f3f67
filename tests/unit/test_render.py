"""The rendered files: what is committed is fresh, and what safety rests on is in them."""

from __future__ import annotations

import dataclasses
import os
import stat
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from failover.checks.privileges import FUNCTION_OWNERS
from failover.cli.config import command
from failover.config import load
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Cluster, DatabaseHost, Policy, Site, ZooKeeperServer
from failover.render import Tree, compare, render, write
from failover.render.expected import expected as expected_of

DEPLOY = Path(__file__).parents[2] / "deploy"
OPEN = Path(__file__).parents[1] / "open.yaml"
WATCHDOG = PurePosixPath("jakarta/jkt-db1/etc/systemd/system.conf.d/60-failover-watchdog.conf")
JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(OPEN)


@pytest.fixture(scope="module")
def tree(policy: Policy) -> Tree:
    return render(policy)


def patroni(tree: Tree, host: str) -> dict[str, Any]:
    loaded = yaml.safe_load(tree[PurePosixPath(host, "etc/patroni/patroni.yml")])
    assert isinstance(loaded, dict)
    return loaded


def unit(tree: Tree, host: str, name: str) -> list[str]:
    return tree[PurePosixPath(host, f"etc/systemd/system/{name}.service")].splitlines()


# --------------------------------------------------------------------------- the tree


def test_what_is_committed_is_a_fresh_render() -> None:
    stale = compare(render(load(DEPLOY / "failover.yaml")), DEPLOY)
    assert not stale, "run `failover config render --to deploy`:\n" + "".join(
        difference.unified() for difference in stale
    )


def test_every_file_says_that_it_is_rendered(tree: Tree) -> None:
    bare = {path.name for path, text in tree.items() if "do not edit" not in text}
    assert bare == {"site", "myid"}  # one word each, read as it is


def test_every_text_ends_with_one_newline_and_has_no_spaces_at_line_ends(tree: Tree) -> None:
    for path, text in tree.items():
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert all(line == line.rstrip() for line in text.splitlines()), path


def test_write_makes_the_place_as_rendered_and_leaves_the_rest(tree: Tree, tmp_path: Path) -> None:
    foreign, left_over = tmp_path / "failover.yaml", tmp_path / "jakarta/gone/etc/old"
    left_over.parent.mkdir(parents=True)
    foreign.write_text("mine")
    left_over.write_text("of an earlier render")
    assert len(write(tree, tmp_path)) == len(tree) + 1
    assert compare(tree, tmp_path) == ()
    assert write(tree, tmp_path) == ()
    assert foreign.read_text() == "mine"
    assert not (tmp_path / "jakarta/gone").exists()
    for script in ("usr/lib/failover/post-bootstrap", "usr/local/bin/patronictl"):
        mode = (tmp_path / "jakarta/jkt-db1" / script).stat().st_mode
        assert stat.S_IMODE(mode) == 0o755


def test_render_command(tmp_path: Path) -> None:
    arguments = ["render", "--config", str(DEPLOY / "failover.yaml"), "--to", str(tmp_path)]
    result = CliRunner().invoke(command, [*arguments, "--check"])
    assert result.exit_code == 1
    assert not any(tmp_path.iterdir()), "--check writes nothing"
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert CliRunner().invoke(command, [*arguments, "--check"]).exit_code == 0
    zoo = tmp_path / "jakarta/jkt-zk1/etc/zookeeper/zoo.cfg"
    zoo.write_text(zoo.read_text().replace("syncLimit=3", "syncLimit=10"))
    result = CliRunner().invoke(command, [*arguments, "--check"])
    assert result.exit_code == 1
    assert "-syncLimit=10\n+syncLimit=3\n" in result.output


# --------------------------------------------------------------------------- Patroni


def test_nothing_starts_promotes_or_rewinds_without_the_guard(tree: Tree) -> None:
    for host in ("jakarta/jkt-db1", "jakarta/jkt-db2", "makassar/mks-db1", "makassar/mks-db2"):
        local = patroni(tree, host)["postgresql"]
        assert local["bin_name"] == {
            name: f"/usr/lib/failover/barrier/{name}"
            for name in ("postgres", "pg_ctl", "pg_rewind")
        }
        hook = local["pre_promote"].split()
        assert hook[:2] == ["/usr/lib/failover/barrier/pre_promote", "-D"]
        assert hook[3:] == ["--limit-s=9.0"]
        assert local["remove_data_directory_on_rewind_failure"] is False
        assert local["remove_data_directory_on_diverged_timelines"] is False


def test_times_and_modes_that_the_lease_rests_on(tree: Tree) -> None:
    for host in ("jakarta/jkt-db1", "makassar/mks-db2"):
        dcs = patroni(tree, host)["bootstrap"]["dcs"]
        assert (dcs["ttl"], dcs["loop_wait"], dcs["retry_timeout"]) == (20, 1, 5)
        assert dcs["primary_start_timeout"] == 5
        assert dcs["failsafe_mode"] is False
        parameters = dcs["postgresql"]["parameters"]
        assert parameters["archive_mode"] == "off"
        assert parameters["wal_log_hints"] == "on"
        assert parameters["wal_level"] == "replica"
        assert parameters["wal_sender_timeout"] == "5s"
        assert parameters["max_slot_wal_keep_size"] == "65536MB"


def test_only_the_other_site_starts_as_a_standby_cluster(tree: Tree) -> None:
    active = patroni(tree, "jakarta/jkt-db1")["bootstrap"]["dcs"]
    standby = patroni(tree, "makassar/mks-db1")["bootstrap"]["dcs"]
    assert "standby_cluster" not in active
    assert active["slots"] == {"failover_makassar": {"type": "physical", "cluster_type": "primary"}}
    assert standby["slots"] == {"failover_jakarta": {"type": "physical", "cluster_type": "primary"}}
    assert standby["standby_cluster"] == {
        "host": "10.77.1.11",
        "port": 5432,
        "primary_slot_name": "failover_makassar",
        "create_replica_methods": ["basebackup"],
    }


def test_patroni_never_lists_the_witness(tree: Tree, policy: Policy) -> None:
    hosts = patroni(tree, "jakarta/jkt-db1")["zookeeper"]["hosts"]
    assert hosts == ["10.77.1.21:2181", "10.77.2.21:2181"]
    five = render(_with_five_zookeeper_servers(policy))
    hosts = patroni(five, "jakarta/jkt-db1")["zookeeper"]["hosts"]
    assert hosts == ["10.77.1.21:2181", "10.77.1.22:2181"]


def test_nobody_connects_from_outside_the_declared_networks(tree: Tree, policy: Policy) -> None:
    declared = [network for site in policy.data_sites for network in site.networks]
    lines = patroni(tree, "makassar/mks-db1")["postgresql"]["pg_hba"]
    remote = [line.split() for line in lines if not line.startswith("local ")]
    refused, remote = remote[:2], remote[2:]
    assert {(*line[:3], line[4]) for line in refused} == {
        ("host", "all", "postgres", "reject"),
        ("host", "replication", "postgres", "reject"),
    }
    assert all(line[0] == "host" and line[4] == "scram-sha-256" for line in remote)
    assert {line[3] for line in remote if "/32" not in line[3]} == {str(each) for each in declared}
    assert {line[2] for line in remote} == {
        *("replicator,replicator_2", "rewinder,rewinder_2", "failover_observer", "+marketplace")
    }, "the superuser never crosses the network"


def test_no_secret_and_no_placeholder_for_one(tree: Tree) -> None:
    authentication = patroni(tree, "jakarta/jkt-db1")["postgresql"]["authentication"]
    assert all(set(role) == {"username"} for role in authentication.values())


# --------------------------------------------------------------------------- the units


def test_the_guards_unit(tree: Tree) -> None:
    lines = unit(tree, "jakarta/jkt-db1", "failover-guard")
    for expected in (
        "Type=notify",
        "WatchdogSec=1500ms",
        "WatchdogSignal=SIGKILL",
        "Restart=always",
        "RestartSec=100ms",
        "StartLimitIntervalSec=5",
        "StartLimitBurst=4",
        "OnFailure=failover-fence.service",
        "RuntimeDirectoryPreserve=yes",
        "User=postgres",
        "ExecStart=/usr/bin/failover guard run --config /etc/failover/failover.yaml --host jkt-db1",
    ):
        assert expected in lines


def test_systemd_holds_the_watchdog_device(tree: Tree) -> None:
    assert "RuntimeWatchdogSec=20s" in tree[WATCHDOG].splitlines()


def test_a_guard_that_was_given_up_gets_another_chance_once_nothing_lives(tree: Tree) -> None:
    assert "OnSuccess=failover-guard-again.service" in unit(
        tree, "jakarta/jkt-db1", "failover-fence"
    )
    again = unit(tree, "jakarta/jkt-db1", "failover-guard-again")
    assert "OnSuccess=failover-guard.service" in again
    assert "ExecStart=/usr/bin/sleep 30" in again  # longer than StartLimitIntervalSec


def test_patroni_waits_for_the_guard_and_is_not_restarted_with_it(tree: Tree) -> None:
    lines = unit(tree, "jakarta/jkt-db1", "patroni")
    assert "After=network.target failover-guard.service" in lines
    assert "KillMode=process" in lines
    assert any(line.startswith("ExecStartPre=/usr/bin/failover guard wait ") for line in lines)
    assert not any(line.startswith(("Requires=", "BindsTo=", "PartOf=")) for line in lines)


# --------------------------------------------------------------------------- ZooKeeper, HAProxy


def test_zookeeper(tree: Tree) -> None:
    lines = tree[PurePosixPath("surabaya/sby-zk1/etc/zookeeper/zoo.cfg")].splitlines()
    for expected in (
        *("tickTime=500", "initLimit=20", "syncLimit=3", "maxSessionTimeout=8000"),
        "4lw.commands.whitelist=srvr,mntr,ruok,conf",
        "server.1=10.77.1.21:2888:3888",
        "server.3=10.77.3.21:2888:3888",
    ):
        assert expected in lines
    assert tree[PurePosixPath("surabaya/sby-zk1/etc/zookeeper/myid")] == "3\n"


def test_every_database_host_is_a_server_of_every_proxy(tree: Tree) -> None:
    for path in ("jakarta/jkt-proxy1", "makassar/mks-proxy1"):
        text = tree[PurePosixPath(path, "etc/haproxy/haproxy.cfg")]
        for host in ("jkt-db1 10.77.1.11", "mks-db2 10.77.2.12"):
            assert f"    server {host}:5432 port 8009 tcp-ut 20s\n" in text
        assert "/writable?wait=0.7&from=%pid" in text
        assert "inter 100ms" in text
        assert "on-marked-down shutdown-sessions" in text
        assert "tcp-request content set-bandwidth-limit unlimited" in text  # else it keeps clients


# --------------------------------------------------------------------------- other policies


def test_several_clusters_and_ipv6(policy: Policy) -> None:
    ledger = ClusterName("ledger")
    hosts = tuple(
        DatabaseHost(HostName(name), site, ledger, ip_address(address))
        for name, site, address in (
            ("jkt-db3", JAKARTA, "10.77.1.13"),
            ("mks-db3", MAKASSAR, "fd00:2::13"),
        )
    )
    both = dataclasses.replace(
        policy, clusters=(*policy.clusters, Cluster(ledger, hosts, proxy_port=5001))
    )
    tree = render(both)
    loaded = patroni(tree, "makassar/mks-db3")
    assert loaded["scope"] == "ledger-makassar"
    assert loaded["postgresql"]["listen"] == "[fd00:2::13]:5432"
    assert loaded["postgresql"]["data_dir"] == "/var/lib/postgresql/17/ledger"
    assert loaded["bootstrap"]["dcs"]["standby_cluster"]["host"] == "10.77.1.13"
    hba = "\n".join(loaded["postgresql"]["pg_hba"])
    assert "host replication replicator,replicator_2 fd00:2::13/128 scram-sha-256" in hba
    assert "10.77.1.11" not in hba, "hosts of another cluster have no business here"
    haproxy = tree[PurePosixPath("jakarta/jkt-proxy1/etc/haproxy/haproxy.cfg")]
    assert "bind 10.77.1.41:5001\n" in haproxy
    assert "server mks-db3 [fd00:2::13]:5432 port 8009 tcp-ut 20s\n" in haproxy


def test_a_zookeeper_server_with_ipv6_stands_in_brackets(policy: Policy) -> None:
    def moved(site: Site) -> Site:
        six = tuple(
            dataclasses.replace(s, address=ip_address("fd00:2::21")) for s in site.zookeeper
        )
        return dataclasses.replace(site, zookeeper=six) if site.name == MAKASSAR else site

    tree = render(dataclasses.replace(policy, sites=tuple(map(moved, policy.sites))))
    zoo = tree[PurePosixPath("jakarta/jkt-zk1/etc/zookeeper/zoo.cfg")]
    assert "=[fd00:2::21]:2888:3888\n" in zoo
    assert "[fd00:2::21]:2181" in patroni(tree, "makassar/mks-db1")["zookeeper"]["hosts"]


def test_the_long_lease_demands_a_hardware_watchdog(policy: Policy) -> None:
    tree = render(dataclasses.replace(policy, lease_s=20.0))
    assert patroni(tree, "jakarta/jkt-db1")["watchdog"] == {"mode": "required"}
    assert "RuntimeWatchdogSec=0" in tree[WATCHDOG].splitlines(), "two cannot hold one device"
    zoo = tree[PurePosixPath("jakarta/jkt-zk1/etc/zookeeper/zoo.cfg")]
    assert "maxSessionTimeout=20000\n" in zoo


def _with_five_zookeeper_servers(policy: Policy) -> Policy:
    """A second ZooKeeper server at each data site."""

    def more(name: SiteName, address: str, myid: int) -> Any:
        site = policy.site(name)
        server = ZooKeeperServer(HostName(f"{name}-zk2"), name, ip_address(address), myid)
        return dataclasses.replace(site, zookeeper=(*site.zookeeper, server))

    return dataclasses.replace(
        policy,
        sites=(more(JAKARTA, "10.77.1.22", 4), more(MAKASSAR, "10.77.2.22", 5), policy.sites[2]),
    )


def test_every_function_with_its_owners_rights_is_expected_as_it_is_rendered(
    tree: Tree, policy: Policy
) -> None:
    """`failover check` compares them with what is on the primary."""
    host = policy.clusters[0].hosts[0]
    directory = PurePosixPath(host.site, host.name, "usr/lib/failover")
    sql = tree[directory / "post-bootstrap.sql"] + tree[directory / "residency.sql"]
    texts = [sha256(part.encode()).hexdigest() for part in sql.split("$$")[1::2]]
    found = expected_of(policy, b"").host(host.name).functions
    assert len({each.signature for each in found}) == sql.count("SECURITY DEFINER") == len(found)
    assert {each.sha256 for each in found} < set(texts)
    assert len({each.sha256 for each in found}) == len(found)
    assert all(each.owner in FUNCTION_OWNERS for each in found)


def test_secrets_and_certificates_beside_what_is_rendered_are_not_ours(
    tree: Tree, tmp_path: Path
) -> None:
    write(tree, tmp_path)
    laid_out = [
        tmp_path / "jakarta/jkt-db1" / path
        for path in ("etc/failover/secrets/patroni.env", "etc/failover/tls/host.pem", "srv/ca.pem")
    ]
    for path in laid_out:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a secret")
    forgotten = tmp_path / "jakarta/jkt-db1/etc/failover/old.conf"
    forgotten.write_text("of an earlier version")
    assert [str(one.path) for one in compare(tree, tmp_path)] == [
        "jakarta/jkt-db1/etc/failover/old.conf"
    ]
    write(tree, tmp_path)
    assert not forgotten.exists()
    assert all(path.read_text() == "a secret" for path in laid_out)


def test_directories_can_be_entered_on_the_hosts_whatever_the_umask_here(
    tree: Tree, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        write(tree, tmp_path / "rendered")
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / "rendered").rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o755}
