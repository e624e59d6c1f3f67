"""The private authority: who proves what, what is renewed when, and what is never written over."""

from __future__ import annotations

import contextlib
import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from failover.cli.pki import command
from failover.config import load
from failover.pki.authority import common_name, days_left, key_pem, read_certificates, says
from failover.pki.directory import Directory, PkiError, Why
from failover.pki.names import host_names
from failover.transport import HostNames

CONFIG = Path(__file__).parents[2] / "tests" / "open.yaml"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DB1 = HostNames(
    "jakarta",
    "jkt-db1",
    ip_address("10.77.1.11"),
    (ip_address("10.77.1.41"), ip_address("fd00::1")),
)
ZK1 = HostNames("surabaya", "sby-zk1", ip_address("10.77.3.21"))


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    found = Directory(tmp_path / "pki", "/etc/failover/tls")
    assert found.init("marketplace", NOW)
    return found


def handshake(directory: Directory, server: HostNames, client: HostNames, name: str) -> str:
    """The common name that each end has proved to the other, over no network at all."""
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    dialling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context, names in ((accepting, server), (dialling, client)):
        context.load_cert_chain(directory.host_file(names))
        context.load_verify_locations(directory.authority_file(names))
    accepting.verify_mode = ssl.CERT_REQUIRED
    pipes = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    ends = (
        dialling.wrap_bio(pipes[0], pipes[1], server_hostname=name),
        accepting.wrap_bio(pipes[1], pipes[0], server_side=True),
    )
    for _ in range(5):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    subjects = [dict(pair[0] for pair in end.getpeercert()["subject"]) for end in ends]  # type: ignore
    return " ".join(each["commonName"] for each in subjects)


# --------------------------------------------------------------------------- who proves what


def test_database_hosts_prove_every_proxy_because_customers_verify_through_them() -> None:
    names = {each.host: each for each in host_names(load(CONFIG))}
    assert [str(a) for a in names["mks-db2"].addresses] == [
        "10.77.2.12",
        "10.77.1.41",
        "10.77.2.41",
    ]
    assert [str(a) for a in names["jkt-ctl1"].addresses] == ["10.77.1.31"]
    assert [str(a) for a in names["sby-zk1"].addresses] == ["10.77.3.21", "127.0.0.1"]
    assert len(names) == 12


def test_a_certificate_is_for_both_ends_and_for_exactly_its_names(directory: Directory) -> None:
    assert directory.issue(DB1, NOW) is Why.NEW
    held = directory.held(DB1)
    assert held is not None
    assert says(held.certificate, DB1)
    usage = held.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    basic = held.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert basic.ca is False
    assert days_left(held.certificate, NOW) == 365


def real(tmp_path: Path) -> Directory:
    """As of now: OpenSSL has a clock of its own."""
    found = Directory(tmp_path / "real", "/etc/failover/tls")
    found.init("marketplace", datetime.now(UTC))
    return found


@pytest.mark.parametrize("name", ["jkt-db1", "10.77.1.11", "10.77.1.41", "fd00::1"])
def test_both_ends_prove_themselves_by_name_or_address(tmp_path: Path, name: str) -> None:
    directory = real(tmp_path)
    for names in (DB1, ZK1):
        directory.issue(names, datetime.now(UTC))
    assert handshake(directory, DB1, ZK1, name) == "jkt-db1 sby-zk1"


def test_another_name_or_another_authority_is_refused(tmp_path: Path) -> None:
    directory, stranger = real(tmp_path), real(tmp_path / "stranger")
    for names in (DB1, ZK1):
        directory.issue(names, datetime.now(UTC))
        stranger.issue(names, datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(directory, DB1, ZK1, "10.77.3.21")
    directory.host_file(ZK1).write_bytes(stranger.host_file(ZK1).read_bytes())
    with pytest.raises(ssl.SSLError):
        handshake(directory, DB1, ZK1, "10.77.1.11")


# --------------------------------------------------------------------------- renewal


def test_issue_does_only_what_is_needed_and_keeps_keys(directory: Directory) -> None:
    directory.issue(DB1, NOW)
    first = directory.held(DB1)
    before = directory.host_file(DB1).read_bytes()
    assert first is not None
    assert directory.issue(DB1, NOW + 200 * DAY) is None
    assert directory.host_file(DB1).read_bytes() == before
    assert directory.issue(DB1, NOW + 250 * DAY) is Why.AGE
    assert directory.issue(DB1, NOW + 251 * DAY, renew=True) is Why.ASKED
    second = directory.held(DB1)
    assert second is not None
    assert key_pem(second.key) == key_pem(first.key)
    moved = HostNames(DB1.site, DB1.host, ip_address("10.77.1.99"))
    assert directory.issue(moved, NOW + 252 * DAY) is Why.NAMES
    assert directory.issue(moved, NOW + 253 * DAY, new_keys=True) is Why.ASKED
    third = directory.held(moved)
    assert third is not None
    assert key_pem(third.key) != key_pem(first.key)


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    directory = Directory(tmp_path, "/etc/failover/tls")
    directory.init("marketplace", NOW, days=30)
    directory.issue(DB1, NOW)
    held = directory.held(DB1)
    assert held is not None
    assert days_left(held.certificate, NOW) == 30


def test_keys_are_for_nobody_else(directory: Directory) -> None:
    directory.issue(DB1, NOW)
    for path in (directory.path / "ca" / "current.key", directory.host_file(DB1)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert directory.host_file(DB1).read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_written_over_unasked(directory: Directory) -> None:
    key = directory.path / "ca" / "current.key"
    before = key.read_bytes()
    assert not directory.init("marketplace", NOW)
    (directory.path / "ca" / "current.pem").unlink()
    with pytest.raises(PkiError, match="not written over"):
        directory.init("marketplace", NOW)
    assert key.read_bytes() == before


def test_what_does_not_fit_is_said_with_its_place(directory: Directory) -> None:
    directory.issue(DB1, NOW)
    directory.host_file(DB1).write_text("nonsense")
    with pytest.raises(PkiError, match="no private key") as told:
        directory.held(DB1)
    assert told.value.where == str(directory.host_file(DB1))
    (directory.path / "ca" / "current.key").unlink()
    with pytest.raises(PkiError, match="key is not there"):
        directory.issue(ZK1, NOW)
    with pytest.raises(PkiError, match="no certificate authority"):
        Directory(directory.path / "elsewhere", "/tls").trusted()


# --------------------------------------------------------------------------- another authority


def trusted(directory: Directory, names: HostNames) -> list[str]:
    found = read_certificates(directory.authority_file(names).read_bytes())
    return [common_name(each.subject) for each in found]


def test_authorities_change_with_both_trusted_in_between(directory: Directory) -> None:
    directory.issue(DB1, NOW)
    assert directory.begin_change("marketplace", NOW)
    assert not directory.begin_change("marketplace", NOW)
    with pytest.raises(PkiError, match="do not trust the next"):
        directory.switch((DB1,))
    assert directory.issue(DB1, NOW) is None
    assert trusted(directory, DB1) == ["marketplace CA 1", "marketplace CA 2"]
    directory.switch((DB1,))
    with pytest.raises(PkiError, match="jkt-db1"):
        directory.forget((DB1,))
    with pytest.raises(PkiError, match="not finished"):
        directory.begin_change("marketplace", NOW)
    assert directory.issue(DB1, NOW) is Why.AUTHORITY
    assert trusted(directory, DB1) == ["marketplace CA 2", "marketplace CA 1"]
    directory.forget((DB1,))
    directory.issue(DB1, NOW)
    assert trusted(directory, DB1) == ["marketplace CA 2"]
    assert sorted(p.name for p in (directory.path / "ca").iterdir()) == [
        "current.key",
        "current.pem",
    ]


@pytest.mark.parametrize("renames", [1, 2])
def test_a_switch_goes_on_where_it_was_interrupted(directory: Directory, renames: int) -> None:
    directory.begin_change("marketplace", NOW)
    ca = directory.path / "ca"
    steps = [("current.pem", "previous.pem"), ("next.key", "current.key")]
    for before, after in steps[:renames]:
        (ca / before).replace(ca / after)
    assert len(directory.trusted()) == 2
    directory.switch(())
    assert common_name(directory.current().certificate.subject) == "marketplace CA 2"
    assert not (ca / "next.key").exists()


# --------------------------------------------------------------------------- the command


def run(tmp_path: Path, *arguments: str) -> Any:
    """``pki ARGUMENTS --dir … --config …``."""
    where = ["--dir", str(tmp_path / "pki"), "--config", str(CONFIG)]
    return CliRunner().invoke(command, [*arguments, *where])


def test_the_commands_from_nothing_to_every_host(tmp_path: Path) -> None:
    assert run(tmp_path, "show").exit_code == 2
    assert run(tmp_path, "init").exit_code == 0
    assert "was left as it is" in run(tmp_path, "init").output
    assert run(tmp_path, "show").exit_code == 1, "hosts have none yet"
    assert run(tmp_path, "issue", "nobody").exit_code == 2
    assert "12 hosts" in run(tmp_path, "issue").output
    assert run(tmp_path, "issue").output.count("in order") == 12
    assert run(tmp_path, "show").exit_code == 0
    late = run(tmp_path, "show", "--warn-days", "366", "-o", "json")
    assert late.exit_code == 1
    rows = {row["who"]: row for row in json.loads(late.output)["certificates"]}
    assert rows["marketplace CA 1"]["problem"] == ""
    assert rows["jkt-db1"]["problem"] == "ends in less than 366 days"
    assert "PRIVATE" not in late.output


def test_the_commands_of_a_change(tmp_path: Path) -> None:
    steps = [("init",), ("issue",), ("ca", "next"), ("issue",), ("ca", "switch"), ("issue",)]
    assert [run(tmp_path, *step).exit_code for step in steps] == [0] * 6
    assert run(tmp_path, "ca", "switch").exit_code == 5
    assert run(tmp_path, "ca", "forget").exit_code == 0
    assert run(tmp_path, "show").exit_code == 0


def test_a_file_is_shown_without_any_configuration(tmp_path: Path) -> None:
    run(tmp_path, "init")
    run(tmp_path, "issue", "jkt-db1")
    host = tmp_path / "pki/jakarta/jkt-db1/etc/failover/tls/host.pem"
    shown = CliRunner().invoke(command, ["show-file", str(host), "-o", "json"])
    assert shown.exit_code == 0
    assert [row["who"] for row in json.loads(shown.output)["certificates"]] == ["jkt-db1"]
    assert CliRunner().invoke(command, ["show-file", str(CONFIG)]).exit_code == 2
