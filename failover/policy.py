"""What the operator wants, as frozen values. Built by config/ only; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from failover.access import OPEN, ZooKeeperAccess
from failover.model import (
    Automation,
    ClusterName,
    GroupName,
    HostName,
    ProtectionMode,
    ScopeName,
    SiteKind,
    SiteName,
)
from failover.transport import NO_TLS, Identity, TransportSecurity

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Purpose(StrEnum):
    """What a network is there for. ``REPLICATION``: whole copies of a cluster may stand in it."""

    REPLICATION = "replication"
    CLIENT = "client"
    BACKUP = "backup"
    OPERATIONS = "operations"


def over(expires: date | None, now_unix_s: float) -> bool:
    """The last day, which still counts, has passed (UTC). None never ends."""
    return expires is not None and datetime.fromtimestamp(now_unix_s, UTC).date() > expires


@dataclass(frozen=True, slots=True)
class DeclaredNetwork:
    """A network that the operator answers for: whose it is, where, what for, and until when."""

    network: Network
    owner: str
    country: str
    purposes: tuple[Purpose, ...]
    expires: date | None = None  # the last day; None: no end


@dataclass(frozen=True, slots=True)
class NetworkException:
    """A network that somebody answers for by name although the rule forbids it; until a day."""

    network: Network
    owner: str
    country: str
    purposes: tuple[Purpose, ...]
    approver: str
    reason: str
    expires: date


@dataclass(frozen=True, slots=True)
class AcceptedFinding:
    """A finding that somebody answers for: one way out, one subject; until a day."""

    way: str
    subject: str
    approver: str
    reason: str
    expires: date


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where something of a database host goes besides the group itself: archive, metrics, logs."""

    name: str
    host: Address | str  # a name is resolved, and every answer judged, again and again
    port: int
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Residency:
    """What the operator says about where data may go, beside the sites' networks.

    ``settings``: those of PostgreSQL that run a command or name a place, as they are meant to be.
    ``cut``: sessions from outside are ended; else they are only reported.
    """

    endpoints: tuple[Endpoint, ...] = ()
    exceptions: tuple[NetworkException, ...] = ()
    accepted: tuple[AcceptedFinding, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    cut: bool = True


class NotificationKind(StrEnum):
    """What somebody can be told of. Which events of the history it is: ``history_events``."""

    TAKEOVER = "takeover"
    SWITCHOVER = "switchover"
    HOLD = "hold"
    REINSTATED = "reinstated"
    FINDING = "finding"


class WebhookFormat(StrEnum):
    JSON = "json"
    ALERTMANAGER = "alertmanager"  # what Alertmanager sends to a webhook, version 4


@dataclass(frozen=True, slots=True)
class Url:
    """Where a webhook is. ``host``: a name is resolved, and every answer judged, each time."""

    text: str
    host: Address | str
    port: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """``bearer_file``: what proves who asks, read anew for every notification; None: nothing."""

    name: str
    url: Url
    format: WebhookFormat
    events: tuple[NotificationKind, ...]
    bearer_file: str | None = None


@dataclass(frozen=True, slots=True)
class CommandHook:
    """A program on the controllers' hosts; the notification is its standard input."""

    name: str
    path: str
    events: tuple[NotificationKind, ...]


NotificationTarget = Webhook | CommandHook


@dataclass(frozen=True, slots=True)
class ZooKeeperServer:
    name: HostName
    site: SiteName
    address: Address
    myid: int
    client_port: int = 2181
    identity: Identity | None = None  # it is dialled with TLS, proving this; None: without


@dataclass(frozen=True, slots=True)
class DatabaseHost:
    """One host of one cluster. ``name`` is also its Patroni member name: unique in the world."""

    name: HostName
    site: SiteName
    cluster: ClusterName
    address: Address
    postgres_port: int = 5432
    patroni_port: int = 8008
    guard_port: int = 8009
    pooler_ports: tuple[int, ...] = ()  # of a pooler on this host: it answers clients too
    # PostgreSQL is dialled with TLS, verified by the authorities in this file; None: without.
    postgres_authorities: str | None = None
    patroni_identity: Identity | None = None  # the same of Patroni's REST interface, proving this
    http_identity: Identity | None = None  # and of the guard's HTTP

    @property
    def client_ports(self) -> tuple[int, ...]:
        """Every port from which clients of the database are answered."""
        return (self.postgres_port, *self.pooler_ports)


@dataclass(frozen=True, slots=True)
class ControllerHost:
    name: HostName
    site: SiteName
    address: Address
    metrics_port: int = 9187
    http_identity: Identity | None = None  # its HTTP is dialled with TLS; None: without


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HAProxy host. The port of a cluster on it is ``Cluster.proxy_port``."""

    name: HostName
    site: SiteName
    address: Address


@dataclass(frozen=True, slots=True)
class Site:
    name: SiteName
    kind: SiteKind
    country: str
    declared: tuple[DeclaredNetwork, ...]
    zookeeper: tuple[ZooKeeperServer, ...]
    controller: ControllerHost
    proxies: tuple[Proxy, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """The declared networks alone, whatever they are for."""
        return tuple(each.network for each in self.declared)


@dataclass(frozen=True, slots=True)
class ReceiptTable:
    """A table of which a loss receipt names the affected rows, by the ``key`` columns alone."""

    database: str
    schema: str
    table: str
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a receipt names it: schema.table."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class BackupPromise:
    """What is meant to be true of a cluster's backups, for ``failover check`` alone.

    Both files are on each of its database hosts. ``status_file``: what `pgbackrest info
    --output=json` said; ``config_file``: by which it asked.
    """

    max_age_s: float = 26 * 3600.0
    status_file: str = "/var/lib/failover/backup.json"
    config_file: str = "/etc/pgbackrest.conf"


@dataclass(frozen=True)  # without slots: every look at the group asks who is where
class Cluster:
    name: ClusterName
    hosts: tuple[DatabaseHost, ...]
    proxy_port: int = 5000
    loss_receipt: tuple[ReceiptTable, ...] = ()
    scopes: tuple[tuple[SiteName, ScopeName], ...] = ()  # those that have names of their own
    backup: BackupPromise | None = None  # None: nobody has said

    def at(self, site: SiteName) -> tuple[DatabaseHost, ...]:
        """The hosts of this cluster at one site."""
        return self._by_site.get(site, ())

    @cached_property
    def _by_site(self) -> dict[SiteName, tuple[DatabaseHost, ...]]:
        sites = dict.fromkeys(host.site for host in self.hosts)
        return {site: tuple(h for h in self.hosts if h.site == site) for site in sites}

    def scope(self, site: SiteName) -> ScopeName:
        """The Patroni scope of this cluster at one data site."""
        return dict(self.scopes).get(site, ScopeName(f"{self.name}-{site}"))


@dataclass(frozen=True, slots=True)
class LossBudget:
    """How much acknowledged data automation may give up."""

    bytes: int
    seconds: float


@dataclass(frozen=True)  # without slots, as Cluster
class Policy:
    """One failover group: everything the operator said, with defaults filled in."""

    group: GroupName
    sites: tuple[Site, ...]
    clusters: tuple[Cluster, ...]
    initial_site: SiteName
    lease_s: float = 6.0
    loss_budget: LossBudget = LossBudget(bytes=16 * 1024 * 1024, seconds=10.0)
    protection: ProtectionMode = ProtectionMode.MAX_AVAILABILITY
    automation: Automation = Automation.OBSERVE
    local_recovery_s: float = 10.0
    cooldown_s: float = 3600.0
    max_slot_wal_keep_bytes: int = 64 * 1024**3
    salvage_bytes_max: int = 16 * 1024**3
    zookeeper_restart_command: str | None = None  # moves a drifted leader; "{server}" is its name
    patroni_namespace: str = "/service"
    residency: Residency = Residency()
    notifications: tuple[NotificationTarget, ...] = ()
    tls: TransportSecurity = NO_TLS
    access: ZooKeeperAccess = OPEN

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is dialled besides the group itself: what database hosts send to, and webhooks."""
        hooks = (each for each in self.notifications if isinstance(each, Webhook))
        dialled = (Endpoint(h.name, h.url.host, h.url.port, Purpose.OPERATIONS) for h in hooks)
        return (*self.residency.endpoints, *dialled)

    def site(self, name: SiteName) -> Site:
        """The site of that name; KeyError when there is none."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(f"unknown site {name!r}; known: {', '.join(s.name for s in self.sites)}")

    def cluster(self, name: ClusterName) -> Cluster:
        """The cluster of that name; KeyError when there is none."""
        for cluster in self.clusters:
            if cluster.name == name:
                return cluster
        known = ", ".join(c.name for c in self.clusters)
        raise KeyError(f"unknown cluster {name!r}; known: {known}")

    def host(self, name: HostName) -> DatabaseHost:
        """The database host of that name; KeyError when there is none."""
        for cluster in self.clusters:
            for host in cluster.hosts:
                if host.name == name:
                    return host
        raise KeyError(f"unknown database host {name!r}")

    def with_keys_in(self, directory: str) -> Policy:
        """For a process whose keys for ZooKeeper are elsewhere than on the group's hosts."""
        return replace(self, access=replace(self.access, directory=directory))

    def with_tls_in(self, directory: str) -> Policy:
        """For a process whose key and certificate are elsewhere than on the group's hosts."""
        tls = replace(self.tls, here=directory)
        sites = tuple(
            replace(
                site,
                zookeeper=tuple(
                    replace(s, identity=tls.zookeeper_identity) for s in site.zookeeper
                ),
                controller=replace(site.controller, http_identity=tls.http_identity),
            )
            for site in self.sites
        )
        clusters = tuple(
            replace(
                cluster,
                hosts=tuple(
                    replace(
                        h,
                        postgres_authorities=tls.postgres_authorities,
                        patroni_identity=tls.patroni_identity,
                        http_identity=tls.http_identity,
                    )
                    for h in cluster.hosts
                ),
            )
            for cluster in self.clusters
        )
        return replace(self, tls=tls, sites=sites, clusters=clusters)

    @cached_property
    def data_sites(self) -> tuple[Site, ...]:
        return tuple(site for site in self.sites if site.kind is SiteKind.DATA)

    @cached_property
    def zookeeper_servers(self) -> tuple[ZooKeeperServer, ...]:
        return tuple(server for site in self.sites for server in site.zookeeper)

    def patroni_zookeeper(self, site: SiteName) -> tuple[ZooKeeperServer, ...]:
        """The servers that Patroni and the guard of a data site list: never the witness's.

        Its own where it has two, else those of both data sites (decision 0002).
        """
        own = self.site(site).zookeeper
        if len(own) > 1:
            return own
        return tuple(server for data_site in self.data_sites for server in data_site.zookeeper)

    def other_data_site(self, name: SiteName) -> Site:
        """The data site that is not ``name``. There are exactly two (config/ sees to it)."""
        (other,) = (site for site in self.data_sites if site.name != name)
        return other
