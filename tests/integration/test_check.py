"""`failover check` on the lab: 0 where all is well, and with each assumption broken exactly that
check
fails (issue 9)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from drill import Roles, sql, wait_until, whole

from failover.coordination.connect import open_store
from failover.lab.lab import Lab
from failover.lab.zookeeper_leader import drift_not_corrected, move_zookeeper_leader
from failover.model import SiteKind, SiteName
from failover.znode import Committed, ScopePaths, Set

pytestmark = pytest.mark.lab

SAID_WITHIN_S = 30.0
HOST = "mks-db2"  # a standby's standby: what is broken there harms nobody
BARRIERS = "/usr/lib/failover/barrier"
DATA = "/var/lib/postgresql/17/marketplace"
HBA = f"{DATA}/pg_hba.conf"
REQUIRED = "/etc/systemd/system/patroni.service.requires"

Broken = Callable[[Lab], Any]  # a context manager


# --------------------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    checks: dict[str, dict[str, Any]]

    @property
    def failing(self) -> set[str]:
        return {name for name, check in self.checks.items() if check["fails"]}

    def of_verdict(self, verdict: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["verdict"] == verdict}


def check(lab: Lab, *options: str) -> Answer:
    """As the witness's controller would ask."""
    (witness,) = (site for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    command = ["failover", "check", "-o", "json", *options]
    ended = lab.exec(witness.controller.name, command, user="failover")
    document = json.loads(ended.out)
    assert document["schema"] == 1
    assert document["passed"] == (ended.code == 0)
    return Answer(ended.code, {each["check"]: each for each in document["checks"]})


def fails_exactly(lab: Lab, names: set[str]) -> None:
    """Observers, Patroni and proxies need a moment to notice."""
    seen: list[Answer] = []

    def so() -> bool:
        seen.append(check(lab))
        return seen[-1].failing == names

    try:
        wait_until("the check says so", so, SAID_WITHIN_S)
    except AssertionError:
        told = {name: seen[-1].checks[name] for name in seen[-1].failing ^ names}
        raise AssertionError(json.dumps(told, indent=1)) from None
    assert seen[-1].code == (1 if names else 0)
    for name in names:
        assert seen[-1].checks[name]["fix"]


# --------------------------------------------------------------------------- breaking


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


@contextmanager
def guard_unheard(lab: Lab) -> Iterator[None]:
    for site in lab.policy.sites:
        lab.faults.cut(site.controller.name, HOST, ports=(8009,))
    try:
        yield
    finally:
        lab.faults.heal()


@contextmanager
def server_frozen(lab: Lab) -> Iterator[None]:
    lab.faults.freeze("mks-zk1")
    try:
        yield
    finally:
        lab.faults.heal()


@contextmanager
def patroni_stands_still(lab: Lab) -> Iterator[None]:
    """Stopped by systemd it would take its server along."""
    lab.faults.stop(HOST, "patroni")
    try:
        yield
    finally:
        lab.faults.heal()


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


def test_a_healthy_lab_passes(lab: Lab) -> None:
    whole(lab)
    fails_exactly(lab, set())
    seen = check(lab)
    assert seen.of_verdict("unknown") == {"hypervisor-clock", "client-parameters"}
    warned = seen.of_verdict("warning")
    not_promised = {"backups", "wires", "access-lists", "egress-rules"}
    assert not_promised <= warned, "the lab has none of these, and that is said"
    assert warned <= not_promised | {"rehearsal", "wal-disk", "salvage-disk", "automation"}


def test_assumptions_broken_together_fail_their_checks_and_no_other(lab: Lab) -> None:
    whole(lab)
    with ExitStack() as broken:
        for name in TOGETHER:
            broken.enter_context(TOGETHER[name](lab))
        fails_exactly(lab, set(TOGETHER))
    fails_exactly(lab, set())


def test_a_guard_nobody_hears_and_a_frozen_server(lab: Lab) -> None:
    whole(lab)
    with ExitStack() as broken:
        for name in APART:
            broken.enter_context(APART[name](lab))
        fails_exactly(lab, set(APART))
    fails_exactly(lab, set())


def test_one_check_alone_and_a_name_that_is_none(lab: Lab) -> None:
    assert set(check(lab, "--only", "guard-alive", "--only", "clocks").checks) == {
        "guard-alive",
        "clocks",
    }
    (witness,) = (site for site in lab.policy.sites if site.kind is SiteKind.WITNESS)
    ended = lab.exec(witness.controller.name, ["failover", "check", "--only", "no-such"])
    assert ended.code == 2
    assert "guard-alive" in ended.out


@pytest.mark.full
@pytest.mark.parametrize("name", [*TOGETHER, *APART])
def test_each_assumption_by_itself(lab: Lab, name: str) -> None:
    whole(lab)
    with (TOGETHER | APART)[name](lab):
        fails_exactly(lab, {name})
    fails_exactly(lab, set())


@pytest.mark.full
def test_the_leader_in_the_active_site(lab: Lab) -> None:
    whole(lab)
    with drift_not_corrected(lab, lab.policy):
        move_zookeeper_leader(lab, lab.policy, lab.policy.initial_site)
        try:
            fails_exactly(lab, {"zookeeper-leader"})
        finally:
            move_zookeeper_leader(
                lab,
                lab.policy,
                next(s.name for s in lab.policy.sites if s.kind is SiteKind.WITNESS),
            )
    fails_exactly(lab, set())


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "was", "becomes"),
    [
        ("patroni-session", "maxSessionTimeout=8000", "maxSessionTimeout=7000"),
        ("zookeeper-timing", "syncLimit=3", "syncLimit=10"),
    ],
)
def test_a_server_with_other_settings(lab: Lab, name: str, was: str, becomes: str) -> None:
    whole(lab)
    file = "/etc/zookeeper/zoo.cfg"
    server = "jkt-zk1"
    swap = f"sed -i 's/^{{}}$/{{}}/' {file} && systemctl restart zookeeper"
    with on_host(swap.format(was, becomes), swap.format(becomes, was), host=server)(lab):
        fails_exactly(lab, {name})
    fails_exactly(lab, set())
