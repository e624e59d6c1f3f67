"""What of failover.yaml is usable for checks between values.

It is read from the document as it is, not from the validated model, and what has no usable value
is left out: so a wrong address somewhere does not hide an overlap elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from failover.config import units
from failover.config.build import PURPOSES
from failover.config.problems import Location
from failover.model import SiteKind
from failover.policy import Address, Network, Purpose

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Host:
    """Anything with an address. Parts without a usable value are None."""

    location: Location
    site: str
    name: str | None
    address: Address | None
    purpose: Purpose  # what the network has to be for in which it stands


@dataclass(frozen=True, slots=True)
class DraftNetwork:
    """A network of a site, or of an exception: then ``site`` is empty."""

    location: Location
    site: str
    network: Network
    purposes: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """What of the document is usable for checks."""

    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: list[DraftNetwork] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    zookeeper: list[tuple[Location, str, Any]] = field(default_factory=list)  # …, myid

    def sites_of_kind(self, kind: str) -> list[str]:
        return [name for name, site in self.sites.items() if site.get("kind") == kind]


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            yield index, item


def usable(parse: Callable[[Any], Value], value: Any) -> Value | None:
    try:
        return parse(value)
    except units.Wrong:
        return None


def read_draft(root: dict[str, Any]) -> Draft:
    draft = Draft()
    for name, site in mapping(root.get("sites")).items():
        if isinstance(site, dict):
            draft.sites[name] = site
            _draft_site(draft, name, site)
    for name, cluster in mapping(root.get("clusters")).items():
        if not isinstance(cluster, dict):
            continue
        draft.clusters[name] = cluster
        for site_name, hosts in mapping(cluster.get("hosts")).items():
            for index, host in items(hosts):
                location = ("clusters", name, "hosts", site_name, index)
                _draft_host(draft, location, site_name, host, Purpose.REPLICATION)
    for index, exception in items(mapping(root.get("residency")).get("exceptions")):
        _draft_network(draft, ("residency", "exceptions", index), "", exception, ())
    return draft


def _draft_site(draft: Draft, name: str, site: dict[str, Any]) -> None:
    networks = site.get("networks")
    kind = site.get("kind")
    usual = PURPOSES[SiteKind(kind)] if kind in tuple(SiteKind) else tuple(Purpose)
    for index, said in enumerate(networks if isinstance(networks, list) else []):
        _draft_network(draft, ("sites", name, "networks", index), name, said, usual)
    for index, server in items(site.get("zookeeper")):
        location: Location = ("sites", name, "zookeeper", index)
        _draft_host(draft, location, name, server, Purpose.OPERATIONS)
        draft.zookeeper.append((location, name, server.get("myid")))
    if isinstance(site.get("controller"), dict):
        location = ("sites", name, "controller")
        _draft_host(draft, location, name, site["controller"], Purpose.OPERATIONS)
    for index, proxy in items(site.get("proxies")):
        _draft_host(draft, ("sites", name, "proxies", index), name, proxy, Purpose.CLIENT)


def _draft_network(
    draft: Draft, location: Location, site: str, said: Any, usual: tuple[str, ...]
) -> None:
    """In short, or as a mapping."""
    network = usable(units.network, said.get("network") if isinstance(said, dict) else said)
    purposes = said.get("purpose", usual) if isinstance(said, dict) else usual
    if network is not None and isinstance(purposes, list | tuple):
        known = tuple(each for each in purposes if isinstance(each, str))
        draft.networks.append(DraftNetwork(location, site, network, known))


def _draft_host(
    draft: Draft, location: Location, site: str, host: dict[str, Any], purpose: Purpose
) -> None:
    name = host.get("name")
    address = usable(units.address, host.get("address"))
    called = name if isinstance(name, str) else None
    draft.hosts.append(Host(location, site, called, address, purpose))
