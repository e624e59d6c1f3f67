"""A small policy around one real ZooKeeper server."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from failover.model import Automation, ClusterName, GroupName, HostName, SiteKind, SiteName
from failover.policy import (
    Cluster,
    ControllerHost,
    DatabaseHost,
    DeclaredNetwork,
    Policy,
    Purpose,
    Site,
    ZooKeeperServer,
)

JAKARTA, MAKASSAR, SURABAYA = (SiteName(name) for name in ("jakarta", "makassar", "surabaya"))


def policy(group: str, zookeeper: str) -> Policy:
    """Three sites; the one ZooKeeper server stands in Surabaya."""
    cluster = ClusterName("shop")
    return Policy(
        group=GroupName(group),
        sites=(
            _site(JAKARTA, 1, SiteKind.DATA),
            _site(MAKASSAR, 2, SiteKind.DATA),
            _site(SURABAYA, 3, SiteKind.WITNESS, zookeeper),
        ),
        clusters=(
            Cluster(
                cluster,
                hosts=tuple(
                    DatabaseHost(
                        HostName(f"{site[:3]}-db{n}"), site, cluster, ip_address(f"127.0.{s}.1{n}")
                    )
                    for s, site in ((1, JAKARTA), (2, MAKASSAR))
                    for n in (1, 2)
                ),
            ),
        ),
        initial_site=JAKARTA,
        automation=Automation.AUTO,
    )


def _site(name: SiteName, number: int, kind: SiteKind, zookeeper: str | None = None) -> Site:
    servers = (
        (ZooKeeperServer(HostName(f"{name[:3]}-zk1"), name, ip_address(zookeeper), number),)
        if zookeeper
        else ()
    )
    return Site(
        name=name,
        kind=kind,
        country="ID",
        declared=(
            DeclaredNetwork(ip_network(f"127.0.{number}.0/24"), "PT Pasar", "ID", tuple(Purpose)),
        ),
        zookeeper=servers,
        controller=ControllerHost(
            HostName(f"{name[:3]}-ctl1"), name, ip_address(f"127.0.{number}.31")
        ),
    )
