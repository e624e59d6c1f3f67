"""The shape of failover.yaml as pydantic models, and their errors as problems with hints.

Invariant: a key that is not here is a mistake, never ignored. What concerns more than one value
is in ``crosschecks``.
"""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import date
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from failover.config import units
from failover.config.document import Document
from failover.config.problems import Location, did_you_mean
from failover.model import Automation, ProtectionMode, SiteKind
from failover.policy import (
    Address,
    Network,
    NotificationKind,
    Policy,
    Purpose,
    Url,
    WebhookFormat,
)
from failover.transport import Wire

SECRETS_DIRECTORY = "/etc/failover/secrets"
_SECRET_KEY = units.SECRET_WORD
_SECRET_VALUE = re.compile(r"passw\w*\s*[=:]|://[^/\s:@]*:[^/\s@]+@|-----BEGIN", re.I)

Duration = Annotated[float, BeforeValidator(units.checked(units.duration_s))]
Size = Annotated[int, BeforeValidator(units.checked(units.size_bytes))]
IpAddress = Annotated[
    Address, BeforeValidator(units.checked(units.address)), Field(examples=["10.77.1.11"])
]
IpNetwork = Annotated[Network, BeforeValidator(units.checked(units.network))]
Port = Annotated[int, Field(ge=1, le=65535)]
Day = Annotated[
    date, BeforeValidator(units.checked(units.day)), Field(examples=["2027-06-30"])
]  # the last one that counts
Words = Annotated[
    str, BeforeValidator(units.checked(units.words)), Field(examples=["PT Pasar Nusantara"])
]
Purposes = Annotated[
    list[Annotated[Purpose, BeforeValidator(units.checked(units.choice(Purpose)))]],
    Field(min_length=1, examples=["[client, backup]"]),
]
Country = Annotated[str, Field(examples=["ID"])]


def _name(pattern: str, what: str, example: str) -> Any:
    return BeforeValidator(units.checked(units.word(pattern, what, example)))


SiteKey = Annotated[str, _name(units.PLAIN, "site", "jakarta")]
ClusterKey = Annotated[str, _name(units.PLAIN, "cluster", "marketplace")]
GroupKey = Annotated[
    str, _name(units.HOST, "group", "marketplace"), Field(examples=["marketplace"])
]
HostKey = Annotated[str, _name(units.HOST, "host", "jkt-db1"), Field(examples=["jkt-db1"])]
TableKey = Annotated[str, _name(units.TABLE, "table", "shop.public.payment")]
SettingKey = Annotated[str, _name(units.SETTING, "setting", "archive_command")]
ColumnKey = Annotated[str, _name(units.COLUMN, "column", "id")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ZooKeeperModel(_Model):
    name: HostKey
    address: IpAddress
    myid: int = Field(ge=1, le=255, examples=[1])
    client_port: Port = 2181


class ControllerModel(_Model):
    name: HostKey
    address: IpAddress
    metrics_port: Port = 9187


class ProxyModel(_Model):
    name: HostKey
    address: IpAddress


def _in_full(value: Any) -> Any:
    """`10.77.1.0/24` is short for `{network: 10.77.1.0/24}`."""
    return {"network": value} if isinstance(value, str) else value


class NetworkModel(_Model):
    """One declared network. What is not said comes from its site."""

    network: IpNetwork
    owner: Words | None = None
    country: Country | None = None
    purpose: Purposes | None = None
    expires: Day | None = None


class SiteModel(_Model):
    kind: Annotated[
        SiteKind,
        BeforeValidator(units.checked(units.choice(SiteKind))),
        Field(examples=["data", "witness"]),
    ]
    country: str = Field(examples=["ID"])
    networks: list[Annotated[NetworkModel, BeforeValidator(_in_full)]] = Field(
        min_length=1, examples=["[10.77.1.0/24]"]
    )
    zookeeper: list[ZooKeeperModel] = Field(min_length=1)
    controller: ControllerModel
    proxies: list[ProxyModel] = []


class DatabaseHostModel(_Model):
    name: HostKey
    address: IpAddress
    postgres_port: Port = 5432
    patroni_port: Port = 8008
    guard_port: Port = 8009
    pooler_ports: list[Port] = []  # of a pooler on this host, held to the lease like PostgreSQL's


class ClusterModel(_Model):
    proxy_port: Port = 5000
    hosts: dict[SiteKey, list[DatabaseHostModel]]
    loss_receipt: dict[
        TableKey, Annotated[list[ColumnKey], Field(min_length=1)]
    ] = {}  # database.schema.table: its key columns


def _default(name: str) -> Any:
    """The default of a field of ``Policy``."""
    return next(each.default for each in fields(Policy) if each.name == name)


class LossBudgetModel(_Model):
    bytes: Size = _default("loss_budget").bytes
    time: Duration = _default("loss_budget").seconds


class EndpointModel(_Model):
    name: HostKey
    host: Annotated[
        Address | str,
        BeforeValidator(units.checked(units.address_or_name)),
        Field(examples=["10.77.1.51", "backup.example.id"]),
    ]
    port: Port = Field(examples=[443])
    purpose: Annotated[Purpose, BeforeValidator(units.checked(units.choice(Purpose)))] = Field(
        examples=["backup"]
    )


class ExceptionModel(_Model):
    """A network that the rule forbids, and who answers for it."""

    network: IpNetwork
    owner: Words
    country: Country
    purpose: Purposes
    approver: Words
    reason: Words
    expires: Day


class AcceptedModel(_Model):
    """A finding, and who answers for it."""

    way: Words
    subject: Words
    approver: Words
    reason: Words
    expires: Day


class ResidencyModel(_Model):
    endpoints: list[EndpointModel] = []
    exceptions: list[ExceptionModel] = []
    accepted: list[AcceptedModel] = []
    settings: dict[SettingKey, str] = {}
    cut: bool = True


Event = Annotated[NotificationKind, BeforeValidator(units.checked(units.choice(NotificationKind)))]
Events = Annotated[list[Event], Field(min_length=1, examples=["[takeover, hold]"])]
AbsolutePath = Annotated[
    str,
    BeforeValidator(units.checked(units.absolute_path)),
    Field(examples=["/usr/lib/failover/notify"]),
]


class WebhookModel(_Model):
    name: HostKey
    url: Annotated[Url, BeforeValidator(units.checked(units.url))] = Field(
        examples=["https://hooks.example.id/failover"]
    )
    format: Annotated[
        WebhookFormat, BeforeValidator(units.checked(units.choice(WebhookFormat)))
    ] = WebhookFormat.JSON
    events: Events = list(NotificationKind)
    bearer_file: AbsolutePath | None = None


class CommandHookModel(_Model):
    name: HostKey
    path: AbsolutePath
    events: Events = list(NotificationKind)


class NotificationModel(_Model):
    """One of the two."""

    webhook: WebhookModel | None = None
    command: CommandHookModel | None = None


WireMode = Annotated[
    Wire, BeforeValidator(units.checked(units.wire)), Field(examples=["require", "off"])
]


class TlsModel(_Model):
    zookeeper: WireMode = _default("tls").zookeeper
    postgresql: WireMode = _default("tls").postgresql
    directory: Annotated[str, BeforeValidator(units.checked(units.plain_directory))] = _default(
        "tls"
    ).directory


class FileModel(_Model):
    """The whole file. Defaults are those of ``Policy``."""

    group: GroupKey
    owner: Words  # of every network that names no other
    lease: Duration = _default("lease_s")
    protection: Annotated[
        ProtectionMode, BeforeValidator(units.checked(units.choice(ProtectionMode)))
    ] = _default("protection")
    automation: Annotated[Automation, BeforeValidator(units.checked(units.choice(Automation)))] = (
        _default("automation")
    )
    loss_budget: LossBudgetModel = LossBudgetModel()
    local_recovery: Duration = _default("local_recovery_s")
    cooldown: Duration = _default("cooldown_s")
    max_slot_wal_keep_size: Size = _default("max_slot_wal_keep_bytes")
    salvage_size_max: Size = _default("salvage_bytes_max")
    initial_site: str = Field(examples=["jakarta"])
    zookeeper_restart_command: str | None = None
    patroni_namespace: str = Field(_default("patroni_namespace"), pattern=r"^(/[A-Za-z0-9_-]+)+$")
    residency: ResidencyModel = ResidencyModel()
    notifications: list[NotificationModel] = []
    tls: TlsModel = TlsModel()
    sites: dict[SiteKey, SiteModel]
    clusters: dict[ClusterKey, ClusterModel] = Field(min_length=1)


def validate(document: Document) -> FileModel | None:
    """The file's values in their types; None, with every mistake noted, where they have none."""
    _refuse_secrets(document, document.value, ())
    try:
        return FileModel.model_validate(document.value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            _note(document, detail)
        return None


def _refuse_secrets(document: Document, value: Any, location: Location) -> None:
    """Secrets are refused by the look of their key or value, and never repeated in a message."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if _SECRET_KEY.search(key):
                _refuse(document, (*location, key), "secrets do not belong in this file")
            else:
                _refuse_secrets(document, inner, (*location, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_secrets(document, inner, (*location, index))
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        _refuse(document, location, "this looks like a secret")


def _refuse(document: Document, location: Location, message: str) -> None:
    hint = f"put it into {SECRETS_DIRECTORY}/, mode 0600; this file is the same at every site"
    document.problem(location, message, hint)
    document.secrets.add(location)


_KINDS = {
    "string_type": ("must be text", ""),
    "bool_type": ("must be true or false", ""),
    "int_type": ("must be a whole number", ""),
    "dict_type": ("must be a mapping", "lines of `key: value`"),
    "model_type": ("must be a mapping", "lines of `key: value`"),
    "list_type": ("must be a list", "[one, two], or lines of `- one`"),
    "too_short": ("must not be empty", ""),
    "string_pattern_mismatch": ("is not a path in ZooKeeper", "for example /service"),
}


def _note(document: Document, detail: Any) -> None:
    """One error of pydantic as a problem."""
    kind, context = detail["type"], detail.get("ctx", {})
    location: Location = tuple(detail["loc"])
    if location and location[-1] == "[key]":
        location = location[:-1]
    if location and location[-1] == "network" and location not in document.lines:
        location = location[:-1]  # said in short
    if kind == "extra_forbidden":
        hint = did_you_mean(str(location[-1]), _fields(location[:-1]))
        document.problem(location, "unknown key", hint)
    elif kind == "missing":
        document.problem(location, "is missing", _example(location))
    elif kind == "wrong":
        document.problem(location, context["message"], context["hint"])
    elif kind in ("greater_than_equal", "less_than_equal"):
        limit = "at least" if kind == "greater_than_equal" else "at most"
        document.problem(location, f"must be {limit} {context.get('ge', context.get('le'))}")
    else:
        message, hint = _KINDS.get(kind, (detail["msg"], ""))
        document.problem(location, message, hint)


def _fields(location: Location) -> dict[str, FieldInfo]:
    """The fields of the model at a location; empty where there is no model."""
    current: Any = FileModel
    for part in location:
        current = _unwrapped(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            info = current.model_fields.get(str(part))
            current = info.annotation if info else None
        elif get_origin(current) in (dict, list):
            current = get_args(current)[-1]
        else:
            return {}
    current = _unwrapped(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return current.model_fields
    return {}


def _unwrapped(annotation: Any) -> Any:
    """Without what only validates, and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    given = [each for each in get_args(annotation) if each is not type(None)]
    return given[0] if get_origin(annotation) is UnionType and len(given) == 1 else annotation


def _example(location: Location) -> str:
    info = _fields(location[:-1]).get(str(location[-1]))
    if info is None or not info.examples:
        return ""
    return "for example " + " or ".join(f"`{location[-1]}: {each}`" for each in info.examples)
