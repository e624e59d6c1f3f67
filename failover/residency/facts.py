"""What a scan saw of one PostgreSQL server, as plain values. Nothing is judged here. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from failover.policy import Address

WALSENDER = "walsender"
CLIENT = "client backend"


@dataclass(frozen=True, slots=True)
class Session:
    """Sessions that look alike. ``address`` None: through the local socket, or a worker."""

    kind: str  # PostgreSQL's backend_type
    role: str
    superuser: bool
    database: str
    address: Address | None
    state: str  # of a walsender: startup, catchup, streaming, backup, stopping
    slot: str
    sessions: int = 1
    sent_bytes: int | None = None  # of a base backup


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    logical: bool
    temporary: bool
    database: str = ""


@dataclass(frozen=True, slots=True)
class HbaRule:
    """One line of pg_hba.conf as the file is now. ``address``: as PostgreSQL shows it."""

    line: int
    type: str
    databases: tuple[str, ...]
    roles: tuple[str, ...]
    address: str
    netmask: str
    method: str
    broken: bool = False

    def __str__(self) -> str:
        place = f"{self.address}/{self.netmask}" if self.netmask else self.address
        words = (self.type, ",".join(self.databases), ",".join(self.roles), place, self.method)
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What is looked at every second."""

    sessions: tuple[Session, ...] = ()
    slots: tuple[Slot, ...] = ()
    hba: tuple[HbaRule, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()  # name, SHA-256 of the value; unset ones are absent
    upstreams: tuple[str, ...] = ()  # hosts as they are written; "?": there is one, nobody can tell


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    superuser: bool
    replication: bool


@dataclass(frozen=True, slots=True)
class SharedFacts:
    """Catalogues that all databases of a server share."""

    roles: tuple[Role, ...] = ()
    members: tuple[tuple[str, str], ...] = ()  # granted role, member
    subscriptions: tuple[tuple[str, str], ...] = ()  # database, name
    settings: tuple[tuple[str, str, str], ...] = ()  # database, role, name: ALTER DATABASE/ROLE SET
    databases: tuple[str, ...] = ()  # that take connections


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Catalogues of one database."""

    name: str
    publications: tuple[str, ...] = ()
    servers: tuple[tuple[str, str, str], ...] = ()  # name, wrapper, where its options point
    mappings: tuple[str, ...] = ()  # "server/role"
    extensions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()  # untrusted ones
    c_functions: tuple[str, ...] = ()  # of no extension
    triggers: tuple[str, ...] = ()  # event triggers that are on


@dataclass(frozen=True, slots=True)
class Catalogues:
    """One look into every database. ``unread``: database, and why it could not be looked into."""

    shared: SharedFacts
    databases: tuple[DatabaseFacts, ...]
    unread: tuple[tuple[str, str], ...] = ()
