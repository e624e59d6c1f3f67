"""Whether what a database host proves itself with would do at the next start. Reads files only.

Looked at as the user that PostgreSQL, Patroni and the guard all are, by PostgreSQL's rules for a
key (its manual, 18.9.1), which are stricter than the others'.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from failover.checks.host_report import OwnCertificate
from failover.transport import TransportSecurity


def own_certificate(tls: TransportSecurity, root: Path = Path("/")) -> OwnCertificate | None:
    """None where no wire is on."""
    if not tls.any:
        return None
    host, authorities = (root / file.lstrip("/") for file in (tls.host_file, tls.authority_file))
    try:
        until_unix_s = _until_unix_s(host, authorities)
    except OSError as error:  # ssl's too
        return OwnCertificate(tls.host_file, f"{error.strerror or error}", None)
    except ValueError as error:
        return OwnCertificate(tls.host_file, str(error), None)
    return OwnCertificate(tls.host_file, "", until_unix_s)


def _until_unix_s(host: Path, authorities: Path) -> float:
    """ValueError, OSError: what would be the matter."""
    from failover.pki.authority import Unreadable, read_certificates

    _check_key_is_private(host.stat())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(host)  # key and certificate belong together
    context.load_verify_locations(authorities)
    try:
        certificate, *_ = read_certificates(host.read_bytes())
    except Unreadable as error:
        raise ValueError(str(error)) from None
    return certificate.not_valid_after_utc.timestamp()


def _check_key_is_private(found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (os.geteuid(), 0):
        raise ValueError(f"it belongs to user {found.st_uid}: PostgreSQL takes no such key")
    if mode & (0o077 if found.st_uid else 0o027):
        raise ValueError(f"its mode is {mode:04o}: PostgreSQL takes no key that others may read")
