"""Keys and certificates as values: made, signed and read. No file, no clock: ``now`` is said.

EC P-256, because a handshake with it costs a fraction of one with RSA, and PKCS#8, because that is
the one form of a key that OpenSSL and ZooKeeper both read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from failover.transport import HostNames

Key = ec.EllipticCurvePrivateKey
Certificate = x509.Certificate

AUTHORITY_DAYS = 3650
HOST_DAYS = 365
BACKDATED = timedelta(hours=1)  # a host whose clock is behind believes it too


class Unreadable(Exception):
    """A file that should be a key or a certificate and is none. The message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    key: Key
    certificate: Certificate


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(group: str, number: int, now: datetime, days: int = AUTHORITY_DAYS) -> Authority:
    """A root that signs hosts and nothing else: no authority below it."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{group} CA {number}")])
    certificate = (
        _begun(name, key, now, days)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def issue(
    authority: Authority, names: HostNames, key: Key, now: datetime, days: int = HOST_DAYS
) -> Certificate:
    """For both ends of a connection: every part dials others and is dialled.

    Never longer than the authority itself.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.host)])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    left = authority.certificate.not_valid_after_utc - now
    lasts = min(timedelta(days=days), left)
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        _begun(subject, key, now, 0)
        .not_valid_after(now + lasts)
        .issuer_name(authority.certificate.subject)
        .add_extension(_alternatives(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(issuer_key_id, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def request_pem(names: HostNames, key: Key) -> bytes:
    """What another authority is asked to sign: the same certificate as ``issue`` would make."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.host)])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(_alternatives(names), critical=False)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM)


def _begun(subject: x509.Name, key: Key, now: datetime, days: int) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.not_valid_after(now + timedelta(days=days)) if days else builder


def _alternatives(names: HostNames) -> x509.SubjectAlternativeName:
    addresses = dict.fromkeys(names.addresses)
    return x509.SubjectAlternativeName(
        [x509.DNSName(names.host), *(x509.IPAddress(each) for each in addresses)]
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


# --------------------------------------------------------------------------- read


def signed_by(certificate: Certificate, authority: Certificate) -> bool:
    """This authority's key has signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def signs(certificate: Certificate) -> bool:
    """It may sign other certificates."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def says(certificate: Certificate, names: HostNames) -> bool:
    """Exactly these names and addresses."""
    return _said(certificate) == set(_alternatives(names))


def lacks(certificate: Certificate, names: HostNames) -> tuple[str, ...]:
    """Of the names and addresses that others dial, those that it is not for."""
    found = _said(certificate)
    return tuple(str(each.value) for each in _alternatives(names) if each not in found)


def _said(certificate: Certificate) -> set[x509.GeneralName]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(found.value)


def days_left(certificate: Certificate, now: datetime) -> float:
    """Negative once it is over."""
    return (certificate.not_valid_after_utc - now) / timedelta(days=1)


def common_name(name: x509.Name) -> str:
    """The name for a human; the whole of it where there is no common one."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(certificate: Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_key(pem: bytes) -> Key:
    """The first key in a text. Unreadable where there is none of the kind that is made here."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"no private key that can be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Unreadable("its key is not one on an elliptic curve")
    return key


def read_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Every certificate in a text, in order; a key among them is passed over."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise Unreadable(f"no certificate that can be read: {error}") from None
