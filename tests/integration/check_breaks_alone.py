"""More assumptions, each with all the checks that it breaks: one alone wherever that can be.

Two that fail together are of one cause: who cuts the guard's session cuts Patroni's, which asks for
more; Patroni waits for a server that stands still; a slot stays only while Patroni stands still; a
command that is given another failover.yaml than the guards says that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from check_asked import asked_on
from check_breaks import HOST, Broken, healed, on_host, scoped
from drill import Roles

from failover.lab.lab import Lab
from failover.model import HostName

YAML = "/etc/failover/failover.yaml"
ZOO_CFG = "/etc/zookeeper/zoo.cfg"
SERVER = "jkt-zk1"


def zookeeper_says(line: str) -> Broken:
    """In zoo.cfg of one server. The last line of a kind wins."""
    again = "systemctl restart zookeeper"
    return on_host(
        f"cp -p {ZOO_CFG} /var/tmp/zoo.cfg && echo '{line}' >>{ZOO_CFG} && {again}",
        f"cp -p /var/tmp/zoo.cfg {ZOO_CFG} && {again}",
        host=SERVER,
    )


def asked_with(*edits: str, hosts: str = "") -> Broken:
    """The command is given another failover.yaml than everybody has; ``hosts``: lines of
    /etc/hosts beside it."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        where = asked_on(lab)
        kept = f"cp -p {YAML} /etc/hosts /var/tmp/"
        changed = " && ".join(f"sed -i '{edit}' {YAML}" for edit in edits)
        lab.shell(where, f"{kept} && {changed} && printf '%s' '{hosts}' >>/etc/hosts")
        try:
            yield
        finally:
            lab.shell(where, f"cp -p /var/tmp/failover.yaml {YAML}; cat /var/tmp/hosts >/etc/hosts")

    return broken


@contextmanager
def guard_of_another_lease(lab: Lab) -> Iterator[None]:
    """It was started with another failover.yaml, which was corrected since."""
    again = "systemctl restart failover-guard"
    lab.shell(
        HOST,
        f"cp -p {YAML} /var/tmp/yaml && sed -i 's/^lease: 6s/lease: 7s/' {YAML} && {again} && "
        f"cp -p /var/tmp/yaml {YAML}",
    )
    try:
        yield
    finally:
        lab.shell(HOST, again)


@healed
def no_controller_in_jakarta(lab: Lab) -> None:
    lab.faults.kill("jkt-ctl1", "controller", for_good=True)


@healed
def kernel_without_barrier(lab: Lab) -> None:
    lab.faults.no_barrier(HOST)


def standbys_standby(lab: Lab) -> HostName:
    """Nobody follows it."""
    roles = Roles.now(lab)
    hosts = lab.policy.clusters[0].at(roles.standby)
    return next(each.name for each in hosts if each.name != roles.standby_leader.name)


@healed
def server_silent(lab: Lab) -> None:
    """Every process of it stands still; Patroni waits for it, and answers nobody either."""
    lab.faults.stop(standbys_standby(lab), "postgres")


@healed
def no_wal(lab: Lab) -> None:
    leader = Roles.now(lab).standby_leader
    lab.faults.cut(standbys_standby(lab), leader.name, ports=(5432,))


@contextmanager
def slot_of_the_other_site(lab: Lab) -> Iterator[None]:
    """Patroni would drop it within a turn; it stands still meanwhile."""
    query = 'runuser -u postgres -- psql -h /run/postgresql -Xqc "SELECT {}" postgres'
    host = standbys_standby(lab)
    lab.faults.stop(host, "patroni")
    lab.shell(host, query.format("pg_create_physical_replication_slot('failover_jakarta', true)"))
    try:
        yield
    finally:
        lab.shell(host, query.format("pg_drop_replication_slot('failover_jakarta')"))
        lab.faults.heal()


@contextmanager
def follows_a_replica(lab: Lab) -> Iterator[None]:
    """Controllers would correct it at once: they only watch meanwhile."""
    replica = Roles.now(lab).replica
    follows = scoped(lambda d: d["standby_cluster"].update(host=str(replica.address)))
    with only_watched(lab), follows(lab):
        yield


@contextmanager
def only_watched(lab: Lab) -> Iterator[None]:
    _ordered(lab, "observe")
    try:
        yield
    finally:
        _ordered(lab, "auto", "--unproven")


def _ordered(lab: Lab, position: str, *options: str) -> None:
    words = ["failover", "automation", position, "--reason", "drill of the check", *options]
    ended = lab.exec(asked_on(lab), words, user="failover")
    assert ended.code == 0, ended.out


PAGES_OFF = (
    "runuser -u postgres -- psql -h /run/postgresql -Xq -c 'ALTER SYSTEM {} full_page_writes{}' "
    "-c 'SELECT pg_reload_conf()' postgres"
)
ENDPOINT = (
    "residency: {endpoints: [{name: archive, host: archive.toko.example, port: 22, "
    "purpose: backup}]}"
)

ALONE: dict[str, tuple[Broken, set[str]]] = {
    "guard-session": (
        zookeeper_says("maxSessionTimeout=5500"),
        {"guard-session", "patroni-session"},
    ),
    "controller-session": (zookeeper_says("minSessionTimeout=5000"), {"controller-session"}),
    "guard-lease": (guard_of_another_lease, {"guard-lease", "configuration"}),
    "controllers": (no_controller_in_jakarta, {"controllers"}),
    "acknowledgement-barrier": (kernel_without_barrier, {"acknowledgement-barrier"}),
    "postgresql-answers": (server_silent, {"postgresql-answers", "patroni-members"}),
    "replication-streaming": (no_wal, {"replication-streaming"}),
    "replication-slots": (slot_of_the_other_site, {"replication-slots", "patroni-members"}),
    "rewind-ready": (
        on_host(PAGES_OFF.format("SET", " = off"), PAGES_OFF.format("RESET", "")),
        {"rewind-ready"},
    ),
    "standby-upstream": (follows_a_replica, {"standby-upstream"}),
    "zookeeper-myid": (
        asked_with("s/myid: 1}/myid: x}/; s/myid: 2}/myid: 1}/; s/myid: x}/myid: 2}/"),
        {"zookeeper-myid", "configuration"},
    ),
    "endpoints": (
        asked_with(f"$ a {ENDPOINT}", hosts="8.8.8.8 archive.toko.example\n"),
        {"endpoints", "configuration"},
    ),
}
