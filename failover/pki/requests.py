"""For a site whose own authority signs: a key and a request for every host, and what comes back.

    requests/HOST.key requests/HOST.csr    the key stays here, the request goes to the authority
    SITE/HOST/etc/failover/tls/            host.pem and ca.pem, once its certificate was taken

Invariant: a certificate is taken only with the key that was made for it here, with all names that
others dial, for both ends of a connection, and where its chain ends at an authority that is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from failover.durable import replace_file
from failover.pki.authority import (
    Certificate,
    Key,
    certificate_pem,
    key_pem,
    lacks,
    new_key,
    read_key,
    request_pem,
    signed_by,
    signs,
)
from failover.pki.directory import Directory, PkiError, read
from failover.transport import HostNames

BOTH_ENDS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def ask(directory: Directory, names: HostNames) -> Path:
    """The request of a host, written anew for its names; its key is made once."""
    key_file, request_file = _key_file(directory, names), _file(directory, names, "csr")
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not key_file.exists():
        replace_file(key_file, key_pem(new_key()), 0o600)
    replace_file(request_file, request_pem(names, read(key_file, read_key)), 0o644)
    return request_file


def whose(
    directory: Directory, hosts: Sequence[HostNames], certificate: Certificate
) -> HostNames | None:
    """The host whose key it is for; None: no key that was made here."""
    for names in hosts:
        if _key_file(directory, names).exists():
            key = read(_key_file(directory, names), read_key)
            if key.public_key() == certificate.public_key():
                return names
    return None


def take(
    directory: Directory,
    names: HostNames,
    chain: Sequence[Certificate],
    authorities: Sequence[Certificate],
    now: datetime,
) -> None:
    """The host's two files. ``chain``: its certificate, then whose key has signed it, and so on.

    PkiError with every reason why not; nothing is written then.
    """
    wrong = list(_wrong(names, chain, authorities, now))
    if wrong:
        raise PkiError(
            f"{names.host}: {'; '.join(wrong)}",
            todo="have it signed again as the request says; the files are as they were",
        )
    key: Key = read(_key_file(directory, names), read_key)
    below = [chain[0], *(each for each in chain[1:] if each not in authorities)]
    host_pem = key_pem(key) + b"".join(certificate_pem(each) for each in below)
    bundle = b"".join(certificate_pem(each) for each in authorities)
    directory.host_file(names).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Who is believed first: a host that has only the other file would believe nobody.
    replace_file(directory.authority_file(names), bundle, 0o644)
    replace_file(directory.host_file(names), host_pem, 0o600)


def _wrong(
    names: HostNames,
    chain: Sequence[Certificate],
    authorities: Sequence[Certificate],
    now: datetime,
) -> Iterator[str]:
    if not all(signs(each) for each in authorities):
        yield "one of the authorities is none: its certificate may not sign others"
    missing = lacks(chain[0], names)
    if missing:
        yield f"its certificate is not for {', '.join(missing)}"
    if not _purposes(chain[0]) >= BOTH_ENDS:
        yield "its certificate is not for server and client authentication"
    if not chain[0].not_valid_before_utc <= now < chain[0].not_valid_after_utc:
        yield "its certificate is not good now"
    for certificate, signer in pairwise(chain):
        if not signed_by(certificate, signer):
            yield "the certificates behind it are not in order: each has to have signed the last"
    last = chain[-1]
    if last not in authorities and not any(signed_by(last, each) for each in authorities):
        yield "none of the authorities has signed it"


def _purposes(certificate: Certificate) -> set[x509.ObjectIdentifier]:
    """What it may be used for; both where it does not say."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return set(BOTH_ENDS)
    return set(found.value)


def _key_file(directory: Directory, names: HostNames) -> Path:
    return _file(directory, names, "key")


def _file(directory: Directory, names: HostNames, kind: str) -> Path:
    return directory.path / "requests" / f"{names.host}.{kind}"
