"""TLS sessions that are taken up again, with real sockets: by whom, and for how long."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from failover import resumption
from failover.pki.directory import Directory
from failover.sites.one_answer import answer_to
from failover.transport import HostNames, Identity

LOOPBACK = ip_address("127.0.0.1")
SERVER = HostNames("jakarta", "jkt-db1", LOOPBACK)
CLIENT = HostNames("jakarta", "jkt-ctl1", ip_address("10.77.1.31"))


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


class Server:
    """Answers as Patroni does, and says to whom without a whole handshake."""

    def __init__(self, pki: Directory) -> None:
        self.start_anew(pki)
        self.mute = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def start_anew(self, pki: Directory) -> None:
        """What a restart or a renewal is to those who come: nothing from before is known."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pki.host_file(SERVER))
        self._context.load_verify_locations(pki.authority_file(SERVER))
        self._context.verify_mode = ssl.CERT_REQUIRED

    def close(self) -> None:
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as link:
                link.recv(1)
                if self.mute:
                    continue  # gone without a word
                link.sendall(b"resumed" if link.session_reused else b"whole")
                link.unwrap()


@pytest.fixture
def server(pki: Directory) -> Iterator[Server]:
    found = Server(pki)
    yield found
    found.close()


def ask(server: Server, asked_by: Identity, *, resumes: bool = True) -> str:
    async def answer() -> bytes:
        async with asyncio.timeout(60):
            return await answer_to(b"?", LOOPBACK, server.port, asked_by, resumes=resumes)

    return asyncio.run(answer()).decode()


def test_all_but_the_first_question_need_no_whole_handshake(pki: Directory, server: Server) -> None:
    assert [ask(server, identity(pki)) for _ in range(4)] == ["whole", *["resumed"] * 3]


def test_nothing_is_kept_for_who_takes_nothing_back(pki: Directory, server: Server) -> None:
    assert [ask(server, identity(pki), resumes=False) for _ in range(2)] == ["whole", "whole"]


def test_a_renewed_certificate_is_looked_at(pki: Directory, server: Server) -> None:
    ask(server, identity(pki))
    pki.issue(SERVER, datetime.now(UTC), renew=True)
    server.start_anew(pki)
    assert [ask(server, identity(pki)) for _ in range(2)] == ["whole", "resumed"]


def test_who_became_another_is_not_believed(pki: Directory, server: Server, tmp_path: Path) -> None:
    """The same address, and the certificate of another authority or of another host."""
    ask(server, identity(pki))
    server.start_anew(authority(tmp_path / "other"))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        ask(server, identity(pki))
    server.start_anew(pki)
    assert ask(server, identity(pki)) == "whole"
    pki.issue(HostNames("jakarta", "jkt-db1", ip_address("10.77.1.11")), datetime.now(UTC))
    server.start_anew(pki)
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        ask(server, identity(pki))


def test_an_authority_that_is_not_trusted_any_more_is_not_believed(
    pki: Directory, server: Server, tmp_path: Path
) -> None:
    """Its session is good still at the server, which has not been changed."""
    ask(server, identity(pki))
    assert ask(server, identity(pki)) == "resumed"
    stranger = identity(authority(tmp_path / "other"))
    Path(identity(pki).authority_file).write_bytes(Path(stranger.authority_file).read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        ask(server, identity(pki))


def test_another_identity_takes_up_nothing(pki: Directory, server: Server) -> None:
    ask(server, identity(pki))
    assert ask(server, identity(pki, SERVER)) == "whole"


def test_a_certificate_is_looked_at_again_in_time(
    pki: Directory, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(resumption, "boottime_s", lambda: now_s)
    ask(server, identity(pki))
    now_s += resumption.AGE_S_MAX / 2 + 1
    assert ask(server, identity(pki)) == "resumed"
    now_s += resumption.AGE_S_MAX / 2
    assert ask(server, identity(pki)) == "whole", "counted from the certificate, not the ticket"
    assert ask(server, identity(pki)) == "resumed"


def test_never_past_the_end_of_the_certificate(
    pki: Directory, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, left_s = 1000.0, 5.0
    monkeypatch.setattr(resumption, "boottime_s", lambda: now_s)
    monkeypatch.setattr(resumption, "_unix_s", lambda: ends_unix_s(pki) - left_s)
    ask(server, identity(pki))
    now_s += 4
    assert ask(server, identity(pki)) == "resumed"
    now_s += 2
    assert ask(server, identity(pki)) == "whole"


def ends_unix_s(pki: Directory) -> float:
    held = pki.held(SERVER)
    assert held is not None
    return held.certificate.not_valid_after_utc.timestamp()


def test_one_that_failed_is_not_tried_again(pki: Directory, server: Server) -> None:
    ask(server, identity(pki))
    server.mute = True
    assert ask(server, identity(pki)) == ""
    server.mute = False
    assert ask(server, identity(pki)) == "whole"
