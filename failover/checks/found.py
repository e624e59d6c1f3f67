"""Everything that the checks look at, gathered at one moment, as plain values. Pure.

What could not be had is a ``NoAnswer`` with its reason, never a default. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.checks.flat import Flat
from failover.checks.host_report import HostReport
from failover.health.observation import NoAnswer
from failover.health.view import View
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Address, DatabaseHost, Policy
from failover.timing import LeaseTiming, lease_timing


@dataclass(frozen=True, slots=True)
class Grant:
    """A session of so long was asked for at one server, and this is what it granted."""

    asked_ms: int
    granted_ms: int | NoAnswer


@dataclass(frozen=True, slots=True)
class ServerFound:
    """One ZooKeeper server. ``settings``: its own words (``conf``), membership included."""

    name: HostName
    settings: Flat | NoAnswer
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class SlotFound:
    """``safe_wal_bytes``: may be written before the slot is lost; None: without limit."""

    name: str
    logical: bool
    active: bool
    wal_status: str
    safe_wal_bytes: int | None


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A role that PostgreSQL did not bring along. ``member_of``: directly."""

    name: str
    attributes: tuple[str, ...]  # superuser, createrole, createdb, replication, bypassrls, login
    member_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CollationFound:
    """``recorded``: the version that indexes were built with; ``actual``: that of this host."""

    where: str
    recorded: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class FunctionFound:
    """A function with its owner's rights, or in our schema. ``public``: everybody may call it.

    ``signature``: with its schema and its arguments' types. ``callers``: roles that may call it
    besides its owner, by name. ``settings``: those that it runs with.
    """

    signature: str
    owner: str
    public: bool
    observer: bool  # the controllers' role may call it
    definer: bool  # with its owner's rights
    callers: tuple[str, ...]
    settings: tuple[str, ...]
    sha256: str  # of its text


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """One database of one server. ``readable``: role and relation that it may select from."""

    name: str
    extensions: tuple[tuple[str, str], ...]
    collations: tuple[CollationFound, ...]
    readable: tuple[tuple[str, str], ...]
    functions: tuple[FunctionFound, ...]


@dataclass(frozen=True, slots=True)
class PostgresFound:
    """One server, asked as ``failover_observer``. ``settings``: name → value, unit.

    ``available``: versions of extensions that this host's files know, as "name version";
    ``extensions``: each that it has files of, and the version that they are of. ``unread``:
    databases that the role may not enter, and why.
    """

    version: str
    version_number: int
    in_recovery: bool
    settings: tuple[tuple[str, str, str], ...]
    slots: tuple[SlotFound, ...]
    roles: tuple[RoleFound, ...]
    collations: tuple[CollationFound, ...]  # of the databases themselves
    available: frozenset[str]
    extensions: tuple[tuple[str, str], ...]
    databases: tuple[DatabaseFound, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    def setting(self, name: str) -> tuple[str, str] | None:
        return next(((v, unit) for n, v, unit in self.settings if n == name), None)

    def is_on(self, name: str) -> bool:
        found = self.setting(name)
        return found is not None and found[0] == "on"


@dataclass(frozen=True, slots=True)
class HostFound:
    host: DatabaseHost
    postgres: PostgresFound | NoAnswer
    report: HostReport | NoAnswer


@dataclass(frozen=True, slots=True)
class ProxyServerFound:
    """One server line of one HAProxy."""

    cluster: str  # the name of its section
    host: str
    status: str  # UP, DOWN, MAINT, no check, …
    check: str  # L7OK, L7STS, L4CON, …; empty: none
    rise: int | None
    fall: int | None


@dataclass(frozen=True, slots=True)
class ProxyFound:
    name: HostName
    site: SiteName
    address: Address
    servers: tuple[ProxyServerFound, ...] | NoAnswer


@dataclass(frozen=True, slots=True)
class ClockFound:
    """How far the clock of a host is ahead of this one: somewhere between these."""

    host: str
    ahead_s_min: float
    ahead_s_max: float


@dataclass(frozen=True, slots=True)
class ControllerFound:
    """The HTTP door of one controller. ``problem``: why it does not answer; empty where it does."""

    name: HostName
    site: SiteName
    problem: str


@dataclass(frozen=True, slots=True)
class EndpointFound:
    """A declared endpoint: what its name stands for now (empty: nothing), and what of it is outside
    of the declared networks."""

    name: str
    addresses: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectedFunction:
    """A narrow function. ``sha256``: of its text."""

    signature: str
    owner: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ExpectedHost:
    """What `failover config render` says of one database host."""

    host: HostName
    patroni: Flat
    files: tuple[tuple[str, str], ...]  # path, SHA-256
    functions: tuple[ExpectedFunction, ...]


@dataclass(frozen=True, slots=True)
class ExpectedScope:
    """… and of the dynamic configuration of one scope, flat."""

    cluster: ClusterName
    site: SiteName
    dynamic: Flat


@dataclass(frozen=True, slots=True)
class Expected:
    hosts: tuple[ExpectedHost, ...]
    scopes: tuple[ExpectedScope, ...]
    configuration_sha256: str  # of failover.yaml as this command read it
    barriers: tuple[tuple[str, str], ...]  # name and SHA-256, as this version ships them

    def host(self, name: HostName) -> ExpectedHost:
        return next(each for each in self.hosts if each.host == name)

    def dynamic(self, cluster: ClusterName, site: SiteName) -> Flat:
        found = (e.dynamic for e in self.scopes if (e.cluster, e.site) == (cluster, site))
        return next(found)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The newest rehearsal in the part of the history that was read. ``age_s`` None: none there.

    ``problem``: why the history could not be read; empty where it could.
    """

    passed: bool
    age_s: float | None
    looked_back: int  # so many entries were read
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CertificateFound:
    """What one server shows where its wire has TLS. ``until_unix_s``: None where it proves nothing,
    which ``problem`` says; ``answered``: it is there."""

    host: HostName
    wire: str
    until_unix_s: float | None
    problem: str
    answered: bool


@dataclass(frozen=True, slots=True)
class AccessFound:
    """The access lists. ``wrong``: znode and what is wrong with its list; ``problem``: why they
    could not be read, empty where they could."""

    wrong: tuple[tuple[str, str], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    view: View
    version: str  # of this program
    versions: tuple[tuple[str, str], ...]  # site and version of each living observer
    expected: Expected
    servers: tuple[ServerFound, ...]
    hosts: tuple[HostFound, ...]
    proxies: tuple[ProxyFound, ...]
    controllers: tuple[ControllerFound, ...]
    clocks: tuple[ClockFound, ...]
    endpoints: tuple[EndpointFound, ...]
    rehearsed: Rehearsed
    certificates: tuple[CertificateFound, ...] = ()
    access: AccessFound = AccessFound()

    @property
    def policy(self) -> Policy:
        return self.view.policy

    @property
    def timing(self) -> LeaseTiming:
        return lease_timing(self.policy.lease_s)
