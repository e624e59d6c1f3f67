"""The audit of ports sees what should not be: each planted in one real part, and found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import port_postgres as sql
import port_zookeeper as znodes
import pytest
from kazoo.security import make_acl
from policies import policy
from port_http import HttpDoor, reads
from port_sockets import Listener, parse
from residency_server import PASSWORD, Server, execute, server
from single_container import ZooKeeperContainer

from failover.access import May
from failover.model import HostName
from failover.reference.ports import Can

pytestmark = pytest.mark.lab

OBSERVER = "failover_observer"


# --------------------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as found:
        found.run("echo 'host all all all scram-sha-256' >> /tmp/data/pg_hba.conf")
        found.sql("select pg_reload_conf()")
        yield found


@pytest.fixture
def login(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> sql.Login:
    """The observer's, from the server's own host."""

    def run(_host: HostName, script: str) -> tuple[int, str]:
        return execute(postgres.container, [], script)

    monkeypatch.setattr(sql, "run", run)
    address = str(postgres.host.address)
    made = sql.Login(
        postgres.host.name, address, 5432, OBSERVER, PASSWORD, sql.SERVER, "sslmode=disable"
    )
    customer = replace(made, user=sql.SHOP, database=sql.SHOP)
    row = f"DROP TABLE IF EXISTS {sql.TABLE}; CREATE TABLE {sql.TABLE} AS SELECT 1 AS row"
    assert sql.refusal(customer, row) == ""
    return made


def test_the_roles_are_as_they_should_be(login: sql.Login) -> None:
    shop = replace(login, database=sql.SHOP)
    assert sql.unexpected(login, sql.OBSERVER) == ""
    assert sql.unexpected(shop, sql.OBSERVER_IN_THE_SHOP) == ""
    assert sql.unexpected(replace(shop, user=sql.SHOP), sql.CUSTOMER) == ""


@pytest.mark.parametrize(
    ("database", "given", "taken", "found"),
    [
        (sql.SHOP, f"grant select on {sql.TABLE} to {OBSERVER}", "", f"SELECT * FROM {sql.TABLE}"),
        (sql.SERVER, "grant pg_monitor to {0}", "revoke pg_monitor from {0}", "all_stats"),
        (sql.SERVER, "alter role {0} superuser", "alter role {0} nosuperuser", "pg_authid"),
        (
            sql.SERVER,
            "grant pg_execute_server_program to {0}",
            "revoke pg_execute_server_program from {0}",
            "TO PROGRAM",
        ),
    ],
)
def test_what_a_role_should_not_have_is_seen(
    postgres: Server, login: sql.Login, database: str, given: str, taken: str, found: str
) -> None:
    wanted = sql.OBSERVER_IN_THE_SHOP if database == sql.SHOP else sql.OBSERVER
    postgres.sql(given.format(OBSERVER), database=database)
    try:
        assert found in sql.unexpected(replace(login, database=database), wanted)
    finally:
        postgres.sql(taken.format(OBSERVER) or "select 1", database=database)


@pytest.mark.parametrize(("standby", "excused"), [("f", False), ("t", True), ("", False)])
def test_that_a_primary_only_reads_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, standby: str, excused: bool
) -> None:
    said = f"#standby {standby}\n#0 {sql.READ_ONLY}\n"
    monkeypatch.setattr(sql, "run", lambda _host, _script: (0, said))
    login = sql.Login(HostName("x"), "127.0.0.1", 5432, "x", "x", "x", "")
    wanted = (("CREATE ROLE ports_audit SUPERUSER", sql.NO_WRITES),)
    assert (sql.unexpected(login, wanted) == "") is excused


# --------------------------------------------------------------------------- ZooKeeper


def test_what_anybody_may_do_in_zookeeper_is_seen(zookeeper: ZooKeeperContainer) -> None:
    around = policy("shop", zookeeper.address)
    with znodes.client(around) as client:
        client.create("/ports-open", b"")
        client.create("/ports-read", b"", acl=[make_acl("world", "anyone", read=True)])
        client.create("/ports-closed", b"", acl=[make_acl("digest", "a:b", read=True)])
        seen = znodes.rights(client, ("/ports-open", "/ports-read", "/ports-closed", znodes.CONFIG))
        everything = May.READ | May.WRITE | May.CREATE | May.DELETE | May.ADMIN
        assert seen == {
            "/ports-open": everything,
            "/ports-read": May.READ,
            "/ports-closed": May(0),
            znodes.CONFIG: May.READ,
        }
        assert "/ports-open" in znodes.as_nobody(seen, set(znodes.LISTED))
        assert "/ports-read" in znodes.as_everybody(seen, set(znodes.LISTED))
        assert client.get_children("/ports-open") == []
        assert client.get("/ports-open")[1].version == 0


# --------------------------------------------------------------------------- HTTP


@contextmanager
def serving(answer: bytes, methods: tuple[str, ...]) -> Iterator[int]:
    """A door that answers this to these methods; its port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    for method in methods:
        setattr(Handler, f"do_{method}", Handler._answer)
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def test_a_door_that_does_more_than_answer_or_tells_a_secret_is_seen() -> None:
    with serving(b"fine", ("GET",)) as port:
        assert reads(HttpDoor("127.0.0.1", port, None, (b"hush",)), ("/status",)) == Can.READS
    with serving(b"fine", ("GET", "PATCH")) as port:
        assert "PATCH" in reads(HttpDoor("127.0.0.1", port, None), ("/status",))
    with (
        serving(b"the password is hush", ("GET",)) as port,
        pytest.raises(AssertionError, match="secret"),
    ):
        reads(HttpDoor("127.0.0.1", port, None, (b"hush",)), ("/status",))


# --------------------------------------------------------------------------- sockets

SS = """\
udp UNCONN 0 0 127.0.0.11:54132 0.0.0.0:* ino:1 sk:1 cgroup:/ <->
udp UNCONN 0 0 *:9094 *:* uid:5 ino:2 cgroup:/0a/system.slice/alerts.service v6only:0 <->
tcp LISTEN 0 50 [::ffff:10.77.1.21]:2181 *:* sk:3 cgroup:/0a/system.slice/zookeeper.service <->
tcp LISTEN 0 4096 *:2189 *:* ino:4 sk:4 cgroup:/0a/system.slice/restart.socket v6only:0 <->
tcp LISTEN 0 5 10.77.1.21%eth0:4444 0.0.0.0:* ino:5 sk:5 cgroup:/docker/0a <->
"""


def test_what_the_kernel_says_is_read() -> None:
    assert parse(SS) == {
        Listener("127.0.0.11", None, True, ""),
        Listener("*", 9094, True, "alerts.service"),
        Listener("10.77.1.21", 2181, False, "zookeeper.service"),
        Listener("*", 2189, False, "restart.socket"),
        Listener("10.77.1.21", 4444, False, ""),
    }
