"""The shape of failover.yaml as pydantic models, with what every key means.

Invariant: a key that is not here is a mistake, never ignored, and no key is without a description:
docs/configuration.md is made from them. What concerns more than one value is in ``crosschecks``.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from failover.access import Access
from failover.config import units
from failover.config.values import (
    AbsolutePath,
    ClusterKey,
    ColumnKey,
    Country,
    Day,
    Duration,
    GroupKey,
    HostKey,
    IpAddress,
    IpNetwork,
    Port,
    Purposes,
    ScopeKey,
    SettingKey,
    SiteKey,
    Size,
    TableKey,
    Words,
    Written,
)
from failover.model import Automation, ProtectionMode, SiteKind
from failover.policy import (
    Address,
    BackupPromise,
    NotificationKind,
    Policy,
    Purpose,
    Url,
    WebhookFormat,
)
from failover.transport import Wire

SECRETS_DIRECTORY = "/etc/failover/secrets"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ZooKeeperModel(_Model):
    name: HostKey = Field(description="Of the host.")
    address: IpAddress = Field(description="Where controllers, guards and Patroni connect.")
    myid: int = Field(
        ge=1,
        le=255,
        examples=[1],
        description="Its number in the ensemble. The witness has the highest: it should lead.",
    )
    client_port: Port = Field(
        default=2181, description="Of clients; 2888 and 3888 are between servers."
    )


class ControllerModel(_Model):
    name: HostKey = Field(description="Of the host.")
    address: IpAddress = Field(description="Of the host; allowed in the rendered `pg_hba` lines.")
    metrics_port: Port = Field(default=9187, description="Of `/metrics` and of the console.")


class ProxyModel(_Model):
    name: HostKey = Field(description="Of the host that runs HAProxy.")
    address: IpAddress = Field(description="Where customers of that site connect.")


def _in_full(value: Any) -> Any:
    """`10.77.1.0/24` is short for `{network: 10.77.1.0/24}`."""
    return {"network": value} if isinstance(value, str) else value


class NetworkModel(_Model):
    """One declared network. What is not said comes from its site."""

    network: IpNetwork = Field(description="A network of that site alone; none may overlap.")
    owner: Words | None = Field(
        default=None, description="Whose it is. Default: `owner` of the file."
    )
    country: Country | None = Field(default=None, description="Default: that of the site.")
    purpose: Purposes | None = Field(
        default=None,
        description="What may stand there. Default: all at a data site, `operations` at the "
        "witness.",
    )
    expires: Day | None = Field(
        default=None, description="The last day that counts (UTC). Default: no end."
    )


class SiteModel(_Model):
    kind: Annotated[
        SiteKind,
        BeforeValidator(units.checked(units.choice(SiteKind))),
        Field(examples=["data", "witness"]),
    ] = Field(description="Two sites hold data, at least one is a witness without any.")
    country: str = Field(examples=["ID"], description="`ID`; anything else is refused.")
    networks: list[Annotated[NetworkModel, BeforeValidator(_in_full)]] = Field(
        min_length=1,
        examples=["[10.77.1.0/24]"],
        description="The site's declared networks. In short, one is written as its address range.",
    )
    zookeeper: list[ZooKeeperModel] = Field(
        min_length=1,
        description="Its ZooKeeper servers: 3 in all (one at each site) or 5 (two at each data "
        "site).",
    )
    controller: ControllerModel = Field(description="The host of its controller.")
    proxies: list[ProxyModel] = Field(
        default=[], description="Its HAProxy hosts; none at a witness."
    )


class DatabaseHostModel(_Model):
    name: HostKey = Field(description="Also Patroni's member name: one in all sites.")
    address: IpAddress = Field(description="In a network of its site for `replication`.")
    postgres_port: Port = Field(default=5432, description="Of PostgreSQL; held to the lease.")
    patroni_port: Port = Field(default=8008, description="Of Patroni's REST interface.")
    guard_port: Port = Field(
        default=8009, description="Of the guard: HAProxy's question, `/metrics`, `/host`."
    )
    pooler_ports: list[Port] = Field(
        default=[], description="Of a pooler on this host, held to the lease like PostgreSQL's."
    )


class BackupModel(_Model):
    """What `failover check` holds backups against."""

    max_age: Duration = Field(
        default=BackupPromise().max_age_s,
        description="The newest good backup ended no longer ago than this.",
    )
    status_file: AbsolutePath = Field(
        default=BackupPromise().status_file,
        description="On every database host: what `pgbackrest info --output=json` said last.",
    )
    config_file: AbsolutePath = Field(
        default=BackupPromise().config_file,
        description="pgBackRest's own there: its repositories have to be `residency.endpoints` for "
        "`backup`, or on the host itself.",
    )


class ClusterModel(_Model):
    proxy_port: Port = Field(
        default=5000, description="Where HAProxy takes its clients; one per cluster."
    )
    hosts: dict[SiteKey, list[DatabaseHostModel]] = Field(
        description="Its database hosts, by data site: at least one at each, better two."
    )
    scopes: dict[SiteKey, ScopeKey] = Field(
        default={},
        description="Names of Patroni scopes that were there before "
        "([adopt](operations/adopt.md)), by data site. Default: CLUSTER-SITE.",
    )
    loss_receipt: dict[TableKey, Annotated[list[ColumnKey], Field(min_length=1)]] = Field(
        default={},
        description="Tables of which a loss receipt names the rows, by these key columns. Names as "
        "in the catalogue, without quotes.",
    )
    backup: BackupModel | None = Field(
        default=None,
        description="What is promised of its backups ([backups](operations/backups.md)). Default: "
        "nothing, and `failover check` says so.",
    )


def _default(name: str) -> Any:
    """The default of a field of ``Policy``."""
    return next(each.default for each in fields(Policy) if each.name == name)


class LossBudgetModel(_Model):
    bytes: Size = Field(
        default=_default("loss_budget").bytes,
        description="WAL that an automatic takeover may give up.",
    )
    time: Duration = Field(
        default=_default("loss_budget").seconds,
        description="Acknowledged commits that it may give up, in time. The isolation window (one "
        "lease) counts.",
    )


class EndpointModel(_Model):
    name: HostKey = Field(description="In findings and metrics.")
    host: Annotated[
        Address | str,
        BeforeValidator(units.checked(units.address_or_name)),
        Field(examples=["10.77.1.51", "backup.example.id"]),
        Written("IP address or full name"),
    ] = Field(description="Inside a declared network; a name is resolved again and again.")
    port: Port = Field(examples=[443], description="What the rendered firewall lets out to.")
    purpose: Annotated[Purpose, BeforeValidator(units.checked(units.choice(Purpose)))] = Field(
        examples=["backup"], description="The network has to be for that."
    )


class ExceptionModel(_Model):
    """A network that the rule forbids, and who answers for it."""

    network: IpNetwork = Field(description="The network that the rule forbids.")
    owner: Words = Field(description="Whose it is.")
    country: Country = Field(description="Where it is.")
    purpose: Purposes = Field(description="Never `replication` or `backup` abroad.")
    approver: Words = Field(description="Who answers for it.")
    reason: Words = Field(description="Why; it stands in the report.")
    expires: Day = Field(description="The last day that counts (UTC).")


class AcceptedModel(_Model):
    """A finding, and who answers for it."""

    way: Words = Field(description="Its kind, as in the table of [ways](residency.md).")
    subject: Words = Field(description="Its subject, as `failover residency check` names it.")
    approver: Words = Field(description="Who answers for it.")
    reason: Words = Field(description="Why; it stands in the report.")
    expires: Day = Field(description="The last day that counts (UTC).")


class ResidencyModel(_Model):
    endpoints: list[EndpointModel] = Field(
        default=[], description="Where a database host sends anything besides the group itself."
    )
    exceptions: list[ExceptionModel] = Field(
        default=[], description="Networks that the rule forbids, each with who answers for it."
    )
    accepted: list[AcceptedModel] = Field(
        default=[], description="Findings that somebody answers for, until a day."
    )
    settings: dict[SettingKey, str] = Field(
        default={},
        description="PostgreSQL's settings that run a command or name a place, as they are meant "
        "to be; any other value is a finding.",
    )
    cut: bool = Field(
        default=True, description="Sessions from outside are ended; false: only reported."
    )


Event = Annotated[NotificationKind, BeforeValidator(units.checked(units.choice(NotificationKind)))]
Events = Annotated[list[Event], Field(min_length=1, examples=["[takeover, hold]"])]


class WebhookModel(_Model):
    name: HostKey = Field(description="Names its place in ZooKeeper, and in metrics.")
    url: Annotated[Url, BeforeValidator(units.checked(units.url)), Written("URL")] = Field(
        examples=["https://hooks.example.id/failover"],
        description="http or https, in a declared network for `operations`, without a secret.",
    )
    format: Annotated[
        WebhookFormat, BeforeValidator(units.checked(units.choice(WebhookFormat)))
    ] = Field(default=WebhookFormat.JSON, description="What is sent.")
    events: Events = Field(default=list(NotificationKind), description="What it is told of.")
    bearer_file: AbsolutePath | None = Field(
        default=None,
        description="Its one word is sent as a bearer; only with https. Default: none.",
    )


class CommandHookModel(_Model):
    name: HostKey = Field(description="Names its place in ZooKeeper, and in metrics.")
    path: AbsolutePath = Field(description="Of the program, on every controller's host.")
    events: Events = Field(default=list(NotificationKind), description="What it is told of.")


class NotificationModel(_Model):
    """One of the two."""

    webhook: WebhookModel | None = Field(
        default=None, description="A receiver of HTTP requests; or"
    )
    command: CommandHookModel | None = Field(default=None, description="a program.")


WireMode = Annotated[
    Wire, BeforeValidator(units.checked(units.wire)), Field(examples=["require", "off"])
]


class TlsModel(_Model):
    """Of each wire, how far it has gone: off, accept, use, require (decision 0018).

    A file that says nothing means ``require``: whoever wants less writes it down (decision 0024).
    """

    zookeeper: WireMode = Field(
        default=Wire.REQUIRE,
        description="To ZooKeeper, and between its servers: off, accept, use or require "
        "([0018](decisions/0018-transport-security.md)).",
    )
    postgresql: WireMode = Field(
        default=Wire.REQUIRE,
        description="To PostgreSQL: customers, replication, controllers; the same positions.",
    )
    patroni: WireMode = Field(
        default=Wire.REQUIRE,
        description="To Patroni's REST interface: its peers, controllers, commands; the same.",
    )
    http: WireMode = Field(
        default=Wire.REQUIRE,
        description="To guards and controllers: proxies' checks, metrics, the console; the same.",
    )
    directory: Annotated[str, BeforeValidator(units.checked(units.plain_directory))] = Field(
        default=_default("tls").directory,
        description="Where a host has its certificate and the authorities that it believes.",
    )


class ZooKeeperAccessModel(_Model):
    """Who may do what in ZooKeeper (decision 0019); closed where the file says nothing."""

    acl: Annotated[
        Access, BeforeValidator(units.checked(units.access)), Field(examples=["require", "off"])
    ] = Field(
        default=Access.REQUIRE,
        description="Access lists: off, use (keys are shown) or require (znodes are closed) "
        "([0019](decisions/0019-access-in-zookeeper.md)).",
    )


class FileModel(_Model):
    """The whole file. Defaults are those of ``Policy``, but for ``tls`` and ``zookeeper``: a value
    made by hand is plain, a file that says nothing is closed."""

    group: GroupKey = Field(description="Of the failover group; `/failover/GROUP` in ZooKeeper.")
    owner: Words = Field(description="Of every network that names no other.")
    lease: Duration = Field(
        default=_default("lease_s"),
        description="How long the active site may write without the ensemble: 6 to 8 s, or 20 s "
        "with a hardware watchdog. Every time-out follows "
        "([0002](decisions/0002-lease-arithmetic.md)).",
    )
    protection: Annotated[
        ProtectionMode, BeforeValidator(units.checked(units.choice(ProtectionMode)))
    ] = Field(
        default=_default("protection"),
        description="What commits wait for, when the group is made; later `failover protection`.",
    )
    automation: Annotated[Automation, BeforeValidator(units.checked(units.choice(Automation)))] = (
        Field(
            default=_default("automation"),
            description="Who decides, when the group is made; later `failover automation`.",
        )
    )
    loss_budget: LossBudgetModel = Field(
        default=LossBudgetModel(), description="How much acknowledged data automation may give up."
    )
    local_recovery: Duration = Field(
        default=_default("local_recovery_s"),
        description="How long a site with a living host may help itself before a takeover.",
    )
    cooldown: Duration = Field(
        default=_default("cooldown_s"), description="No second automatic takeover for so long."
    )
    max_slot_wal_keep_size: Size = Field(
        default=_default("max_slot_wal_keep_bytes"),
        description="How much WAL the primary keeps for a lost site.",
    )
    salvage_size_max: Size = Field(
        default=_default("salvage_bytes_max"),
        description="How much WAL of a returned host is copied; more fails the salvage.",
    )
    initial_site: str = Field(
        examples=["jakarta"], description="The data site that is active when the group is made."
    )
    zookeeper_restart_command: str | None = Field(
        default=None,
        description="Restarts the ZooKeeper server `{server}`, to move a misplaced leader. "
        "Default: a human does.",
    )
    patroni_namespace: str = Field(
        default=_default("patroni_namespace"),
        pattern=r"^(/[A-Za-z0-9_-]+)+$",
        description="Where Patroni's scopes are in ZooKeeper.",
    )
    residency: ResidencyModel = Field(
        default=ResidencyModel(), description="Where data may go, beside the sites' networks."
    )
    notifications: list[NotificationModel] = Field(
        default=[], description="Who is told, and of what."
    )
    tls: TlsModel = Field(default=TlsModel(), description="Which wires have TLS.")
    zookeeper: ZooKeeperAccessModel = Field(
        default=ZooKeeperAccessModel(), description="Who may do what in ZooKeeper."
    )
    sites: dict[SiteKey, SiteModel] = Field(
        description="By name (a small letter, then small letters, digits or `_`)."
    )
    clusters: dict[ClusterKey, ClusterModel] = Field(
        min_length=1,
        description="By name, which is also that of its database and of its clients' role.",
    )
