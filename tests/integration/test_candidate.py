"""Patroni promotes whom its failover znode names, as the step name_candidate writes it.

Who wins the race is all that matters, so it is run in the standby site, where nobody writes.
"""

from __future__ import annotations

import json

import pytest
from drill import Roles, sql, wait_until, whole

from failover.coordination.connect import open_store
from failover.coordination.store import Store
from failover.lab.lab import Lab
from failover.model import HostName, Lsn
from failover.planning.candidate import name_in
from failover.policy import DatabaseHost
from failover.znode import Committed, Delete, Op, ScopePaths

pytestmark = pytest.mark.lab

POSTGRESQL = (5432,)
END_OF_WAL = "select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
SOME_WAL = "select pg_logical_emit_message(false, 'drill', repeat('x', 100000))"


def test_patroni_takes_the_candidate_that_is_named_and_not_who_has_more_wal(lab: Lab) -> None:
    roles = Roles.of(lab)
    cluster = lab.policy.clusters[0]
    ahead = roles.standby_leader
    (behind,) = (host for host in cluster.at(roles.standby) if host.name != ahead.name)
    scope = ScopePaths(lab.policy.patroni_namespace, cluster.scope(roles.standby))
    lab.faults.cut(ahead.name, behind.name, ports=POSTGRESQL)
    falls_behind(lab, roles.primary, ahead, behind)
    with open_store(lab.policy) as store:
        key_is_lost(store, scope)
        wait_until("somebody has the key", lambda: holder(store, scope) is not None)
        assert holder(store, scope) == ahead.name, "without a name, who has more WAL leads"

        found = store.read(scope.failover)
        version = found.version if found is not None else None
        key_is_lost(store, scope, name_in(scope, behind.name, version))
        wait_until("somebody has the key", lambda: holder(store, scope) is not None)
        assert holder(store, scope) == behind.name

        wait_until("Patroni takes the name away", lambda: named(store, scope) == {})
    lab.faults.heal()
    whole(lab)


def falls_behind(
    lab: Lab, primary: DatabaseHost, ahead: DatabaseHost, behind: DatabaseHost
) -> None:
    """The link between the two is cut: it has less WAL than the other one."""

    def has_less() -> bool:
        sql(lab, primary.name, SOME_WAL)
        ends = [Lsn.parse(sql(lab, host.name, END_OF_WAL)) for host in (ahead, behind)]
        return ends[0] > ends[1]

    wait_until(f"{behind.name} is behind {ahead.name}", has_less)


def key_is_lost(store: Store, scope: ScopePaths, *also: Op) -> None:
    """Patroni's leader key goes, as at the end of its session; the rest in the same instant."""
    leader = store.read(scope.leader)
    assert leader is not None
    assert isinstance(store.commit((*also, Delete(scope.leader, leader.version))), Committed)


def named(store: Store, scope: ScopePaths) -> object:
    found = store.read(scope.failover)
    return json.loads(found.data) if found is not None else {}


def holder(store: Store, scope: ScopePaths) -> HostName | None:
    found = store.read(scope.leader)
    return HostName(found.data.decode()) if found is not None else None
