"""A Patroni pair is moved from etcd to ZooKeeper as docs/operations/etcd-to-zookeeper.md says.

PostgreSQL goes on: no server is started anew, and a session that was open before lives on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from adopted_pair import (
    FILE,
    SETPRIV,
    Host,
    in_zookeeper,
    plain_host,
    prepare,
    start_zookeeper,
    until,
    write_patroni_file,
)

pytestmark = pytest.mark.lab

ETCD_CLIENT = "/opt/etcd-client"  # Patroni's module for etcd needs python-etcd


@dataclass(frozen=True)
class Cluster:
    """One scope. ``leader``: where the primary or the standby leader is."""

    scope: str
    leader: Host
    others: tuple[Host, ...]
    upstream: Host | None = None

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (self.leader, *self.others)

    def ctl(self, words: str) -> str:
        return self.leader.run(f"{SETPRIV} patronictl -c {FILE} {words}", PYTHONPATH=ETCD_CLIENT)

    def members(self) -> dict[str, tuple[str, str]]:
        """Role and state of each, as ``patronictl list`` says them."""
        found = json.loads(self.ctl(f"list -f json {self.scope}"))
        return {each["Member"]: (each["Role"], each["State"]) for each in found}

    def role_of(self, host: Host) -> str:
        """Empty where it is not in the store yet."""
        return self.members().get(host.name, ("", ""))[0]

    def configuration(self) -> Any:
        return yaml.safe_load(self.ctl(f"show-config {self.scope}"))

    def is_whole(self, role: str) -> bool:
        want = {h.name: ("Replica", "streaming") for h in self.others}
        state = "running" if self.upstream is None else "streaming"
        return self.members() == want | {self.leader.name: (role, state)}


def start_patroni(host: Host) -> None:
    host.start(f"env PYTHONPATH={ETCD_CLIENT} {SETPRIV} patroni {FILE}", "/var/log/patroni.log")


def start_etcd(host: Host) -> dict[str, Any]:
    """One server; what patroni.yml says of it."""
    here = f"http://{host.address}:2379"
    urls = f"--listen-client-urls http://0.0.0.0:2379 --advertise-client-urls {here}"
    host.start(f"etcd --data-dir /tmp/etcd {urls}", "/var/log/etcd.log")
    until(lambda: host.run("ss -lnt | grep 2379"), 30, "etcd")
    return {"etcd3": {"hosts": [f"{host.address}:2379"]}}


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    with contextlib.ExitStack() as stack:
        yield {name: plain_host(stack, name) for name in ("etcd", "zk", "pg1", "pg2", "dr1")}


@pytest.fixture
def clusters(hosts: dict[str, Host]) -> tuple[Cluster, Cluster]:
    """A primary with a replica, and a standby cluster that streams from it; all in etcd."""
    store = start_etcd(hosts["etcd"])
    main = Cluster("shop-main", hosts["pg1"], (hosts["pg2"],))
    recovery = Cluster("shop-dr", hosts["dr1"], (), upstream=main.leader)
    for cluster, role in ((main, "Leader"), (recovery, "Standby Leader")):
        for host in cluster.hosts:
            prepare(host, cluster.scope, store, cluster.upstream)
            start_patroni(host)
            until(lambda h=host: h.sql("SELECT 1") == "1", 90, f"PostgreSQL on {host.name}")
        until(lambda c=cluster, r=role: c.is_whole(r), 90, f"{cluster.scope} is whole")
    return main, recovery


def move(cluster: Cluster, store: dict[str, Any], role: str) -> None:
    """The page's seven steps."""
    kept = cluster.configuration()
    cluster.ctl(f"pause --wait {cluster.scope}")
    for host in cluster.hosts:
        host.end(f"patroni {FILE}")
        assert host.sql("SELECT 1") == "1", "a paused Patroni leaves PostgreSQL alone"
        write_patroni_file(host, cluster.scope, store, cluster.upstream)
    start_patroni(cluster.leader)
    if cluster.upstream is not None:  # a paused standby cluster elects nobody
        until(lambda: cluster.role_of(cluster.leader) == "Replica", 60, "it is in the store")
        cluster.ctl(f"failover --candidate {cluster.leader.name} --force {cluster.scope}")
    until(lambda: cluster.role_of(cluster.leader) == role, 60, "it has the key")
    until(lambda: cluster.configuration() == kept | {"pause": True}, 60, "its configuration")
    for host in cluster.others:
        start_patroni(host)
    until(lambda: cluster.is_whole(role), 60, f"{cluster.scope} is whole in the new store")
    cluster.ctl(f"resume --wait {cluster.scope}")
    until(lambda: cluster.is_whole(role), 60, f"{cluster.scope} is whole, and not paused")
    assert cluster.configuration() == kept


def started(clusters: tuple[Cluster, ...]) -> list[str]:
    ask = "SELECT pg_postmaster_start_time()"
    every = [host for cluster in clusters for host in cluster.hosts]
    return [until(lambda h=host: h.sql(ask), 10, "a start time") for host in every]


def test_postgresql_notices_nothing(
    hosts: dict[str, Host], clusters: tuple[Cluster, Cluster]
) -> None:
    main, recovery = clusters
    before = started(clusters)
    stays = "psql -X -h /run/postgresql -c 'SELECT pg_sleep(600)'"
    main.leader.start(f"{SETPRIV} {stays}", "/dev/null")
    sleeps = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
    session = until(lambda: main.leader.sql(sleeps), 10, "a session")
    start_zookeeper(hosts["zk"])
    move(main, in_zookeeper(hosts["zk"]), "Leader")
    move(recovery, in_zookeeper(hosts["zk"]), "Standby Leader")
    hosts["etcd"].end("etcd --data-dir")
    main.leader.sql("CREATE TABLE written_after (id int)")
    there = "SELECT count(*) FROM pg_class WHERE relname = 'written_after'"
    for host in (*main.others, *recovery.hosts):
        until(lambda h=host: h.sql(there) == "1", 30, f"{host.name} streams")
    assert main.leader.sql(sleeps) == session
    assert started(clusters) == before
    assert "uninitialized" not in main.ctl("list") + recovery.ctl("list")
