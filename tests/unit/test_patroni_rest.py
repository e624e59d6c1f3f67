"""TLS in front of Patroni's REST interface: both ways on one port, then one. With real sockets.

What Patroni itself makes of it: tests/integration/test_transport_patroni.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingMixIn
from types import SimpleNamespace
from typing import Any

import pytest

from failover.coordination.patroni_rest import seal
from failover.health.observation import NoAnswer, PatroniSeen
from failover.model import ClusterName, HostName, SiteName
from failover.pki.directory import Directory
from failover.policy import DatabaseHost
from failover.sites.patroni import MemberSeen, ask_member, ask_patroni
from failover.transport import HostNames, Identity

LOOPBACK = ip_address("127.0.0.1")
SERVER = HostNames("jakarta", "jkt-db1", LOOPBACK)
CLIENT = HostNames("jakarta", "jkt-ctl1", ip_address("10.77.1.31"))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"state": "running", "role": "primary"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class Rest(ThreadingMixIn, HTTPServer):
    """As much of Patroni's as is used: it makes the handshake, and ends TLS before it hangs up."""

    daemon_threads = True

    def __init__(self, config: dict[str, Any], ctl: dict[str, Any]) -> None:
        self.patroni = SimpleNamespace(config={"ctl": ctl})
        self.connection_string = ""
        self.said: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.reload_config(config)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reload_config(self, config: dict[str, Any]) -> None:
        self.said.append(config)
        self.connection_string = f"http://127.0.0.1:{self.server_port}/patroni"

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if hasattr(request, "context"):
                request.do_handshake()
        except OSError:
            super().shutdown_request(request)
            return
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        try:
            if hasattr(request, "context"):
                request.unwrap()
        except OSError:
            pass
        super().shutdown_request(request)


@pytest.fixture
def pki(tmp_path: Path) -> Directory:
    found = Directory(tmp_path / "pki", "/tls")
    found.init("marketplace", datetime.now(UTC))
    for names in (SERVER, CLIENT):
        found.issue(names, datetime.now(UTC))
    return found


@pytest.fixture
def made() -> Iterator[list[Rest]]:
    servers: list[Rest] = []
    yield servers
    for each in servers:
        each.shutdown()
        each.server_close()


def written(pki: Directory, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """``restapi`` and ``ctl`` as they are rendered."""
    host, ca = str(pki.host_file(SERVER)), str(pki.authority_file(SERVER))
    restapi: dict[str, Any] = {"listen": "127.0.0.1:0"}
    if mode == "off":
        return restapi, {}
    restapi |= {"certfile": host, "keyfile": host}
    if mode != "accept":
        restapi["cafile"] = ca
    if mode == "require":
        restapi["verify_client"] = "required"
    return restapi, {"cacert": ca, "certfile": host, "keyfile": host}


def rest(pki: Directory, mode: str, made: list[Rest]) -> Rest:
    sealed = type("Sealed", (Rest,), {})
    seal(sealed)
    found = sealed(*written(pki, mode))
    assert isinstance(found, Rest)
    made.append(found)
    return found


def switch(server: Rest, pki: Directory, mode: str) -> None:
    config, server.patroni.config["ctl"] = written(pki, mode)
    server.reload_config(config)


def answers(server: Rest, identity: Identity | None) -> bool:
    """Both to the probe and to a command."""
    host = DatabaseHost(
        *(HostName("db1"), SiteName("s"), ClusterName("c"), LOOPBACK),
        patroni_port=server.server_port,
        patroni_identity=identity,
    )
    seen = asyncio.run(ask_patroni(host, 20.0)), asyncio.run(ask_member(host))
    assert isinstance(seen[0], PatroniSeen) is isinstance(seen[1], MemberSeen)
    return not isinstance(seen[0], NoAnswer)


def mine(pki: Directory) -> Identity:
    return Identity(str(pki.host_file(CLIENT)), str(pki.authority_file(CLIENT)))


def test_each_position_answers_its_neighbours_and_says_how_it_is_dialled(
    pki: Directory, made: list[Rest]
) -> None:
    server = rest(pki, "off", made)
    seen = []
    for mode in ("off", "accept", "use", "require", "use", "accept", "off"):
        switch(server, pki, mode)
        scheme = server.connection_string.partition(":")[0]
        seen.append((answers(server, None), answers(server, mine(pki)), scheme))
    off, accept, use = (True, False, "http"), (True, True, "http"), (True, True, "https")
    assert seen == [off, accept, use, (False, True, "https"), use, accept, off]
    assert {frozenset(config) for config in server.said} == {frozenset({"listen"})}, (
        "Patroni never opens its port anew"
    )


def test_who_is_not_known_is_not_let_in_where_that_is_required(
    pki: Directory, made: list[Rest], tmp_path: Path
) -> None:
    server = rest(pki, "require", made)
    stranger = Directory(tmp_path / "stranger", "/tls")
    stranger.init("marketplace", datetime.now(UTC))
    stranger.issue(CLIENT, datetime.now(UTC))
    theirs = mine(stranger)
    assert not answers(server, dataclasses.replace(theirs, authority_file=mine(pki).authority_file))
    assert not answers(server, dataclasses.replace(mine(pki), authority_file=theirs.authority_file))
    assert answers(server, mine(pki))


def test_files_that_are_no_good_end_the_start_and_nothing_else(
    pki: Directory, made: list[Rest]
) -> None:
    server = rest(pki, "off", made)
    good = pki.host_file(SERVER).read_text()
    pki.host_file(SERVER).write_text("no key")
    switch(server, pki, "accept")
    assert answers(server, None), "as before"
    with pytest.raises(OSError, match="PEM"):
        rest(pki, "require", made)
    pki.host_file(SERVER).write_text(good)
    switch(server, pki, "require")
    pki.host_file(SERVER).write_text("no key")
    assert answers(server, mine(pki)), "with the ones before"
