"""A real server set up by the rendered scripts, a stranger's container, and a scanner's policy."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from single_container import lab_container

from failover.config import load
from failover.model import ClusterName, HostName, SiteName
from failover.policy import Cluster, DatabaseHost, DeclaredNetwork, Policy, Purpose

CONFIG = Path("tests/open.yaml").resolve()
RENDERED = Path("deploy/jakarta/jkt-db1/usr/lib/failover").resolve()
PASSWORD = "told-to-nobody"
JAKARTA = SiteName("jakarta")
CLUSTER = ClusterName("marketplace")
START = f"""
set -e
bin=/usr/lib/postgresql/17/bin
install -d -o postgres /tmp/data /run/postgresql
as() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
as $bin/initdb -D /tmp/data --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
echo "listen_addresses = '*'" >> /tmp/data/postgresql.conf
echo 'host all failover_observer 172.16.0.0/12 scram-sha-256' >> /tmp/data/pg_hba.conf
as $bin/pg_ctl -D /tmp/data -w start >/dev/null
FAILOVER_OBSERVER_PASSWORD={PASSWORD} FAILOVER_CLIENT_PASSWORD={PASSWORD} \
    as $bin/psql -h /run/postgresql -X -v ON_ERROR_STOP=1 -qo /dev/null postgres \
    -f /rendered/post-bootstrap.sql -f /rendered/residency.sql
as $bin/psql -h /run/postgresql -Xqc \
    "create role replicator replication login password '{PASSWORD}'"
echo ready
exec sleep infinity
"""


def execute(container: Any, options: list[str], command: str) -> tuple[int, str]:
    """By the engine's own client: the SDK loses the output of short commands on a busy machine."""
    done = subprocess.run(
        ["docker", "exec", *options, container.id, "sh", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


@dataclass
class Server:
    host: DatabaseHost
    container: Any

    def run(self, command: str) -> str:
        code, output = execute(self.container, ["--user=postgres"], command)
        assert code == 0, output
        return output

    def sql(self, *statements: str, database: str = "postgres") -> str:
        commands = " ".join(f'-c "{each}"' for each in statements)
        return self.run(f"psql -h /run/postgresql -XqtA {commands} {database}")

    def let_in(self, line: str) -> None:
        """Open pg_hba.conf on purpose, above everything else."""
        self.run(f"sed -i '1i {line}' /tmp/data/pg_hba.conf")
        self.sql("select pg_reload_conf()")

    def let_out(self) -> None:
        self.run("sed -i '/# opened/d' /tmp/data/pg_hba.conf")
        self.sql("select pg_reload_conf()")


@contextlib.contextmanager
def server(name: str = "jkt-db1", **options: Any) -> Iterator[Server]:
    with lab_container(
        ["sh", "-c", START], {str(RENDERED): {"bind": "/rendered", "mode": "ro"}}, **options
    ) as (container, address):
        wait_for(lambda: b"ready" in container.logs(), 60)
        yield Server(DatabaseHost(HostName(name), JAKARTA, CLUSTER, ip_address(address)), container)


@dataclass
class Stranger:
    """A container whose address is declared nowhere."""

    address: str
    container: Any

    def start(self, command: str) -> None:
        """In the background, as the role ``replicator`` unless it says otherwise."""
        script = f"export PGPASSWORD={PASSWORD} PGUSER=replicator; {command}"
        self.container.exec_run(["sh", "-c", script], detach=True)

    def run(self, command: str) -> tuple[int, str]:
        script = f"export PGPASSWORD={PASSWORD} PGUSER=replicator; {command}"
        return execute(self.container, [], script)


@contextlib.contextmanager
def stranger(**options: Any) -> Iterator[Stranger]:
    with lab_container(["sleep", "infinity"], **options) as (container, address):
        yield Stranger(address, container)


def policy_for(*servers: DatabaseHost) -> Policy:
    """Jakarta is these servers' own addresses, and the machine that scans them."""
    policy = load(CONFIG)
    everything = tuple(Purpose)
    gateway = str(servers[0].address).rsplit(".", 1)[0] + ".1"
    declared = [_declared(str(each.address), everything) for each in servers]
    declared.append(_declared(gateway, (Purpose.OPERATIONS,)))
    sites = (
        replace(site, declared=tuple(declared)) if site.name == JAKARTA else site
        for site in policy.sites
    )
    return replace(policy, sites=tuple(sites), clusters=(Cluster(CLUSTER, servers),))


def _declared(address: str, purposes: tuple[Purpose, ...]) -> DeclaredNetwork:
    return DeclaredNetwork(ip_network(f"{address}/32"), "PT Pasar", "ID", purposes)


def wait_for(true: Callable[[], bool], limit_s: float) -> float:
    """How long it took."""
    started_s = time.monotonic()
    while not true():
        assert time.monotonic() - started_s < limit_s, f"not within {limit_s} s"
        time.sleep(0.05)
    return time.monotonic() - started_s
