"""How a single value of failover.yaml is written, and as what it is read.

Invariant: each says in words what it looks like (``Written``): docs/configuration.md shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from failover.config import units
from failover.policy import Address, Network, Purpose


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written, for docs/configuration.md; pydantic passes it by."""

    how: str


Duration = Annotated[
    float,
    BeforeValidator(units.checked(units.duration_s)),
    Written("duration: `500ms`, `6s`, `2h`"),
]
Size = Annotated[
    int, BeforeValidator(units.checked(units.size_bytes)), Written("size: `512KiB`, `16MiB`")
]
IpAddress = Annotated[
    Address,
    BeforeValidator(units.checked(units.address)),
    Field(examples=["10.77.1.11"]),
    Written("IP address"),
]
IpNetwork = Annotated[
    Network, BeforeValidator(units.checked(units.network)), Written("network: `10.77.1.0/24`")
]
Port = Annotated[int, Field(ge=1, le=65535), Written("port")]
Day = Annotated[
    date,
    BeforeValidator(units.checked(units.day)),
    Field(examples=["2027-06-30"]),
    Written("day: `2027-06-30`"),
]  # the last one that counts
Words = Annotated[
    str,
    BeforeValidator(units.checked(units.words)),
    Field(examples=["PT Pasar Nusantara"]),
    Written("words"),
]
Purposes = Annotated[
    list[Annotated[Purpose, BeforeValidator(units.checked(units.choice(Purpose)))]],
    Field(min_length=1, examples=["[client, backup]"]),
]
Country = Annotated[str, Field(examples=["ID"]), Written("country: `ID`")]


def _name(pattern: str, what: str, example: str) -> Any:
    return BeforeValidator(units.checked(units.word(pattern, what, example)))


SiteKey = Annotated[str, _name(units.PLAIN, "site", "jakarta"), Written("SITE")]
ClusterKey = Annotated[str, _name(units.PLAIN, "cluster", "marketplace"), Written("CLUSTER")]
GroupKey = Annotated[
    str,
    _name(units.HOST, "group", "marketplace"),
    Field(examples=["marketplace"]),
    Written("name"),
]
HostKey = Annotated[
    str, _name(units.HOST, "host", "jkt-db1"), Field(examples=["jkt-db1"]), Written("name")
]
TableKey = Annotated[
    str, _name(units.TABLE, "table", "shop.public.payment"), Written("DATABASE.SCHEMA.TABLE")
]
ScopeKey = Annotated[str, _name(units.SCOPE, "scope", "shop-main"), Written("SCOPE")]
SettingKey = Annotated[str, _name(units.SETTING, "setting", "archive_command"), Written("SETTING")]
ColumnKey = Annotated[str, _name(units.COLUMN, "column", "id"), Written("column")]
AbsolutePath = Annotated[
    str,
    BeforeValidator(units.checked(units.absolute_path)),
    Field(examples=["/usr/lib/failover/notify"]),
    Written("absolute path"),
]
