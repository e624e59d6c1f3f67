"""What a host has besides units: users, directories with their modes, masks, logs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from failover.config import load
from failover.render import Tree, render

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return render(load(CONFIG))


def rows(tree: Tree, host: str, path: str) -> set[tuple[str, ...]]:
    lines = tree[PurePosixPath(host, path)].splitlines()
    return {tuple(line.split(maxsplit=6)) for line in lines if not line.startswith("#")}


@pytest.mark.parametrize(
    ("host", "group"), [("jakarta/jkt-db2", "postgres"), ("surabaya/sby-ctl1", "failover")]
)
def test_a_service_reads_its_secrets_and_cannot_replace_them(
    tree: Tree, host: str, group: str
) -> None:
    """Nor could tmpfiles set what lies in a directory of somebody else's (unsafe path)."""
    found = rows(tree, host, "etc/tmpfiles.d/failover.conf")
    assert ("d", "/etc/failover/secrets", "0750", "root", group, "-") in found
    assert ("z", "/etc/failover/secrets/*", "0640", "root", group, "-") in found


def test_debians_own_units_of_postgresql_are_masked(tree: Tree) -> None:
    found = rows(tree, "makassar/mks-db1", "etc/tmpfiles.d/failover.conf")
    masked = {row[1] for row in found if row[0] == "L" and row[-1] == "/dev/null"}
    units = ("postgresql.service", "postgresql@.service")
    assert masked == {f"/etc/systemd/system/{name}" for name in units}


def test_the_programs_that_the_units_start_are_linked(tree: Tree) -> None:
    for host, names in {
        "makassar/mks-db1": {"failover", "patroni", "patronictl"},
        "makassar/mks-ctl1": {"failover"},
    }.items():
        found = rows(tree, host, "etc/tmpfiles.d/failover.conf")
        assert {row[1] for row in found if row[-1].startswith("/opt")} == {
            f"/usr/bin/{name}" for name in names
        }


def test_the_user_of_the_controllers_unit_is_made(tree: Tree) -> None:
    for host in ("jakarta/jkt-ctl1", "makassar/mks-ctl1", "surabaya/sby-ctl1"):
        (user,) = rows(tree, host, "etc/sysusers.d/failover.conf")
        unit = tree[PurePosixPath(host, "etc/systemd/system/failover-controller.service")]
        assert user[:3] == ("u", "failover", "-")
        assert "User=failover\nGroup=failover\n" in unit


def test_every_host_keeps_its_logs_on_disk_and_bounded(tree: Tree) -> None:
    hosts = {path.parts[:2] for path in tree}
    for host in hosts:
        text = tree[PurePosixPath(*host, "etc/systemd/journald.conf.d/60-failover.conf")]
        assert "\nStorage=persistent\n" in text
        assert "\nSystemMaxUse=" in text


@pytest.mark.parametrize(
    ("host", "user"),
    [
        ("jakarta/jkt-db1", "postgres"),
        ("surabaya/sby-ctl1", "failover"),
        ("makassar/mks-zk1", "zookeeper"),
        ("makassar/mks-proxy1", "haproxy"),
    ],
)
def test_a_hosts_key_is_its_services_alone(tree: Tree, host: str, user: str) -> None:
    found = rows(tree, host, "etc/tmpfiles.d/failover-tls.conf")
    assert ("d", "/etc/failover/tls", "0755", "root", "root", "-") in found
    assert ("z", "/etc/failover/tls/host.pem", "0600", user, user, "-") in found
