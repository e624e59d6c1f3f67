"""The policy of a simulated group: the lab's sites and hosts, with one or more clusters."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from failover.model import (
    Automation,
    ClusterName,
    GroupName,
    HostName,
    ProtectionMode,
    SiteKind,
    SiteName,
)
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

JAKARTA, MAKASSAR, SURABAYA = SiteName("jakarta"), SiteName("makassar"), SiteName("surabaya")
_SHORT = {JAKARTA: "jkt", MAKASSAR: "mks", SURABAYA: "sby"}


def policy(
    *,
    clusters: int = 1,
    hosts: int = 2,
    local_recovery_s: float = 10.0,
    cooldown_s: float = 3600.0,
    protection: ProtectionMode = ProtectionMode.MAX_PERFORMANCE,
) -> Policy:
    """Two data sites and a witness, one ZooKeeper server and one controller each. ``hosts``: of
    each cluster, at either site."""
    return Policy(
        group=GroupName("marketplace"),
        sites=tuple(_site(number, name) for number, name in enumerate(_SHORT, start=1)),
        clusters=tuple(_cluster(number, hosts) for number in range(clusters)),
        initial_site=JAKARTA,
        protection=protection,
        automation=Automation.AUTO,
        local_recovery_s=local_recovery_s,
        cooldown_s=cooldown_s,
        zookeeper_restart_command="restart-zookeeper {server}",
    )


def _site(number: int, name: SiteName) -> Site:
    short = _SHORT[name]
    network = f"10.77.{number}"
    zookeeper = ZooKeeperServer(
        HostName(f"{short}-zk1"), name, ip_address(f"{network}.21"), myid=number
    )
    return Site(
        name=name,
        kind=SiteKind.WITNESS if name == SURABAYA else SiteKind.DATA,
        country="ID",
        declared=(
            DeclaredNetwork(ip_network(f"{network}.0/24"), "PT Pasar", "ID", tuple(Purpose)),
        ),
        zookeeper=(zookeeper,),
        controller=ControllerHost(HostName(f"{short}-ctl1"), name, ip_address(f"{network}.31")),
    )


def _cluster(number: int, at_each_site: int) -> Cluster:
    name = ClusterName("marketplace" if number == 0 else f"marketplace{number + 1}")
    before = number * at_each_site
    hosts = tuple(
        DatabaseHost(
            name=HostName(f"{_SHORT[site]}-db{before + index}"),
            site=site,
            cluster=name,
            address=ip_address(f"10.77.{network}.{10 + before + index}"),
        )
        for network, site in ((1, JAKARTA), (2, MAKASSAR))
        for index in range(1, at_each_site + 1)
    )
    return Cluster(name, hosts, proxy_port=5000 + number)
