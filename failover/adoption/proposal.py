"""A ``failover.yaml`` for a pair that was read. Pure.

Invariant: what nobody could read stands there as a value that passes ``failover config check`` with
``CHANGE`` behind it; nothing else is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from failover.adoption.facts import Member, Scope, Server, Snapshot
from failover.policy import Address, Network

CHANGE = "# CHANGE"
PREFIX = {4: 24, 6: 64}
_NOWHERE = ip_network("192.0.2.0/24")  # for documentation (RFC 5737): nobody's
_WORDS = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Names:
    """What no pair tells: who is who. ``sites``: the active one, the other one, the witness."""

    sites: tuple[str, str, str]
    cluster: str
    group: str
    owner: str


def cluster_name(scope: str) -> str:
    """A name for the cluster, after its Patroni scope."""
    name = _WORDS.sub("_", scope.lower()).strip("_0123456789")
    return name[:31] or "shop"


@dataclass(slots=True)
class _Site:
    name: str
    scope: Scope | None
    networks: list[Network]
    servers: list[Server]
    taken: set[Address]

    def free(self) -> Address:
        """An address of the site's first network that nothing here has."""
        network = self.networks[0]
        last = int(network.broadcast_address)
        found = next(a for n in range(1, 250) if (a := ip_address(last - n)) not in self.taken)
        self.taken.add(found)
        return found


def proposal(snapshot: Snapshot, names: Names) -> str:
    """The text of the file."""
    sites = _sites(snapshot, names)
    lines = [
        f"# Drafted from {snapshot.primary.name}"
        + (f" and {snapshot.standby.name}" if snapshot.standby else "")
        + f" by `failover adopt draft`; {CHANGE[2:]} marks what it could not know.",
        f"group: {names.group}",
        f"owner: {names.owner}  {CHANGE}: who answers for the data",
        "lease: 6s",
        "protection: max-performance  # as it is; later: `failover protection`",
        "automation: observe  # nothing is done; what would have been done is recorded",
        f"initial_site: {names.sites[0]}",
        *_namespace(snapshot),
        "residency: {cut: false}  # reported; true ends sessions from undeclared networks",
        "# As the pair is. Once it is armed: docs/operations/certificates.md, and access.md.",
        "tls: {zookeeper: off, postgresql: off, patroni: off, http: off}",
        "zookeeper: {acl: off}",
        "",
        "sites:",
    ]
    myids = iter(_myids(sites))
    for site in sites:
        lines += _site_lines(site, site is sites[2], myids)
    lines += ["", "clusters:", f"  {names.cluster}:"]
    scopes = [f"{site.name}: {site.scope.name}" for site in sites[:2] if site.scope is not None]
    lines += [f"    scopes: {{{', '.join(scopes)}}}", "    hosts:"]
    for site in sites[:2]:
        lines += [f"      {site.name}:", *_host_lines(site)]
    return "\n".join(lines) + "\n"


def _namespace(snapshot: Snapshot) -> Iterator[str]:
    ensemble = snapshot.ensemble
    if ensemble is not None and ensemble.namespace != "/service":
        yield f"patroni_namespace: {ensemble.namespace}"


def _sites(snapshot: Snapshot, names: Names) -> list[_Site]:
    scopes = (snapshot.primary, snapshot.standby, None)
    sites = [
        _Site(name, scope, _networks(scope.members if scope else ()), [], set())
        for name, scope in zip(names.sites, scopes, strict=True)
    ]
    witness = sites[2]
    for site in sites:
        site.taken |= {ip_address(m.address) for m in (site.scope.members if site.scope else ())}
    for server in snapshot.ensemble.servers if snapshot.ensemble else ():
        address = ip_address(server.address)
        at = next((s for s in sites[:2] if any(address in n for n in s.networks)), witness)
        at.servers.append(server)
        at.taken.add(address)
        if at is witness and not any(address in n for n in witness.networks):
            witness.networks.append(_network_of(address))
    for number, site in enumerate(sites):
        if not site.networks:
            base = int(_NOWHERE.network_address)
            site.networks.append(ip_network((base + 64 * number, 26)))
    return sites


def _networks(members: Iterable[Member]) -> list[Network]:
    return list(dict.fromkeys(_network_of(ip_address(m.address)) for m in members))


def _network_of(address: Address) -> Network:
    return ip_network((address, PREFIX[address.version]), strict=False)


def _myids(sites: list[_Site]) -> Iterator[int]:
    """For servers that nobody told of; the witness comes last, with the highest."""
    known = {number for site in sites for s in site.servers if (number := _myid(s)) is not None}
    return (number for number in range(1, 256) if number not in known)


def _myid(server: Server) -> int | None:
    said = dict(server.settings).get("serverId", "")
    return int(said) if said.isdigit() and 0 < int(said) < 256 else None


def _site_lines(site: _Site, witness: bool, myids: Iterator[int]) -> Iterator[str]:
    guessed = f"  {CHANGE}: its own networks" + (
        " (these are nobody's)" if site.networks[0].subnet_of(_NOWHERE) else " (guessed)"  # type: ignore[arg-type]
    )
    yield f"  {site.name}:"
    yield f"    kind: {'witness' if witness else 'data'}"
    yield "    country: ID"
    yield f"    networks: [{', '.join(map(str, site.networks))}]{guessed}"
    yield "    zookeeper:"
    if not site.servers:
        yield (
            f"      - {{name: {site.name}-zk1, address: {site.free()}, myid: {next(myids)}}}  "
            f"{CHANGE}: none was seen here"
        )
    for number, server in enumerate(site.servers, start=1):
        myid = _myid(server)
        known, port = myid is not None, ""
        if server.port != 2181:
            port = f", client_port: {server.port}"
        yield (
            f"      - {{name: {site.name}-zk{number}, address: {server.address}, "
            f"myid: {myid if known else next(myids)}{port}}}  "
            f"{CHANGE}: the host's name{'' if known else ', and its myid'}"
        )
    yield (
        f"    controller: {{name: {site.name}-ctl1, address: {site.free()}}}  "
        f"{CHANGE}: a host for it"
    )


def _host_lines(site: _Site) -> Iterator[str]:
    if site.scope is None or not site.scope.members:
        made_up = f"name: {site.name}-db1, address: {site.free()}"
        yield f"        - {{{made_up}}}  {CHANGE}: none was seen"
        return
    for member in site.scope.members:
        ports = "".join(
            f", {key}: {port}"
            for key, port, usual in (
                ("postgres_port", member.postgres_port, 5432),
                ("patroni_port", member.patroni_port, 8008),
            )
            if port != usual
        )
        yield f"        - {{name: {member.name}, address: {member.address}{ports}}}"
