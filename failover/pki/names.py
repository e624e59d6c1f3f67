"""Which names and addresses the certificate of each host has to carry. Pure.

A database host answers customers through HAProxy, which passes TLS on as it is: they verify the
proxy's address against the database's certificate. Every proxy may send to every database host, so
all proxies' addresses stand in it. A ZooKeeper server is also dialled from its own host
(``break-glass``).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from failover.policy import Policy, Site
from failover.transport import HostNames

LOOPBACK = IPv4Address("127.0.0.1")


def host_names(policy: Policy) -> tuple[HostNames, ...]:
    """Every host of failover.yaml, site by site."""
    return tuple(names for site in policy.sites for names in _at(policy, site))


def _at(policy: Policy, site: Site) -> Iterator[HostNames]:
    for server in site.zookeeper:
        yield HostNames(site.name, server.name, server.address, (LOOPBACK,))
    for cluster in policy.clusters:
        for host in cluster.at(site.name):
            proxies = tuple(proxy.address for each in policy.sites for proxy in each.proxies)
            yield HostNames(site.name, host.name, host.address, proxies)
    yield HostNames(site.name, site.controller.name, site.controller.address)
    for proxy in site.proxies:
        yield HostNames(site.name, proxy.name, proxy.address)
