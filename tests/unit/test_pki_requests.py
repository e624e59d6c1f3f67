"""Certificates by an authority that the site has already."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from test_pki import CONFIG, handshake

from failover.cli.exit_codes import ExitCode
from failover.cli.pki import command
from failover.config import load
from failover.pki.authority import Authority, certificate_pem, new_authority, new_key
from failover.pki.directory import Directory
from failover.pki.names import host_names

NOW = datetime.now(UTC)
HOSTS = {names.host: names for names in host_names(load(CONFIG))}
CLIENT_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@pytest.fixture
def root() -> Authority:
    return new_authority("Pasar Nusantara", 1, NOW)


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return tmp_path / "pki"


def pki_command(pki: Path, *words: str) -> Result:
    return CliRunner().invoke(command, [*words, "--dir", str(pki), "--config", str(CONFIG)])


def signed(
    pki: Path,
    host: str,
    signer: Authority,
    *,
    names: x509.SubjectAlternativeName | None = None,
    purposes: x509.ExtendedKeyUsage | None = None,
    days: int = 30,
) -> bytes:
    """As an authority signs: by the request, but for what is said here."""
    request = x509.load_pem_x509_csr((pki / "requests" / f"{host}.csr").read_bytes())
    assert request.is_signature_valid

    def asked(kind: type[x509.ExtensionType]) -> x509.ExtensionType:
        return request.extensions.get_extension_for_class(kind).value

    certificate = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(signer.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(names or asked(x509.SubjectAlternativeName), critical=False)
        .add_extension(purposes or asked(x509.ExtendedKeyUsage), critical=False)
        .add_extension(asked(x509.KeyUsage), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(signer.key, hashes.SHA256())
    )
    return certificate_pem(certificate)


def below(root: Authority) -> Authority:
    """An authority that the root has signed, and that signs hosts."""
    key, name = new_key(), x509.Name.from_rfc4514_string("CN=Jakarta")
    usage = new_authority("x", 1, NOW).certificate.extensions.get_extension_for_class(x509.KeyUsage)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage.value, critical=True)
        .sign(root.key, hashes.SHA256())
    )
    return Authority(key, certificate)


def wider() -> Authority:
    """A root that may have authorities below it."""
    key, name = new_key(), x509.Name.from_rfc4514_string("CN=Pasar Nusantara")
    usage = new_authority("x", 1, NOW).certificate.extensions.get_extension_for_class(x509.KeyUsage)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage.value, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def taken(pki: Path, root: Authority, host: str, pem: bytes) -> Result:
    authority, file = pki.parent / "root.pem", pki.parent / f"{host}.pem"
    authority.write_bytes(certificate_pem(root.certificate))
    file.write_bytes(pem)
    return pki_command(pki, "take", "--authority", str(authority), str(file))


def test_what_came_back_proves_both_ends_to_each_other(pki: Path, root: Authority) -> None:
    done = pki_command(pki, "request")
    assert done.exit_code == 0, done.output
    for host in ("jkt-db1", "sby-zk1"):
        done = taken(pki, root, host, signed(pki, host, root))
        assert (done.exit_code, f"{host}: taken" in done.output) == (0, True), done.output
    directory = Directory(pki, load(CONFIG).tls.directory)
    db1, zk1 = HOSTS["jkt-db1"], HOSTS["sby-zk1"]
    for name in ("jkt-db1", "10.77.1.11", "10.77.2.41"):
        assert handshake(directory, db1, zk1, name) == "jkt-db1 sby-zk1"
    assert stat.S_IMODE(directory.host_file(db1).stat().st_mode) == 0o600
    key = pki / "requests" / "jkt-db1.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert directory.host_file(db1).read_bytes().startswith(key.read_bytes())


def test_the_authority_in_between_goes_along(pki: Path) -> None:
    root = wider()
    between = below(root)
    pki_command(pki, "request", "jkt-db1", "sby-zk1")
    for host in ("jkt-db1", "sby-zk1"):
        pem = signed(pki, host, between) + certificate_pem(between.certificate)
        done = taken(pki, root, host, pem + certificate_pem(root.certificate))
        assert done.exit_code == 0, done.output
    directory = Directory(pki, load(CONFIG).tls.directory)
    db1, zk1 = HOSTS["jkt-db1"], HOSTS["sby-zk1"]
    assert handshake(directory, db1, zk1, "10.77.1.11") == "jkt-db1 sby-zk1"
    believed = directory.authority_file(db1).read_bytes()
    assert believed == certificate_pem(root.certificate)


def test_asked_again_the_key_is_the_same(pki: Path) -> None:
    pki_command(pki, "request", "jkt-db1")
    before = (pki / "requests" / "jkt-db1.key").read_bytes()
    assert pki_command(pki, "request").exit_code == 0
    assert (pki / "requests" / "jkt-db1.key").read_bytes() == before
    assert len(list((pki / "requests").glob("*.csr"))) == len(HOSTS)


def test_what_would_not_do_is_not_taken_with_every_reason(pki: Path, root: Authority) -> None:
    pki_command(pki, "request", "jkt-db1")
    bare = x509.SubjectAlternativeName([x509.DNSName("jkt-db1"), _address("10.77.1.11")])
    pem = signed(pki, "jkt-db1", below(root), names=bare, purposes=CLIENT_ONLY, days=-1)
    done = taken(pki, root, "jkt-db1", pem)
    assert done.exit_code == ExitCode.FINDINGS
    for reason in (
        "not for 10.77.1.41, 10.77.2.41",
        "not for server and client",
        "not good now",
        "none of the authorities has signed it",
    ):
        assert reason in done.output
    assert not Directory(pki, load(CONFIG).tls.directory).host_file(HOSTS["jkt-db1"]).exists()


def test_a_hosts_certificate_is_no_authority(pki: Path, root: Authority) -> None:
    pki_command(pki, "request", "jkt-db1")
    pem = signed(pki, "jkt-db1", root)
    authority, file = pki.parent / "root.pem", pki.parent / "jkt-db1.pem"
    authority.write_bytes(pem)
    file.write_bytes(pem)
    done = pki_command(pki, "take", "--authority", str(authority), str(file))
    assert done.exit_code == ExitCode.FINDINGS
    assert "one of the authorities is none" in done.output


def test_certificates_in_disorder_are_not_taken(pki: Path, root: Authority) -> None:
    pki_command(pki, "request", "jkt-db1")
    stranger = certificate_pem(new_authority("a stranger", 1, NOW).certificate)
    done = taken(pki, root, "jkt-db1", signed(pki, "jkt-db1", root) + stranger)
    assert done.exit_code == ExitCode.FINDINGS
    assert "not in order" in done.output


@pytest.mark.parametrize("pem", [b"", b"nothing of the kind\n"])
def test_what_is_no_certificate_is_said(pki: Path, root: Authority, pem: bytes) -> None:
    pki_command(pki, "request", "jkt-db1")
    done = taken(pki, root, "jkt-db1", pem)
    assert done.exit_code == ExitCode.FINDINGS
    assert "no certificate that can be read" in done.output


def test_a_key_that_was_not_made_here_is_not_taken(pki: Path, root: Authority) -> None:
    pki_command(pki, "request", "jkt-db1")
    pem = signed(pki, "jkt-db1", root)
    (pki / "requests" / "jkt-db1.key").unlink()
    pki_command(pki, "request", "jkt-db1")
    done = taken(pki, root, "jkt-db1", pem)
    assert done.exit_code == ExitCode.FINDINGS
    assert "no key in DIR/requests" in done.output


def _address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_address(text))
