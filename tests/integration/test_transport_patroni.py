"""Two real Patronis from plain REST to TLS only and back, one after the other, by reloads of the
rendered files. Who gets in; renewal without a reload; files that are no good."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import itertools
import socket
import ssl
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from example_config import example
from single_container import lab_container, zookeeper_container

from failover import resumption
from failover.config import parse
from failover.health.observation import NoAnswer, PatroniSeen
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.policy import DatabaseHost, Policy
from failover.render import render
from failover.sealed import context_of, dial
from failover.sites.certificates import ask_certificates
from failover.sites.patroni import MemberSeen, Ordered, _order, ask_member, ask_members, ask_patroni
from failover.transport import HostNames, Identity

pytestmark = pytest.mark.lab

PASSWORD = "told-to-nobody"
VARIABLES = " ".join(
    f"PATRONI_{who}_PASSWORD={PASSWORD}"
    for who in ("SUPERUSER", "REPLICATION", "REWIND", "RESTAPI")
)
START = f"""
install -d -o postgres -m 0700 /run/patroni
install -d -o postgres /run/postgresql
install -d -o postgres -m 0700 /var/lib/postgresql/17
mkdir -p /etc/failover/tls /etc/patroni
while true; do
    if test -e /put/ready; then
        setpriv --reuid=postgres --regid=postgres --clear-groups env {VARIABLES} LC_ALL=C \
            /usr/bin/failover guard patroni /etc/patroni/patroni.yml 2>&1
    fi
    sleep 0.2
done
"""
SOURCE = {str(Path("failover").resolve()): {"bind": "/opt/failover/src/failover", "mode": "ro"}}
WAIT_S = 60.0
STEPS = ("off", "accept", "use", "require")


@dataclass
class Member:
    name: str
    address: str
    container: Any
    mode: str = "off"

    def put(self, files: dict[str, tuple[bytes, int]]) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, (data, mode) in files.items():
                info = tarfile.TarInfo(path.lstrip("/"))
                info.size, info.mode = len(data), mode
                tar.addfile(info, io.BytesIO(data))
        assert self.container.put_archive("/", archive.getvalue())

    def run(self, command: str) -> str:
        code, output = self.container.exec_run(["sh", "-c", command])
        assert code == 0, output.decode() + self.log()
        return str(output.decode())

    def reload(self) -> None:
        self.run("pkill -HUP -f '[g]uard patroni'")

    def log(self) -> str:
        return str(self.container.logs(tail=15).decode())


class Pair:
    """Two members of one scope, each with files of its own position."""

    def __init__(self, members: list[Member], zookeeper: str, directory: Path) -> None:
        self.members = members
        self.zookeeper = zookeeper
        self.pki = Directory(directory / "pki", "/etc/failover/tls")
        self.pki.init("marketplace", datetime.now(UTC))
        self.issue()

    def on_hosts(self, mode: str) -> Policy:
        policy = parse(example(patroni=mode))
        where = {member.name: ip_address(member.address) for member in self.members}
        clusters = [
            dataclasses.replace(
                cluster,
                hosts=tuple(
                    dataclasses.replace(h, address=where.get(h.name, h.address))
                    for h in cluster.hosts
                ),
            )
            for cluster in policy.clusters
        ]
        return dataclasses.replace(policy, clusters=tuple(clusters))

    def names(self, host: str) -> HostNames:
        return next(n for n in host_names(self.on_hosts("off")) if n.host == host)

    def issue(self, **more: Any) -> None:
        for member in ("jkt-db1", "jkt-db2", "jkt-ctl1"):
            self.pki.issue(self.names(member), datetime.now(UTC), **more)

    def host(self, member: Member, mode: str) -> DatabaseHost:
        """As the first controller dials it."""
        return self.dialled(mode).host(member.name)  # type: ignore[arg-type]

    def dialled(self, mode: str) -> Policy:
        mine = self.pki.host_file(self.names("jkt-ctl1")).parent
        return self.on_hosts(mode).with_tls_in(str(mine))

    def proofs(self, member: Member) -> dict[str, tuple[bytes, int]]:
        files = (
            self.pki.host_file(self.names(member.name)),
            self.pki.authority_file(self.names(member.name)),
        )
        return {f"/put/{path.name}": (path.read_bytes(), 0o644) for path in files}

    def renew(self, member: Member) -> None:
        """What the runbook says: each file in one rename, readable by the service alone."""
        member.put(self.proofs(member))
        member.run(
            "cd /etc/failover/tls && install -o postgres -m 0600 /put/host.pem host.pem.new"
            " && mv host.pem.new host.pem && install -m 0644 /put/ca.pem ca.pem.new"
            " && mv ca.pem.new ca.pem"
        )

    def give(self, member: Member, mode: str) -> None:
        path = PurePosixPath("jakarta", member.name, "etc/patroni/patroni.yml")
        document = yaml.safe_load(render(self.on_hosts(mode))[path])
        document["zookeeper"]["hosts"] = [f"{self.zookeeper}:2181"]
        del document["bootstrap"]["post_bootstrap"]
        for barrier in ("bin_name", "pre_promote"):  # there is no guard here
            del document["postgresql"][barrier]
        member.put({"/etc/patroni/patroni.yml": (yaml.safe_dump(document).encode(), 0o644)})
        member.mode = mode

    def start(self, member: Member) -> None:
        self.renew(member)
        self.give(member, "off")
        member.put({"/put/ready": (b"", 0o644)})

    def switch(self, member: Member, mode: str) -> None:
        """By a reload, and only that; waits until it counts."""
        self.give(member, mode)
        member.reload()
        tells = "https" if self.on_hosts(mode).tls.patroni.dialled else "http"
        wait_for(lambda: f'"{tells}://{member.address}:8008/patroni"' in self.znode(member), member)

    def znode(self, member: Member) -> str:
        query = (
            "from kazoo.client import KazooClient as K\n"
            f"k = K('{self.zookeeper}:2181'); k.start()\n"
            f"print(k.get('/service/marketplace-jakarta/members/{member.name}')[0].decode())\n"
            "k.stop()"
        )
        code, output = member.container.exec_run(["/opt/failover/venv/bin/python", "-c", query])
        return str(output.decode()) if code == 0 else ""

    def switchover(self) -> None:
        """By patronictl, which orders it of the leader, which asks the candidate."""
        leader, candidate = self.leader()
        said = candidate.run(
            f"{VARIABLES} patronictl -c /etc/patroni/patroni.yml"
            f" switchover --leader {leader.name} --candidate {candidate.name} --force"
        )
        # What counts is who leads. Patroni reads the leader, then the order: it calls one failed
        # that was carried out between the two (503, seen once).
        print(said)
        wait_for(lambda: self.leader_or_none() == (candidate, leader), candidate)

    def leader(self) -> tuple[Member, Member]:
        found: list[tuple[Member, Member]] = []  # the next look may see a receiver reconnect

        def looks() -> bool:
            found.extend(pair for pair in (self.leader_or_none(),) if pair is not None)
            return bool(found)

        wait_for(looks, *self.members)
        return found[0]

    def leader_or_none(self) -> tuple[Member, Member] | None:
        """With the other one, which follows it."""
        one, other = self.members
        for first, second in ((one, other), (other, one)):
            seen = [asyncio.run(ask_member(self.host(m, m.mode))) for m in (first, second)]
            found = [(s.role, s.streams) for s in seen if isinstance(s, MemberSeen)]
            if found == [("primary", False), ("replica", True)]:
                return first, second
        return None


def ask(host: DatabaseHost) -> PatroniSeen | NoAnswer:
    return asyncio.run(ask_patroni(host, 5.0))


def order(host: DatabaseHost, password: str = PASSWORD) -> Ordered | NoAnswer:
    return asyncio.run(_order(host, "reload", {}, password))


def takes_orders(host: DatabaseHost) -> bool:
    answer = order(host)
    return isinstance(answer, Ordered) and answer.accepted


def wait_for(so: Callable[[], bool], *members: Member, limit_s: float = WAIT_S) -> None:
    until = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < until, "\n".join(m.name + "\n" + m.log() for m in members)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        zookeeper = stack.enter_context(zookeeper_container())
        members = []
        for name in ("jkt-db1", "jkt-db2"):
            opened = lab_container(["sh", "-c", START], SOURCE)
            container, address = stack.enter_context(opened)
            members.append(Member(name, address, container))
        found = Pair(members, zookeeper.address, tmp_path_factory.mktemp("pair"))
        for member in members:
            found.start(member)
        found.leader()
        yield found


def test_from_plain_to_tls_only_one_host_after_the_other(pair: Pair) -> None:
    for before, after in itertools.pairwise(STEPS):
        for member in pair.members:
            pair.switch(member, after)
            for clients in (before, after):
                host = pair.host(member, clients)
                assert isinstance(ask(host), PatroniSeen), member.log()
                assert takes_orders(host)
            pair.switchover()  # also while the two are a position apart


# --------------------------------------------------------------------------- all TLS from here on


@pytest.fixture
def sealed(pair: Pair) -> Pair:
    """Where the test above did not run, or not to its end."""
    for member in pair.members:
        for mode in STEPS[STEPS.index(member.mode) + 1 :]:
            pair.switch(member, mode)
    return pair


def test_nobody_gets_in_without_a_certificate_of_the_authority(
    sealed: Pair, tmp_path: Path
) -> None:
    host = sealed.host(sealed.members[0], "require")
    assert isinstance(ask(host), PatroniSeen)
    assert set(asyncio.run(ask_members(host))) == {"jkt-db1", "jkt-db2"}  # type: ignore[arg-type]
    assert isinstance(ask(dataclasses.replace(host, patroni_identity=None)), NoAnswer)
    stranger = Directory(tmp_path / "stranger", "/tls")
    stranger.init("marketplace", datetime.now(UTC))
    names = sealed.names("jkt-ctl1")
    stranger.issue(names, datetime.now(UTC))
    mine = host.patroni_identity
    assert mine is not None
    believed = Identity(str(stranger.host_file(names)), mine.authority_file)
    for wrong in (None, believed):
        strange = dataclasses.replace(host, patroni_identity=wrong)
        assert isinstance(ask(strange), NoAnswer)
        assert isinstance(order(strange), NoAnswer)
    believing = Identity(mine.host_file, str(stranger.authority_file(names)))
    answer = ask(dataclasses.replace(host, patroni_identity=believing))
    assert isinstance(answer, NoAnswer)
    assert "certificate verify failed" in answer.detail


def test_who_asks_again_and_again_takes_the_session_up(sealed: Pair) -> None:
    host = sealed.host(sealed.members[0], "require")
    assert isinstance(ask(host), PatroniSeen)
    assert host.patroni_identity is not None
    context, address = context_of(host.patroni_identity), str(host.address)
    kept = resumption.take(context, address, host.patroni_port)
    assert kept is not None
    plain = socket.create_connection((address, host.patroni_port), 5.0)
    with context.wrap_socket(plain, server_hostname=address, session=kept.session) as link:
        assert link.session_reused
    assert isinstance(ask(host), PatroniSeen)


def test_a_certificate_alone_gives_no_orders(sealed: Pair) -> None:
    answer = order(sealed.host(sealed.members[0], "require"), password="a guess")
    assert isinstance(answer, Ordered)
    assert (answer.accepted, answer.text) == (False, "not authenticated")


def test_the_check_sees_what_is_shown(sealed: Pair) -> None:
    policy = sealed.dialled("require")
    near = [m.name for m in sealed.members]
    found = [c for c in asyncio.run(ask_certificates(policy, 3.0)) if c.host in near]
    assert [(c.host, c.wire, c.problem) for c in found] == [(name, "patroni", "") for name in near]


def test_certificate_and_authority_change_without_a_reload(sealed: Pair) -> None:
    now = datetime.now(UTC)
    hosts = tuple(sealed.names(name) for name in ("jkt-db1", "jkt-db2", "jkt-ctl1"))
    seen = {shown(sealed, member) for member in sealed.members}
    for change in (
        lambda: sealed.pki.begin_change("marketplace", now),
        lambda: sealed.pki.switch(hosts),
        lambda: sealed.pki.forget(hosts),
    ):
        change()
        sealed.issue()
        for member in sealed.members:
            sealed.renew(member)
            assert all(takes_orders(sealed.host(m, "require")) for m in sealed.members)
        seen |= {shown(sealed, member) for member in sealed.members}
    assert len(seen) == 4, "one new certificate for each, by the new authority"
    sealed.switchover()


def shown(pair: Pair, member: Member) -> bytes:
    with dial(member.address, 8008, pair.host(member, "require").patroni_identity, 3.0) as link:
        assert isinstance(link, ssl.SSLSocket)
        return link.getpeercert(binary_form=True) or b""


def test_a_file_that_is_no_good_closes_nothing(sealed: Pair) -> None:
    """Patroni's own closes its port, and at the next reload its main loop waits without end."""
    member = sealed.members[0]
    host = sealed.host(member, "require")
    before = shown(sealed, member)
    member.run("cd /etc/failover/tls && echo no key > x && mv x host.pem")
    for _ in range(2):
        assert takes_orders(host), "an order to reload"
        member.reload()
        assert isinstance(ask(host), PatroniSeen)
    assert shown(sealed, member) == before
    sealed.renew(member)
    sealed.switchover()


def test_mute_clients_hold_nobody_up_for_long(sealed: Pair) -> None:
    """Patroni has five threads for all who ask."""
    member = sealed.members[0]
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(socket.create_connection((member.address, 8008), 5))
        host = sealed.host(member, "require")
        wait_for(lambda: isinstance(ask(host), PatroniSeen), member, limit_s=30.0)


def test_back_to_plain_one_host_after_the_other(sealed: Pair) -> None:
    back = STEPS[::-1]
    for before, after in itertools.pairwise(back):
        for member in sealed.members:
            sealed.switch(member, after)
            for clients in (before, after):
                assert takes_orders(sealed.host(member, clients)), member.log()
    sealed.switchover()
