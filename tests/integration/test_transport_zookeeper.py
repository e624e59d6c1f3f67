"""Three ZooKeeper servers from plain to TLS only, one by one, with the rendered files: who is one
position apart understands the other. Then who gets in, and renewal without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import re
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from example_config import example
from port_wire import client_context, talk
from single_container import lab_container

from failover.config import parse
from failover.coordination.connect import open_store
from failover.coordination.session import Server, serving
from failover.health.observation import NoAnswer, ZooKeeperMode, ZooKeeperSeen
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.policy import Policy, ZooKeeperServer
from failover.reference.ports import Can
from failover.render import render
from failover.sealed import dial
from failover.sites.zookeeper_status import ask_settings, ask_zookeeper
from failover.transport import Identity
from failover.znode import Committed, Create

pytestmark = pytest.mark.lab

START = """
mkdir -p /var/lib/zookeeper /etc/failover/tls
while true; do
    if test -e /put/ready; then sh /put/start >/proc/1/fd/1 2>&1; fi
    sleep 0.2
done
"""
WAIT_S = 60.0


@dataclass
class Member:
    name: str
    address: str
    container: Any
    myid: int = 0

    def put(self, files: dict[str, bytes]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, data in files.items():
                info = tarfile.TarInfo(path.lstrip("/"))
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
        assert self.container.put_archive("/", archive.getvalue())

    def restart(self) -> None:
        self.container.exec_run(["pkill", "java"])

    def log(self) -> str:
        return str(self.container.logs(tail=40).decode())


class Ensemble:
    """Three servers, each with files of its own position."""

    def __init__(self, members: list[Member], directory: Path) -> None:
        self.members = members
        self.pki = Directory(directory / "pki", "/etc/failover/tls")
        self.pki.init("marketplace", datetime.now(UTC))
        self.issue()

    def policy(self, mode: str) -> Policy:
        """As this machine sees it: it proves itself as the first controller."""
        policy = self.on_hosts(mode)
        here = next(n for n in host_names(policy) if n.host == "jkt-ctl1")
        return policy.with_tls_in(str(self.pki.host_file(here).parent))

    def on_hosts(self, mode: str) -> Policy:
        policy = parse(example(zookeeper=mode))
        where = {member.name: ip_address(member.address) for member in self.members}
        sites = [
            dataclasses.replace(
                site,
                zookeeper=tuple(
                    dataclasses.replace(s, address=where[s.name]) for s in site.zookeeper
                ),
            )
            for site in policy.sites
        ]
        return dataclasses.replace(policy, sites=tuple(sites))

    def issue(self) -> None:
        for names in host_names(self.on_hosts("off")):
            self.pki.issue(names, datetime.now(UTC))

    def give(self, member: Member, mode: str) -> None:
        """Its files at one position; they count from its next start."""
        policy = self.on_hosts(mode)
        server = next(s for s in policy.zookeeper_servers if s.name == member.name)
        tree, host = render(policy), PurePosixPath(server.site, server.name)
        unit = tree[host / "etc/systemd/system/zookeeper.service"].replace("\\\n", "")
        command = re.search("^ExecStart=(.*)$", unit, re.M)
        assert command is not None
        member.put(
            {
                "/etc/zookeeper/zoo.cfg": tree[host / "etc/zookeeper/zoo.cfg"].encode(),
                "/var/lib/zookeeper/myid": tree[host / "etc/zookeeper/myid"].encode(),
                **self.proofs(member),
                "/put/start": command[1].encode(),
                "/put/ready": b"",
            }
        )

    def proofs(self, member: Member) -> dict[str, bytes]:
        names = next(n for n in host_names(self.on_hosts("off")) if n.host == member.name)
        files = (self.pki.host_file(names), self.pki.authority_file(names))
        return {f"/etc/failover/tls/{path.name}": path.read_bytes() for path in files}

    def wait_whole(self, modes: dict[str, str]) -> None:
        """Every server serves, each asked by a client of its own position; there is one leader."""
        until = time.monotonic() + WAIT_S
        seen: list[ZooKeeperSeen | NoAnswer] = []
        while time.monotonic() < until:
            seen = [ask(self.server(name, mode)) for name, mode in modes.items()]
            found = [s.mode for s in seen if isinstance(s, ZooKeeperSeen)]
            followers = found.count(ZooKeeperMode.FOLLOWER)
            if followers == 2 and found.count(ZooKeeperMode.LEADER) == 1:
                return
            time.sleep(0.2)
        logs = "\n".join(f"== {member.name}\n{member.log()}" for member in self.members)
        raise AssertionError(f"{modes}: {seen}\n{logs}")

    def server(self, name: str, mode: str) -> ZooKeeperServer:
        return next(s for s in self.policy(mode).zookeeper_servers if s.name == name)


def ask(server: ZooKeeperServer) -> ZooKeeperSeen | NoAnswer:
    return asyncio.run(ask_zookeeper(server, 2.0))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with contextlib.ExitStack() as stack:
        members = []
        for name in ("jkt-zk1", "mks-zk1", "sby-zk1"):
            container, address = stack.enter_context(lab_container(["sh", "-c", START]))
            members.append(Member(name, address, container))
        yield Ensemble(members, tmp_path_factory.mktemp("ensemble"))


def write(policy: Policy, path: str) -> None:
    with open_store(policy, 20.0) as store:
        assert isinstance(store.commit((Create(path, b"x"),)), Committed)
        assert store.read(path) is not None


def test_from_plain_to_tls_only_one_server_after_the_other(ensemble: Ensemble) -> None:
    modes = {member.name: "off" for member in ensemble.members}
    for member in ensemble.members:
        ensemble.give(member, "off")
    ensemble.wait_whole(modes)
    for before, after in (("off", "accept"), ("accept", "use"), ("use", "require")):
        for member in ensemble.members:
            modes[member.name] = after
            ensemble.give(member, after)
            member.restart()
            ensemble.wait_whole(modes)
            for clients in (
                before,
                after,
            ):  # also those that have not heard of it, and have already
                write(ensemble.policy(clients), f"/{member.name}-{after}-{clients}")


# --------------------------------------------------------------------------- all TLS from here on


@pytest.fixture
def sealed(ensemble: Ensemble) -> Ensemble:
    """Where the test above did not run, or not to its end."""
    modes = {member.name: "require" for member in ensemble.members}
    try:
        ensemble.wait_whole(modes)
    except AssertionError:
        for member in ensemble.members:
            ensemble.give(member, "require")
            member.restart()
        ensemble.wait_whole(modes)
    return ensemble


def test_nobody_gets_in_without_a_certificate_of_the_authority(
    sealed: Ensemble, tmp_path: Path
) -> None:
    server = sealed.server("jkt-zk1", "require")
    assert isinstance(ask(server), ZooKeeperSeen)
    assert isinstance(asyncio.run(ask_settings(server, 2.0)), dict)
    assert isinstance(ask(dataclasses.replace(server, identity=None)), NoAnswer)
    stranger = Directory(tmp_path / "stranger", "/tls")
    stranger.init("marketplace", datetime.now(UTC))
    names = host_names(sealed.on_hosts("require"))[0]
    stranger.issue(names, datetime.now(UTC))
    assert server.identity is not None
    believed = Identity(str(stranger.host_file(names)), server.identity.authority_file)
    assert isinstance(ask(dataclasses.replace(server, identity=believed)), NoAnswer)
    believing = Identity(server.identity.host_file, str(stranger.authority_file(names)))
    answer = ask(dataclasses.replace(server, identity=believing))
    assert isinstance(answer, NoAnswer)
    assert "certificate verify failed" in answer.detail


def test_the_servers_believe_nobody_at_an_address_that_is_not_in_his_certificate(
    sealed: Ensemble,
) -> None:
    policy = sealed.on_hosts("require")
    controller = next(n for n in host_names(policy) if n.host == "jkt-ctl1")
    proof = client_context(sealed.pki.host_file(controller))
    for server in policy.zookeeper_servers:
        heard = talk(str(server.address), 3888, b"", proof)
        assert heard.refusal is Can.HANDSHAKE
    sealed.wait_whole({member.name: "require" for member in sealed.members})


def test_who_says_nothing_holds_up_an_election_no_longer_than_without_tls(sealed: Ensemble) -> None:
    server = sealed.on_hosts("require").zookeeper_servers[0]
    proof = client_context(sealed.pki.host_file(host_names(sealed.on_hosts("require"))[0]))
    with socket.create_connection((str(server.address), 3888), 3.0):
        began_s = time.monotonic()
        assert talk(str(server.address), 3888, b"", proof, 10.0).closed
        assert time.monotonic() - began_s < 4.0, (
            "ZooKeeper's own limit is 5 s; 1.5 s, and a busy machine"
        )


def test_the_guards_question_and_its_connection_are_in_time(sealed: Ensemble) -> None:
    servers = [
        Server(str(s.address), s.client_port, s.identity)
        for s in sealed.policy("require").zookeeper_servers
    ]
    wait_for(lambda: serving(servers) is not None)
    sealed.members[0].container.pause()
    try:
        wait_for(lambda: serving(servers) in servers[1:])
        began_s = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            dial(servers[0].address, servers[0].port, servers[0].identity, 1.0)
        assert time.monotonic() - began_s < 3.0, "a second, and a busy machine"
    finally:
        sealed.members[0].container.unpause()
    sealed.wait_whole({member.name: "require" for member in sealed.members})


def test_followers_leave_a_silent_leader_at_once(sealed: Ensemble) -> None:
    """Closing the connection to it does not wait for its word, `syncLimit` long, 1.5 s."""
    leader = next(m for m in sealed.members if leads(sealed.server(m.name, "require")))
    began = datetime.now(UTC)
    leader.container.pause()
    try:
        took = [seconds_to_leave(m, began) for m in sealed.members if m is not leader]
    finally:
        leader.container.unpause()
    assert min(took) < 1.0, took
    sealed.wait_whole({member.name: "require" for member in sealed.members})


def leads(server: ZooKeeperServer) -> bool:
    seen = ask(server)
    return isinstance(seen, ZooKeeperSeen) and seen.mode is ZooKeeperMode.LEADER


def seconds_to_leave(follower: Member, began: datetime) -> float:
    """From giving its leader up to looking for another, by its log."""

    def said(what: str) -> float | None:
        log = follower.container.logs(since=began, timestamps=True).decode()
        line = re.search(rf"^(\S+?)Z .*{what}", log, re.M)
        return None if line is None else datetime.fromisoformat(line[1][:26]).timestamp()

    wait_for(lambda: said("PeerState set to LOOKING") is not None)
    gave_up_s, looks_s = said("Exception when following the leader"), said("PeerState set to")
    assert gave_up_s is not None
    assert looks_s is not None
    return looks_s - gave_up_s


def test_a_renewed_certificate_is_served_without_a_restart(sealed: Ensemble) -> None:
    server = sealed.server("mks-zk1", "require")
    before = shown(server)
    names = next(n for n in host_names(sealed.on_hosts("require")) if n.host == "mks-zk1")
    sealed.pki.issue(names, datetime.now(UTC), renew=True)
    sealed.members[1].put(sealed.proofs(sealed.members[1]))
    wait_for(lambda: shown(server) != before)
    sealed.wait_whole({member.name: "require" for member in sealed.members})


def shown(server: ZooKeeperServer) -> bytes:
    with dial(str(server.address), server.client_port, server.identity, 3.0) as link:
        return bytes(link.getpeercert(binary_form=True))  # type: ignore[attr-defined]


def wait_for(so: Callable[[], bool], limit_s: float = WAIT_S) -> None:
    until = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < until
        time.sleep(0.1)
