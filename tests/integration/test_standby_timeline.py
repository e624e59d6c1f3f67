"""A standby that followed a promotion and then lost its upstream still knows its timeline.

Its control file does not: it is as old as the last restartpoint. Told the older timeline, a
controller takes the standby for one on a branch of its own and never takes over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from single_container import lab_container

from failover.guard.wal_end import _QUERY
from failover.health.observation import PostgresSeen
from failover.model import ClusterName, HostName, SiteName
from failover.policy import DatabaseHost
from failover.sites.postgres import PostgresProbe

pytestmark = pytest.mark.lab

PASSWORD = "told-to-nobody"
BOOTSTRAP = Path("deploy/jakarta/jkt-db1/usr/lib/failover/post-bootstrap.sql").resolve()

# Three servers: a is promoted away, b becomes primary of timeline 2, c follows b.
START = f"""
set -e
bin=/usr/lib/postgresql/17/bin
as() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
install -d -o postgres /tmp/d /run/postgresql
as $bin/initdb -D /tmp/d/a --auth=trust --no-sync >/dev/null
echo 'host all failover_observer 0.0.0.0/0 scram-sha-256' >> /tmp/d/a/pg_hba.conf
echo "listen_addresses = '*'" >> /tmp/d/a/postgresql.conf
as $bin/pg_ctl -D /tmp/d/a -w -o '-p 5431' start >/dev/null
FAILOVER_OBSERVER_PASSWORD={PASSWORD} FAILOVER_CLIENT_PASSWORD=x \
    as $bin/psql -h /run/postgresql -p 5431 -v ON_ERROR_STOP=1 -qf /post-bootstrap.sql postgres
for one in b:5433 c:5432; do
    as $bin/pg_basebackup -h /run/postgresql -p 5431 -D /tmp/d/${{one%:*}} -R -c fast
    as $bin/pg_ctl -D /tmp/d/${{one%:*}} -w -o "-p ${{one#*:}}" start >/dev/null
done
as $bin/pg_ctl -D /tmp/d/a -w -m immediate stop >/dev/null
as $bin/pg_ctl -D /tmp/d/b -w promote >/dev/null
as $bin/psql -h /run/postgresql -p 5432 -qc \
    "alter system set primary_conninfo = 'host=/run/postgresql port=5433'" postgres
as $bin/pg_ctl -D /tmp/d/c reload >/dev/null
until as $bin/psql -h /run/postgresql -p 5432 -XAtc \
    'select received_tli from pg_stat_wal_receiver' postgres | grep -qx 2; do sleep 0.1; done
as $bin/psql -h /run/postgresql -p 5433 \
    -qc "select pg_logical_emit_message(true, 'x', 'y')" postgres
as $bin/pg_ctl -D /tmp/d/b -w -m fast stop >/dev/null
until test -z "$(as $bin/psql -h /run/postgresql -p 5432 -XAtc \
    'select pid from pg_stat_wal_receiver' postgres)"; do sleep 0.1; done
echo ready
exec sleep infinity
"""


@pytest.fixture(scope="module")
def standby() -> Iterator[tuple[Any, str]]:
    with lab_container(
        ["sh", "-c", START], {str(BOOTSTRAP): {"bind": "/post-bootstrap.sql", "mode": "ro"}}
    ) as (container, address):
        until = time.monotonic() + 60
        while b"ready" not in container.logs():
            assert time.monotonic() < until, container.logs().decode()
            time.sleep(0.1)
        yield container, address


def ask(container: Any, query: str) -> str:
    code, out = container.exec_run(
        ["psql", "-h", "/run/postgresql", "-XAtc", query, "postgres"], user="postgres"
    )
    assert code == 0, out.decode()
    return str(out.decode().strip())


def test_its_control_file_is_older(standby: tuple[Any, str]) -> None:
    query = (
        "select (pg_control_checkpoint()).timeline_id, "
        "(pg_control_recovery()).min_recovery_end_timeline"
    )
    assert ask(standby[0], query) == "1|1"


def test_the_controllers_see_the_newer_one(standby: tuple[Any, str], tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    host = DatabaseHost(
        HostName("c"), SiteName("makassar"), ClusterName("shop"), ip_address(standby[1])
    )
    probe = PostgresProbe(host, password_file=tmp_path / "password", limit_s=5.0)

    async def once() -> object:
        try:
            return await probe.ask()
        finally:
            await probe.close()

    seen = asyncio.run(once())
    assert isinstance(seen, PostgresSeen), seen
    assert (seen.timeline, seen.receiver_streaming) == (2, False)


def test_so_does_the_guard(standby: tuple[Any, str]) -> None:
    assert ask(standby[0], _QUERY).endswith("|2")
