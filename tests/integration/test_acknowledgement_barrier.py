"""The acknowledgement barrier in a real kernel: what a client hears through every form of the door.

One container answers whatever a client sends it, on two ports; the client is outside. The door is
moved by what the guard uses (``Barrier``, ``Nftables``, ``DoorKeeper``), called in the container.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from single_container import lab_container

import failover
from failover.clock import boottime_s

PORTS = (5432, 6432)
LEASE_S = 1.5
SILENCE_S = 0.3  # nothing heard for so long: the packet would have been here in a millisecond
LIMIT_S = 30.0

SERVER = f"""
import asyncio
async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
async def main():
    servers = [await asyncio.start_server(echo, "0.0.0.0", port) for port in {PORTS}]
    await asyncio.gather(*(server.serve_forever() for server in servers))
asyncio.run(main())
"""
TOOLS = f"""
import asyncio, json, sys
sys.path.insert(0, "/src")
from pathlib import Path
from failover.clock import boottime_s
from failover.guard.acknowledgement import FREE, SHUT, Barrier, Door, Form, generation
from failover.guard.door_keeper import DoorKeeper
from failover.guard.nftables import KernelRefused, Nftables
from failover.guard.records import Places
from failover.model import ClusterName
barrier = Barrier(ClusterName("shop"), {PORTS})
def run(commands):
    Nftables().run(commands)
def announce(sent_s):
    run(barrier.announced(sent_s, {LEASE_S}))
def point(sent_s):
    run(barrier.as_wanted(Door(Form.LEASED, generation(sent_s))))
def keeper_in(run_dir):
    return DoorKeeper(barrier, Places(ClusterName("shop"), Path("/data"), Path(run_dir)))
async def keep(*doors):
    keeper = keeper_in("/run")
    for door in doors:
        keeper.want(door)
        assert await keeper.settled(20.0)
    return keeper.enforced
"""


@dataclass(frozen=True)
class Kernel:
    container: Any
    address: str

    def python(self, code: str, user: str = "root") -> str:
        ended = self.container.exec_run(
            ["/opt/failover/venv/bin/python", "-c", TOOLS + code], user=user
        )
        assert ended.exit_code == 0, ended.output.decode()
        out: str = ended.output.decode().strip()
        return out.splitlines()[-1] if out else ""  # the log comes first

    def keep(self, *doors: str) -> object:
        return json.loads(self.python(f"print(json.dumps(asyncio.run(keep({', '.join(doors)}))))"))

    def shell(self, command: str) -> str:
        out: str = self.container.exec_run(["sh", "-c", command]).output.decode()
        return out

    def connect(self, port: int = PORTS[0]) -> socket.socket:
        return socket.create_connection((self.address, port), timeout=LIMIT_S)

    def waits(self) -> bool:
        """Something was sent on a connection and has not been received."""
        listed = self.shell("ss -Htn state established '( sport = :5432 )'")
        return any(int(line.split()[1]) > 0 for line in listed.splitlines())


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    source = {str(Path(failover.__file__).parent): {"bind": "/src/failover", "mode": "ro"}}
    with lab_container(
        ["/opt/failover/venv/bin/python", "-c", SERVER], volumes=source, cap_add=["NET_ADMIN"]
    ) as (container, address):
        made = Kernel(container, address)
        until(lambda: made.shell("ss -Hltn | wc -l").strip() == str(len(PORTS)))
        yield made


def until(holds: Callable[[], bool]) -> None:
    give_up_s = boottime_s() + LIMIT_S
    while not holds():
        assert boottime_s() < give_up_s
        time.sleep(0.02)


def answered(client: socket.socket, word: bytes, within_s: float = SILENCE_S) -> bool:
    client.settimeout(within_s)
    client.sendall(word)
    with contextlib.suppress(TimeoutError):
        return client.recv(100) == word
    return False


def test_shut_it_answers_nobody_and_free_everybody(kernel: Kernel) -> None:
    assert kernel.keep("FREE") is True
    for port in PORTS:
        client = kernel.connect(port)
        assert answered(client, b"read", LIMIT_S)
        kernel.keep("SHUT")
        with pytest.raises(ConnectionError):  # the connection is destroyed, and it is said
            answered(client, b"read", LIMIT_S)
        with pytest.raises(TimeoutError):
            socket.create_connection((kernel.address, port), timeout=SILENCE_S)
        kernel.keep("FREE")
        assert answered(kernel.connect(port), b"read", LIMIT_S)


def test_a_lease_runs_out_in_the_kernel(kernel: Kernel) -> None:
    """Nobody does anything: the last answer comes before the deadline of the announced renewal."""
    kernel.keep("FREE")
    client = kernel.connect()
    kernel.python("sent_s = boottime_s(); announce(sent_s); point(sent_s)")
    latest_end_s = boottime_s() + LEASE_S  # it was announced before this line
    last_s, count = 0.0, 0
    with contextlib.suppress(AssertionError):
        while True:
            assert answered(client, b"write")
            last_s, count = boottime_s(), count + 1
    assert count > 0
    assert last_s < latest_end_s
    assert kernel.waits(), "an answer stands behind the door"


def test_a_guard_that_names_its_renewal_too_late_opens_nothing(kernel: Kernel) -> None:
    """Frozen between the announcement and the commit's answer, and thawed."""
    kernel.keep("FREE")
    client = kernel.connect()
    sent_s = float(kernel.python("sent_s = boottime_s(); announce(sent_s); print(sent_s)"))
    kernel.keep("SHUT", "FREE")
    client = kernel.connect()
    until(lambda: "expires" not in kernel.shell("nft list set inet failover-shop lease"))
    kernel.python(f"point({sent_s!r})")
    assert not answered(client, b"write")


def test_a_renewal_that_was_never_announced_opens_nothing(kernel: Kernel) -> None:
    kernel.keep("FREE")
    client = kernel.connect()
    kernel.python("announce(boottime_s()); point(boottime_s() + 1)")
    assert not answered(client, b"write")


def test_what_stood_behind_the_door_is_never_delivered(kernel: Kernel) -> None:
    """The door shuts by the lease's end, alone; who opens it again destroys what waits there."""
    kernel.keep("FREE")
    client = kernel.connect()
    kernel.python(
        "sent_s = boottime_s(); announce(sent_s)\n"
        "asyncio.run(keep(Door(Form.LEASED, generation(sent_s))))"
    )
    until(lambda: "expires" not in kernel.shell("nft list set inet failover-shop lease"))
    assert not answered(client, b"write")
    until(kernel.waits)
    kernel.keep("SHUT", "FREE")
    client.settimeout(LIMIT_S)
    with pytest.raises(ConnectionError):
        client.recv(100)
    assert answered(kernel.connect(), b"read", LIMIT_S)


def test_rules_that_somebody_flushed_are_made_again(kernel: Kernel) -> None:
    kernel.keep("SHUT")
    kernel.shell("nft flush ruleset")
    kernel.keep("SHUT")
    with pytest.raises(TimeoutError):
        socket.create_connection((kernel.address, PORTS[0]), timeout=SILENCE_S)


def test_a_table_whose_rules_alone_were_flushed_is_filled_again(kernel: Kernel) -> None:
    kernel.python(
        "import subprocess\n"
        "async def story():\n"
        "    keeper = keeper_in('/run')\n"
        "    keeper.want(SHUT)\n"
        "    assert await keeper.settled(20.0)\n"
        "    subprocess.run(['nft', 'flush', 'table', 'inet', 'failover-shop'], check=True)\n"
        "    keeper._asked_s = 0.0\n"
        "    keeper.want(SHUT)\n"
        "    assert await keeper.settled(20.0)\n"
        "asyncio.run(story())"
    )
    with pytest.raises(TimeoutError):
        socket.create_connection((kernel.address, PORTS[0]), timeout=SILENCE_S)


def test_whatever_is_not_tcp_leaves_the_host_through_a_shut_door(kernel: Kernel) -> None:
    """Names, time, logs. A packet that is dropped on its way out is a PermissionError."""
    kernel.keep("SHUT")
    kernel.python(
        "import socket\n"
        "sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sender.sendto(b'?', ('192.0.2.1', 53))"
    )


def test_a_lease_that_ran_out_unseen_leaves_nothing_for_the_standby_after_it(
    kernel: Kernel,
) -> None:
    """The guard was away from before the lease's end until its server was a standby."""
    kernel.keep("FREE")
    client = kernel.connect()
    kernel.python(
        "sent_s = boottime_s(); announce(sent_s)\n"
        "asyncio.run(keep(Door(Form.LEASED, generation(sent_s))))"
    )
    until(lambda: "expires" not in kernel.shell("nft list set inet failover-shop lease"))
    assert not answered(client, b"write")
    until(kernel.waits)
    kernel.keep("FREE")
    client.settimeout(LIMIT_S)
    with pytest.raises(ConnectionError):
        client.recv(100)


def test_a_door_stays_shut_while_what_stands_behind_it_cannot_be_destroyed(kernel: Kernel) -> None:
    """`ss` ends with 0 where it has no right to do it."""
    kernel.keep("FREE")
    client = kernel.connect()
    assert answered(client, b"read", LIMIT_S)
    kernel.shell("mkdir -m 777 /tmp/run; echo shut > /tmp/run/guard-shop.door")
    settled = kernel.python(
        "async def story():\n"
        "    keeper = keeper_in('/tmp/run')\n"
        "    keeper.want(FREE)\n"
        "    return await keeper.settled(20.0)\n"
        "print(json.dumps(asyncio.run(story())))",
        user="postgres",
    )
    assert settled == "false"


def test_without_the_right_to_it_that_is_said(kernel: Kernel) -> None:
    """As any other user: nothing is enforced, nothing stands in the way."""
    found = kernel.python("print(asyncio.run(keep(SHUT)))", user="postgres")
    assert found == "False"
    assert answered(kernel.connect(), b"read", LIMIT_S)
