"""The hosts of the lab as values: everyone in failover.yaml, and the customers' own hosts. Pure.

A host does one thing, its role; what runs there are the units of that role, in starting order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from failover.host_secrets import CONTROLLER_FILES, DATABASE_FILES
from failover.lab.workload.control import CLIENT_HOSTS
from failover.model import HostName, SiteName
from failover.policy import Address, Policy, Site
from failover.transport import Identity

CLIENT_ADDRESS_OFFSET = 51  # x.x.x.51 in the site's first network


class Role(StrEnum):
    ZOOKEEPER = "zookeeper"
    DATABASE = "database"
    CONTROLLER = "controller"
    PROXY = "proxy"
    CLIENT = "client"
    OPERATIONS = "operations"  # opt-in: `failover.lab.monitoring`


UNITS: dict[Role, tuple[str, ...]] = {
    Role.ZOOKEEPER: ("zookeeper.service", "lab-restart-zookeeper.socket"),
    Role.DATABASE: ("failover-guard.service", "patroni.service"),
    Role.CONTROLLER: ("failover-controller.service",),
    Role.PROXY: ("haproxy.service",),
    Role.CLIENT: (),
    Role.OPERATIONS: (
        "lab-notifications.service",
        "prometheus-alertmanager.service",
        "prometheus.service",
    ),
}

# The user of the units: what may read the secrets of the host.
OWNERS: dict[Role, str] = {
    Role.DATABASE: "postgres",
    Role.CONTROLLER: "failover",
    Role.ZOOKEEPER: "zookeeper",
    Role.PROXY: "haproxy",
}

SECRETS: dict[Role, tuple[str, ...]] = {
    Role.DATABASE: DATABASE_FILES,
    Role.CONTROLLER: CONTROLLER_FILES,
    Role.CLIENT: ("client.password",),
}


@dataclass(frozen=True, slots=True)
class LabHost:
    name: HostName
    site: SiteName
    address: Address
    role: Role
    identity: Identity | None = None  # of this machine, for dialling its ZooKeeper; None: plainly

    @property
    def units(self) -> tuple[str, ...]:
        return UNITS[self.role]

    @property
    def secrets(self) -> tuple[str, ...]:
        return SECRETS.get(self.role, ())

    @property
    def secrets_owner(self) -> str:
        return OWNERS.get(self.role, "root")


def hosts_of(policy: Policy) -> tuple[LabHost, ...]:
    """Every host, site by site."""
    return tuple(host for site in policy.sites for host in _at(policy, site))


def _at(policy: Policy, site: Site) -> Iterator[LabHost]:
    for server in site.zookeeper:
        yield LabHost(server.name, site.name, server.address, Role.ZOOKEEPER, server.identity)
    for cluster in policy.clusters:
        for host in cluster.at(site.name):
            yield LabHost(host.name, site.name, host.address, Role.DATABASE)
    yield LabHost(site.controller.name, site.name, site.controller.address, Role.CONTROLLER)
    for proxy in site.proxies:
        yield LabHost(proxy.name, site.name, proxy.address, Role.PROXY)
    if site.name in CLIENT_HOSTS:
        address = site.networks[0][CLIENT_ADDRESS_OFFSET]
        yield LabHost(CLIENT_HOSTS[site.name], site.name, address, Role.CLIENT)
