"""Which of PostgreSQL's directories a server that Patroni starts could not write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.guard.writable_places import read_only_places

PID = 42


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / str(PID)).mkdir(parents=True)
    return tmp_path / "proc"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """WAL and one tablespace elsewhere, one tablespace inside."""
    made = tmp_path / "lib/main"
    for directory in (made / "pg_tblspc/inside", tmp_path / "srv/wal", tmp_path / "srv/a b"):
        directory.mkdir(parents=True)
    (made / "pg_wal").symlink_to(tmp_path / "srv/wal")
    (made / "pg_tblspc/16400").symlink_to(tmp_path / "srv/a b")
    return made


def mounted(proc: Path, *lines: tuple[Path | str, str]) -> None:
    """As the kernel writes them; ``lines``: where, and with which options."""
    text = "".join(
        f"{number} 1 254:0 / {str(point).replace(' ', chr(92) + '040')} {options} shared:1 - ext4 "
        "/dev/vda rw,discard\n"
        for number, (point, options) in enumerate(lines, start=20)
    )
    (proc / str(PID) / "mountinfo").write_text(text)


def test_everything_below_what_the_unit_may_write(tmp_path: Path, proc: Path, data: Path) -> None:
    mounted(proc, ("/", "ro,relatime"), (tmp_path / "lib", "rw"), (tmp_path / "srv", "rw"))
    assert read_only_places(data, PID, proc) == ()


def test_what_lies_elsewhere_is_named(tmp_path: Path, proc: Path, data: Path) -> None:
    mounted(proc, ("/", "ro,relatime"), (tmp_path / "lib", "rw"))
    srv = tmp_path / "srv"
    assert read_only_places(data, PID, proc) == (str(srv / "wal"), str(srv / "a b"))
    mounted(proc, ("/", "ro"), (tmp_path / "lib", "rw"), (srv / "a b", "rw"))
    assert read_only_places(data, PID, proc) == (str(srv / "wal"),)


def test_of_two_mounts_in_one_place_the_later_one_counts(proc: Path, data: Path) -> None:
    mounted(proc, ("/", "rw"), ("/", "ro"))
    found = read_only_places(data, PID, proc)
    assert found is not None
    assert found[0] == str(data)
    mounted(proc, ("/", "ro"), ("/", "rw"))
    assert read_only_places(data, PID, proc) == ()


def test_a_disk_that_is_read_only_itself(proc: Path, data: Path) -> None:
    text = "21 1 254:0 / / rw,relatime - ext4 /dev/vda ro,errors=remount-ro\n"
    (proc / str(PID) / "mountinfo").write_text(text)
    found = read_only_places(data, PID, proc)
    assert found is not None
    assert str(data) in found


def test_a_process_that_cannot_be_looked_into_says_nothing(proc: Path, data: Path) -> None:
    assert read_only_places(data, PID + 1, proc) is None


def test_links_that_lead_in_a_circle_are_not_called_writable(proc: Path, data: Path) -> None:
    mounted(proc, ("/", "rw"))
    circle = data / "pg_tblspc/16401"
    circle.symlink_to(circle)
    assert read_only_places(data, PID, proc) is None
