"""`failover check` in a lab with TLS and access lists required everywhere, as a data centre has
them: 0, and what only such a group can break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import port_zookeeper as znodes
import pytest
from check_asked import check, fails_exactly
from check_breaks import HOST, on_host
from check_breaks_alone import asked_with
from kazoo.security import OPEN_ACL_UNSAFE
from port_audit import required_lab
from whole_lab import make_whole

from failover.access import Role, key_file
from failover.lab.lab import Lab
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.transport import HOST_FILE
from failover.znode import GroupPaths

pytestmark = [pytest.mark.lab, pytest.mark.full]

MIB = 1024**2
BALLAST = "/var/lib/postgresql/ballast"
ACCEPTED = (
    "residency: {accepted: [{way: setting, subject: archive_command, approver: somebody, "
    "reason: drill, expires: 2999-01-01}]}"
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with required_lab(own_disks=True) as found:
        make_whole(found)
        yield found


def test_a_closed_lab_passes(closed: Lab) -> None:
    fails_exactly(closed, set())
    seen = check(closed)
    assert seen.of_verdict("unknown") == {"hypervisor-clock", "client-parameters"}
    assert {"wires", "access-lists", "certificates"} <= seen.of_verdict("ok")


@pytest.mark.parametrize(
    ("left_bytes", "wanted"),
    [(700 * MIB, {"wal-disk"}), (250 * MIB, {"wal-disk", "salvage-disk"})],
)
def test_a_disk_that_is_nearly_full(closed: Lab, left_bytes: int, wanted: set[str]) -> None:
    """What is salvaged needs the loss budget and 256 MiB; WAL needs 1 GiB, and is the first."""
    available = "$(df --output=avail -B1 /var/lib/postgresql | tail -n 1)"
    full = f"fallocate -l $(({available} - {left_bytes})) {BALLAST}"
    with on_host(full, f"rm {BALLAST}")(closed):
        fails_exactly(closed, wanted)
    fails_exactly(closed, set())


def test_a_znode_that_lets_everybody_in(closed: Lab) -> None:
    with _opened(closed, GroupPaths(closed.policy.group).state):
        fails_exactly(closed, {"access-lists"})
    fails_exactly(closed, set())


@contextmanager
def _opened(lab: Lab, path: str) -> Iterator[None]:
    admin = (lab.directory / "secrets" / key_file(Role.ADMIN)).read_text(encoding="utf-8").strip()
    with znodes.client(lab.policy, admin) as client:
        before, _ = client.get_acls(path)
        client.set_acls(path, OPEN_ACL_UNSAFE)
        try:
            yield
        finally:
            client.set_acls(path, before)


def test_a_certificate_that_ends_this_week(closed: Lab, tmp_path: Path) -> None:
    with _renewed(closed, days=3):
        fails_exactly(closed, {"certificates", "certificate-files"})
    fails_exactly(closed, set())


@contextmanager
def _renewed(lab: Lab, days: int) -> Iterator[None]:
    """Of one database host, by the lab's own authority; its servers have read it."""
    place = PurePosixPath(lab.policy.tls.directory)
    pki = Directory(lab.directory / "pki", lab.policy.tls.directory)
    (names,) = (each for each in host_names(lab.policy) if each.host == HOST)
    held = pki.host_file(names)
    before = held.read_bytes()
    pki.issue(names, datetime.now(UTC), days=days, renew=True)
    soon = held.read_bytes()
    held.write_bytes(before)
    _give(lab, place / HOST_FILE, soon)
    try:
        yield
    finally:
        _give(lab, place / HOST_FILE, before)


def _give(lab: Lab, path: PurePosixPath, data: bytes) -> None:
    """In place: its owner and its mode stay."""
    text = data.decode()
    lab.shell(HOST, f"cat >{path} <<'END'\n{text}END\nsystemctl reload patroni")


def test_an_exception_that_nobody_approved(closed: Lab) -> None:
    with asked_with(f"$ a {ACCEPTED}")(closed):
        fails_exactly(closed, {"residency-approvals", "configuration"})
    fails_exactly(closed, set())


def test_a_wire_that_is_left_open_is_a_warning(closed: Lab) -> None:
    with asked_with("$ a tls: {zookeeper: use}")(closed):
        fails_exactly(closed, {"configuration"})
        assert "wires" in check(closed).of_verdict("warning")
    fails_exactly(closed, set())
