"""Who answers on the network, before a quorum is made without him. A thin edge."""

from __future__ import annotations

import asyncio

from failover.health.observation import NoAnswer, ZooKeeperMode, ZooKeeperSeen
from failover.model import SiteName
from failover.policy import Address, Policy, ZooKeeperServer
from failover.sites.haproxy import STATISTICS_PORT
from failover.sites.zookeeper_status import ask_settings, ask_zookeeper

ANSWER_LIMIT_S = 1.0
ELECTION_PORT = 3888  # zoo.cfg


def answer(server: ZooKeeperServer) -> ZooKeeperSeen | None:
    """What the server says of itself; None without an answer."""
    found = asyncio.run(ask_zookeeper(server, ANSWER_LIMIT_S))
    return None if isinstance(found, NoAnswer) else found


def mode(server: ZooKeeperServer) -> ZooKeeperMode | None:
    found = answer(server)
    return None if found is None else found.mode


def serves(found: ZooKeeperMode | None) -> bool:
    """It is part of a quorum."""
    return found is not None and found is not ZooKeeperMode.NO_QUORUM


def knows(server: ZooKeeperServer) -> frozenset[int] | None:
    """Whom it takes for members of the ensemble; None: it does not say."""
    found = asyncio.run(ask_settings(server, ANSWER_LIMIT_S))
    if isinstance(found, NoAnswer):
        return None
    names = (key.removeprefix("server.") for key in found if key.startswith("server."))
    return frozenset(int(name) for name in names if name.isdigit())


def elects(server: ZooKeeperServer) -> bool:
    """It can be asked for its vote from here."""
    return asyncio.run(_opens(server.address, ELECTION_PORT, refused=False))


def answering(policy: Policy, own: SiteName) -> tuple[str, ...]:
    """Every part of the other sites that takes a connection, by host and part."""
    return asyncio.run(_answering(_doors(policy, own), _passed_on(policy, own)))


Door = tuple[str, Address, int]


def _doors(policy: Policy, own: SiteName) -> tuple[Door, ...]:
    """Every port that the other sites are known by: at the witness it may be the controller's
    alone that still answers."""
    others = [site for site in policy.sites if site.name != own]
    servers = [s for s in policy.zookeeper_servers if s.site != own]
    hosts = [h for cluster in policy.clusters for h in cluster.hosts if h.site != own]
    controllers = [site.controller for site in others]
    return (
        *((f"{s.name} (ZooKeeper)", s.address, s.client_port) for s in servers),
        *((f"{h.name} (PostgreSQL)", h.address, h.postgres_port) for h in hosts),
        *((f"{h.name} (Patroni)", h.address, h.patroni_port) for h in hosts),
        *((f"{h.name} (guard)", h.address, h.guard_port) for h in hosts),
        *((f"{c.name} (controller)", c.address, c.metrics_port) for c in controllers),
    )


def _passed_on(policy: Policy, own: SiteName) -> tuple[Door, ...]:
    """Ports that no firewall has to let sites at: who refuses may be the firewall of the way, and
    only one that opens is there."""
    proxies = [p for site in policy.sites if site.name != own for p in site.proxies]
    return (
        *(
            (f"{p.name} (HAProxy, {cluster.name})", p.address, cluster.proxy_port)
            for p in proxies
            for cluster in policy.clusters
        ),
        *((f"{p.name} (HAProxy's statistics)", p.address, STATISTICS_PORT) for p in proxies),
    )


async def _answering(doors: tuple[Door, ...], passed_on: tuple[Door, ...]) -> tuple[str, ...]:
    every = (*doors, *passed_on)
    asked = (_opens(address, port) for _, address, port in doors)
    tried = (_opens(address, port, refused=False) for _, address, port in passed_on)
    opened = await asyncio.gather(*asked, *tried)
    return tuple(name for (name, _, _), there in zip(every, opened, strict=True) if there)


async def _opens(address: Address, port: int, *, refused: bool = True) -> bool:
    """``refused``: what a refusal counts as. It is an answer too: somebody there is alive."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            _, writer = await asyncio.open_connection(str(address), port)
    except ConnectionRefusedError:
        return refused
    except OSError:
        return False
    writer.close()
    return True
