"""Each assumption of `failover check`, broken on the lab, and undone.

``TOGETHER`` and ``APART`` can be broken all at once: each fails its check alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from drill import Roles, sql

from failover.coordination.connect import open_store
from failover.lab.lab import Lab
from failover.model import SiteName
from failover.znode import Committed, ScopePaths, Set

HOST = "mks-db2"  # a standby's standby: what is broken there harms nobody
BARRIERS = "/usr/lib/failover/barrier"
DATA = "/var/lib/postgresql/17/marketplace"
HBA = f"{DATA}/pg_hba.conf"
REQUIRED = "/etc/systemd/system/patroni.service.requires"

Broken = Callable[[Lab], Any]  # a context manager


def scoped(change: Callable[[dict[str, Any]], object]) -> Broken:
    """The dynamic configuration of the standby scope."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        document = _configuration(lab)
        before = json.dumps(document)
        change(document)
        _configure(lab, json.dumps(document))
        try:
            yield
        finally:
            _configure(lab, before)

    return broken


def _scope(lab: Lab) -> ScopePaths:
    (cluster,) = lab.policy.clusters
    return ScopePaths(lab.policy.patroni_namespace, cluster.scope(SiteName("makassar")))


def _configuration(lab: Lab) -> dict[str, Any]:
    with open_store(lab.policy) as store:
        found = store.read(_scope(lab).config)
    assert found is not None
    document: dict[str, Any] = json.loads(found.data)
    return document


def _configure(lab: Lab, text: str) -> None:
    path = _scope(lab).config
    with open_store(lab.policy) as store:
        found = store.read(path)
        assert found is not None
        assert isinstance(store.commit((Set(path, text.encode(), found.version),)), Committed)


def at_primary(database: str, do: str, undo: str) -> Broken:
    """As the superuser, in one database of the primary."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        host = Roles.now(lab).primary.name
        _psql(lab, host, database, do)
        try:
            yield
        finally:
            _psql(lab, host, database, undo)

    return broken


def _psql(lab: Lab, host: str, database: str, statements: str) -> None:
    script = (
        f"psql -h /run/postgresql -d {database} -Xq -v ON_ERROR_STOP=1 <<'END'\n{statements}\nEND"
    )
    lab.shell(host, script, user="postgres")


def on_host(do: str, undo: str, host: str = HOST) -> Broken:
    """As root, by the shell."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        lab.shell(host, do)
        try:
            yield
        finally:
            lab.shell(host, undo)

    return broken


def moved(path: str) -> Broken:
    return on_host(f"mv {path} {path}.away", f"mv {path}.away {path}")


def edited(path: str, edit: str) -> Broken:
    """And as it was again, its times too."""
    return on_host(
        f"cp -p {path} /var/tmp/check-kept && {edit} {path}",
        f"cp -p /var/tmp/check-kept {path}",
    )


def appended(path: str, line: str) -> Broken:
    return edited(path, f"printf '%s\\n' '{line}' >>")


def healed(fault: Callable[[Lab], object]) -> Broken:
    """By one of the lab's faults, which is undone."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        fault(lab)
        try:
            yield
        finally:
            lab.faults.heal()

    return broken


@healed
def guard_unheard(lab: Lab) -> None:
    for site in lab.policy.sites:
        lab.faults.cut(site.controller.name, HOST, ports=(8009,))


@healed
def server_frozen(lab: Lab) -> None:
    lab.faults.freeze("mks-zk1")


@healed
def patroni_stands_still(lab: Lab) -> None:
    """Stopped by systemd it would take its server along."""
    lab.faults.stop(HOST, "patroni")


@contextmanager
def recorded_collation(lab: Lab) -> Iterator[None]:
    """What an upgrade of the library does, from the other end: another version is on record."""
    host = Roles.now(lab).primary.name
    before = sql(
        lab,
        host,
        "SELECT quote_nullable(datcollversion) FROM pg_database WHERE datname = 'template1'",
    )
    _psql(lab, host, "postgres", _RECORD.format("'0'"))
    try:
        yield
    finally:
        _psql(lab, host, "postgres", _RECORD.format(before.strip()))


_RECORD = "UPDATE pg_database SET datcollversion = {} WHERE datname = 'template1';"


@contextmanager
def extension_without_files(lab: Lab) -> Iterator[None]:
    control = "/usr/share/postgresql/17/extension/pg_trgm.control"
    use = at_primary("postgres", "CREATE EXTENSION pg_trgm;", "DROP EXTENSION pg_trgm;")
    with use(lab), moved(control)(lab):
        yield


# Broken all at once in the shorter suite: each by itself fails one check, and all of them these.
TOGETHER: dict[str, Broken] = {
    "patroni-lease": scoped(lambda d: d.update(loop_wait=2)),
    "patroni-timeouts": scoped(lambda d: d.update(primary_stop_timeout=7)),
    "patroni-lag": scoped(lambda d: d.update(maximum_lag_on_failover=1)),
    "patroni-failsafe": scoped(lambda d: d.update(failsafe_mode=True)),
    "patroni-synchronous": scoped(lambda d: d.update(synchronous_mode=True)),
    "patroni-rewind": scoped(lambda d: d["postgresql"].update(use_pg_rewind=False)),
    "patroni-slots": scoped(
        lambda d: d["slots"].update(left={"type": "physical", "cluster_type": "primary"})
    ),
    "patroni-parameters": scoped(
        lambda d: d["postgresql"]["parameters"].update(log_line_prefix="%m ")
    ),
    "patroni-pause": scoped(lambda d: d.update(pause=True)),
    "patroni-file": edited(
        "/etc/patroni/patroni.yml", "sed -i 's/use_unix_socket_repl: true/use_unix_socket_repl: "
        "false/'"
    ),
    "permit-hook": moved(f"{BARRIERS}/pre_promote"),
    "start-barrier": on_host(  # something that runs, and is not the barrier
        f"mv {BARRIERS}/pg_rewind /var/tmp/pg_rewind && "
        f"printf '#!/bin/sh\\nexec /var/tmp/pg_rewind \"$@\"\\n' >{BARRIERS}/pg_rewind && "
        f"chmod 755 {BARRIERS}/pg_rewind",
        f"mv /var/tmp/pg_rewind {BARRIERS}/pg_rewind",
    ),
    "barrier-door": moved("/run/failover/guard-marketplace.sock"),
    "rendered-files": on_host(
        "cp -p /etc/failover/residency.nft /var/tmp/nft && echo '# by hand' "
        ">>/etc/failover/residency.nft",
        "cp -p /var/tmp/nft /etc/failover/residency.nft",
    ),
    "egress-rules": on_host(  # enabled, and gone from the kernel as by another firewall's reload
        f"mkdir {REQUIRED} && ln -s ../failover-residency.service {REQUIRED}/",
        f"rm -r {REQUIRED}",
    ),
    "writable-places": on_host(  # as a tablespace elsewhere; PostgreSQL looks there when it starts
        f"ln -s /usr {DATA}/pg_tblspc/4294967295",
        f"rm {DATA}/pg_tblspc/4294967295",
    ),
    "configuration": on_host(
        "cp -p /etc/failover/failover.yaml /var/tmp/yaml && echo '# by hand' "
        ">>/etc/failover/failover.yaml",
        "cp -p /var/tmp/yaml /etc/failover/failover.yaml",
    ),
    "postgresql-settings": on_host(
        "runuser -u postgres -- psql -h /run/postgresql -Xqc \"ALTER SYSTEM SET "
        "wal_sender_timeout = '60s'\" "
        '-c "SELECT pg_reload_conf()" postgres',
        "runuser -u postgres -- psql -h /run/postgresql -Xqc 'ALTER SYSTEM RESET "
        "wal_sender_timeout' "
        "-c 'SELECT pg_reload_conf()' postgres",
    ),
    "collations": recorded_collation,
    "extensions": extension_without_files,
    "dead-peers": at_primary(
        "postgres",
        "ALTER SYSTEM SET tcp_user_timeout = 0;\nSELECT pg_reload_conf();",
        "ALTER SYSTEM SET tcp_user_timeout = '10s';\nSELECT pg_reload_conf();",
    ),
    "observer-privileges": at_primary(
        "marketplace",
        "CREATE TABLE check_drill (id int);\nGRANT SELECT ON check_drill TO failover_observer;",
        "DROP TABLE check_drill;",
    ),
    "role-privileges": at_primary(
        "postgres", "ALTER ROLE rewinder CREATEDB;", "ALTER ROLE rewinder NOCREATEDB;"
    ),
    "narrow-functions": at_primary(
        "postgres",
        "GRANT EXECUTE ON FUNCTION failover.walsenders() TO PUBLIC;",
        "REVOKE EXECUTE ON FUNCTION failover.walsenders() FROM PUBLIC;",
    ),
    "residency": on_host(
        f"cp -p {HBA} /var/tmp/hba && echo 'host all all 8.8.8.8/32 scram-sha-256' >>{HBA}",
        f"cp -p /var/tmp/hba {HBA}",
        host="jkt-db2",  # Patroni of the other site writes its own anew with its settings
    ),
    "haproxy": on_host(
        "systemctl stop haproxy", "systemctl start haproxy", host="mks-proxy1"
    ),
}  # fmt: skip
# These take away what others are seen by.
APART: dict[str, Broken] = {
    "guard-alive": guard_unheard,
    "zookeeper-quorum": server_frozen,
    "patroni-members": patroni_stands_still,
}
