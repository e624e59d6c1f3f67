"""The wheel has every file that the package needs, and what it needs is locked by its hash."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_lab_image import LOCK, pinned

ROOT = Path(__file__).parents[2]
HOSTS_LOCK = ROOT / "requirements-hosts.lock"
sys.path.insert(0, str(ROOT / "scripts"))

import wheel  # noqa: E402

# What a host runs that no import finds: templates, the page, the barriers' shell scripts.
DATA = (
    "failover/console/page.html",
    "failover/guard/barrier.py",
    "failover/guard/pg_ctl.sh",
    "failover/guard/recovery_end.sh",
    "failover/render/templates/patroni.yml.j2",
    "failover/render/templates/post-bootstrap.sql.j2",
    "failover/render/templates/residency.sql.j2",
    "failover/render/templates/residency-report.html.j2",
)


def hashed() -> dict[str, str]:
    """Name and version of each entry; every entry has a hash."""
    text = HOSTS_LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    for name, *hashes in rows:
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
    found = [name.partition("==") for name, *_ in rows]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in found}


def test_hosts_install_what_the_lab_runs() -> None:
    assert hashed() == pinned(LOCK), "run `make lock-hosts`"


def test_what_is_carried_to_a_host_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "typing_extensions-4.16.0-py3-none-any.whl").write_bytes(b"a")
    (tmp_path / "failover-0.1.0-py3-none-any.whl").write_bytes(b"b")
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    assert wheel.requirements(tmp_path).splitlines() == [
        f"failover==0.1.0 --hash=sha256:{digests['b']}",
        f"typing-extensions==4.16.0 --hash=sha256:{digests['a']}",
    ]


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "failover"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    made = wheel.make(tmp_path / "dist", lock=None)
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
        assert {name for name in names if name.startswith("failover/")} == wanted
        for name in DATA:
            assert archive.read(name) == (ROOT / name).read_bytes()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "failover = failover.cli.main:main" in archive.read(entry_points).decode()
    assert (tmp_path / "dist/requirements.txt").read_text().startswith("failover==")
