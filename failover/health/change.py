"""A change of the world that is only thought of, and who no longer hears whom because of it. Pure.

A change is physical and total: a black hole, not a polite refusal. What follows from it, and when,
is for aftermath.py to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from failover.model import HostName, SiteName
from failover.policy import Policy


@dataclass(frozen=True, slots=True)
class SiteLost:
    """Everything at one site falls silent. Whether it still lives inside makes no difference."""

    site: SiteName

    def __str__(self) -> str:
        return f"site-lost={self.site}"


@dataclass(frozen=True, slots=True)
class HostLost:
    """One host: of a database, of a ZooKeeper server, or a controller's."""

    host: HostName

    def __str__(self) -> str:
        return f"host-lost={self.host}"


@dataclass(frozen=True, slots=True)
class LinkCut:
    """The link between the two data sites, in both directions."""

    def __str__(self) -> str:
        return "link-cut"


Change = SiteLost | HostLost | LinkCut


@dataclass(frozen=True, slots=True)
class Silence:
    """``hosts`` answer nobody any more. ``cut``: the sites that do not reach each other."""

    hosts: frozenset[HostName]
    cut: frozenset[SiteName]

    def between(self, one: SiteName, other: SiteName) -> bool:
        return one != other and {one, other} <= self.cut

    def hides(self, host: HostName, at: SiteName, looker: SiteName) -> bool:
        """Whether who looks from one site has no answer from a host at another (or the same)."""
        return host in self.hosts or self.between(at, looker)


def silence_of(policy: Policy, changes: Iterable[Change]) -> Silence:
    """All changes together."""
    hosts: set[HostName] = set()
    cut: set[SiteName] = set()
    for change in changes:
        match change:
            case SiteLost():
                hosts.update(name for name, site in hosts_of(policy) if site == change.site)
            case HostLost():
                hosts.add(change.host)
            case LinkCut():
                cut.update(site.name for site in policy.data_sites)
            case _:
                assert_never(change)
    return Silence(frozenset(hosts), frozenset(cut))


def hosts_of(policy: Policy) -> tuple[tuple[HostName, SiteName], ...]:
    """Every host that may be lost, with its site: databases, ZooKeeper servers, controllers."""
    databases = [(h.name, h.site) for cluster in policy.clusters for h in cluster.hosts]
    servers = [(server.name, server.site) for server in policy.zookeeper_servers]
    controllers = [(site.controller.name, site.name) for site in policy.sites]
    return (*databases, *servers, *controllers)
