"""TLS at the dialling end, with real sockets and a real authority: who is believed, and in time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from failover.coordination.session import OwnFilesUnusable, Server, SessionClient, serving
from failover.coordination.store import StoreUnavailable
from failover.pki.directory import Directory
from failover.sealed import break_off, context_of, dial
from failover.sites.one_answer import answer_to
from failover.transport import HostNames, Identity

LOOPBACK = ip_address("127.0.0.1")
SERVER = HostNames("jakarta", "jkt-zk1", LOOPBACK)
ELSEWHERE = HostNames("jakarta", "jkt-zk1", ip_address("10.77.1.21"))
CLIENT = HostNames("jakarta", "jkt-ctl1", ip_address("10.77.1.31"))
FOLLOWER = b"Mode: follower\n"
ELECTING = b"This ZooKeeper instance is not currently serving requests\n"


def authority(path: Path) -> Directory:
    found = Directory(path, "/tls")
    found.init("marketplace", datetime.now(UTC))
    for names in (SERVER, CLIENT):
        found.issue(names, datetime.now(UTC))
    return found


@pytest.fixture
def pki(tmp_path: Path) -> Directory:
    return authority(tmp_path / "pki")


def identity(pki: Directory, names: HostNames = CLIENT) -> Identity:
    return Identity(str(pki.host_file(names)), str(pki.authority_file(names)))


Serve = Callable[[ssl.SSLSocket], None]


def answering(answer: bytes) -> Serve:
    def serve(link: ssl.SSLSocket) -> None:
        if link.recv(4) == b"srvr":
            link.sendall(answer)

    return serve


def hang_up(link: ssl.SSLSocket) -> None:
    """Once something is said."""
    link.recv(1)


@contextmanager
def server(pki: Directory, serve: Serve) -> Iterator[int]:
    """Its port. It believes whom the authority vouches for, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.host_file(SERVER))
    context.load_verify_locations(pki.authority_file(SERVER))
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as link:
                serve(link)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextmanager
def mute() -> Iterator[int]:
    """It accepts and never says a word, as a frozen host does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_a_server_is_asked_inside_of_tls(pki: Directory, stack: ExitStack) -> None:
    port = stack.enter_context(server(pki, answering(FOLLOWER)))
    found = Server("127.0.0.1", port, identity(pki))
    assert serving([found], limit_s=60.0) == found
    assert asyncio.run(answer_to(b"srvr", LOOPBACK, port, identity(pki))) == FOLLOWER


def test_who_elects_or_is_mute_does_not_serve(pki: Directory, stack: ExitStack) -> None:
    electing = stack.enter_context(server(pki, answering(ELECTING)))
    good = stack.enter_context(server(pki, answering(FOLLOWER)))
    frozen = stack.enter_context(mute())
    servers = [Server("127.0.0.1", port, identity(pki)) for port in (frozen, electing, good)]
    assert serving(servers[:2], limit_s=0.5) is None
    assert serving([servers[0], servers[2]], limit_s=600.0) == servers[2]


def test_a_long_answer_comes_whole(pki: Directory, stack: ExitStack) -> None:
    said = b"x" * 300_000
    port = stack.enter_context(server(pki, answering(said)))
    assert asyncio.run(answer_to(b"srvr", LOOPBACK, port, identity(pki))) == said


def test_an_answer_without_end_is_not_kept(pki: Directory, stack: ExitStack) -> None:
    port = stack.enter_context(server(pki, answering(b"x" * 2_000_000)))
    with pytest.raises(ValueError, match="more than"):
        asyncio.run(answer_to(b"srvr", LOOPBACK, port, identity(pki)))


def test_strangers_are_not_believed_at_either_end(
    pki: Directory, stack: ExitStack, tmp_path: Path
) -> None:
    port = stack.enter_context(server(pki, answering(FOLLOWER)))
    stranger, mine = identity(authority(tmp_path / "other")), identity(pki)
    for wrong in (
        Identity(mine.host_file, stranger.authority_file),
        Identity(stranger.host_file, mine.authority_file),
    ):
        assert serving([Server("127.0.0.1", port, wrong)], limit_s=60.0) is None


def test_another_address_is_not_believed(pki: Directory, stack: ExitStack) -> None:
    pki.issue(ELSEWHERE, datetime.now(UTC))
    port = stack.enter_context(server(pki, answering(FOLLOWER)))
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        dial("127.0.0.1", port, identity(pki), 5.0)
    assert serving([Server("127.0.0.1", port, identity(pki))], limit_s=60.0) is None


def test_the_handshake_is_inside_of_the_limit(pki: Directory, stack: ExitStack) -> None:
    port = stack.enter_context(mute())
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        dial("127.0.0.1", port, identity(pki), 0.2)
    assert time.monotonic() - began_s < 30.0, "not without end"


def test_a_connection_that_is_broken_off_says_nothing_in_the_open(
    pki: Directory, stack: ExitStack
) -> None:
    port = stack.enter_context(server(pki, hang_up))
    link = dial("127.0.0.1", port, identity(pki), 5.0)
    break_off(link)
    assert isinstance(link, ssl.SSLSocket)
    assert link.version() is not None, "it is sealed still"
    with pytest.raises((BrokenPipeError, ssl.SSLError)):
        link.sendall(b"secret")
    link.close()


def test_renewed_files_are_used_and_others_are_not_read_again(pki: Directory) -> None:
    mine = identity(pki)
    before = context_of(mine)
    assert context_of(mine) is before
    pki.issue(CLIENT, datetime.now(UTC), renew=True)
    assert context_of(mine) is not before


def test_files_that_are_no_good_are_said_at_once(pki: Directory) -> None:
    missing = Identity("/nowhere/host.pem", "/nowhere/ca.pem")
    with pytest.raises(OwnFilesUnusable, match=r"cannot be used: .*/nowhere/host\.pem'$"):
        SessionClient([Server("127.0.0.1", 1, missing)], session_ms=6000, answer_limit_s=1.0)
    assert issubclass(OwnFilesUnusable, StoreUnavailable), "long-running processes try again"
    pki.host_file(CLIENT).write_text("nonsense")
    with pytest.raises(OwnFilesUnusable, match=r"cannot be used: .*host\.pem, .*ca\.pem\)$"):
        SessionClient([Server("127.0.0.1", 1, identity(pki))], session_ms=6000, answer_limit_s=1.0)


def test_an_ipv6_server_and_a_named_one() -> None:
    """kazoo takes the text apart again."""
    servers = [Server("fd00::1", 2181), Server("10.0.0.1", 2181), Server("zk1.toko.example", 2182)]
    client = SessionClient(servers, session_ms=6000, answer_limit_s=1.0)
    assert [tuple(each)[:2] for each in client.hosts] == [(s.address, s.port) for s in servers]


def test_a_renewal_that_is_no_good_leaves_the_one_before_in_force(pki: Directory) -> None:
    """A key that the service cannot read, copied everywhere: no guard that runs loses its lease."""
    own = identity(pki)
    before = context_of(own)
    Path(own.host_file).write_text("not a key")
    assert context_of(own) is before
    Path(own.host_file).unlink()
    assert context_of(own) is before
    pki.issue(CLIENT, datetime.now(UTC))
    assert context_of(own) is not before
