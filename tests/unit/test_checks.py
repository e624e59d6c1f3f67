"""Every check of `failover check`: in order in a world in order, and with each assumption broken in
turn exactly that check says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from checks_world import (
    GIB,
    JAKARTA,
    MAKASSAR,
    NOW_UNIX_S,
    POLICY,
    all_configured,
    configured,
    granting,
    hosts_seen,
    of_view,
    on_host,
    on_server,
    read_as,
    reported,
    seen_as,
    stated,
    without_setting,
    world,
)
from cli_world import REFUSED, SILENT, observer
from golden import check_golden

from failover.access import Access, ZooKeeperAccess
from failover.checks.found import (
    AccessFound,
    CertificateFound,
    ClockFound,
    CollationFound,
    EndpointFound,
    Found,
    FunctionFound,
    PostgresFound,
    Rehearsed,
    RoleFound,
    SlotFound,
)
from failover.checks.host_report import HostReport, OwnCertificate
from failover.checks.privileges import OBSERVER, SEARCH_PATH
from failover.checks.result import Verdict
from failover.checks.table import CHECKS, NAMES, run
from failover.checks.text import as_text
from failover.health.observation import NoAnswer
from failover.model import Automation, HostName, Lsn, ProtectionMode
from failover.policy import AcceptedFinding
from failover.residency.findings import Finding, HostScan
from failover.transport import TransportSecurity, Wire

Break = Callable[[Found], Found]
ALWAYS_UNKNOWN = {"hypervisor-clock", "client-parameters"}
F, W, U = Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN


def role(name: str, attributes: tuple[str, ...], member_of: tuple[str, ...] = ()) -> Break:
    def made(postgres: PostgresFound) -> PostgresFound:
        others = tuple(r for r in postgres.roles if r.name != name)
        return replace(postgres, roles=(*others, RoleFound(name, attributes, member_of)))

    return read_as("jkt-db1", made)


def database(**changes: object) -> Break:
    def made(postgres: PostgresFound) -> PostgresFound:
        inside = replace(postgres.databases[0], **changes)  # type: ignore[arg-type]
        return replace(postgres, databases=(inside, *postgres.databases[1:]))

    return read_as("jkt-db1", made)


def narrow(name: str, **changes: object) -> Break:
    """Breaks one of the functions through which controllers look."""

    def made(postgres: PostgresFound) -> PostgresFound:
        *others, theirs = postgres.databases
        functions = tuple(
            replace(f, **changes) if f.signature.startswith(name) else f  # type: ignore[arg-type]
            for f in theirs.functions
        )
        return replace(postgres, databases=(*others, replace(theirs, functions=functions)))

    return read_as("jkt-db1", made)


def one_more(signature: str, owner: str = "failover_functions", **changes: object) -> Break:
    """A function with its owner's rights that the controllers may call, in the group's database."""
    made = FunctionFound(
        *(signature, owner, False, True, True, (OBSERVER,), (SEARCH_PATH,)), sha256="0" * 64
    )
    return database(functions=(replace(made, **changes),))  # type: ignore[arg-type]


def older_files(*names: str) -> Break:
    """The files of these hosts do not know the version of pg_trgm that is in use."""
    older = (("plpgsql", "1.0"), ("pg_trgm", "1.5"))
    known = frozenset({"plpgsql 1.0", "pg_trgm 1.5"})

    def made(found: Found) -> Found:
        for name in names:
            found = read_as(name, lambda p: replace(p, available=known, extensions=older))(found)
        return found

    return made


def sorted_by(**versions: str | None) -> Break:
    """A database with no version of its collation on record; what each host's libraries have."""

    def made(found: Found) -> Found:
        for name, version in versions.items():
            collations = (CollationFound("database x", None, version),)
            host = name.replace("_", "-")
            found = read_as(host, lambda p, c=collations: replace(p, collations=c))(found)  # type: ignore[misc]
        return found

    return made


def shown(days: float | None = None, problem: str = "", answered: bool = True) -> Break:
    until_unix_s = None if days is None else NOW_UNIX_S + days * 86400
    bad = CertificateFound(HostName("jkt-db1"), "postgresql", until_unix_s, problem, answered)
    good = CertificateFound(HostName("jkt-zk1"), "zookeeper", NOW_UNIX_S + 1e7, "", True)
    return lambda found: replace(found, certificates=(good, bad))


def held(days: float | None = None, problem: str = "") -> Break:
    """A wire is on, and this is what one guard has."""
    until_unix_s = None if days is None else NOW_UNIX_S + days * 86400
    good = OwnCertificate("/etc/failover/tls/host.pem", "", NOW_UNIX_S + 1e7)
    bad = OwnCertificate(good.file, problem, until_unix_s)
    nothing = days is None and not problem

    def broken(found: Found) -> Found:
        policy = replace(found.policy, tls=TransportSecurity(http=Wire.USE))
        hosts = tuple(
            replace(h, report=replace(h.report, certificate=good))
            for h in found.hosts
            if isinstance(h.report, HostReport)
        )
        found = replace(found, view=replace(found.view, policy=policy), hosts=hosts)
        certificate = None if nothing else bad
        return reported("mks-db1", lambda r: replace(r, certificate=certificate))(found)

    return broken


def lists(
    position: Access, *, wrong: bool = False, problem: str = "", accepted: bool = False
) -> Break:
    odd = (("/failover/marketplace/state", "lets everybody (cdrwa)"),) if wrong else ()
    entry = AcceptedFinding("setting", "archive_command", "somebody", "why", date(2999, 1, 1))

    def broken(found: Found) -> Found:
        residency = replace(found.policy.residency, accepted=(entry,) if accepted else ())
        access = ZooKeeperAccess(position)
        policy = replace(found.policy, access=access, residency=residency)
        view = replace(found.view, policy=policy, approved=frozenset())
        return replace(found, view=view, access=AccessFound(odd, problem))

    return broken


def setting(name: str, *now: str, host: str = "mks-db1") -> Break:
    return read_as(host, lambda p: without_setting(p, name, *now))


def slots(*found: SlotFound, host: str = "jkt-db1") -> Break:
    return read_as(host, lambda p: replace(p, slots=found))


def file_says(key: str, value: str) -> Break:
    return reported(
        "mks-db2",
        lambda r: replace(
            r,
            patroni=replace(
                r.patroni, settings=tuple({**dict(r.patroni.settings), key: value}.items())
            ),
        ),
    )


def other_program(report: HostReport, name: str) -> tuple[tuple[str, str], ...]:
    return tuple({**dict(report.barriers), name: "0" * 64}.items())


def without_program(report: HostReport, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(each for each in report.barriers if each[0] != name)


def lost_hba(known: object) -> Break:
    finding = Finding("hba", POLICY.host("mks-db2").name, "host all all 8.8.8.8/32", "")  # type: ignore[arg-type]

    def scanned(inputs):  # type: ignore[no-untyped-def]
        seen = []
        for each in inputs.observers:
            scans = tuple(
                HostScan(s.host, 0.5, 12.0, "", (finding,), ()) if s.host == "mks-db2" else s
                for s in each.observation.residency
            )
            seen.append(replace(each, observation=replace(each.observation, residency=scans)))
        return replace(inputs, observers=tuple(seen))

    return of_view(scanned)


def proxied(change: Callable[..., object]) -> Break:
    def made(found: Found) -> Found:
        first = found.proxies[0]
        return replace(
            found, proxies=(replace(first, servers=change(first.servers)), *found.proxies[1:])
        )

    return made


def observed(**servers: object) -> Break:
    return of_view(
        lambda known: replace(
            known,
            observers=tuple(observer(s.name, hosts_seen(), **servers) for s in POLICY.sites),  # type: ignore[arg-type]
        )
    )


def sync_in(mode: ProtectionMode, names: str | None) -> Break:
    def made(found: Found) -> Found:
        listed = configured(
            JAKARTA,
            lambda d: d["postgresql"]["parameters"].update(
                {} if names is None else {"synchronous_standby_names": names}
            ),
        )(found)
        state = listed.view.state
        assert state is not None
        return replace(listed, view=replace(listed.view, state=replace(state, protection=mode)))

    return made


BROKEN: list[tuple[str, str, Verdict, Break]] = [
    ("guard-session", "cut", F, on_server("mks-zk1", granting(6000, 4000))),
    ("guard-session", "long", W, on_server("mks-zk1", granting(6000, 7000))),
    ("guard-session", "no session", U, on_server("mks-zk1", granting(6000, SILENT))),
    ("patroni-session", "not cut", F, on_server("sby-zk1", granting(20000, 10000))),
    ("patroni-session", "cut shorter", F, on_server("sby-zk1", granting(20000, 7000))),
    ("controller-session", "cut", F, on_server("jkt-zk1", granting(4000, 2000))),
    ("guard-lease", "another lease", F, reported("mks-db1", lambda r: replace(r, session_ms=8000))),
    (
        "guard-lease",
        "too much left",
        F,
        seen_as("jkt-db1", lambda h: replace(h, guard=replace(h.guard, deadline_in_s=5.2))),  # type: ignore[type-var]
    ),
    ("zookeeper-quorum", "a silent server", F, observed(silent_servers=("mks-zk1",))),
    ("zookeeper-leader", "in the active site", F, observed(leader="jkt-zk1")),
    ("zookeeper-leader", "in the other one", W, observed(leader="mks-zk1")),
    ("zookeeper-leader", "none", U, observed(leader="nobody")),
    (
        "zookeeper-myid",
        "swapped",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "serverId": "1"})),  # type: ignore[dict-item]
    ),
    (
        "zookeeper-myid",
        "a stranger",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "server.9": "8.8.8.8"})),  # type: ignore[dict-item]
    ),
    (
        "zookeeper-timing",
        "slow tick",
        F,
        on_server("sby-zk1", lambda s: replace(s, settings={**s.settings, "tickTime": "2000"})),  # type: ignore[dict-item]
    ),
    (
        "controllers",
        "a door is shut",
        W,
        lambda f: replace(
            f, controllers=(replace(f.controllers[0], problem="refused"), *f.controllers[1:])
        ),
    ),
    (
        "controllers",
        "silent",
        F,
        of_view(
            lambda known: replace(
                known,
                observers=tuple(
                    replace(o, age_s=9.0) if o.site == "surabaya" else o for o in known.observers
                ),
            )
        ),
    ),
    (
        "patroni-members",
        "nofailover",
        F,
        seen_as("mks-db1", lambda h: replace(h, patroni=replace(h.patroni, nofailover=True))),  # type: ignore[type-var]
    ),
    (
        "patroni-members",
        "restart pending",
        W,
        seen_as("mks-db1", lambda h: replace(h, patroni=replace(h.patroni, pending_restart=True))),  # type: ignore[type-var]
    ),
    ("patroni-members", "gone", F, seen_as("mks-db2", lambda h: replace(h, patroni=REFUSED))),
    ("patroni-lease", "ttl", F, configured(MAKASSAR, lambda d: d.update(ttl=30))),
    ("patroni-lease", "retry_timeout", F, configured(JAKARTA, lambda d: d.update(retry_timeout=3))),
    ("patroni-timeouts", "start", F, configured(JAKARTA, lambda d: d.pop("primary_start_timeout"))),
    (
        "patroni-timeouts",
        "stop",
        F,
        configured(JAKARTA, lambda d: d.update(primary_stop_timeout=9)),
    ),
    ("patroni-lag", "more", F, configured(JAKARTA, lambda d: d.update(maximum_lag_on_failover=1))),
    ("patroni-failsafe", "on", F, configured(JAKARTA, lambda d: d.update(failsafe_mode=True))),
    (
        "patroni-synchronous",
        "Patroni's",
        F,
        configured(JAKARTA, lambda d: d.update(synchronous_mode=True)),
    ),
    ("patroni-synchronous", "listed", F, sync_in(ProtectionMode.MAX_PERFORMANCE, '"mks-db1"')),
    ("patroni-synchronous", "nobody", W, sync_in(ProtectionMode.MAX_AVAILABILITY, None)),
    (
        "patroni-rewind",
        "off",
        F,
        configured(JAKARTA, lambda d: d["postgresql"].update(use_pg_rewind=False)),
    ),
    ("patroni-slots", "gone", F, configured(JAKARTA, lambda d: d.pop("slots"))),
    (
        "patroni-slots",
        "another",
        F,
        configured(MAKASSAR, lambda d: d["slots"].update(old={"type": "physical"})),
    ),
    (
        "patroni-parameters",
        "changed",
        F,
        lambda f: setting("log_line_prefix", "x", "", host="mks-db1")(
            setting("log_line_prefix", "x", "", host="mks-db2")(
                configured(
                    MAKASSAR, lambda d: d["postgresql"]["parameters"].update(log_line_prefix="x")
                )(f)
            )
        ),
    ),
    ("patroni-parameters", "more", W, configured(JAKARTA, lambda d: d.update(check_timeline=True))),
    ("patroni-pause", "paused", F, configured(MAKASSAR, lambda d: d.update(pause=True))),
    (
        "standby-upstream",
        "another host",
        F,
        configured(MAKASSAR, lambda d: d["standby_cluster"].update(host="10.77.1.12")),
    ),
    (
        "patroni-file",
        "key",
        F,
        file_says("postgresql.remove_data_directory_on_rewind_failure", "on"),
    ),
    (
        "patroni-file",
        "started around the guard",
        F,
        reported("mks-db2", lambda r: replace(r, patroni=replace(r.patroni, by_guard=False))),
    ),
    (
        "patroni-file",
        "newer than the process",
        W,
        reported(
            "mks-db2", lambda r: replace(r, patroni=replace(r.patroni, changed_unix_s=NOW_UNIX_S))
        ),
    ),
    (
        "guard-alive",
        "worker dead",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, worker_alive=False))),  # type: ignore[type-var]
    ),
    (
        "guard-alive",
        "not armed",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, armed=False))),  # type: ignore[type-var]
    ),
    (
        "writer-claim",
        "two say yes",
        F,
        seen_as("mks-db2", lambda h: replace(h, guard=replace(h.guard, writable=True))),  # type: ignore[type-var]
    ),
    (
        "writer-claim",
        "a second server out of recovery",
        F,
        seen_as(
            "mks-db2",
            lambda h: replace(
                h,
                postgres=replace(  # type: ignore[type-var]
                    h.postgres, in_recovery=False, current_lsn=Lsn(5000), received_lsn=None
                ),
            ),
        ),
    ),
    ("permit-hook", "file", F, file_says("postgresql.pre_promote", "/bin/true")),
    (
        "permit-hook",
        "script",
        F,
        reported("mks-db2", lambda r: replace(r, barriers_missing=(("pre_promote", "missing"),))),
    ),
    (
        "permit-hook",
        "another program",
        F,
        reported("mks-db2", lambda r: replace(r, barriers=other_program(r, "pre_promote"))),
    ),
    (
        "start-barrier",
        "another program",
        F,
        reported("mks-db2", lambda r: replace(r, barriers=other_program(r, "pg_ctl"))),
    ),
    (
        "start-barrier",
        "a program that cannot be read",
        U,
        reported("mks-db2", lambda r: replace(r, barriers=without_program(r, "pg_ctl"))),
    ),
    ("start-barrier", "file", F, file_says("postgresql.bin_name.postgres", "/usr/bin/postgres")),
    (
        "start-barrier",
        "script",
        F,
        reported("mks-db2", lambda r: replace(r, barriers_missing=(("postgres", "missing"),))),
    ),
    (
        "start-barrier",
        "environment",
        F,
        reported(
            "mks-db2",
            lambda r: replace(
                r, patroni=replace(r.patroni, environment=("PATRONI_POSTGRESQL_BIN_POSTGRES",))
            ),
        ),
    ),
    (
        "start-barrier",
        "environment not seen",
        U,
        reported("mks-db2", lambda r: replace(r, patroni=replace(r.patroni, environment=None))),
    ),
    (
        "patroni-file",
        "environment",
        F,
        reported(
            "mks-db2",
            lambda r: replace(
                r, patroni=replace(r.patroni, environment=("PATRONI_ZOOKEEPER_HOSTS",))
            ),
        ),
    ),
    ("barrier-door", "shut", F, reported("mks-db2", lambda r: replace(r, door_problem="refused"))),
    (
        "acknowledgement-barrier",
        "none",
        F,
        seen_as("jkt-db2", lambda h: replace(h, guard=replace(h.guard, barrier=False))),  # type: ignore[type-var]
    ),
    (
        "acknowledgement-barrier",
        "not known",
        U,
        seen_as("jkt-db2", lambda h: replace(h, guard=replace(h.guard, barrier=None))),  # type: ignore[type-var]
    ),
    (
        "postgresql-answers",
        "refused",
        F,
        seen_as("mks-db2", lambda h: replace(h, postgres=REFUSED)),
    ),
    (
        "replication-streaming",
        "no receiver",
        F,
        seen_as(
            "mks-db2", lambda h: replace(h, postgres=replace(h.postgres, receiver_streaming=False))
        ),  # type: ignore[type-var]
    ),
    (
        "postgresql-version",
        "minor",
        W,
        read_as("mks-db1", lambda p: replace(p, version="17.5", version_number=170005)),
    ),
    (
        "postgresql-version",
        "major",
        F,
        read_as("mks-db1", lambda p: replace(p, version="18.1", version_number=180001)),
    ),
    (
        "postgresql-identity",
        "another cluster",
        F,
        seen_as(
            "mks-db2", lambda h: replace(h, postgres=replace(h.postgres, system_identifier="9"))
        ),  # type: ignore[type-var]
    ),
    ("rewind-ready", "full_page_writes", F, setting("full_page_writes", "off", "")),
    (
        "rewind-ready",
        "neither",
        F,
        lambda f: setting("data_checksums", "off", "")(setting("wal_log_hints", "off", "")(f)),
    ),
    ("postgresql-settings", "not in force", F, setting("wal_sender_timeout", "60000", "ms")),
    ("replication-slots", "none", F, slots()),
    (
        "replication-slots",
        "lost",
        F,
        slots(SlotFound("failover_makassar", False, True, "lost", None)),
    ),
    (
        "replication-slots",
        "unused",
        W,
        slots(SlotFound("failover_makassar", False, False, "reserved", None)),
    ),
    (
        "replication-slots",
        "on a standby",
        F,
        slots(SlotFound("failover_jakarta", False, False, "reserved", None), host="mks-db1"),
    ),
    (
        "replication-slots",
        "logical",
        F,
        slots(
            SlotFound("failover_makassar", False, True, "reserved", None),
            SlotFound("out", True, False, "reserved", None),
        ),
    ),
    (
        "collations",
        "another ICU",
        F,
        database(collations=(CollationFound("collation und-x-icu", "153.128", "153.14"),)),
    ),
    (
        "collations",
        "another libc",
        F,
        read_as(
            "mks-db1",
            lambda p: replace(p, collations=(CollationFound("database x", "2.36", "2.41"),)),
        ),
    ),
    (
        "extensions",
        "no files",
        F,
        read_as(
            "mks-db2",
            lambda p: replace(
                p, available=frozenset({"plpgsql 1.0"}), extensions=(("plpgsql", "1.0"),)
            ),
        ),
    ),
    ("extensions", "older files at one site", F, older_files("mks-db1", "mks-db2")),
    (
        "extensions",
        "newer files everywhere",
        W,
        older_files("jkt-db1", "jkt-db2", "mks-db1", "mks-db2"),
    ),
    (
        "extensions",
        "newer files at one site",
        W,
        read_as(
            "mks-db1",
            lambda p: replace(p, extensions=(("plpgsql", "1.0"), ("pg_trgm", "1.7"))),
        ),
    ),
    (
        "collations",
        "no version on record, and hosts differ",
        F,
        sorted_by(jkt_db1="2.36", jkt_db2="2.36", mks_db1="2.41", mks_db2="2.41"),
    ),
    (
        "wal-disk",
        "full",
        F,
        reported(
            "mks-db1",
            lambda r: replace(
                r,
                disks=tuple(
                    replace(d, free_bytes=GIB // 2) if d.what == "wal" else d for d in r.disks
                ),
            ),
        ),
    ),
    (
        "wal-disk",
        "less than a slot keeps",
        W,
        reported(
            "mks-db1",
            lambda r: replace(
                r,
                disks=tuple(
                    replace(d, free_bytes=30 * GIB) if d.what == "wal" else d for d in r.disks
                ),
            ),
        ),
    ),
    (
        "salvage-disk",
        "used up",
        F,
        reported("mks-db1", lambda r: replace(r, salvage_held_bytes=16 * GIB)),
    ),
    (
        "salvage-disk",
        "less than the limit",
        W,
        reported(
            "mks-db1",
            lambda r: replace(
                r,
                disks=tuple(
                    replace(d, free_bytes=5 * GIB) if d.what == "salvage" else d for d in r.disks
                ),
            ),
        ),
    ),
    ("clocks", "far", F, lambda f: replace(f, clocks=(ClockFound("a", 9.0, 9.1), *f.clocks))),
    ("clocks", "off", W, lambda f: replace(f, clocks=(ClockFound("a", 1.0, 1.1), *f.clocks))),
    ("clocks", "nobody", U, lambda f: replace(f, clocks=())),
    ("rendered-files", "missing", F, reported("mks-db1", lambda r: replace(r, files=r.files[1:]))),
    (
        "rendered-files",
        "changed",
        F,
        reported("mks-db1", lambda r: replace(r, files=((r.files[0][0], "x"), *r.files[1:]))),
    ),
    (
        "configuration",
        "another",
        F,
        reported("mks-db1", lambda r: replace(r, configuration_sha256="x")),
    ),
    (
        "configuration",
        "not yet read",
        F,
        reported("mks-db1", lambda r: replace(r, configuration_loaded_sha256="x")),
    ),
    ("access-lists", "open", F, lists(Access.REQUIRE, wrong=True)),
    ("access-lists", "closed already", W, lists(Access.USE, wrong=True)),
    ("access-lists", "may not be read", U, lists(Access.REQUIRE, problem="may not be touched")),
    ("residency-approvals", "by nobody", F, lists(Access.REQUIRE, accepted=True)),
    ("certificates", "ends soon", W, shown(days=20.0)),
    ("certificates", "ends now", F, shown(days=3.0)),
    ("certificates", "is not believed", F, shown(problem="certificate verify failed")),
    ("certificates", "silent", U, shown(problem="timed out", answered=False)),
    ("certificate-files", "PostgreSQL could not read it", F, held(problem="its mode is 0644")),
    ("certificate-files", "ends now", F, held(days=3.0)),
    ("certificate-files", "ends soon", W, held(days=20.0)),
    ("certificate-files", "older guard", U, held()),
    ("versions", "older", W, reported("mks-db1", lambda r: replace(r, version="0.0.1"))),
    (
        "haproxy",
        "clients elsewhere",
        F,
        proxied(lambda servers: tuple(replace(s, status="DOWN") for s in servers)),
    ),
    ("haproxy", "a host is missing", F, proxied(lambda servers: servers[:-1])),
    ("haproxy", "gone", F, proxied(lambda _: REFUSED)),
    ("haproxy", "silent", U, proxied(lambda _: SILENT)),
    (
        "haproxy",
        "not checked",
        F,
        proxied(lambda servers: (*servers[:-1], replace(servers[-1], check="", status="no check"))),
    ),
    ("haproxy", "fall", F, proxied(lambda servers: (*servers[:-1], replace(servers[-1], fall=30)))),
    ("haproxy", "asks somebody else", F, reported("mks-db2", lambda r: replace(r, asked=()))),
    ("dead-peers", "off", F, setting("tcp_user_timeout", "0", "ms")),
    ("dead-peers", "slow", F, setting("tcp_keepalives_idle", "7200", "s")),
    (
        "endpoints",
        "outside",
        F,
        lambda f: replace(f, endpoints=(EndpointFound("archive", ("8.8.8.8",), ("8.8.8.8",)),)),
    ),
    (
        "endpoints",
        "no name",
        W,
        lambda f: replace(f, endpoints=(EndpointFound("archive", (), ()),)),
    ),
    ("observer-privileges", "reads", F, database(readable=((OBSERVER, "public.customer_order"),))),
    ("observer-privileges", "role", F, role(OBSERVER, ("login",), ("pg_read_all_data",))),
    ("observer-privileges", "superuser", F, role(OBSERVER, ("login", "superuser"))),
    (
        "observer-privileges",
        "borrowed rights",
        F,
        one_more("public.all_orders()", "marketplace"),
    ),
    ("role-privileges", "createdb", F, role("rewinder", ("login", "createdb"))),
    ("role-privileges", "member", F, role("marketplace", ("login",), ("pg_monitor",))),
    ("role-privileges", "reads", F, database(readable=(("replicator", "public.customer_order"),))),
    ("narrow-functions", "public", F, narrow("failover.walsenders()", public=True)),
    ("narrow-functions", "others", F, narrow("failover.walsenders()", callers=(OBSERVER, "shop"))),
    ("narrow-functions", "nobody", F, narrow("failover.walsenders()", observer=False)),
    ("narrow-functions", "a superuser's", F, narrow("failover.walsenders()", owner="postgres")),
    ("narrow-functions", "its caller's", F, narrow("failover.walsenders()", definer=False)),
    ("narrow-functions", "search_path", F, narrow("failover.walsenders()", settings=())),
    ("narrow-functions", "another text", F, narrow("failover.walsenders()", sha256="0" * 64)),
    (
        "narrow-functions",
        "other arguments",
        F,
        narrow("failover.end_sessions(inet,boolean,text[])", signature="failover.end_sessions()"),
    ),
    ("narrow-functions", "gone", F, narrow("failover.walsenders()", signature="failover.x()")),
    ("narrow-functions", "left over", W, one_more("failover.old()")),
    ("narrow-functions", "left over and wide", F, one_more("failover.old()", public=True)),
    ("residency", "open", F, lost_hba(None)),
    ("automation", "observe", W, stated(lambda s: replace(s, automation=Automation.OBSERVE))),
    (
        "automation",
        "paused",
        W,
        stated(lambda s: replace(s, paused_until_unix_s=NOW_UNIX_S + 60)),
    ),
    ("rehearsal", "never", W, lambda f: replace(f, rehearsed=Rehearsed(False, None, 12))),
    ("rehearsal", "failed", W, lambda f: replace(f, rehearsed=Rehearsed(False, 86400.0, 12))),
    ("rehearsal", "long ago", W, lambda f: replace(f, rehearsed=Rehearsed(True, 91 * 86400.0, 12))),
    (
        "rehearsal",
        "unreadable",
        U,
        lambda f: replace(f, rehearsed=Rehearsed(False, None, 0, "gone")),
    ),
]


def not_ok(found: Found) -> dict[str, Verdict]:
    every = {each.check: each.verdict for each in run(found)}
    return {
        name: verdict
        for name, verdict in every.items()
        if verdict is not Verdict.OK and name not in ALWAYS_UNKNOWN
    }


def test_in_a_world_in_order_only_what_nobody_can_see_is_not_known() -> None:
    results = run(world())
    assert {r.check: r.sentence for r in results if r.verdict is not Verdict.OK}.keys() == (
        ALWAYS_UNKNOWN
    )
    assert not any(each.fails for each in results)


@pytest.mark.parametrize(
    ("name", "verdict", "broken"),
    [(name, verdict, broken) for name, _, verdict, broken in BROKEN],
    ids=[f"{name}: {what}" for name, what, _, _ in BROKEN],
)
def test_exactly_that_check_says_so(name: str, verdict: Verdict, broken: Break) -> None:
    found = broken(world())
    assert not_ok(found) == {name: verdict}, [
        f"{r.check}: {r.sentence}" for r in run(found) if r.verdict is not Verdict.OK
    ]
    (said,) = run(found, (name,))
    assert said.sentence
    assert said.fix
    assert said.fails == (verdict is Verdict.FAILED) or said.sentence.endswith("as a failure")


def test_every_check_is_broken_here_in_some_way() -> None:
    assert set(NAMES) - {name for name, *_ in BROKEN} == ALWAYS_UNKNOWN
    assert len(set(NAMES)) == len(NAMES)


def test_names_are_kebab_case_and_texts_are_sentences() -> None:
    for check in CHECKS:
        assert check.name == check.name.lower().replace("_", "-").replace(" ", "-")
        assert check.assumes.endswith(".")
        assert check.fix.endswith(".")


@pytest.mark.parametrize(
    ("part", "fails"),
    [
        pytest.param("postgres", set(), id="postgres"),
        pytest.param(
            "report", {"guard-lease", "permit-hook", "start-barrier", "barrier-door"}, id="report"
        ),
    ],
)
def test_what_only_a_silent_part_could_tell_is_unknown_and_fails_what_i1_rests_on(
    part: str, fails: set[str]
) -> None:
    found = world()
    for host in found.hosts:
        found = on_host(host.host.name, lambda h: replace(h, **{part: SILENT}))(found)  # type: ignore[arg-type]
    results = {each.check: each for each in run(found)}
    unknown = {n for n, r in results.items() if r.verdict is Verdict.UNKNOWN} - ALWAYS_UNKNOWN
    assert len(unknown) > 4
    assert {n for n, r in results.items() if r.verdict is Verdict.FAILED} == set()
    assert {name for name, each in results.items() if each.fails} == fails
    assert all(results[name].fix for name in unknown)


def test_what_an_operator_sizes_alike_at_both_sites_is_in_order() -> None:
    found = all_configured(
        (JAKARTA, MAKASSAR),
        lambda d: d["postgresql"]["parameters"].update(
            shared_buffers="8GB", shared_preload_libraries="pg_stat_statements"
        ),
    )(world())
    for host in found.hosts:
        found = setting("shared_buffers", "8192", "MB", host=host.host.name)(found)
    # The narrow role is not shown what only superusers may see: unknown, and no failure.
    assert not_ok(found) == {"postgresql-settings": U}
    (said,) = run(found, ("postgresql-settings",))
    assert "shared_preload_libraries" in said.sentence
    assert not said.fails


@pytest.mark.parametrize("version", [None, "2.36"])
def test_a_collation_with_no_version_on_record_that_is_one_everywhere_is_in_order(
    version: str | None,
) -> None:
    """C has none; an old database may have none of libc's."""
    hosts = dict.fromkeys(("jkt_db1", "jkt_db2", "mks_db1", "mks_db2"), version)
    assert not_ok(sorted_by(**hosts)(world())) == {}


def test_functions_of_a_database_that_cannot_be_looked_into_are_not_missing() -> None:
    closed = read_as(
        "jkt-db1",
        lambda p: replace(p, databases=p.databases[:1], unread=(("postgres", "no answer"),)),
    )(world())
    (said,) = run(closed, ("narrow-functions",))
    assert said.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("address", "in_order"),
    [
        ("10.77.2.99", True),  # the host behind a virtual address
        ("10.77.1.99", False),  # of another site
        ("10.77.2.31", False),  # the controller's
    ],
)
def test_a_proxy_behind_a_virtual_address_asks_from_its_own(address: str, in_order: bool) -> None:
    found = world()
    for host in found.hosts:
        found = reported(
            host.host.name,
            lambda r: replace(
                r,
                asked=tuple(
                    replace(a, address=address) if a.address == "10.77.2.41" else a for a in r.asked
                ),
            ),
        )(found)
    assert not_ok(found) == ({} if in_order else {"haproxy": F})


def test_what_is_written_out_as_patroni_has_it_anyway_is_in_order() -> None:
    tags = {
        "tags.nofailover": "off",
        "tags.noloadbalance": "off",
        "tags.clonefrom": "off",
        "tags.nosync": "off",
    }

    def written(report: HostReport) -> HostReport:
        settings = {k: v for k, v in report.patroni.settings if k != "tags"} | tags
        return replace(report, patroni=replace(report.patroni, settings=tuple(settings.items())))

    found = configured(MAKASSAR, lambda d: d.update(maximum_lag_on_syncnode=-1))(world())
    assert not_ok(reported("mks-db2", written)(found)) == {}


def test_not_knowing_what_is_safety_critical_counts_as_a_failure_and_says_so() -> None:
    blind = of_view(lambda known: replace(known, observers=()))(world())
    (said,) = run(blind, ("guard-alive",))
    assert (said.verdict, said.fails) == (Verdict.UNKNOWN, True)
    assert said.sentence.endswith("counts as a failure")


def test_conf_that_a_server_does_not_allow_is_unknown_with_the_way_to_allow_it() -> None:
    silent = NoAnswer("rejected", "conf is not executed because it is not in the whitelist.")  # type: ignore[arg-type]
    found = on_server("sby-zk1", lambda s: replace(s, settings=silent))(world())
    assert not_ok(found) == {"zookeeper-myid": U, "zookeeper-timing": U}
    assert "4lw.commands.whitelist" in run(found, ("zookeeper-timing",))[0].fix


def test_the_table_shows_first_what_is_wrong() -> None:
    found = world()
    for name, what, _, broken in BROKEN:
        if (name, what) in (("start-barrier", "script"), ("dead-peers", "off")):
            found = broken(found)
    check_golden("check", as_text(POLICY.group, run(found), details=False) + "\n")
    check_golden("check_details", as_text(POLICY.group, run(found), details=True) + "\n")
