"""The sandboxes of the rendered units: docs/decisions/0022-hardened-units.md, line by line."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import pytest

from failover.config import load
from failover.policy import Policy
from failover.render import Tree, render

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"
LEASE_WITH_WATCHDOG_S = 20

EVERYWHERE = {
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",  # the default is to kill: a backend, and all of them with it
    "SystemCallFilter=@system-service",
    "UMask=0077",
}
WITH_MOUNTS = {
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
}
NO_MOUNTS = {"failover-fence", "failover-guard-again"}
CAPABILITIES = {"failover-guard": "CAP_NET_ADMIN", "failover-residency": "CAP_NET_ADMIN"}
NOT_COMPILED = {"failover-fence", "failover-guard", "failover-guard-again", "failover-residency"}
# What the server shares with the next Patroni, and with the guard that looks at it.
NEVER_PRIVATE = (
    *("PrivateTmp=", "PrivateIPC=", "PrivateUsers=", "PrivatePIDs=", "PrivateNetwork="),
    *("RemoveIPC=", "TemporaryFileSystem=", "RootDirectory=", "DynamicUser="),
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(CONFIG)


@pytest.fixture(scope="module")
def tree(policy: Policy) -> Tree:
    return render(policy)


def units(tree: Tree) -> dict[PurePosixPath, set[str]]:
    found = {path: text for path, text in tree.items() if path.suffix == ".service"}
    assert len({path.stem for path in found}) == 8
    return {path: set(text.splitlines()) for path, text in found.items()}


def of(tree: Tree, name: str) -> list[set[str]]:
    return [lines for path, lines in units(tree).items() if path.stem == name]


def test_every_unit_gives_up_what_costs_nothing(tree: Tree) -> None:
    for path, lines in units(tree).items():
        assert lines >= EVERYWHERE, path
        sets = {line for line in lines if line.startswith("CapabilityBoundingSet=")}
        assert sets == {f"CapabilityBoundingSet={CAPABILITIES.get(path.stem, '')}"}, path
        assert ("MemoryDenyWriteExecute=yes" in lines) == (path.stem in NOT_COMPILED), path


def test_every_unit_sees_only_its_own_directories_but_where_a_start_is_waited_for(
    tree: Tree,
) -> None:
    for path, lines in units(tree).items():
        if path.stem in NO_MOUNTS:
            assert not any(line.startswith(("Protect", "Private", "Read")) for line in lines), path
        elif path.stem == "failover-guard":
            assert lines & WITH_MOUNTS == {"ProtectSystem=strict"}
            assert "ReadOnlyPaths=-/proc/sys" in lines  # CAP_NET_ADMIN may write some of it
        else:
            assert lines >= WITH_MOUNTS, path


def test_no_unit_but_that_of_the_residency_rules_is_roots(tree: Tree) -> None:
    for path, lines in units(tree).items():
        root = not any(line.startswith("User=") for line in lines)
        assert root == (path.stem == "failover-residency"), path


@pytest.mark.parametrize("name", ["patroni", "failover-guard"])
def test_what_outlives_a_restart_shares_everything_with_what_comes_after(
    tree: Tree, name: str
) -> None:
    for lines in of(tree, name):
        assert "KillMode=process" in lines
        assert not [line for line in lines if line.startswith(NEVER_PRIVATE)]


def test_the_barriers_under_patroni_write_what_the_guard_reads(tree: Tree) -> None:
    for lines in of(tree, "patroni"):
        assert "ReadWritePaths=/run/failover /var/lib/failover /tmp" in lines


def test_patroni_reaches_the_watchdog_where_it_holds_it(policy: Policy) -> None:
    slow = dataclasses.replace(policy, lease_s=LEASE_WITH_WATCHDOG_S)
    for lines in of(render(slow), "patroni"):
        assert lines >= {"DeviceAllow=/dev/watchdog rw", "DevicePolicy=closed"}
        assert lines >= WITH_MOUNTS - {"PrivateDevices=yes"}
        assert "PrivateDevices=yes" not in lines


def test_a_proxy_may_listen_where_it_was_told_to(policy: Policy) -> None:
    (cluster,) = policy.clusters
    low = dataclasses.replace(policy, clusters=(dataclasses.replace(cluster, proxy_port=443),))
    for lines in of(render(low), "haproxy"):
        assert lines >= {
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        }
