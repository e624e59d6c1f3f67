"""A group in which every check is in order, as a value to break in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import yaml
from cli_world import (
    CLUSTER,
    CONFIG,
    HOSTS,
    JAKARTA,
    MAKASSAR,
    NOW_UNIX_S,
    POLICY,
    STATE,
    healthy,
    observer,
)

from failover import __version__
from failover.access import Access, ZooKeeperAccess
from failover.checks.found import (
    ClockFound,
    CollationFound,
    ControllerFound,
    DatabaseFound,
    EndpointFound,
    Found,
    FunctionFound,
    Grant,
    HostFound,
    PostgresFound,
    ProxyFound,
    ProxyServerFound,
    Rehearsed,
    RoleFound,
    ServerFound,
    SlotFound,
)
from failover.checks.host_report import (
    REPOSITORY_HERE,
    Asked,
    BackupOnHost,
    Disk,
    HostReport,
    OwnCertificate,
    PatroniOnHost,
)
from failover.checks.lease import sessions_ms
from failover.checks.postgresql import wanted_settings
from failover.checks.privileges import MEANT, OBSERVER, SEARCH_PATH
from failover.checks.result import Verdict
from failover.health.inputs import ConfigSeen, StateSeen, ViewInputs
from failover.health.observation import GuardSeen, HostObservation, PostgresSeen
from failover.health.view import build_view
from failover.model import SiteName
from failover.policy import BackupPromise, DatabaseHost
from failover.render.expected import expected
from failover.render.files import render
from failover.state import GroupState
from failover.timing import INIT_LIMIT_TICKS, lease_timing
from failover.transport import TransportSecurity, Wire

TIMING = lease_timing(POLICY.lease_s)
EXPECTED = expected(POLICY, CONFIG.read_bytes())
REQUIRED = TransportSecurity(Wire.REQUIRE, Wire.REQUIRE, Wire.REQUIRE, Wire.REQUIRE)
# tests/open.yaml promises nothing of backups, and its archiving and its wires are off.
PROMISED = replace(
    POLICY,
    clusters=tuple(replace(c, backup=BackupPromise()) for c in POLICY.clusters),
    tls=REQUIRED,
    access=ZooKeeperAccess(Access.REQUIRE),
)
GIB = 1024**3
Break = Callable[[Found], Found]
Broken = tuple[str, str, Verdict, Break]  # the check, what is wrong, what it has to say, how
SHOWN = {  # as pg_settings shows what is rendered with a unit: value, unit
    "shared_buffers": ("8192", "8kB"),
    "min_wal_size": ("80", "MB"),
    "max_wal_size": ("512", "MB"),
    "wal_keep_size": ("128", "MB"),
    "max_slot_wal_keep_size": ("65536", "MB"),
    "wal_sender_timeout": ("5000", "ms"),
    "wal_receiver_timeout": ("15000", "ms"),
    "wal_retrieve_retry_interval": ("500", "ms"),
    "data_checksums": ("on", ""),
    "full_page_writes": ("on", ""),
    "tcp_keepalives_idle": ("5", "s"),
    "tcp_keepalives_interval": ("2", "s"),
    "tcp_keepalives_count": ("3", ""),
    "tcp_user_timeout": ("10000", "ms"),
}


@cache  # four times in every world: rendering it was nearly all of these tests' time
def _dynamic(site: SiteName) -> str:
    host = POLICY.cluster(CLUSTER).at(site)[0]
    text = next(t for p, t in render(POLICY).items() if p.parts[1:] == (host.name, *_PATRONI))
    return json.dumps(yaml.safe_load(text)["bootstrap"]["dcs"])


def dynamic(site: SiteName) -> dict[str, Any]:
    """A scope's configuration as the rendered patroni.yml of its first host makes it."""
    document: dict[str, Any] = json.loads(_dynamic(site))
    return document


_PATRONI = ("etc", "patroni", "patroni.yml")
_JAKARTA, _MAKASSAR = _dynamic(JAKARTA), _dynamic(MAKASSAR)


def inputs() -> ViewInputs:
    """The healthy world of the command line, with barriers, identities, and real scopes."""
    made = healthy()
    texts = {JAKARTA: _JAKARTA, MAKASSAR: _MAKASSAR}
    scopes = tuple(replace(s, config=ConfigSeen(texts[s.site], 2)) for s in made.scopes)
    state = replace(STATE, proven_unix_s=NOW_UNIX_S - 5 * 86400)
    observers = tuple(observer(site.name, hosts_seen()) for site in POLICY.sites)
    seen = StateSeen(state, version=11)
    return replace(made, scopes=scopes, state=seen, observers=observers, approved=frozenset[str]())


def hosts_seen() -> dict[str, HostObservation]:
    found = {}
    for name, seen in HOSTS.items():
        assert isinstance(seen.postgres, PostgresSeen)
        assert isinstance(seen.guard, GuardSeen)
        found[name] = replace(
            seen,
            postgres=replace(seen.postgres, system_identifier="7400000000000000001"),
            guard=replace(seen.guard, barrier=True),
        )
    return found


def of_view(change: Callable[[ViewInputs], ViewInputs]) -> Callable[[Found], Found]:
    """Breaks what is published."""
    return lambda found: replace(found, view=build_view(PROMISED, change(inputs())))


def seen_as(
    name: str, change: Callable[[HostObservation], HostObservation]
) -> Callable[[Found], Found]:
    """Breaks one host in the eyes of every observer."""

    def made(known: ViewInputs) -> ViewInputs:
        hosts = hosts_seen()
        hosts[name] = change(hosts[name])
        return replace(known, observers=tuple(observer(s.name, hosts) for s in POLICY.sites))

    return of_view(made)


def configured(
    site: SiteName, change: Callable[[dict[str, Any]], None]
) -> Callable[[Found], Found]:
    """Breaks the dynamic configuration of one scope."""
    return all_configured((site,), change)


def all_configured(
    sites: tuple[SiteName, ...], change: Callable[[dict[str, Any]], None]
) -> Callable[[Found], Found]:
    """The dynamic configuration of these sites' scopes, changed alike."""
    documents = {site: dynamic(site) for site in sites}
    for document in documents.values():
        change(document)

    def made(known: ViewInputs) -> ViewInputs:
        scopes = (
            replace(s, config=ConfigSeen(json.dumps(documents[s.site]), 3))
            if s.site in documents
            else s
            for s in known.scopes
        )
        return replace(known, scopes=tuple(scopes))

    return of_view(made)


def stated(change: Callable[[GroupState], GroupState]) -> Callable[[Found], Found]:
    def made(known: ViewInputs) -> ViewInputs:
        assert known.state.state is not None
        return replace(known, state=StateSeen(change(known.state.state), version=12))

    return of_view(made)


def on_host(name: str, change: Callable[[HostFound], HostFound]) -> Callable[[Found], Found]:
    return lambda found: replace(
        found, hosts=tuple(change(h) if h.host.name == name else h for h in found.hosts)
    )


def reported(name: str, change: Callable[[HostReport], HostReport]) -> Callable[[Found], Found]:
    """Breaks what one guard says of its host."""

    def made(each: HostFound) -> HostFound:
        assert isinstance(each.report, HostReport)
        return replace(each, report=change(each.report))

    return on_host(name, made)


def read_as(
    name: str, change: Callable[[PostgresFound], PostgresFound]
) -> Callable[[Found], Found]:
    """Breaks what one server shows."""

    def made(each: HostFound) -> HostFound:
        assert isinstance(each.postgres, PostgresFound)
        return replace(each, postgres=change(each.postgres))

    return on_host(name, made)


def on_server(name: str, change: Callable[[ServerFound], ServerFound]) -> Callable[[Found], Found]:
    return lambda found: replace(
        found, servers=tuple(change(s) if s.name == name else s for s in found.servers)
    )


def granting(asked_ms: int, granted_ms: object) -> Callable[[ServerFound], ServerFound]:
    def made(server: ServerFound) -> ServerFound:
        grants = (
            replace(g, granted_ms=granted_ms) if g.asked_ms == asked_ms else g
            for g in server.grants
        )
        return replace(server, grants=tuple(grants))

    return made


def setting(name: str, *now: str, host: str = "mks-db1") -> Break:
    """The setting changed, on one server, to this value and unit."""

    def made(postgres: PostgresFound) -> PostgresFound:
        kept = tuple(s for s in postgres.settings if s[0] != name)
        return replace(postgres, settings=(*kept, (name, *now)))  # type: ignore[arg-type]

    return read_as(host, made)


def world() -> Found:
    """Everything as it should be; Jakarta is active."""
    view = build_view(PROMISED, inputs())
    return Found(
        view=view,
        version=__version__,
        versions=tuple((site.name, __version__) for site in POLICY.sites),
        expected=EXPECTED,
        servers=tuple(_server(server.name, server.myid) for server in POLICY.zookeeper_servers),
        hosts=tuple(
            HostFound(host, _postgres(host, wanted_settings(view)), _report(host))
            for host in POLICY.cluster(CLUSTER).hosts
        ),
        proxies=tuple(
            ProxyFound(proxy.name, proxy.site, proxy.address, _proxied())
            for site in POLICY.sites
            for proxy in site.proxies
        ),
        controllers=tuple(ControllerFound(s.controller.name, s.name, "") for s in POLICY.sites),
        clocks=tuple(
            ClockFound(name, -0.01, 0.01)
            for name in (
                *(host.name for host in POLICY.cluster(CLUSTER).hosts),
                *(site.controller.name for site in POLICY.sites),
            )
        ),
        endpoints=(EndpointFound("archive", ("10.77.1.50",), ()),),
        rehearsed=Rehearsed(True, 5 * 86400.0, 40),
    )


def _server(name: str, myid: int) -> ServerFound:
    settings = {
        "tickTime": str(TIMING.zookeeper_tick_ms),
        "syncLimit": str(TIMING.zookeeper_sync_limit_ticks),
        "initLimit": str(INIT_LIMIT_TICKS),
        "serverId": str(myid),
    }
    for server in POLICY.zookeeper_servers:
        settings[f"server.{server.myid}"] = f"{server.address}:2888:3888:participant"
    grants = tuple(
        Grant(ms, min(ms, TIMING.zookeeper_session_ms_max)) for ms in sessions_ms(TIMING)
    )
    return ServerFound(
        next(s.name for s in POLICY.zookeeper_servers if s.name == name), settings, grants
    )


def _postgres(host: DatabaseHost, names: tuple[str, ...]) -> PostgresFound:
    parameters = dynamic(host.site)["postgresql"]["parameters"]
    settings = tuple((n, *SHOWN[n]) if n in SHOWN else (n, str(parameters[n]), "") for n in names)
    primary = host.name == "jkt-db1"
    roles = [RoleFound(n, attributes, member) for n, (attributes, member) in MEANT.items()]
    return PostgresFound(
        version="17.6",
        version_number=170006,
        in_recovery=not primary,
        settings=settings,
        slots=(SlotFound("failover_makassar", False, True, "reserved", None),) if primary else (),
        roles=(*roles, RoleFound(str(CLUSTER), ("login",), ())),
        collations=(CollationFound("database marketplace", None, None),),
        available=frozenset({"plpgsql 1.0", "pg_trgm 1.6"}),
        extensions=(("plpgsql", "1.0"), ("pg_trgm", "1.6")),
        databases=(
            DatabaseFound(
                "marketplace",
                (("plpgsql", "1.0"), ("pg_trgm", "1.6")),
                (CollationFound("collation und-x-icu in marketplace", "153.128", "153.128"),),
                (),
                (),
            ),
            DatabaseFound("postgres", (("plpgsql", "1.0"),), (), (), functions(host)),
        ),
    )


def functions(host: DatabaseHost) -> tuple[FunctionFound, ...]:
    """The narrow ones, as rendered."""
    return tuple(
        FunctionFound(
            signature=wanted.signature,
            owner=wanted.owner,
            public=False,
            observer=True,
            definer=True,
            callers=(OBSERVER,),
            settings=(SEARCH_PATH,),
            sha256=wanted.sha256,
        )
        for wanted in EXPECTED.host(host.name).functions
    )


def _report(host: DatabaseHost) -> HostReport:
    wanted = EXPECTED.host(host.name)
    return HostReport(
        at_unix_s=NOW_UNIX_S,
        version=__version__,
        session_ms=TIMING.session_ms,
        deadline_s=TIMING.deadline_s,
        configuration_loaded_sha256=EXPECTED.configuration_sha256,
        configuration_sha256=EXPECTED.configuration_sha256,
        disks=tuple(
            Disk(what, f"/var/lib/{what}", 200 * GIB, 100 * GIB)
            for what in ("data", "wal", "salvage")
        ),
        salvage_held_bytes=0,
        barriers_missing=(),
        door_problem="",
        patroni=PatroniOnHost(
            problem="",
            settings=tuple(wanted.patroni.items()),
            changed_unix_s=NOW_UNIX_S - 600,
            started_unix_s=NOW_UNIX_S - 500,
            by_guard=True,
            environment=("PATRONI_REPLICATION_PASSWORD",),
        ),
        files=wanted.files,
        asked=tuple(
            Asked(str(proxy.address), 0.5) for site in POLICY.sites for proxy in site.proxies
        ),
        barriers=EXPECTED.barriers,
        backup=BackupOnHost("", "20251009-010000F", NOW_UNIX_S - 5 * 3600, (REPOSITORY_HERE,)),
        read_only=(),
        egress="",
        certificate=OwnCertificate("/etc/failover/tls/host.pem", "", NOW_UNIX_S + 1e7),
    )


def _proxied() -> tuple[ProxyServerFound, ...]:
    return tuple(
        ProxyServerFound(
            CLUSTER,
            host.name,
            "UP" if host.name == "jkt-db1" else "DOWN",
            "L7OK" if host.name == "jkt-db1" else "L7STS",
            1,
            3,
        )
        for host in POLICY.cluster(CLUSTER).hosts
    )
