"""The install guide can be followed: every block says where, and asks for what exists."""

from __future__ import annotations

import re
import subprocess

import pytest
from install_guide import (
    ADMINISTRATOR,
    CONTAINERS_PAGE,
    PAGE,
    ROOT,
    Block,
    blocks,
    hosts_named,
    packages,
)

from failover.cli.main import NOUNS
from failover.config import load
from failover.lab.hosts import UNITS, Role
from failover.render import render

POLICY = load(ROOT / "tests" / "open.yaml")
ROLES = (Role.ZOOKEEPER, Role.DATABASE, Role.CONTROLLER, Role.PROXY)
BOTH = (*blocks(), *blocks(CONTAINERS_PAGE))
CONTAINER = ROOT / "deploy" / "containers"


def ident(block: Block) -> str:
    return f"line {block.line}"


@pytest.mark.parametrize("block", BOTH, ids=ident)
def test_a_block_names_hosts_and_is_a_script(block: Block) -> None:
    assert block.where == ADMINISTRATOR or hosts_named(POLICY, block.where)
    read = subprocess.run(
        ["sh", "-n"], input=block.script, capture_output=True, text=True, check=False, timeout=10
    )
    assert read.returncode == 0, read.stderr


@pytest.mark.parametrize("block", BOTH, ids=ident)
def test_its_commands_of_failover_exist(block: Block) -> None:
    said = re.findall(r"(?:^|[\s/'])failover (?:--config \S+ )?([a-z][a-z-]*)", block.script)
    assert set(said) <= set(NOUNS)


@pytest.mark.parametrize("role", ROLES)
def test_every_kind_of_host_gets_its_packages_and_its_units(role: Role) -> None:
    assert "apt-get install" in packages(POLICY, role)
    script = "".join(
        block.script
        for block in blocks()
        if block.where != ADMINISTRATOR
        and role in {host.role for host in hosts_named(POLICY, block.where)}
    )
    units = {unit.removesuffix(".service") for unit in UNITS[role] if unit.endswith(".service")}
    started = set(re.findall(r"systemctl enable (?:--now )?([^\n]+)", script))
    assert units <= {name for names in started for name in names.split()}


def test_every_unit_that_is_wanted_at_boot_is_enabled() -> None:
    script = "".join(block.script for block in blocks())
    enabled = {
        n for names in re.findall(r"enable (?:--now )?([^\n]+)", script) for n in names.split()
    }
    wanted = {
        path.stem
        for path, text in render(POLICY).items()
        if path.suffix == ".service" and "[Install]" in text
    }
    assert wanted == enabled


def test_the_addresses_of_the_example_are_those_of_its_proxies() -> None:
    said = set(re.findall(r"-h (\d+\.\d+\.\d+\.\d+)", PAGE.read_text(encoding="utf-8")))
    assert said == {str(proxy.address) for site in POLICY.sites for proxy in site.proxies}


def test_a_container_has_the_packages_of_every_kind_of_host_and_enables_their_units() -> None:
    built = (CONTAINER / "Containerfile").read_text(encoding="utf-8")
    asked = re.findall(
        r"--no-install-recommends ([^\n]+)", "".join(packages(POLICY, r) for r in ROLES)
    )
    assert {name for names in asked for name in names.split()} <= set(re.findall(r"\S+", built))
    enabled = (CONTAINER / "take-files").read_text(encoding="utf-8")
    (units,) = re.findall(r"for unit in ([^;]+);", enabled)
    wanted = {unit.removesuffix(".service") for r in ROLES for unit in UNITS[r] if "@" not in unit}
    assert {name for name in wanted if "." not in name} <= set(units.split())
