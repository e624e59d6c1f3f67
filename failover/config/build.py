"""The validated file as a Policy."""

from __future__ import annotations

from collections.abc import Iterator

from failover.access import ZooKeeperAccess
from failover.config.schema import (
    BackupModel,
    ClusterModel,
    FileModel,
    NotificationModel,
    ResidencyModel,
    SiteModel,
    TlsModel,
)
from failover.model import ClusterName, GroupName, HostName, ScopeName, SiteKind, SiteName
from failover.policy import (
    AcceptedFinding,
    BackupPromise,
    Cluster,
    CommandHook,
    ControllerHost,
    DatabaseHost,
    DeclaredNetwork,
    Endpoint,
    LossBudget,
    NetworkException,
    NotificationTarget,
    Policy,
    Proxy,
    Purpose,
    ReceiptTable,
    Residency,
    Site,
    Webhook,
    ZooKeeperServer,
)
from failover.transport import TransportSecurity


def build(file: FileModel) -> Policy:
    """The same intentions as frozen values."""
    tls = _transport(file.tls)
    return Policy(
        group=GroupName(file.group),
        sites=tuple(_site(SiteName(n), site, file.owner, tls) for n, site in file.sites.items()),
        clusters=tuple(
            _cluster(ClusterName(name), each, tls) for name, each in file.clusters.items()
        ),
        initial_site=SiteName(file.initial_site),
        lease_s=file.lease,
        loss_budget=LossBudget(bytes=file.loss_budget.bytes, seconds=file.loss_budget.time),
        protection=file.protection,
        automation=file.automation,
        local_recovery_s=file.local_recovery,
        cooldown_s=file.cooldown,
        max_slot_wal_keep_bytes=file.max_slot_wal_keep_size,
        salvage_bytes_max=file.salvage_size_max,
        zookeeper_restart_command=file.zookeeper_restart_command,
        patroni_namespace=file.patroni_namespace,
        residency=_residency(file.residency),
        notifications=tuple(target for each in file.notifications for target in _targets(each)),
        tls=tls,
        access=ZooKeeperAccess(file.zookeeper.acl),
    )


def _transport(said: TlsModel) -> TransportSecurity:
    return TransportSecurity(
        zookeeper=said.zookeeper,
        postgresql=said.postgresql,
        patroni=said.patroni,
        http=said.http,
        directory=said.directory,
    )


def _targets(said: NotificationModel) -> Iterator[NotificationTarget]:
    if (hook := said.webhook) is not None:
        events = tuple(dict.fromkeys(hook.events))
        yield Webhook(hook.name, hook.url, hook.format, events, hook.bearer_file)
    if (command := said.command) is not None:
        yield CommandHook(command.name, command.path, tuple(dict.fromkeys(command.events)))


# What a site's network is for where it does not say.
PURPOSES = {SiteKind.DATA: tuple(Purpose), SiteKind.WITNESS: (Purpose.OPERATIONS,)}


def _residency(said: ResidencyModel) -> Residency:
    return Residency(
        endpoints=tuple(Endpoint(e.name, e.host, e.port, e.purpose) for e in said.endpoints),
        exceptions=tuple(
            NetworkException(
                network=e.network,
                owner=e.owner,
                country=e.country,
                purposes=tuple(e.purpose),
                approver=e.approver,
                reason=e.reason,
                expires=e.expires,
            )
            for e in said.exceptions
        ),
        accepted=tuple(
            AcceptedFinding(a.way, a.subject, a.approver, a.reason, a.expires)
            for a in said.accepted
        ),
        settings=tuple(said.settings.items()),
        cut=said.cut,
    )


def _site(name: SiteName, site: SiteModel, owner: str, tls: TransportSecurity) -> Site:
    identity = tls.zookeeper_identity
    return Site(
        name=name,
        kind=site.kind,
        country=site.country,
        declared=tuple(
            DeclaredNetwork(
                network=each.network,
                owner=each.owner or owner,
                country=each.country or site.country,
                purposes=tuple(each.purpose or PURPOSES[site.kind]),
                expires=each.expires,
            )
            for each in site.networks
        ),
        zookeeper=tuple(
            ZooKeeperServer(HostName(z.name), name, z.address, z.myid, z.client_port, identity)
            for z in site.zookeeper
        ),
        controller=ControllerHost(
            HostName(site.controller.name),
            name,
            site.controller.address,
            site.controller.metrics_port,
            tls.http_identity,
        ),
        proxies=tuple(Proxy(HostName(p.name), name, p.address) for p in site.proxies),
    )


def _cluster(name: ClusterName, cluster: ClusterModel, tls: TransportSecurity) -> Cluster:
    return Cluster(
        name=name,
        hosts=tuple(
            DatabaseHost(
                name=HostName(host.name),
                site=SiteName(site),
                cluster=name,
                address=host.address,
                postgres_port=host.postgres_port,
                patroni_port=host.patroni_port,
                guard_port=host.guard_port,
                pooler_ports=tuple(host.pooler_ports),
                postgres_authorities=tls.postgres_authorities,
                patroni_identity=tls.patroni_identity,
                http_identity=tls.http_identity,
            )
            for site, hosts in cluster.hosts.items()
            for host in hosts
        ),
        proxy_port=cluster.proxy_port,
        loss_receipt=tuple(
            _receipt_table(table, columns) for table, columns in cluster.loss_receipt.items()
        ),
        scopes=tuple((SiteName(site), ScopeName(scope)) for site, scope in cluster.scopes.items()),
        backup=None if cluster.backup is None else _backup(cluster.backup),
    )


def _backup(said: BackupModel) -> BackupPromise:
    return BackupPromise(said.max_age, said.status_file, said.config_file)


def _receipt_table(name: str, columns: list[str]) -> ReceiptTable:
    database, schema, table = name.split(".")
    return ReceiptTable(database, schema, table, tuple(columns))
