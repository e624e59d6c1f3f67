"""A standby promoted around the guard, in every way a human has: nobody is told of a commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from drill import Roles, customers, state_of, wait_until, whole

from failover.lab.lab import Lab
from failover.lab.processes import DATA, Process
from failover.policy import DatabaseHost

pytestmark = pytest.mark.lab

BIN = "/usr/lib/postgresql/17/bin"
PSQL = "psql -h /run/postgresql -d postgres -XAtc"
BY_HAND = {
    "pg_ctl": f"cd /; {BIN}/pg_ctl promote -W -D {DATA}/*/",
    "pg_promote": f"cd /; {PSQL} 'select pg_promote(false)'",
}


@pytest.mark.parametrize("guard_frozen", [False, True], ids=["guarded", "guard-frozen"])
@pytest.mark.parametrize("way", list(BY_HAND))
def test_it_acknowledges_nothing_and_comes_back_as_a_standby(
    lab: Lab, way: str, guard_frozen: bool
) -> None:
    """Writers in sessions opened before try all the while, straight at the host."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop, writing_to(roles.replica, lab) as acknowledged:
        if guard_frozen:
            lab.faults.stop(roles.replica.name, Process.GUARD)
        before = refusals(lab, roles.replica)
        lab.shell(roles.replica.name, BY_HAND[way], user="postgres")
        wait_until("its server has ended", lambda: refusals(lab, roles.replica) > before)
        lab.faults.heal()
        state = whole(lab)
        assert not acknowledged
        assert (state.active_site, state.epoch) == (roles.active, roles.state.epoch)
        assert Roles.now(lab).primary == roles.primary
        report = shop.report()
        assert not report.lost
        assert not report.problems
    assert state_of(lab).plan is None


def refusals(lab: Lab, host: DatabaseHost) -> int:
    """How often a server of this host was not let out of recovery."""
    found = "journalctl -q -u patroni -o cat -g 'recovery_end refused' | wc -l"
    return int(lab.shell(host.name, found))


@contextmanager
def writing_to(host: DatabaseHost, lab: Lab) -> Iterator[list[str]]:
    """What was acknowledged by this host, of writes that are tried until the end of the block."""
    acknowledged: list[str] = []
    stop = threading.Event()
    password = (lab.directory / "secrets" / "client.password").read_text().strip()

    def write() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(
                    host=str(host.address),
                    port=host.postgres_port,
                    dbname="marketplace",
                    user="marketplace",
                    password=password,
                    connect_timeout=2,
                    tcp_user_timeout=2000,
                    autocommit=True,
                ) as session:
                    while not stop.is_set():
                        try_to_write(session)
                        acknowledged.append(f"by {host.name}")
            except psycopg.OperationalError:
                stop.wait(0.05)

    def try_to_write(session: psycopg.Connection[tuple[object, ...]]) -> None:
        while not stop.is_set():
            try:
                session.execute("create temporary table if not exists scratch (one int)")
                session.execute("select pg_logical_emit_message(true, 'drill', 'by hand')")
                return
            except psycopg.errors.ReadOnlySqlTransaction:
                stop.wait(0.002)

    threads = [threading.Thread(target=write, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=10)
