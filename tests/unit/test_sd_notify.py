"""What systemd is told, through a socket like its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover.sd_notify import Heartbeat, notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listening


def heard(systemd: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(systemd.recv(100).decode())
        except BlockingIOError:
            return found


def test_one_part_that_hangs_is_enough_to_be_missed(systemd: socket.socket) -> None:
    heartbeat = Heartbeat(["marketplace", "ledger"])
    for _ in range(5):
        heartbeat.beat("marketplace")
    assert heard(systemd) == []
    heartbeat.beat("ledger")
    assert heard(systemd) == ["WATCHDOG=1"]
    heartbeat.beat("ledger")
    assert heard(systemd) == []
    heartbeat.beat("marketplace")
    assert heard(systemd) == ["WATCHDOG=1"]


def test_a_single_part_is_heard_each_time(systemd: socket.socket) -> None:
    heartbeat = Heartbeat(["marketplace"])
    heartbeat.beat("marketplace")
    heartbeat.beat("marketplace")
    assert heard(systemd) == ["WATCHDOG=1"] * 2


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_without_systemd_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("WATCHDOG=1")
