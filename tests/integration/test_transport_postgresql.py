"""PostgreSQL behind TLS, set up by the rendered settings: who gets in; renewal without restart."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import socket
import ssl
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pytest
import yaml
from example_config import example
from single_container import lab_container

from failover.config import parse
from failover.health.observation import NoAnswer, PostgresSeen
from failover.model import ClusterName, HostName, SiteName
from failover.pki.directory import Directory
from failover.policy import DatabaseHost
from failover.render import render
from failover.sites.certificates import _SSL_REQUEST, _ask
from failover.sites.postgres import PostgresProbe
from failover.transport import HostNames, Identity, libpq_parameters

pytestmark = pytest.mark.lab

PASSWORD = "told-to-nobody"
START = f"""
set -e
bin=/usr/lib/postgresql/17/bin
until test -e /put/ready; do sleep 0.1; done
install -d -o postgres /tmp/data /run/postgresql
install -d /etc/failover/tls
install -o postgres -m 0600 /put/host.pem /etc/failover/tls/host.pem
install -m 0644 /put/ca.pem /etc/failover/tls/ca.pem
as() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
as $bin/initdb -D /tmp/data --auth-local=trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat /put/pg_hba.conf > /tmp/data/pg_hba.conf
cat /put/settings >> /tmp/data/postgresql.conf
as $bin/pg_ctl -D /tmp/data -w start >/dev/null
FAILOVER_OBSERVER_PASSWORD={PASSWORD} FAILOVER_CLIENT_PASSWORD={PASSWORD} \
    as $bin/psql -h /run/postgresql -v ON_ERROR_STOP=1 -qf /put/post-bootstrap.sql postgres
as $bin/psql -h /run/postgresql -q postgres \
    -c "create role replicator replication login password '{PASSWORD}'"
echo ready
exec sleep infinity
"""


@dataclass
class Server:
    host: DatabaseHost
    container: Any
    pki: Directory
    names: HostNames

    @property
    def authorities(self) -> str:
        return str(self.pki.authority_file(self.names))

    def run(self, command: str) -> str:
        code, output = self.container.exec_run(["sh", "-c", command])
        assert code == 0, output.decode()
        return str(output.decode())

    def put(self, files: dict[str, bytes]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(f"put/{name}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
        assert self.container.put_archive("/", archive.getvalue())

    def files(self) -> dict[str, bytes]:
        return {
            "host.pem": self.pki.host_file(self.names).read_bytes(),
            "ca.pem": self.pki.authority_file(self.names).read_bytes(),
        }

    def connect(self, **more: Any) -> psycopg.Connection[Any]:
        """As a customer, from this machine."""
        login = {"user": "marketplace", "dbname": "marketplace", "password": PASSWORD}
        where = {"host": str(self.host.address), "connect_timeout": 5}
        return psycopg.connect(**{**where, **login, **more}, autocommit=True)


def rendered(network: str) -> tuple[str, str]:
    """The lines of pg_hba.conf and postgresql.conf that are rendered where TLS is required, for
    parts that all come from one network."""
    policy = parse(example(postgresql="require"))
    tree = render(policy)
    local = yaml.safe_load(tree[PurePosixPath("jakarta/jkt-db1/etc/patroni/patroni.yml")])
    hba = ["local all all trust"]
    for line in local["postgresql"]["pg_hba"]:
        words = line.split()
        if words[0] != "local" and words[3] != "all":
            words[3] = network
        hba.append(" ".join(words))
    settings = {"listen_addresses": "*"} | local["postgresql"]["parameters"]
    texts = [f"{name} = '{value}'" for name, value in settings.items()]
    return "\n".join(hba) + "\n", "\n".join(texts) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pki = Directory(tmp_path_factory.mktemp("pki"), "/etc/failover/tls")
    pki.init("marketplace", datetime.now(UTC))
    with lab_container(["sh", "-c", START]) as (container, address):
        names = HostNames("jakarta", "db1", ip_address(address))
        pki.issue(names, datetime.now(UTC))
        host = DatabaseHost(
            HostName("db1"),
            SiteName("jakarta"),
            ClusterName("marketplace"),
            ip_address(address),
            postgres_authorities=str(pki.authority_file(names)),
        )
        found = Server(host, container, pki, names)
        hba, settings = rendered(f"{address}/16")
        script = Path("deploy/jakarta/jkt-db1/usr/lib/failover/post-bootstrap.sql").read_bytes()
        texts = {"pg_hba.conf": hba.encode(), "settings": settings.encode()}
        found.put({**found.files(), **texts, "post-bootstrap.sql": script, "ready": b""})
        until = time.monotonic() + 60
        while b"ready" not in container.logs():
            assert time.monotonic() < until, container.logs().decode()
            time.sleep(0.1)
        yield found


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "observer.password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def asked(host: DatabaseHost, password_file: Path) -> PostgresSeen | NoAnswer:
    async def ask() -> PostgresSeen | NoAnswer:
        probe = PostgresProbe(host, password_file=password_file, limit_s=2.0)
        try:
            return await probe.ask()
        finally:
            await probe.close()

    return asyncio.run(ask())


def test_the_probe_gets_in_and_nobody_without_tls(server: Server, password_file: Path) -> None:
    assert isinstance(asked(server.host, password_file), PostgresSeen)
    with server.connect(**libpq_parameters(server.authorities)) as connection:
        row = connection.execute("select version from pg_stat_ssl where pid = pg_backend_pid()")
        assert row.fetchone() == ("TLSv1.3",)
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        server.connect(sslmode="disable")


def test_what_the_server_shows_is_seen(server: Server) -> None:
    mine = Identity(str(server.pki.host_file(server.names)), server.authorities)
    where = (server.host.address, server.host.postgres_port, _SSL_REQUEST)
    found = _ask(mine, 3.0, server.host.name, "postgresql", *where)
    assert found.problem == ""
    assert found.until_unix_s is not None
    assert 360 < (found.until_unix_s - time.time()) / 86400 < 366


def test_a_stranger_is_not_believed(server: Server, password_file: Path, tmp_path: Path) -> None:
    stranger = Directory(tmp_path / "stranger", "/etc/failover/tls")
    stranger.init("marketplace", datetime.now(UTC))
    stranger.issue(server.names, datetime.now(UTC))
    theirs = str(stranger.authority_file(server.names))
    answer = asked(dataclasses.replace(server.host, postgres_authorities=theirs), password_file)
    assert isinstance(answer, NoAnswer)
    assert "certificate verify failed" in answer.detail


def test_an_address_that_is_not_in_the_certificate_is_not_believed(
    server: Server, password_file: Path
) -> None:
    moved = HostNames("jakarta", "db1", ip_address("10.77.1.11"))
    server.pki.issue(moved, datetime.now(UTC))
    renew(server)
    answer = asked(server.host, password_file)
    assert isinstance(answer, NoAnswer)
    assert "does not match host name" in answer.detail
    server.pki.issue(server.names, datetime.now(UTC))
    renew(server)
    assert isinstance(asked(server.host, password_file), PostgresSeen)


def test_certificate_and_authority_change_under_open_sessions(
    server: Server, password_file: Path
) -> None:
    """Both authorities trusted in between; nobody is ever refused, and no session ends."""
    now, hosts = datetime.now(UTC), (server.names,)
    with server.connect(**libpq_parameters(server.authorities)) as session:
        started = session.execute("select pg_postmaster_start_time()").fetchone()
        seen = [serial(server)]
        for change in (
            lambda: server.pki.begin_change("marketplace", now),
            lambda: server.pki.switch(hosts),
            lambda: server.pki.forget(hosts),
        ):
            change()
            server.pki.issue(server.names, now)
            assert isinstance(asked(server.host, password_file), PostgresSeen)
            renew(server)
            seen.append(serial(server))
            assert isinstance(asked(server.host, password_file), PostgresSeen)
            assert session.execute("select pg_postmaster_start_time()").fetchone() == started
    assert len(set(seen)) == 2, "one new certificate, by the new authority"


def renew(server: Server) -> None:
    """What the runbook says: a rename, and a reload."""
    server.put(server.files())
    server.run(
        "cd /etc/failover/tls && install -o postgres -m 0600 /put/host.pem host.pem.new"
        " && mv host.pem.new host.pem && install -m 0644 /put/ca.pem ca.pem.new"
        " && mv ca.pem.new ca.pem"
        " && psql -U postgres -h /run/postgresql -XAtqc 'select pg_reload_conf()' postgres"
    )
    wanted = ssl.PEM_cert_to_DER_cert(
        "-----BEGIN CERT" + server.files()["host.pem"].decode().partition("-----BEGIN CERT")[2]
    )
    until = time.monotonic() + 10
    while serial(server) != wanted:  # the postmaster takes it when it comes to it
        assert time.monotonic() < until, "the new certificate is not served"
        time.sleep(0.02)


def serial(server: Server) -> bytes:
    """The certificate that a new connection is shown, unverified."""
    request = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((str(server.host.address), 5432), 5) as link:
        link.sendall(request)
        assert link.recv(1) == b"S"
        with context.wrap_socket(link) as wrapped:
            return wrapped.getpeercert(binary_form=True) or b""


def test_replication_is_verified_too(server: Server) -> None:
    """What Patroni renders into primary_conninfo is libpq's; a base backup uses the same words."""
    words = "sslmode=verify-full sslrootcert=/etc/failover/tls/ca.pem user=replicator"
    copy = "rm -rf /tmp/copy && /usr/lib/postgresql/17/bin/pg_basebackup -D /tmp/copy -c fast"
    where = f"host={server.host.address} password={PASSWORD}"
    server.run(f"{copy} -d '{where} {words}'")
    code, output = server.container.exec_run(
        ["sh", "-c", f"{copy} -d '{where} user=replicator sslmode=disable'"]
    )
    assert code != 0
    assert b"pg_hba.conf rejects replication connection" in output
