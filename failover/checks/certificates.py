"""Whether every wire is secured, every server proves itself, and for how long still. Pure."""

from __future__ import annotations

from failover.checks.found import CertificateFound, Found
from failover.checks.result import Check, Said, Subject, of, together
from failover.health.observation import NoAnswer
from failover.transport import Wire

DAYS_FAILED = 7.0
DAYS_WARNING = 30.0
_DAY_S = 86400.0


def wires(found: Found) -> Said:
    """Where TLS is not required, whoever stands in between can do without."""
    tls = found.policy.tls
    positions = {
        "postgresql": tls.postgresql,
        "zookeeper": tls.zookeeper,
        "patroni": tls.patroni,
        "http": tls.http,
    }
    return of(
        "every wire requires TLS",
        doubtful=[
            f"tls.{name} is {at}" for name, at in positions.items() if at is not Wire.REQUIRE
        ],
    )


def served(found: Found) -> Said:
    """Of the wires that have TLS; the others have nothing to prove."""
    if not found.certificates:
        return of("no wire of `tls` is on")
    now_unix_s = found.view.now_unix_s
    left = [
        (each, (each.until_unix_s - now_unix_s) / _DAY_S)
        for each in found.certificates
        if each.until_unix_s is not None
    ]
    wrong = [f"{_name(e)}: {e.problem}" for e in found.certificates if e.answered and e.problem]
    wrong += [f"{_name(e)} ends in {days:.1f} days" for e, days in left if days < DAYS_FAILED]
    least = min((days for _, days in left), default=0.0)
    return of(
        f"{len(left)} servers prove themselves, for {least:.0f} days more at the least",
        wrong=wrong,
        doubtful=[
            f"{_name(each)} ends in {days:.0f} days"
            for each, days in left
            if DAYS_FAILED <= days < DAYS_WARNING
        ],
        unseen=[f"{_name(e)}: {e.problem}" for e in found.certificates if not e.answered],
        unseen_fix="Is the server there, and are this host's own files in tls.directory?",
    )


def _name(each: CertificateFound) -> str:
    return f"{each.host} ({each.wire})"


def own(found: Found) -> Said:
    """What database hosts would start with, as their guards see it."""
    if not found.policy.tls.any:
        return of("no wire of `tls` is on")
    wrong: list[str] = []
    doubtful: list[str] = []
    unseen: list[tuple[str, str]] = []
    for host in found.hosts:
        report = host.report
        if isinstance(report, NoAnswer):
            unseen.append((host.host.name, report.detail))
        elif (seen := report.certificate) is None:
            unseen.append((host.host.name, "its guard was started before, or is older"))
        elif seen.until_unix_s is None:
            wrong.append(f"{host.host.name}: {seen.file}: {seen.problem}")
        elif (days := (seen.until_unix_s - found.view.now_unix_s) / _DAY_S) < DAYS_WARNING:
            ends = f"{host.host.name}: {seen.file} ends in {days:.0f} days"
            (wrong if days < DAYS_FAILED else doubtful).append(ends)
    return of(
        f"{len(found.hosts)} database hosts would start with what they have",
        wrong=wrong,
        doubtful=doubtful,
        unseen=together(unseen, "not known"),
    )


CERTIFICATE_CHECKS = (
    Check(
        "wires",
        Subject.HOSTS,
        "Every wire requires TLS, so that nobody on the way reads rows, claims or orders, or "
        "changes them.",
        "One position after the other, host by host: accept, use, require.",
        "docs/operations/certificates.md",
        wires,
    ),
    Check(
        "certificates",
        Subject.HOSTS,
        "Where a wire has TLS every server shows a certificate of the group's authority for its "
        "address, with a month to run.",
        "`failover pki issue`, the new files to the host, reload.",
        "docs/operations/certificates.md",
        served,
    ),
    Check(
        "certificate-files",
        Subject.HOSTS,
        "Where a wire has TLS PostgreSQL, Patroni and the guard of a database host could start "
        "with the files that are there, and dial with them for a month.",
        "Owner and mode as in /etc/tmpfiles.d/failover-tls.conf, or the right file; then reload.",
        "docs/operations/certificates.md",
        own,
    ),
)
