"""Another authority, and other keys for ZooKeeper, for a whole group that serves customers all the
while, as the pages say it (docs/operations/certificates.md, access.md): no pause, nothing lost, and
what was there before is believed by nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

import port_zookeeper as znodes
import pytest
from check_asked import fails_exactly
from drill import PAUSE_MOST_S, Customers, customers, state_of, wait_until
from kazoo.exceptions import NoAuthError
from port_audit import required_lab
from port_wire import client_context, talk
from whole_lab import make_whole

from failover.access import key_file
from failover.access_lists import names as key_names
from failover.clock import boottime_s
from failover.coordination.access_tree import apply, differences
from failover.coordination.connect import open_store
from failover.host_secrets import finish_key, keys_of_hosts, rotate_key
from failover.lab.certificates import certificate_files
from failover.lab.containers import HostFile, in_parallel
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.zookeeper_leader import drift_not_corrected, move_zookeeper_leader
from failover.model import SiteKind
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.policy import ZooKeeperServer
from failover.reference.ports import Can
from failover.transport import HOST_FILE
from failover.znode import GroupPaths

pytestmark = [pytest.mark.lab, pytest.mark.full]

# What has to be told that its files have changed, by the page's table; the others look themselves.
TOLD = {
    Role.DATABASE: "systemctl reload patroni",
    Role.PROXY: "systemctl reload haproxy",
}
SHOW_KEYS = {
    Role.DATABASE: ("failover-guard", "patroni"),
    Role.CONTROLLER: ("failover-controller",),
}
KEYS_PLACE = PurePosixPath("/etc/failover/secrets")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with required_lab() as found:
        make_whole(found)
        yield found


def test_another_authority_while_customers_are_served(closed: Lab, tmp_path: Path) -> None:
    pki = Directory(closed.directory / "pki", closed.policy.tls.directory)
    before = state_of(closed)
    old = _kept(closed, tmp_path)
    with customers(closed, before.active_site) as served:
        since_s = boottime_s()
        for change in _changes(closed, pki):
            change()
            _give_everybody(closed, pki)
            served.wait_served()
            fails_exactly(closed, set())
        _elect_anew(closed, served)
        assert served.pause_s(since_s) <= PAUSE_MOST_S
        report = served.report()
    assert not report.lost
    assert not report.problems
    after = state_of(closed)
    assert (after.epoch, after.active_site) == (before.epoch, before.active_site)
    _believed_by_nobody(closed, old)


def _changes(lab: Lab, pki: Directory) -> tuple[Callable[[], object], ...]:
    hosts = host_names(lab.policy)
    return (
        lambda: pki.begin_change(lab.policy.group, datetime.now(UTC)),
        lambda: pki.switch(hosts),
        lambda: pki.forget(hosts),
    )


def _give_everybody(lab: Lab, pki: Directory) -> None:
    for names in host_names(lab.policy):
        pki.issue(names, datetime.now(UTC))
    in_parallel(lambda host: _give(lab, host), lab.all_hosts)


def _give(lab: Lab, host: LabHost) -> None:
    """In one rename each, the service's own before it has its name."""
    files = list(certificate_files(lab.policy, host, lab.directory / "pki"))
    new = [HostFile(PurePosixPath(f"{each.path}.new"), each.data, each.mode) for each in files]
    lab.containers.put(host.name, new)
    renamed = " && ".join(
        f"chown {host.secrets_owner}: {each.path}.new && mv {each.path}.new {each.path}"
        for each in files
    )
    told = TOLD.get(host.role)
    lab.shell(host.name, renamed + (f" && {told}" if told else ""))


def _elect_anew(lab: Lab, served: Customers) -> None:
    """Between servers that have only the new authority: the quorum's ports took it too."""
    witness = next(site.name for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    with drift_not_corrected(lab, lab.policy):
        move_zookeeper_leader(lab, lab.policy, lab.policy.initial_site)
        move_zookeeper_leader(lab, lab.policy, witness)
    served.wait_served()


def _kept(lab: Lab, directory: Path) -> Path:
    """What a host proved itself with before."""
    (host,) = (each for each in lab.all_hosts if each.name == "jkt-ctl1")
    files = certificate_files(lab.policy, host, lab.directory / "pki")
    found = directory / HOST_FILE
    found.write_bytes(next(each.data for each in files if each.path.name == HOST_FILE))
    return found


def _believed_by_nobody(lab: Lab, old: Path) -> None:
    """At the doors that ask for a proof: every ZooKeeper server's."""

    def refused(server: ZooKeeperServer) -> bool:
        words = (str(server.address), server.client_port, b"srvr")
        return talk(*words, client_context(old)).refusal is Can.HANDSHAKE

    for server in lab.policy.zookeeper_servers:
        wait_until(f"{server.name} refuses", partial(refused, server))


def test_every_key_at_once_while_customers_are_served(closed: Lab) -> None:
    """As after a theft."""
    policy, made = closed.policy, closed.directory / "secrets"
    names = key_names(policy)
    stolen = {name: (made / key_file(name)).read_text(encoding="utf-8").strip() for name in names}
    before = state_of(closed)
    with customers(closed, before.active_site) as served:
        since_s = boottime_s()
        for change in (rotate_key, finish_key):
            for name in names:
                change(policy, made, name)
            _copy_keys(closed)
            with open_store(policy) as store:
                assert apply(policy, store)
                assert differences(policy, store) == ()
            served.wait_served()
            fails_exactly(closed, set())
        _elect_anew(closed, served)  # every session is opened again by somebody, with what he has
        assert served.pause_s(since_s) <= PAUSE_MOST_S
        report = served.report()
    assert not report.lost
    assert not report.problems
    after = state_of(closed)
    assert (after.epoch, after.active_site) == (before.epoch, before.active_site)
    for name, key in stolen.items():
        with znodes.client(policy, key) as thief, pytest.raises(NoAuthError):
            pytest.fail(f"{name} still reads: {thief.get(GroupPaths(policy.group).state)}")


def _copy_keys(lab: Lab) -> None:
    """To every host that shows some; over when each of its services has said that it has them."""
    since_unix_s = time.time()

    def give(place: PurePosixPath, sources: dict[str, str]) -> None:
        (host,) = (each for each in lab.all_hosts if each.name == place.name)
        made = lab.directory / "secrets"
        put = [
            HostFile(KEYS_PLACE / f"{name}.new", (made / source).read_bytes(), 0o600)
            for name, source in sources.items()
        ]
        lab.containers.put(host.name, put)
        lab.shell(
            host.name,
            " && ".join(
                f"chown {host.secrets_owner}: {KEYS_PLACE}/{name}.new && "
                f"mv {KEYS_PLACE}/{name}.new {KEYS_PLACE}/{name}"
                for name in sources
            ),
        )
        for unit in SHOW_KEYS[host.role]:
            said = (
                f"journalctl -u {unit} --since @{since_unix_s:.0f} | grep -c zookeeper_keys_changed"
            )
            wait_until(
                f"{unit} on {host.name} shows them",
                lambda said=said: lab.exec(host.name, ["sh", "-c", said]).code == 0,
            )

    for place, sources in keys_of_hosts(lab.policy):
        give(place, sources)
