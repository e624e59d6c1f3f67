"""`failover zookeeper status`, over real sockets: servers that serve, that do not, and none."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cli_world import POLICY
from click.testing import CliRunner

from failover.cli import zookeeper
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.policy import Policy
from failover.transport import TransportSecurity, Wire

FOLLOWER = "Zookeeper version: 3.9.3\nZxid: 0x200000001\nMode: follower\n"
LEADER = FOLLOWER.replace("follower", "leader")
NOT_SERVING = "This ZooKeeper instance is not currently serving requests"


@contextmanager
def server(answer: str) -> Iterator[int]:
    """The port of one that says this to ``srvr``."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            assert self.request.recv(4) == b"srvr"
            self.request.sendall(answer.encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def policy_at(ports: list[int]) -> Policy:
    """The lab's three servers, on this machine."""
    left = iter(ports)
    local = ip_address("127.0.0.1")
    sites = (
        replace(
            site,
            zookeeper=tuple(
                replace(one, address=local, client_port=next(left)) for one in site.zookeeper
            ),
        )
        for site in POLICY.sites
    )
    return replace(POLICY, sites=tuple(sites))


@pytest.mark.parametrize(
    ("answers", "modes", "code"),
    [
        ([FOLLOWER, FOLLOWER, LEADER], ["follower", "follower", "leader"], ExitCode.OK),
        ([FOLLOWER, None, LEADER], ["follower", "no_answer", "leader"], ExitCode.FINDINGS),
        (
            [NOT_SERVING, None, None],
            ["no_quorum", "no_answer", "no_answer"],
            ExitCode.UNREACHABLE,
        ),
    ],
    ids=["whole", "one lost", "no quorum"],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_every_server_is_asked_on_its_own(
    answers: list[str | None],
    modes: list[str],
    code: ExitCode,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        closed = 1  # nobody listens at tcpmux here
        ports = [closed if a is None else stack.enter_context(server(a)) for a in answers]
        monkeypatch.setattr(zookeeper, "load_policy", lambda: policy_at(ports))
        done = CliRunner().invoke(cli, ["zookeeper", "status", "-o", output])
    assert done.exit_code == code, done.output
    if output == "json":
        said = json.loads(done.stdout)
        assert (said["schema"], said["quorum"]) == (1, code is not ExitCode.UNREACHABLE)
        assert [one["mode"] for one in said["servers"]] == modes
        assert [bool(one["problem"]) for one in said["servers"]] == [
            m == "no_answer" for m in modes
        ]
        return
    names = [one.name for one in POLICY.zookeeper_servers]
    lines = [line for line in done.stdout.splitlines() if line.startswith(tuple(names))]
    assert [line.split()[0] for line in lines] == names
    assert [mode in line for mode, line in zip(modes, lines, strict=True)] == [True] * 3
    assert ("NO QUORUM" in done.stdout) is (code is ExitCode.UNREACHABLE)


@pytest.mark.parametrize("output", ["text", "json"])
def test_without_files_of_ones_own_nobody_is_said_to_be_silent(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = replace(POLICY, tls=TransportSecurity(zookeeper=Wire.REQUIRE))
    monkeypatch.setattr(zookeeper, "load_policy", lambda: sealed.with_tls_in(str(tmp_path)))
    done = CliRunner().invoke(cli, ["zookeeper", "status", "-o", output])
    assert done.exit_code == ExitCode.FORBIDDEN, done.output
    assert f"{tmp_path}/host.pem" in done.stderr
    assert done.stdout == ""
