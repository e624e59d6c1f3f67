"""What a killed server had to say, behind a shut door, on a network that outlives its container."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from single_container import lab_container

CONTAINERS = Path(__file__).parents[2] / "deploy" / "containers"
PACKAGE = Path(__file__).parents[2] / "failover"
PATRONI_FILE = Path(__file__).parents[2] / "deploy/jakarta/jkt-db1/etc/patroni/patroni.yml"
LIMIT_S = 30.0
# Answers when it is told to, and says when it has: to its kernel, not to the client.
SERVER = """
import pathlib, socket, time
with socket.create_server(("0.0.0.0", 5432)) as door:
    client, _ = door.accept()
    client.recv(1)
    while not pathlib.Path("/tmp/go").exists():
        time.sleep(0.01)
    client.sendall(b"late")
    pathlib.Path("/tmp/sent").touch()
    time.sleep(600)
"""
SHUT = (
    "nft 'add table inet door; add chain inet door out { type filter hook output priority 0; };"
    " add rule inet door out tcp sport 5432 drop'"
)
LEFT = "ss -Hnt state connected sport = :5432"


@dataclass(frozen=True)
class Machine:
    """Its network stays, whatever runs in it ends."""

    container: Any
    address: str

    def run(self, script: str) -> str:
        code, said = self.container.exec_run(["sh", "-ec", script])
        assert code == 0, said.decode()
        return str(said.decode()).strip()


@pytest.fixture
def machine() -> Iterator[Machine]:
    places = {
        str(CONTAINERS): {"bind": "/containers", "mode": "ro"},
        str(PATRONI_FILE): {"bind": "/patroni.yml", "mode": "ro"},
        str(PACKAGE): {"bind": "/package/failover", "mode": "ro"},  # a host has it installed
    }
    options = {"cap_add": ["NET_ADMIN"], "environment": {"PYTHONPATH": "/package"}}
    with lab_container(["sleep", "infinity"], places, **options) as (made, address):
        yield Machine(made, address)


@pytest.fixture
def client(machine: Machine) -> Iterator[socket.socket]:
    """Its server has answered behind a shut door, and is no more; its socket is still there."""
    machine.container.exec_run(["python3", "-c", SERVER], detach=True)
    until(lambda: machine.run("ss -Hnlt sport = :5432"))
    with socket.create_connection((machine.address, 5432), timeout=LIMIT_S) as link:
        link.sendall(b"x")
        machine.run(f"{SHUT}; touch /tmp/go")
        until(lambda: machine.run("ls /tmp/sent || true"))
        machine.run("pkill -9 -x python3")
        until(lambda: not machine.run("pgrep -x python3 || true"))
        assert machine.run(LEFT)
        yield link


def until(true: Callable[[], Any]) -> None:
    give_up_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < give_up_s, "not in time"


def test_the_kernel_delivers_it_when_the_door_opens(
    machine: Machine, client: socket.socket
) -> None:
    """The hole that is closed below."""
    machine.run("nft delete table inet door")
    assert client.recv(4) == b"late"


def test_it_is_destroyed_before_anything_starts(machine: Machine, client: socket.socket) -> None:
    machine.run("/containers/end-connections /patroni.yml")
    assert not machine.run(LEFT)
    machine.run("nft delete table inet door")
    client.sendall(b"y")
    with pytest.raises(ConnectionResetError):
        client.recv(4)


def test_a_file_without_ports_is_refused(machine: Machine) -> None:
    code, said = machine.container.exec_run(["/containers/end-connections", "/dev/null"])
    assert code == 1
    assert b"names no port" in said


def test_a_kernel_that_destroys_nothing_keeps_the_container_from_starting(
    machine: Machine, client: socket.socket
) -> None:
    """ss says nothing of it, and ends with 0."""
    machine.run(
        "mkdir /fake; printf '%s\\n' '#!/bin/sh' 'case \"$*\" in *-K*) exit 0;; esac'"
        " 'exec /usr/bin/ss \"$@\"' > /fake/ss; chmod 755 /fake/ss"
    )
    script = "PATH=/fake:$PATH exec /containers/end-connections /patroni.yml"
    code, said = machine.container.exec_run(["sh", "-c", script])
    assert code == 1
    assert b"destroys no connection" in said
