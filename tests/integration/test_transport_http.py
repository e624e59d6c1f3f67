"""A real HAProxy with the rendered files asks a guard's door with TLS: whom it believes, and what
it does at a renewal; from plain to TLS only and back, one end after the other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import re
import socket
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from example_config import example
from single_container import lab_container

from failover import answering
from failover.checks.found import ProxyServerFound
from failover.config import parse
from failover.console.door import open_door
from failover.guard.doors import NO, NO_MORE
from failover.health.observation import NoAnswer
from failover.model import HostName
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.policy import DatabaseHost, Policy
from failover.render import render
from failover.sites.certificates import ask_certificates
from failover.sites.haproxy import ask_haproxy
from failover.transport import HostNames

pytestmark = pytest.mark.lab

CONFIG = "/etc/haproxy/haproxy.cfg"
START = f"""
mkdir -p /etc/failover/tls
until test -e /put/ready; do sleep 0.1; done
exec /usr/sbin/haproxy -W -f {CONFIG} -p /run/haproxy.pid 2>&1
"""
WAIT_S = 30.0
CERTIFIED = ("jkt-db1", "jkt-ctl1", "jkt-proxy1", "mks-db1")
DOWN = "L6RSP"  # the handshake
UP = "L7OK"
SERVED = b" marketplace/jkt-db1 "
REFUSED = re.compile(r'^haproxy_backend_connection_errors_total{proxy="marketplace"} (\d+)', re.M)


class Site:
    """HAProxy in a container, and a guard's door on this machine, which it dials as jkt-db1."""

    def __init__(self, container: Any, address: str, directory: Path) -> None:
        self.container = container
        self.address = ip_address(address)
        self.gateway = ip_address(address) - int(ip_address(address)) % 65536 + 1
        self.pki = Directory(directory, "/etc/failover/tls")
        self.pki.init("marketplace", datetime.now(UTC))
        self.port = 0
        self.database_port = 5432
        self.nobody = socket.socket()  # bound, and never listening: who dials it is refused
        self.nobody.bind((str(self.gateway), 0))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.runner: web.AppRunner | None = None
        self.says = 200
        self.asked_by: set[str] = set()  # workers of HAProxy
        self.given = "off"
        for name in CERTIFIED:
            self.pki.issue(self.names(name), datetime.now(UTC))

    def here(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def policy(self, mode: str) -> Policy:
        policy = parse(example(http=mode))
        cluster = policy.clusters[0]
        host = self.here_at(cluster.hosts[0], self.port or 8009, self.database_port)
        nobody = self.nobody.getsockname()[1]
        others = (self.here_at(other, nobody, nobody) for other in cluster.hosts[1:])
        first = policy.sites[0]
        proxies = (dataclasses.replace(first.proxies[0], address=self.address),)
        this_machine = dataclasses.replace(
            first.declared[0], network=ip_network(f"{self.gateway}/32")
        )
        declared = (*first.declared, this_machine)
        here = dataclasses.replace(first, proxies=proxies, declared=declared)
        sites = (here, *policy.sites[1:])
        clusters = (dataclasses.replace(cluster, hosts=(host, *others)),)
        policy = dataclasses.replace(policy, clusters=clusters, sites=sites)
        return policy.with_tls_in(str(self.pki.host_file(self.names("jkt-db1", policy)).parent))

    def here_at(self, host: DatabaseHost, guard: int, postgres: int) -> DatabaseHost:
        """This machine answers for it, or refuses: never what else has its address."""
        return dataclasses.replace(
            host, address=self.gateway, guard_port=guard, postgres_port=postgres
        )

    def names(self, name: str, policy: Policy | None = None) -> HostNames:
        return next(n for n in host_names(policy or self.plain()) if n.host == name)

    def plain(self) -> Policy:
        policy = parse(example())
        cluster = policy.clusters[0]
        host = dataclasses.replace(cluster.hosts[0], address=self.gateway)
        clusters = (dataclasses.replace(cluster, hosts=(host, *cluster.hosts[1:])),)
        first = policy.sites[0]
        proxies = (dataclasses.replace(first.proxies[0], address=self.address),)
        sites = (dataclasses.replace(first, proxies=proxies), *policy.sites[1:])
        return dataclasses.replace(policy, clusters=clusters, sites=sites)

    def open(self, mode: str) -> None:
        """The guard's door at a position, anew, as a restart of the guard does."""

        async def writable(request: web.Request) -> web.Response:
            self.asked_by.add(request.query["from"])
            return web.Response(status=self.says, text="a guard's answer\n")

        async def again() -> int:
            if self.runner is not None:
                await self.runner.cleanup()
            made = web.Application()
            made.router.add_get("/writable", writable)
            where = (str(self.gateway), self.port, self.policy(mode).tls.http_served)
            self.runner = await open_door(made, *where)
            port = next(iter(self.runner.sites)).name.rpartition(":")[2].rstrip("/")
            return int(port) or int(self.runner.addresses[0][1])

        self.port = self.here(again())

    def give(self, mode: str) -> None:
        policy = self.policy(mode)
        text = render(policy)[PurePosixPath("jakarta/jkt-proxy1") / CONFIG.lstrip("/")]
        mine, tls = self.names("jkt-proxy1"), "/etc/failover/tls"
        ca, key = self.pki.authority_file(mine), self.pki.host_file(mine)
        files = {f"{tls}/ca.pem": ca.read_bytes(), f"{tls}/host.pem": key.read_bytes()}
        self.put({CONFIG: text.encode(), **files, "/put/ready": b""})
        self.given = mode

    def put(self, files: dict[str, bytes]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, data in files.items():
                info = tarfile.TarInfo(path.lstrip("/"))
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
        assert self.container.put_archive("/", archive.getvalue())

    def reload(self) -> None:
        """Until the worker of before is gone: it asks with what it had read, and is asked."""
        before = self.workers_gone()
        self.ask_for_reload()
        wait_for(lambda: self.workers_gone() > before, lambda: self.container.logs().decode())

    def ask_for_reload(self) -> None:
        code, output = self.container.exec_run(
            ["sh", "-c", f"haproxy -c -q -f {CONFIG} && kill -USR2 $(cat /run/haproxy.pid)"]
        )
        assert code == 0, output.decode()

    def workers_gone(self) -> int:
        return self.said(b"Former worker")

    def said(self, line: bytes) -> int:
        return int(self.container.logs().count(line))

    def seen(self) -> tuple[ProxyServerFound, ...]:
        async def ask() -> tuple[ProxyServerFound, ...] | NoAnswer:
            limit = aiohttp.ClientTimeout(total=3)
            async with aiohttp.ClientSession(timeout=limit) as session:
                policy = self.policy(self.given)
                proof = policy.tls.statistics_identity
                return await ask_haproxy(session, policy.sites[0].proxies[0], 3.0, proof)

        found = asyncio.run(ask())
        return () if isinstance(found, NoAnswer) else found

    def refused(self) -> int:
        """Who found nobody to serve them, as Prometheus is told."""
        with urllib.request.urlopen(f"http://{self.address}:8404/metrics", timeout=WAIT_S) as page:
            found = REFUSED.search(page.read().decode())
        assert found is not None
        return int(found[1])

    @contextlib.contextmanager
    def serving(self) -> Iterator[socket.socket]:
        """With a database on this machine that accepts, to which HAProxy sends clients."""
        self.open("off")
        with socket.create_server((str(self.gateway), 0)) as database:
            database.settimeout(WAIT_S)
            self.database_port = database.getsockname()[1]
            self.give("off")
            self.reload()
            self.wait("UP", UP)
            yield database

    def client(self) -> socket.socket:
        return socket.create_connection((str(self.address), 5000), WAIT_S)

    @contextlib.contextmanager
    def unreachable(self, port: int) -> Iterator[None]:
        """What HAProxy is sent from this machine's port is lost."""
        table = f"inet lost{port}"
        rule = f"ip saddr {self.gateway} tcp sport {port} drop"
        hook = "{ type filter hook input priority 0; }"
        self.nft(f"add table {table}; add chain {table} in {hook}; add rule {table} in {rule}")
        yield
        self.nft(f"delete table {table}")

    def nft(self, commands: str) -> None:
        code, output = self.container.exec_run(["nft", commands])
        assert code == 0, output.decode()

    def times_down(self) -> int:
        return self.said(b"Server marketplace/jkt-db1 is DOWN")

    def wait(self, status: str, check: str) -> None:
        """What it says of jkt-db1, and the others down: HAProxy's start takes them for up."""

        def so() -> bool:
            seen = {server.host: server for server in self.seen()}
            mine = seen.pop(HostName("jkt-db1"), None)
            others = all(other.status == "DOWN" for other in seen.values())
            return (
                mine is not None
                and mine.status.startswith(status)
                and mine.check == check
                and others
            )

        wait_for(so, lambda: f"{self.seen()}\n{self.container.logs(tail=20).decode()}")


def wait_for(so: Callable[[], bool], said: Callable[[], str]) -> None:
    until = time.monotonic() + WAIT_S
    while not so():
        assert time.monotonic() < until, said()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        pytest.MonkeyPatch.context() as patched,
        lab_container(["sh", "-c", START], cap_add=["NET_ADMIN"]) as (container, address),
    ):
        patched.setattr(answering, "REFRESH_S", 0.1)
        found = Site(container, address, tmp_path_factory.mktemp("pki"))
        found.open("off")
        found.give("off")
        found.wait("UP", UP)
        yield found
        if found.runner is not None:
            with contextlib.suppress(TimeoutError):
                found.here(found.runner.cleanup())
        found.loop.call_soon_threadsafe(found.loop.stop)


def test_from_plain_to_tls_only_and_back(site: Site) -> None:
    """Guards first on the way to TLS, proxies first on the way back; in between both."""
    way = ("off", "accept", "use", "require")
    for mode in way[1:]:
        site.open(mode)
        site.wait("UP", UP)
        site.give(mode)
        site.reload()
        site.wait("UP", UP)
    for mode in way[-2::-1]:
        site.give(mode)
        site.reload()
        site.wait("UP", UP)
        site.open(mode)
        site.wait("UP", UP)


@pytest.fixture
def sealed(site: Site) -> Site:
    site.open("require")
    site.give("require")
    site.reload()
    site.wait("UP", UP)
    return site


def test_the_check_sees_what_is_shown(sealed: Site) -> None:
    found = asyncio.run(ask_certificates(sealed.policy("require"), 1.0))
    for name in ("jkt-db1", "jkt-proxy1"):
        mine = [(c.wire, c.problem) for c in found if c.host == HostName(name)]
        assert mine == [("http", "")], name
    assert {c.host for c in found} >= {"jkt-ctl1", "sby-ctl1", "mks-db2"}


def test_another_hosts_certificate_and_a_strangers_are_not_believed(
    sealed: Site, tmp_path: Path
) -> None:
    mine = sealed.pki.host_file(sealed.names("jkt-db1"))
    good = mine.read_bytes()
    stranger = Directory(tmp_path / "stranger", "/tls")
    stranger.init("marketplace", datetime.now(UTC))
    stranger.issue(sealed.names("jkt-db1"), datetime.now(UTC))
    for wrong in (
        sealed.pki.host_file(sealed.names("mks-db1")),
        stranger.host_file(sealed.names("jkt-db1")),
    ):
        mine.write_bytes(wrong.read_bytes())
        sealed.wait("DOWN", DOWN)
        mine.write_bytes(good)
        sealed.wait("UP", UP)


def test_certificate_and_authority_change_without_a_failed_check(sealed: Site) -> None:
    now = datetime.now(UTC)
    hosts = tuple(sealed.names(name) for name in CERTIFIED)
    before = sealed.times_down()
    for change in (
        lambda: sealed.pki.begin_change("marketplace", now),
        lambda: sealed.pki.switch(hosts),
        lambda: sealed.pki.forget(hosts),
    ):
        change()
        for names in hosts:
            sealed.pki.issue(names, now)
        sealed.give("require")
        sealed.reload()
        sealed.wait("UP", UP)
        assert sealed.times_down() == before


def test_a_server_that_is_being_shut_down_gets_nobody_new_and_keeps_its_sessions(
    site: Site,
) -> None:
    """One `no more` is enough; a `no` takes three and cuts; a `yes` brings it in again."""
    with site.serving() as database:
        early = site.client()
        session, _ = database.accept()
        site.says = NO_MORE
        site.wait("NOLB", "L7OKC")
        with site.client() as late:
            assert gone(late), "nobody new"
        session.sendall(b"goes on")
        assert early.recv(100) == b"goes on"
        site.says = 200
        site.wait("UP", UP)
        with site.client():
            database.accept()[0].close()
        session.sendall(b"still")
        assert early.recv(100) == b"still"
        site.says = NO
        site.wait("DOWN", "L7STS")
        assert gone(early)
        session.close()
        early.close()
        site.says = 200


def test_who_is_refused_because_nobody_may_write_is_counted_not_logged(site: Site) -> None:
    """A thousand customers who try again and again would push all else out of the journal."""
    with site.serving() as database:
        site.says = NO
        site.wait("DOWN", "L7STS")
        refused, logged, served = site.refused(), site.said(b"<NOSRV>"), site.said(SERVED)
        for _ in range(5):
            with site.client() as client:
                assert gone(client)
        assert site.refused() == refused + 5
        site.says = 200
        site.wait("UP", UP)
        with site.client():
            database.accept()[0].close()
        wait_for(lambda: site.said(SERVED) > served, lambda: "who was served is not logged")
        assert site.said(b"<NOSRV>") == logged


def test_who_dials_while_a_host_goes_away_is_told(site: Site) -> None:
    """Its packets are dropped; clients who dialled before it was taken out are not kept."""
    with site.serving(), contextlib.ExitStack() as stack:
        stack.enter_context(site.unreachable(site.database_port))
        dialled = [stack.enter_context(site.client()) for _ in range(20)]
        stack.enter_context(site.unreachable(site.port))
        site.wait("DOWN", "L4TOUT")
        for number, client in enumerate(dialled):
            client.sendall(b"hello")
            assert gone(client), number


def test_sessions_of_before_a_reload_end_with_their_host(site: Site) -> None:
    """Their worker checks nobody any more, so that nothing is taken out there."""
    with site.serving() as database, contextlib.ExitStack() as stack:
        idle, asks = (stack.enter_context(site.client()) for _ in range(2))
        for _ in range(2):
            stack.enter_context(database.accept()[0])
        stopped, asked_by = site.said(b"Proxy marketplace stopped"), set(site.asked_by)
        site.ask_for_reload()
        wait_for(lambda: site.said(b"Proxy marketplace stopped") > stopped, lambda: "no new worker")
        site.wait("UP", UP)
        assert site.asked_by > asked_by, "each worker says that it is another one"
        for port in (site.database_port, site.port):
            stack.enter_context(site.unreachable(port))
        asks.sendall(b"a question")
        for client in (idle, asks):
            client.settimeout(2 * WAIT_S)
        assert gone(idle)
        assert gone(asks)


def gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
