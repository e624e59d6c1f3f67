"""What was read of a running Patroni pair, as plain values and as a file.

Invariant: no secret is in it: of a member's own patroni.yml only the keys in ``FILE_KEYS``. What
could not be read is said as a problem, never filled with a default. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

from failover.adoption.needs import PARAMETERS
from failover.checks.flat import Flat, flat, only
from failover.checks.host_report import HOOK_KEYS, PATRONI_KEYS
from failover.fields import NotExactly, read_exactly
from failover.foreign import json_object

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
SNAPSHOT_SCHEMA = 1
DCS_KINDS = ("zookeeper", "exhibitor", "etcd3", "etcd", "consul", "kubernetes", "raft")
# Of a member's own file. Below ``zookeeper`` and its like there are passwords: only the hosts.
FILE_KEYS = (
    *(key for key in PATRONI_KEYS if key not in HOOK_KEYS),
    "postgresql.pg_hba",
    "postgresql.custom_conf",
    *(f"postgresql.parameters.{name}" for name in PARAMETERS),
)
# What is run: its program alone, for the words after it may be secret.
PROGRAM_KEYS = (*HOOK_KEYS, "postgresql.callbacks", "postgresql.before_stop")

Settings = tuple[tuple[str, str], ...]


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Walsender:
    """One that receives WAL from a member, as that member says."""

    application_name: str
    client_address: str
    state: str
    sync_state: str


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Member:
    """One Patroni and its PostgreSQL. Empty text and None: it was not told.

    ``server_version``: 170005 is 17.5. ``settings``: pg_settings' (name, value, unit), where
    PostgreSQL itself could be asked; else ``settings_problem`` says why not. ``file``: of its own
    patroni.yml, flat, where that was given. ``narrow``: our narrow functions are there.
    """

    name: str
    address: str
    postgres_port: int
    patroni_port: int
    role: str
    state: str
    problem: str = ""
    patroni_version: str = ""
    server_version: int | None = None
    timeline: int | None = None
    system_identifier: str = ""
    started: str = ""
    tags: Settings = ()
    pending_restart: tuple[str, ...] = ()
    walsenders: tuple[Walsender, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()
    settings_problem: str = "not asked"
    narrow: bool | None = None
    file: Settings | None = None
    dcs: str = ""  # by its own file

    @property
    def leads(self) -> bool:
        return self.role in ("leader", "standby_leader")

    def setting(self, name: str) -> tuple[str, str] | None:
        """Value and unit, as the server itself says."""
        return next(((value, unit) for n, value, unit in self.settings if n == name), None)

    def written(self, key: str) -> str | None:
        """In its own patroni.yml."""
        return dict(self.file or ()).get(key)


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Scope:
    """One Patroni cluster. ``config``: its dynamic configuration as JSON, as Patroni gave it."""

    name: str
    asked: str
    paused: bool
    config: str
    members: tuple[Member, ...]

    @property
    def document(self) -> dict[str, Any]:
        return json_object(self.config)

    @property
    def settings(self) -> Flat:
        return flat(self.document)

    @property
    def standby_cluster(self) -> dict[str, Any] | None:
        found = self.document.get("standby_cluster")
        return found if isinstance(found, dict) and found else None

    @property
    def leader(self) -> Member | None:
        return next((member for member in self.members if member.leads), None)


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Server:
    """One ZooKeeper server. ``settings``: its own words (``conf``); ``problem``: why there are
    none. ``mode``: leader, follower, standalone, no_quorum; empty: no answer."""

    address: str
    port: int
    mode: str
    settings: Settings
    problem: str = ""


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Ensemble:
    """``scopes``: which of both were found below ``namespace``; None: nobody could say."""

    servers: tuple[Server, ...]
    namespace: str
    scopes: tuple[str, ...] | None
    problem: str = ""


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Snapshot:
    """The pair at one moment. ``standby`` None: there is no standby cluster, or none was named."""

    schema: int
    at_unix_s: float
    primary: Scope
    standby: Scope | None
    ensemble: Ensemble | None  # None: no server was named

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return (self.primary,) if self.standby is None else (self.primary, self.standby)

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(member for scope in self.scopes for member in scope.members)


_ADAPTER: TypeAdapter[Snapshot] = TypeAdapter(Snapshot)


class NotASnapshot(ValueError):
    """A file that is none. The message says where."""


def encode(snapshot: Snapshot) -> str:
    return json.dumps(json.loads(_ADAPTER.dump_json(snapshot)), indent=1, ensure_ascii=False)


def decode(data: bytes) -> Snapshot:
    """NotASnapshot where it is not exactly one of this version."""
    try:
        found = read_exactly(_ADAPTER, data)
        for scope in found.scopes:
            _ = scope.document
    except (NotExactly, ValueError) as error:
        raise NotASnapshot(str(error)) from None
    if found.schema != SNAPSHOT_SCHEMA:
        raise NotASnapshot(f"schema {found.schema} is not known here")
    return found


def kept(document: object) -> Settings:
    """Of a member's own patroni.yml what is looked at, flat. Nothing of it is secret."""
    settings = flat(document)
    programs = {key: value.partition(" ")[0] for key, value in only(settings, PROGRAM_KEYS).items()}
    return tuple(sorted({**only(settings, FILE_KEYS), **programs}.items()))


def dcs_of(document: object) -> str:
    """Where that file says that Patroni keeps its state; empty where it does not say."""
    if not isinstance(document, dict):
        return ""
    return next((kind for kind in DCS_KINDS if kind in document), "")
