"""One PostgreSQL server as the rendered script leaves it, for what asks as controllers do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from single_container import lab_container

from failover.model import ClusterName, HostName, SiteName
from failover.policy import DatabaseHost

PASSWORD = "told-to-nobody"
BOOTSTRAP = Path("deploy/jakarta/jkt-db1/usr/lib/failover/post-bootstrap.sql").resolve()
START = f"""
set -e
bin=/usr/lib/postgresql/17/bin
install -d -o postgres /tmp/data /run/postgresql
as() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
as $bin/initdb -D /tmp/data --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
echo 'host all all 0.0.0.0/0 scram-sha-256' >> /tmp/data/pg_hba.conf
echo "listen_addresses = '*'" >> /tmp/data/postgresql.conf
as $bin/pg_ctl -D /tmp/data -w start >/dev/null
FAILOVER_OBSERVER_PASSWORD={PASSWORD} FAILOVER_CLIENT_PASSWORD=x \
    as $bin/psql -h /run/postgresql -v ON_ERROR_STOP=1 -qf /post-bootstrap.sql postgres
echo ready
exec sleep infinity
"""


@dataclass
class Server:
    host: DatabaseHost
    container: Any

    def run(self, command: str) -> None:
        """In a shell, as postgres."""
        code, output = self.container.exec_run(["sh", "-c", command], user="postgres")
        assert code == 0, output.decode()

    def sql(self, statement: str) -> str:
        """As the superuser, in the database ``postgres``."""
        code, output = self.container.exec_run(
            ["psql", "-h", "/run/postgresql", "-qAtc", statement, "postgres"], user="postgres"
        )
        assert code == 0, output.decode()
        return str(output.decode().strip())


@contextmanager
def observed_server() -> Iterator[Server]:
    with lab_container(
        ["sh", "-c", START], {str(BOOTSTRAP): {"bind": "/post-bootstrap.sql", "mode": "ro"}}
    ) as (container, address):
        until = time.monotonic() + 60
        while b"ready" not in container.logs():
            assert time.monotonic() < until, container.logs().decode()
            time.sleep(0.1)
        host = DatabaseHost(
            HostName("db1"), SiteName("jakarta"), ClusterName("shop"), ip_address(address)
        )
        yield Server(host, container)


def observer_password(directory: Path) -> Path:
    """The file that a controller has."""
    path = directory / "observer.password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path
