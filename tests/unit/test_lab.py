"""The pure parts of the lab: who its hosts are, what is cut, how its commands speak."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from click.testing import CliRunner
from example_config import example

from failover.cli.lab import STAGES
from failover.cli.main import cli
from failover.config import load
from failover.lab import network, secrets
from failover.lab.errors import LabMistake
from failover.lab.faults import _ends
from failover.lab.files import files_of, kernel_settings
from failover.lab.from_here import is_of_the_lab, seen_from_here
from failover.lab.hosts import Role, hosts_of
from failover.lab.lab import CONFIG
from failover.lab.network import Cut, unplugged
from failover.lab.stages import Stage
from failover.render.files import render
from failover.render.tree import write

JAKARTA = (ip_network("10.77.1.0/24"),)
MAKASSAR = (ip_network("10.77.2.0/24"),)


def test_the_hosts_are_those_of_failover_yaml_and_the_customers() -> None:
    hosts = hosts_of(load(CONFIG))
    assert [host.name for host in hosts if host.site == "jakarta"] == [
        "jkt-zk1",
        "jkt-db1",
        "jkt-db2",
        "jkt-ctl1",
        "jkt-proxy1",
        "jkt-client",
    ]
    assert [host.role for host in hosts if host.site == "surabaya"] == [
        Role.ZOOKEEPER,
        Role.CONTROLLER,
    ]
    assert len({host.address for host in hosts}) == len(hosts)


def test_the_stages_of_the_command_line_are_those_of_the_lab() -> None:
    assert tuple(Stage) == STAGES


def test_every_host_gets_its_own_files_and_only_its_secrets(tmp_path: Path) -> None:
    secrets.generate(tmp_path / "secrets")
    secrets.generate_keys(load(CONFIG), tmp_path / "secrets")
    for host in hosts_of(load(CONFIG)):
        files = {str(file.path): file for file in files_of(host, CONFIG, tmp_path, False)}
        assert files["/etc/failover/failover.yaml"].data == CONFIG.read_bytes()
        assert files["/etc/failover/site"].data.decode().strip() == host.site
        held = {path.rpartition("/")[2] for path in files if "/secrets/" in path} - {".keep"}
        assert {name for name in held if not name.startswith("zookeeper")} == set(host.secrets)
        assert all(file.mode == 0o600 for path, file in files.items() if "/secrets/" in path)
        if host.role is not Role.CLIENT:
            wanted = {unit for unit in host.units if not unit.startswith("lab-")}
            assert wanted <= {path.rpartition("/")[2] for path in files}


def test_with_access_lists_a_host_gets_the_keys_of_its_own_services(tmp_path: Path) -> None:
    config = tmp_path / "deploy" / "failover.yaml"
    config.parent.mkdir()
    config.write_text(example(acl="require"))
    policy = load(config)
    write(render(policy), config.parent)
    secrets.generate(tmp_path / "secrets")
    secrets.generate_keys(policy, tmp_path / "secrets")
    wanted = {
        Role.DATABASE: {"zookeeper-guard.key", "zookeeper-patroni.key", "zookeeper.ids"},
        Role.CONTROLLER: {"zookeeper-controller.key", "zookeeper.ids"},
    }
    for host in hosts_of(policy):
        names = {f.path.name: f.mode for f in files_of(host, config, tmp_path, False)}
        keys = {name for name in names if name.startswith("zookeeper") and "." in name}
        found = {name for name in keys if name.endswith((".key", ".ids"))}
        assert found == wanted.get(host.role, set()), host.name
        assert {names[name] for name in found} <= {0o600}


def test_the_kernel_of_a_zookeeper_host_makes_silent_connections_anew() -> None:
    wanted = {"net.ipv4.tcp_retries2": "5"}
    for host in hosts_of(load(CONFIG)):
        found = kernel_settings(host, CONFIG)
        assert found == (wanted if host.role is Role.ZOOKEEPER else {}), host.name


def test_this_machine_is_a_controller_to_the_lab_that_is_up(tmp_path: Path) -> None:
    policy = load(CONFIG)
    here = seen_from_here(policy, tmp_path)
    assert here.access.directory == str(tmp_path / "secrets")
    assert here.tls.here == str(tmp_path / "pki/jakarta/jkt-ctl1/etc/failover/tls")
    assert render(here) == render(policy), "a host's files are the same wherever they are rendered"


def test_only_the_failover_yaml_of_the_lab_that_is_up_is_the_labs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "failover.yaml", tmp_path / "other.yaml"
    for path in (mine, other):
        path.write_text("")
    record = tmp_path / "lab.json"
    assert not is_of_the_lab(mine, tmp_path)
    for spoilt in ("", "[]", "{}", '"x"'):
        record.write_text(spoilt)
        assert not is_of_the_lab(mine, tmp_path)
    record.write_text(json.dumps({"config": str(tmp_path / "." / "failover.yaml")}))
    assert is_of_the_lab(mine, tmp_path)
    assert not is_of_the_lab(other, tmp_path)
    monkeypatch.chdir(tmp_path)
    record.write_text(json.dumps({"config": "failover.yaml"}))
    assert not is_of_the_lab(mine, tmp_path), "anybody's directory has one of this name"


def test_secrets_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    secrets.generate(tmp_path)
    before = (tmp_path / "client.password").read_text()
    secrets.generate(tmp_path)
    assert (tmp_path / "client.password").read_text() == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_nothing_is_cut_without_a_table() -> None:
    assert network.script(()) == (
        "add table bridge failover_lab\ndelete table bridge failover_lab\n"
    )


def test_an_unplugged_site_is_cut_off_in_both_directions_in_one_transaction() -> None:
    text = network.script(unplugged(JAKARTA))
    assert text.splitlines()[-4:-2] == [
        "    ip saddr { 10.77.1.0/24 } ip daddr != { 10.77.1.0/24 } counter drop",
        "    ip saddr != { 10.77.1.0/24 } ip daddr { 10.77.1.0/24 } counter drop",
    ]


def test_a_cut_of_a_port_leaves_the_rest() -> None:
    text = network.script((Cut(JAKARTA, MAKASSAR, port=5432),))
    assert "ip saddr { 10.77.1.0/24 } ip daddr { 10.77.2.0/24 } tcp dport 5432 counter" in text


def test_a_throttle_drops_what_is_above_its_rate() -> None:
    text = network.script((Cut(JAKARTA, MAKASSAR, from_port=5432, above_bytes_s=500_000),))
    limit = "tcp sport 5432 limit rate over 500000 bytes/second burst 50000 bytes counter drop"
    assert f"ip saddr {{ 10.77.1.0/24 }} ip daddr {{ 10.77.2.0/24 }} {limit}" in text


@pytest.mark.parametrize(
    ("target", "ends"),
    [
        ("jakarta>makassar", ("jakarta", True, "makassar")),
        ("jakarta-makassar", ("jakarta", False, "makassar")),
        ("jkt-db1-jkt-db2", ("jkt-db1", False, "jkt-db2")),
        ("jkt-db1>makassar", ("jkt-db1", True, "makassar")),
    ],
)
def test_the_ends_of_a_link_may_have_hyphens(target: str, ends: tuple[str, bool, str]) -> None:
    assert _ends(target, ("jkt-db1", "jkt-db2", "jakarta", "makassar")) == ends


@pytest.mark.parametrize("target", ["jakarta", "jakarta>bali", "jakarta/makassar"])
def test_ends_that_nobody_knows_are_refused(target: str) -> None:
    with pytest.raises(LabMistake, match="does not name two ends"):
        _ends(target, ("jakarta", "makassar"))


@pytest.mark.parametrize("words", [["status"], ["fault", "list"], ["heal"], ["logs", "jkt-db1"]])
def test_without_a_lab_every_command_says_so(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from failover.lab import lab

    def attach() -> lab.Lab:
        return find(tmp_path)

    find: Callable[[Path], lab.Lab] = lab.Lab.attach
    monkeypatch.setattr(lab.Lab, "attach", attach)
    ended = CliRunner().invoke(cli, ["lab", *words])
    assert ended.exit_code == 2
    assert "no lab is up" in ended.output
    assert "failover lab up" in ended.output
