"""Which session a real ZooKeeper server gives, and what it says of its settings."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
from single_container import ZooKeeperContainer

from failover.coordination.grants import granted
from failover.health.observation import NoAnswer
from failover.model import HostName, SiteName
from failover.policy import ZooKeeperServer
from failover.sites.zookeeper_status import ask_settings

pytestmark = pytest.mark.lab


def test_a_server_grants_what_its_limits_allow(zookeeper: ZooKeeperContainer) -> None:
    address, _, port = zookeeper.address.partition(":")
    server = ZooKeeperServer(
        HostName("zk1"), SiteName("jakarta"), ip_address(address), 1, int(port or 2181)
    )
    found = granted((server,), (6000, 10_000_000), 3.0)
    assert found[server.name, 6000] == 6000
    most = found[server.name, 10_000_000]
    assert most == 8000  # its maxSessionTimeout

    settings = asyncio.run(ask_settings(server, 1.0))
    assert not isinstance(settings, NoAnswer)
    assert settings["maxSessionTimeout"] == str(most)
    assert settings["tickTime"] == "500"

    nobody = replace(server, name=HostName("zk2"), client_port=1)
    started = time.monotonic()
    assert isinstance(granted((nobody,), (6000,), 0.5)[nobody.name, 6000], NoAnswer)
    assert time.monotonic() - started < 3.0
