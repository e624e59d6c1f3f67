"""What must hold between the values of failover.yaml.

The checks look at the document as it is, not at the validated model, and skip what has no usable
value: so a wrong address somewhere does not hide an overlap elsewhere, and every mistake is
listed in one run.
"""

from __future__ import annotations

import shlex
from itertools import combinations
from typing import Any

from failover.config import units
from failover.config.document import Document
from failover.config.draft import Draft, Host, items, mapping, read_draft, usable
from failover.config.notification_checks import notification_checks
from failover.config.problems import Location, did_you_mean
from failover.config.residency_checks import residency_checks
from failover.policy import Address, Purpose
from failover.timing import WATCHDOG_LEASE_S_MIN, lease_timing

COUNTRY = "ID"
LEASE_MAX_S = 8.0
METRICS_PORT = 8404  # HAProxy's, on every proxy

# Names of databases and roles that are somebody's already, and words that pg_hba.conf reads.
RESERVED_CLUSTERS = frozenset(
    (
        *("postgres", "template0", "template1"),
        *("replicator", "replicator_2", "rewinder", "rewinder_2"),
        *("failover", "failover_observer", "failover_functions", "failover_cutter"),
        *("all", "sameuser", "samerole", "samegroup", "replication"),
    )
)


def cross_check(document: Document) -> None:
    """Note every mistake between values in ``document.problems``."""
    root = document.value if isinstance(document.value, dict) else {}
    draft = read_draft(root)
    _sites(document, root, draft)
    _networks(document, draft)
    _addresses(document, draft)
    _unique_names(document, draft)
    _zookeeper(document, draft)
    _clusters(document, root, draft)
    _scalars(document, root, draft)
    residency_checks(document, root, draft)
    notification_checks(document, root, draft)


# --------------------------------------------------------------------------- the checks


def _sites(document: Document, root: dict[str, Any], draft: Draft) -> None:
    for name, site in draft.sites.items():
        country = site.get("country")
        if isinstance(country, str) and country != COUNTRY:
            document.problem(
                ("sites", name, "country"),
                f"{country!r} is not Indonesia",
                f"every site stands in Indonesia, country: {COUNTRY}; no data leaves it",
            )
    if not isinstance(root.get("sites"), dict):
        return
    data, witness = draft.sites_of_kind("data"), draft.sites_of_kind("witness")
    undecided = len(draft.sites) - len(data) - len(witness)  # a kind that is said to be wrong
    if len(data) > 2 or (len(data) < 2 and not undecided):
        seen = f"{len(data)} ({', '.join(data)})" if data else "none"
        document.problem(("sites",), f"exactly two sites must be `kind: data`, here {seen}")
    if not witness and not undecided:
        document.problem(
            ("sites",),
            "no site is `kind: witness`",
            "a third site with a ZooKeeper server and a controller; it holds no customer data",
        )
    for name in witness:
        if draft.sites[name].get("proxies"):
            document.problem(
                ("sites", name, "proxies"), "a witness has no proxies: it holds no customer data"
            )


def _networks(document: Document, draft: Draft) -> None:
    for one, other in combinations(draft.networks, 2):
        a, b = one.network, other.network
        if a.version == b.version and a.overlaps(b):
            document.problem(
                other.location,
                f"{b} overlaps {a} of {one.site or 'an exception'}",
                "every address belongs to one site",
            )


def _addresses(document: Document, draft: Draft) -> None:
    first: dict[Address, Host] = {}
    witnesses = draft.sites_of_kind("witness")  # what else they must not have is said elsewhere
    for host in draft.hosts:
        if host.address is None:
            continue
        location = (*host.location, "address")
        other = first.setdefault(host.address, host)
        if other is not host:
            said = f"is also {other.name}'s" if other.name else "is given twice"
            document.problem(location, f"{host.address} {said}", "one address for each host")
        own = [each for each in draft.networks if each.site == host.site]
        mine = next((each for each in own if host.address in each.network), None)
        if own and mine is None:
            declared = ", ".join(str(each.network) for each in own)
            document.problem(
                location, f"{host.address} is in no network of {host.site}", f"declared: {declared}"
            )
        elif (
            mine is not None
            and host.purpose not in mine.purposes
            and (host.purpose is Purpose.OPERATIONS or host.site not in witnesses)
        ):
            document.problem(
                location,
                f"{host.address} stands in {mine.network}, which is not for {host.purpose}",
                f"add {host.purpose} to its purpose, or declare another network",
            )


def _unique_names(document: Document, draft: Draft) -> None:
    seen: set[str] = set()
    for host in draft.hosts:
        if host.name is None:
            continue
        if host.name in seen:
            document.problem(
                (*host.location, "name"),
                f"{host.name!r} is the name of another host",
                "host names are Patroni's member names too: one for each host in all sites",
            )
        seen.add(host.name)


def _zookeeper(document: Document, draft: Draft) -> None:
    servers = [(location, site, myid) for location, site, myid in draft.zookeeper]
    numbered = [s for s in servers if isinstance(s[2], int) and not isinstance(s[2], bool)]
    seen: set[int] = set()
    for location, _, myid in numbered:
        if myid in seen:
            document.problem((*location, "myid"), f"{myid} is another server's", "one for each")
        seen.add(myid)
    witnesses = draft.sites_of_kind("witness")
    if not servers or not witnesses:
        return
    if len(servers) not in (3, 5):
        document.problem(
            ("sites",),
            f"{len(servers)} ZooKeeper servers in all",
            "3 (one at each site) or 5 (two at each data site, one at the witness)",
        )
    else:
        for site in draft.sites:
            count = sum(1 for _, at, _ in servers if at == site)
            if count > len(servers) // 2:
                document.problem(
                    ("sites", site, "zookeeper"),
                    f"{count} of {len(servers)} servers: without {site} there is no quorum",
                    "no site may have a majority",
                )
    if numbered:
        location, site, myid = max(numbered, key=lambda server: int(server[2]))
        if site not in witnesses and len(seen) == len(numbered):
            document.problem(
                (*location, "myid"),
                f"{myid} is the highest, and {site} is not the witness",
                f"give a server at {witnesses[0]} the highest myid: it is to lead",
            )


def _clusters(document: Document, root: dict[str, Any], draft: Draft) -> None:
    data = draft.sites_of_kind("data")
    ports: dict[int, str] = {}
    scopes: dict[str, str] = {}
    for name, cluster in draft.clusters.items():
        _scopes(document, name, cluster, data, scopes)
        if name in RESERVED_CLUSTERS or name.startswith("pg_"):
            document.problem(
                ("clusters", name),
                f"{name!r} is reserved",
                "a cluster's name is also its database and its clients' role",
            )
        _cluster_hosts(document, draft, name, cluster, data)
        _backup(document, root, name, cluster)
        port = cluster.get("proxy_port", 5000)
        if not isinstance(port, int):
            continue
        location: Location = ("clusters", name, "proxy_port")
        if port == METRICS_PORT:
            document.problem(location, f"{port} is the port of HAProxy's metrics", "another one")
        elif port in ports:
            document.problem(location, f"{port} is the port of {ports[port]}", "one for each")
        ports.setdefault(port, name)


def _scopes(
    document: Document, name: str, cluster: dict[str, Any], data: list[str], taken: dict[str, str]
) -> None:
    """``taken``: scope and whose it is."""
    said = cluster.get("scopes", {})
    said = said if isinstance(said, dict) else {}
    base: Location = ("clusters", name, "scopes")
    for site in said:
        if site not in data:
            document.problem((*base, site), "not a data site", did_you_mean(site, data))
    for site in data:
        scope = said.get(site, f"{name}-{site}")
        whose = f"{name} at {site}"
        if isinstance(scope, str) and taken.setdefault(scope, whose) != whose:
            document.problem(
                (*base, *([site] if site in said else [])),
                f"{scope} is the scope of {taken[scope]}",
                "Patroni knows a cluster at a site by its scope: one for each",
            )


def _backup(document: Document, root: dict[str, Any], name: str, cluster: dict[str, Any]) -> None:
    """With it the rendered configuration turns archiving on: then it has to lead somewhere."""
    settings = mapping(mapping(root.get("residency")).get("settings"))
    if isinstance(cluster.get("backup"), dict) and not settings.get("archive_command"):
        document.problem(
            ("clusters", name, "backup"),
            "residency.settings has no archive_command",
            "say there which command archives WAL: docs/operations/backups.md has one",
        )


def _cluster_hosts(
    document: Document, draft: Draft, name: str, cluster: dict[str, Any], data: list[str]
) -> None:
    hosts = cluster.get("hosts")
    if not isinstance(hosts, dict):
        return
    base: Location = ("clusters", name, "hosts")
    for site in hosts:
        if site not in draft.sites:
            document.problem((*base, site), "unknown site", did_you_mean(site, draft.sites))
        elif site not in data and draft.sites[site].get("kind") == "witness":
            document.problem((*base, site), "a witness holds no customer data, so no database")
        for index, host in items(hosts[site]):
            _host_ports(document, (*base, site, index), host)
    for site in data:
        if not hosts.get(site):
            document.problem(
                base, f"no database host at {site}", "at least one at each data site, better two"
            )


def _host_ports(document: Document, location: Location, host: dict[str, Any]) -> None:
    defaults = {"postgres_port": 5432, "patroni_port": 8008, "guard_port": 8009}
    taken: dict[Any, Location] = {}
    poolers = host.get("pooler_ports", [])
    ports: list[tuple[Location, Any]] = [((key,), host.get(key, defaults[key])) for key in defaults]
    if isinstance(poolers, list):
        ports += [(("pooler_ports", at), port) for at, port in enumerate(poolers)]
    for at, port in ports:
        if port in taken:
            document.problem(
                (*location, *(at if at[0] in host else taken[port])),
                f"{port} is used twice on this host",
                "PostgreSQL, Patroni, the guard and a pooler need a port each",
            )
        taken[port] = at


def _scalars(document: Document, root: dict[str, Any], draft: Draft) -> None:
    lease_s = usable(units.duration_s, root.get("lease", "6s"))
    if lease_s is not None:
        _lease(document, lease_s)
    initial, data = root.get("initial_site"), draft.sites_of_kind("data")
    if isinstance(initial, str) and data and initial not in data:
        document.problem(
            ("initial_site",), f"{initial!r} is not a data site", did_you_mean(initial, data)
        )
    command = root.get("zookeeper_restart_command")
    if isinstance(command, str):
        _restart_command(document, command)


def _lease(document: Document, lease_s: float) -> None:
    try:
        lease_timing(lease_s)
    except ValueError as error:
        document.problem(("lease",), str(error).removeprefix("lease: "))
        return
    if lease_s > LEASE_MAX_S and lease_s != WATCHDOG_LEASE_S_MIN:
        document.problem(
            ("lease",),
            f"{lease_s:g}s is not a tried profile",
            "6s to 8s; or 20s for hosts that rely on a hardware watchdog",
        )


def _restart_command(document: Document, command: str) -> None:
    location: Location = ("zookeeper_restart_command",)
    hint = "for example `/usr/lib/failover/restart-zookeeper {server}`"
    try:
        words = shlex.split(command)
    except ValueError as error:
        document.problem(location, f"not a command line: {error}", hint)
        return
    if "{server}" not in words:
        document.problem(location, "does not name the server as the word {server}", hint)
