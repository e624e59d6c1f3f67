"""Throw-away containers of the lab's image, for tests of one adapter at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONFIG = """tickTime=500
initLimit=20
syncLimit=3
maxSessionTimeout=8000
dataDir=/tmp/zookeeper
clientPort=2181
4lw.commands.whitelist=srvr,mntr,ruok,conf
admin.enableServer=false
"""
CLASSPATH = ":".join(
    f"/usr/share/java/{jar}.jar"
    for jar in ("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple")
)


@dataclass(frozen=True, slots=True)
class ZooKeeperContainer:
    address: str
    container: Any  # docker's Container

    def pause(self) -> None:
        self.container.pause()

    def unpause(self) -> None:
        self.container.unpause()


@contextlib.contextmanager
def zookeeper_container() -> Iterator[ZooKeeperContainer]:
    """Start it, wait until it answers, and remove it."""
    command = [
        "sh",
        "-c",
        f"printf '{CONFIG}' > /tmp/zoo.cfg && exec java -Xmx128m -cp {CLASSPATH} "
        "org.apache.zookeeper.server.quorum.QuorumPeerMain /tmp/zoo.cfg",
    ]
    with lab_container(command) as (container, address):
        _wait_until_serving(address, container)
        yield ZooKeeperContainer(address, container)


@contextlib.contextmanager
def lab_container(
    command: list[str],
    volumes: dict[str, dict[str, str]] | None = None,
    **options: Any,
) -> Iterator[tuple[Any, str]]:
    """One container of the lab's image and its address. Skips where there is no such image.

    ``options``: more of what the engine takes.
    """
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        image = _lab_image(client)
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine: {error}")
    container = client.containers.run(
        image,
        entrypoint=command[:1],
        command=command[1:],
        detach=True,
        labels={"failover.test": "integration"},
        volumes=volumes or {},
        **options,
    )
    try:
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        address = next(network["IPAddress"] for network in networks)
        if address:
            _wait_until_reached(address)
        yield container, address
    finally:
        container.remove(force=True, v=True)
        client.close()


def lab_output(command: list[str], files: dict[Path, str], *, image: str = "") -> str:
    """What a command prints in a container of the lab's image, without a network, to its end.

    It gives way to whatever else runs on the machine. ``image``: not any of the lab's, but this.
    """
    docker = pytest.importorskip("docker")
    try:
        image = image or _lab_image(docker.from_env())
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine: {error}")
    mounts = [f"--volume={file}:{place}:ro" for file, place in files.items()]
    options = ["--rm", "--network=none", "--cpu-shares=2", f"--entrypoint={command[0]}"]
    done = subprocess.run(
        ["docker", "run", *options, *mounts, image, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _lab_image(client: Any) -> str:
    if name := os.environ.get("FAILOVER_LAB_IMAGE"):
        return name
    tags = sorted(tag for image in client.images.list() for tag in image.tags)
    found = [tag for tag in tags if tag.startswith("failover-lab:")]
    if not found:
        pytest.skip("no failover-lab image; build it with `make setup`")
    return "failover-lab:latest" if "failover-lab:latest" in found else found[0]


def _wait_until_reached(address: str, limit_s: float = 30.0) -> None:
    """The first container on the engine's bridge is not, for the moment in which that gets up."""
    until_s = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection((address, 1), 1).close()
        except ConnectionRefusedError:  # by its kernel
            return
        except OSError:
            assert time.monotonic() < until_s, f"{address} is not reached"
            time.sleep(0.05)
        else:
            return


def _wait_until_serving(address: str, container: Any, limit_s: float = 30.0) -> None:
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection((address, 2181), 1) as link:
            link.sendall(b"srvr")
            if b"Mode: standalone" in link.recv(4096):
                return
        time.sleep(0.1)
    raise AssertionError(f"ZooKeeper does not serve:\n{container.logs().decode()[-2000:]}")
