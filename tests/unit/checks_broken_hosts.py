"""What the checks of hosts, clients, wires and the group are to find.

Each row breaks one assumption of a world in order, and names the check that has to say so, and how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from checks_world import (
    GIB,
    NOW_UNIX_S,
    POLICY,
    REQUIRED,
    Break,
    Broken,
    of_view,
    reported,
    setting,
    stated,
)
from cli_world import REFUSED, SILENT

from failover.access import Access, ZooKeeperAccess
from failover.checks.found import (
    AccessFound,
    CertificateFound,
    ClockFound,
    EndpointFound,
    Found,
    Rehearsed,
)
from failover.checks.host_report import (
    EGRESS_OFF,
    REPOSITORY_HERE,
    BackupOnHost,
    HostReport,
    OwnCertificate,
)
from failover.checks.result import Verdict
from failover.model import Automation, HostName
from failover.policy import AcceptedFinding
from failover.residency.findings import Finding, HostScan
from failover.transport import Wire

F, W, U = Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN


def shown(days: float | None = None, problem: str = "", answered: bool = True) -> Break:
    until_unix_s = None if days is None else NOW_UNIX_S + days * 86400
    bad = CertificateFound(HostName("jkt-db1"), "postgresql", until_unix_s, problem, answered)
    good = CertificateFound(HostName("jkt-zk1"), "zookeeper", NOW_UNIX_S + 1e7, "", True)
    return lambda found: replace(found, certificates=(good, bad))


def with_policy(**fields: object) -> Break:
    """As another failover.yaml would have it."""

    def made(found: Found) -> Found:
        policy = replace(found.policy, **fields)  # type: ignore[arg-type]
        return replace(found, view=replace(found.view, policy=policy))

    return made


def held(days: float | None = None, problem: str = "") -> Break:
    """This is what one guard has."""
    until_unix_s = None if days is None else NOW_UNIX_S + days * 86400
    good = OwnCertificate("/etc/failover/tls/host.pem", "", NOW_UNIX_S + 1e7)
    bad = OwnCertificate(good.file, problem, until_unix_s)
    nothing = days is None and not problem

    def broken(found: Found) -> Found:
        hosts = tuple(
            replace(h, report=replace(h.report, certificate=good))
            for h in found.hosts
            if isinstance(h.report, HostReport)
        )
        found = replace(found, hosts=hosts)
        certificate = None if nothing else bad
        return reported("mks-db1", lambda r: replace(r, certificate=certificate))(found)

    return broken


def backed_up(
    *hosts: str, ago_h: float | None = 5, problem: str = "", at: str = REPOSITORY_HERE
) -> Break:
    """What these guards know of backups; without any: all of them."""
    ended_unix_s = None if ago_h is None else NOW_UNIX_S - ago_h * 3600
    status = BackupOnHost(problem, "20251009-010000F", ended_unix_s, (at,))

    def broken(found: Found) -> Found:
        for name in hosts or tuple(each.host.name for each in found.hosts):
            found = reported(name, lambda r: replace(r, backup=status))(found)
        return found

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


HOSTS: list[Broken] = [
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
    ("backups", "too old", F, backed_up(ago_h=30)),
    ("backups", "none", F, backed_up(ago_h=None)),
    ("backups", "of a clock elsewhere", F, backed_up(ago_h=-2)),
    ("backups", "too old at one site", W, backed_up("mks-db1", "mks-db2", ago_h=30)),
    ("backups", "abroad", F, backed_up("mks-db1", at="s3.us-east-1.example.com")),
    ("backups", "unreadable", U, backed_up("mks-db1", problem="/x: Permission denied")),
    ("wires", "tls.patroni is accept", W, with_policy(tls=replace(REQUIRED, patroni=Wire.ACCEPT))),
    ("access-lists", "off", W, with_policy(access=ZooKeeperAccess(Access.OFF))),
    ("access-lists", "nothing is closed yet", W, with_policy(access=ZooKeeperAccess(Access.USE))),
    (
        "writable-places",
        "mks-db1: /srv/fast is read-only to Patroni",
        F,
        reported("mks-db1", lambda r: replace(r, read_only=("/srv/fast",))),
    ),
    (
        "writable-places",
        "no Patroni runs",
        U,
        reported("mks-db1", lambda r: replace(r, read_only=None)),
    ),
    (
        "egress-rules",
        "mks-db1: the kernel has no chain",
        F,
        reported("mks-db1", lambda r: replace(r, egress="the kernel has no chain")),
    ),
    ("egress-rules", "off", W, reported("mks-db1", lambda r: replace(r, egress=EGRESS_OFF))),
    ("egress-rules", "older", U, reported("mks-db1", lambda r: replace(r, egress=None))),
    ("backups", "older guard", U, reported("mks-db1", lambda r: replace(r, backup=None))),
    ("backups", "nothing is promised", W, with_policy(clusters=POLICY.clusters)),
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
