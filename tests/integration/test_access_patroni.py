"""Patroni as a site runs it, in a tree that is closed: it makes its scope, leads, and is restarted;
what it makes is closed too. And patronictl beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest
from example_config import example
from single_container import lab_container, zookeeper_container

from failover import host_secrets
from failover.config import parse
from failover.coordination.access_tree import apply, differences
from failover.coordination.connect import open_store
from failover.coordination.init import initialise
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.model import HostName
from failover.policy import Policy
from failover.znode import ScopePaths, Znode

pytestmark = pytest.mark.lab

Answer = TypeVar("Answer")
SOURCE = Path(__file__).parents[2] / "failover"
TEXT = example(acl="require")
HOST = HostName("jkt-db1")
RUN = """
while ! test -e /ready; do sleep 0.1; done
chown -R postgres: /etc/failover /etc/patroni
mkdir -p /run/postgresql /var/lib/pg && chown postgres: /run/postgresql /var/lib/pg
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
    failover guard patroni --config /etc/failover/failover.yaml --host jkt-db1 \
    /etc/patroni/patroni.yml
"""
PATRONI = """
scope: marketplace-jakarta
namespace: /service
name: jkt-db1
restapi: {{listen: "127.0.0.1:8008", connect_address: "127.0.0.1:8008"}}
zookeeper: {{hosts: ["{zookeeper}:2181"]}}
bootstrap:
  dcs: {{ttl: 20, loop_wait: 1, retry_timeout: 5}}
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  bin_dir: /usr/lib/postgresql/17/bin
  data_dir: /var/lib/pg/data
  pgpass: /tmp/pgpass
  use_unix_socket: true
  parameters: {{unix_socket_directories: /run/postgresql}}
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator, password: word}}
"""


@dataclass
class Running:
    policy: Policy  # as the admin's
    container: Any
    scope: ScopePaths

    def read(self, path: str) -> Znode | None:
        return patiently(self.policy, lambda store: store.read(path))

    def log(self) -> str:
        return str(self.container.logs(tail=60).decode())

    def wait_for(self, so: Callable[[], bool], limit_s: float = 90.0) -> None:
        until_s = time.monotonic() + limit_s
        while not so():
            assert time.monotonic() < until_s, self.log()
            time.sleep(0.2)

    def leads(self) -> bool:
        found = self.read(self.scope.leader)
        return found is not None and found.data == HOST.encode() and found.ephemeral_owner != 0

    def patronictl(self, *arguments: str) -> str:
        before = ["failover", "guard", "patronictl", "--config", "/etc/failover/failover.yaml"]
        own = ["--host", HOST, "--", "--config-file", "/etc/patroni/patroni.yml"]
        done = self.container.exec_run([*before, *own, *arguments], user="postgres")
        assert done.exit_code == 0, done.output.decode()
        return str(done.output.decode())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("keys")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(zookeeper_container())
        policy = at(parse(TEXT), server.address).with_keys_in(str(directory / "people/admin"))
        made = directory / "passwords"
        host_secrets.generate(made)
        host_secrets.generate_keys(policy, made)
        host_secrets.lay_out(policy, made, directory)
        with open_store(policy, 20.0) as store:
            initialise(store, policy, now_unix_s=1.0, by="test")
            apply(policy, store)
        mounted = {str(SOURCE): {"bind": "/opt/failover/src/failover", "mode": "ro"}}
        container, _ = stack.enter_context(lab_container(["sh", "-c", RUN], mounted))
        put(container, files(directory, server.address))
        scope = ScopePaths(policy.patroni_namespace, policy.clusters[0].scope(policy.initial_site))
        yield Running(policy, container, scope)


def patiently(policy: Policy, ask: Callable[[KazooStore], Answer]) -> Answer:
    """A busy machine may not answer within a second."""
    for left in range(9, -1, -1):
        try:
            with open_store(policy, 20.0) as store:
                return ask(store)
        except StoreUnavailable:
            if not left:
                raise
    raise AssertionError("never")


def at(policy: Policy, address: str) -> Policy:
    """All of the ensemble is this one server."""
    one = (dataclasses.replace(policy.zookeeper_servers[-1], address=ip_address(address)),)
    sites = [dataclasses.replace(site, zookeeper=()) for site in policy.sites]
    sites[-1] = dataclasses.replace(sites[-1], zookeeper=one)
    return dataclasses.replace(policy, sites=tuple(sites))


def files(directory: Path, zookeeper: str) -> dict[str, bytes]:
    secrets = directory / "jakarta/jkt-db1" / host_secrets.PLACE
    return {
        **{f"/{host_secrets.PLACE}/{p.name}": p.read_bytes() for p in secrets.iterdir()},
        "/etc/failover/failover.yaml": TEXT.encode(),
        "/etc/patroni/patroni.yml": PATRONI.format(zookeeper=zookeeper).encode(),
    }


def put(container: Any, wanted: dict[str, bytes]) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in {**wanted, "/ready": b""}.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    assert container.put_archive("/", archive.getvalue())


def as_wanted(running: Running) -> None:
    assert patiently(running.policy, lambda store: differences(running.policy, store)) == ()


def test_patroni_leads_and_all_that_it_makes_is_closed(running: Running) -> None:
    running.wait_for(running.leads)
    running.wait_for(lambda: running.read(running.scope.status) is not None)
    assert running.read(running.scope.config) is not None
    assert running.read(f"{running.scope.members}/{HOST}") is not None
    as_wanted(running)
    assert "NoAuth" not in running.log()


def test_patronictl_changes_the_scope_and_what_it_makes_is_closed(running: Running) -> None:
    running.wait_for(running.leads)
    assert HOST in running.patronictl("list")
    running.patronictl("edit-config", "--force", "--set", "maximum_lag_on_failover=7")

    def changed() -> bool:
        found = running.read(running.scope.config)
        return found is not None and json.loads(found.data)["maximum_lag_on_failover"] == 7

    running.wait_for(changed)
    as_wanted(running)
