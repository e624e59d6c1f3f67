"""The table of ports is whole, and agrees with failover.yaml and with itself."""

from __future__ import annotations

import re

import pytest
from docs_pages import ROOT

from failover.config import load
from failover.lab.hosts import UNITS
from failover.reference import configuration
from failover.reference.ports import PORTS, WRITES, Can, Client, Host, Port

PROGRAMS = [port for port in PORTS if port.rows]


def test_a_port_stands_there_once() -> None:
    keys = [(port.host, port.number, port.udp) for port in PORTS]
    assert len(keys) == len(set(keys))


def test_what_a_site_has_is_tried() -> None:
    """A port without rows stands on the page as the lab's alone, and is tried by nobody."""
    assert [f"{p.host} {p.number}" for p in PORTS if not p.rows and not p.lab_only] == []


@pytest.mark.parametrize("port", PROGRAMS, ids=lambda port: f"{port.host} {port.number}")
def test_a_kind_of_client_stands_there_once(port: Port) -> None:
    clients = [row.client for row in port.rows]
    assert len(clients) == len(set(clients))
    assert Client.NOBODY in clients, "what is asked of whoever comes"


def test_whoever_brings_nothing_changes_nothing_where_everything_is_required() -> None:
    harmless = {Can.NEEDS_TLS, Can.HANDSHAKE, Can.PASSWORD, Can.NO_TLS, Can.READS}
    nothing = (Client.NOBODY, Client.NO_CERTIFICATE, Client.OTHER_AUTHORITY)
    said = {row.required for port in PORTS for row in port.rows if row.client in nothing}
    assert said <= harmless


def test_the_ports_are_those_of_failover_yaml() -> None:
    policy = load(ROOT / "tests" / "open.yaml")
    host, site = policy.clusters[0].hosts[0], policy.sites[0]
    wanted = {
        (Host.DATABASE, host.postgres_port),
        (Host.DATABASE, host.patroni_port),
        (Host.DATABASE, host.guard_port),
        (Host.CONTROLLER, site.controller.metrics_port),
        (Host.ZOOKEEPER, site.zookeeper[0].client_port),
        (Host.PROXY, policy.clusters[0].proxy_port),
    }
    assert {(port.host, port.number) for port in PORTS if port.setting} == wanted


def test_settings_and_switches_are_keys_of_failover_yaml() -> None:
    keys = {name for _, model in configuration.models() for name in model.model_fields}
    said = [(port.setting, port.switch.split(", ")) for port in PORTS]
    named = {name for setting, switches in said for name in (setting, *switches)} - {"", "none"}
    last = {re.sub(r"\[\]$", "", name).rpartition(".")[2] for name in named}
    assert last <= keys


def test_a_unit_that_listens_is_one_of_the_lab() -> None:
    units = {unit for of_role in UNITS.values() for unit in of_role}
    systemd = {"init.scope", ""}  # a socket of systemd's own; the container engine
    assert {port.unit for port in PORTS} <= units | systemd


def test_nobody_but_controllers_writes_the_state() -> None:
    assert [client for client, places in WRITES.items() if "state" in places] == [
        Client.CONTROLLER_KEY
    ]
