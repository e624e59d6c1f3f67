"""A Patroni pair that this project did not make: hand-written patroni.yml, as a manual has it.

One ZooKeeper server, one Patroni for a primary cluster and one for a standby cluster of it, each in
a container of the lab's image, without systemd. Nothing here is rendered.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from single_container import CLASSPATH, CONFIG, lab_container

from failover.lab.stages import http_get

SOURCE = Path(__file__).parents[2]
PASSWORD = "not-ours"
OBSERVER_PASSWORD = "of-the-observer"
SETPRIV = "setpriv --reuid postgres --regid postgres --init-groups"
FILE = "/etc/patroni/patroni.yml"
_SAYING = 'sh -ec "$1" > "$2" 2>&1; code=$?; echo "(end)" >> "$2"; exit $code'
_END = b"(end)\n"
_NUMBERS = itertools.count()


@dataclass
class Host:
    """One container."""

    container: Any
    address: str
    name: str = ""

    def run(self, command: str, **environment: str) -> str:
        """As root, to its end; AssertionError with what it said where it fails."""
        code, said = self.tell(command, **environment)
        assert code == 0, f"{self.name}: {command}\n{said}"
        return said

    def tell(self, command: str, **environment: str) -> tuple[int, str]:
        """Its exit code, and what it said.

        By way of a file: the engine may lose what a short command prints.
        """
        place = f"/tmp/said-{next(_NUMBERS)}"
        words = ["sh", "-c", _SAYING, "sh", command, place]
        code, _ = self.container.exec_run(words, environment=environment)
        text: bytes = b""
        for _ in range(50):
            _, text = self.container.exec_run(["cat", place])
            if text.endswith(_END):
                break
        assert text.endswith(_END), f"{self.name}: {command}: what it said is lost"
        return code, text.removesuffix(_END).decode(errors="replace")

    def start(self, command: str, log: str) -> None:
        """As postgres, in the background."""
        self.container.exec_run(["sh", "-c", f"exec {command} >> {log} 2>&1"], detach=True)

    def put(self, path: str, text: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(Path(path).name)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        self.run(f"mkdir -p {Path(path).parent}")
        self.container.put_archive(str(Path(path).parent), archive.getvalue())

    def sql(self, statement: str) -> str:
        """As the superuser, on the unix socket."""
        words = f'{SETPRIV} psql -XAtq -v ON_ERROR_STOP=1 -h /run/postgresql -c "{statement}"'
        return self.run(words).strip()

    def patronictl(self, words: str) -> str:
        return self.run(f"{SETPRIV} patronictl -c {FILE} {words}")

    def processes(self, pattern: str) -> list[str]:
        """Of postgres, by their command line."""
        return self.run(f"pgrep -u postgres -f '{pattern}' || true").split()

    def end(self, pattern: str) -> None:
        """Ask these to end, and wait for it."""
        if found := self.processes(pattern):
            self.run(f"kill {' '.join(found)}")
        until(lambda: not self.processes(pattern), 30, f"the end of {pattern} on {self.name}")


@dataclass(frozen=True)
class Pair:
    zookeeper: Host
    primary: Host
    standby: Host
    directory: Path

    @property
    def hosts(self) -> tuple[Host, Host]:
        return (self.primary, self.standby)

    @property
    def config(self) -> Path:
        return self.directory / "failover.yaml"

    def failover(self, *words: str) -> subprocess.CompletedProcess[str]:
        """This program, on this machine."""
        return subprocess.run(
            [sys.executable, "-m", "failover", *words],
            cwd=SOURCE,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def on_controller(self, words: str) -> tuple[int, str]:
        """The same on the controller's host; here that is ZooKeeper's as well."""
        return self.zookeeper.tell(f"{SETPRIV} failover {words}")

    def started(self) -> tuple[str, ...]:
        """When each server was started. The engine may lose the output of a short command."""
        ask = "SELECT pg_postmaster_start_time()"
        return tuple(until(lambda h=h: h.sql(ask), 10, "a start time") for h in self.hosts)


def until(true: Callable[[], Any], limit_s: float, what: str) -> Any:
    """What it says once that is true; AssertionError after ``limit_s``."""
    until_s = time.monotonic() + limit_s
    trouble: object = None
    while time.monotonic() < until_s:
        try:
            if found := true():
                return found
        except (AssertionError, OSError, ValueError) as error:
            trouble = error
        time.sleep(0.2)
    raise AssertionError(f"not within {limit_s:g} s: {what} ({trouble})")


@contextlib.contextmanager
def adopted_pair(directory: Path) -> Iterator[Pair]:
    """Both clusters run, and the second streams from the first."""
    with contextlib.ExitStack() as stack:
        zookeeper = plain_host(stack, "zk")
        start_zookeeper(zookeeper)
        primary, standby = plain_host(stack, "pg1"), plain_host(stack, "pg2")
        pair = Pair(zookeeper, primary, standby, directory)
        prepare(primary, "shop-main", in_zookeeper(zookeeper))
        prepare(standby, "shop-dr", in_zookeeper(zookeeper), primary)
        start_patroni(primary)
        until(lambda: primary.sql("SELECT pg_is_in_recovery()") == "f", 90, "a primary")
        start_patroni(standby)
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        until(lambda: primary.sql(streams) == "1", 90, "a standby cluster that streams")
        for host in pair.hosts:  # a Patroni that has just started has not read it yet
            until(lambda h=host: _has_configuration(h), 60, f"Patroni's configuration: {host.name}")
        yield pair


def start_patroni(host: Host) -> None:
    host.start(f"{SETPRIV} patroni {FILE}", "/var/log/patroni.log")


def _has_configuration(host: Host) -> bool:
    return http_get(host.address, 8008, "/config")[0] == 200


def plain_host(stack: contextlib.ExitStack, name: str) -> Host:
    container, address = stack.enter_context(
        lab_container(
            ["sleep", "infinity"],
            {str(SOURCE): {"bind": "/opt/failover/src", "mode": "ro"}},
            cap_add=["NET_ADMIN"],
            hostname=name,
            init=True,
        )
    )
    return Host(container, address, name)


def start_zookeeper(host: Host) -> None:
    """One server that answers at three addresses: failover.yaml wants as many."""
    for address in other_addresses(host.address):
        host.run(f"ip address add {address}/16 dev eth0")
    host.put("/tmp/zoo.cfg", CONFIG)
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    host.start(f"java -Xmx128m -cp {CLASSPATH} {main} /tmp/zoo.cfg", "/var/log/zookeeper.log")
    until(lambda: host.run("ss -lnt | grep 2181"), 30, "ZooKeeper")


def other_addresses(address: str) -> tuple[str, ...]:
    first, second, _, last = address.split(".")
    return tuple(f"{first}.{second}.{third}.{last}" for third in (250, 251, 252))


def in_zookeeper(host: Host) -> dict[str, Any]:
    """What patroni.yml says of its store."""
    return {"zookeeper": {"hosts": [f"{host.address}:2181"]}}


def prepare(host: Host, scope: str, store: dict[str, Any], upstream: Host | None = None) -> None:
    """Its directories and patroni.yml. ``upstream``: of a standby cluster."""
    write_patroni_file(host, scope, store, upstream)
    host.run(
        "mkdir -p /run/postgresql /var/lib/postgresql/17 /run/failover /var/lib/failover;"
        "chown postgres: /run/postgresql /var/lib/postgresql /var/lib/postgresql/17"
        " /run/failover /var/lib/failover;"
        "touch /var/log/patroni.log /var/log/guard.log; chmod 666 /var/log/*.log"
    )


def write_patroni_file(
    host: Host, scope: str, store: dict[str, Any], upstream: Host | None = None
) -> None:
    dcs: dict[str, Any] = {
        "ttl": 30,
        "loop_wait": 5,
        "retry_timeout": 10,
        "maximum_lag_on_failover": 1048576,
        "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 60}},
    }
    if upstream is None:
        dcs["slots"] = {"dr": {"type": "physical"}}
    else:
        dcs["standby_cluster"] = {
            "host": upstream.address,
            "port": 5432,
            "primary_slot_name": "dr",
            "create_replica_methods": ["basebackup"],
        }
    document = {
        "scope": scope,
        "name": host.name,
        "restapi": {
            "listen": "0.0.0.0:8008",
            "connect_address": f"{host.address}:8008",
            "authentication": {"username": "patroni", "password": PASSWORD},
        },
        **store,
        "bootstrap": {"dcs": dcs, "initdb": [{"encoding": "UTF8"}, "data-checksums"]},
        "postgresql": {
            "listen": "0.0.0.0:5432",
            "connect_address": f"{host.address}:5432",
            "data_dir": "/var/lib/postgresql/17/main",
            "bin_dir": "/usr/lib/postgresql/17/bin",
            "pgpass": "/tmp/pgpass",
            "use_unix_socket": True,
            "authentication": {
                "superuser": {"username": "postgres", "password": PASSWORD},
                "replication": {"username": "standby", "password": PASSWORD},
            },
            "callbacks": {"on_role_change": "/bin/true"},
            "parameters": {"unix_socket_directories": "/run/postgresql"},
            "pg_hba": [
                "local all all peer",
                "host replication standby 0.0.0.0/0 scram-sha-256",
                "host all all 0.0.0.0/0 scram-sha-256",
            ],
        },
        "tags": {"nofailover": False},
    }
    host.put(FILE, yaml.safe_dump(document, sort_keys=False))
