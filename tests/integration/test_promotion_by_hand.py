"""A standby promoted around the guard, in every way a human has: nobody is told of a commit."""

from __future__ import annotations

import time

import pytest
from drill import Roles, customers, state_of, wait_until, whole

from failover.lab.lab import Lab
from failover.lab.processes import DATA, Process
from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.control import Team, Workload
from failover.policy import DatabaseHost

pytestmark = pytest.mark.lab

BIN = "/usr/lib/postgresql/17/bin"
PSQL = "psql -h /run/postgresql -d postgres -XAtc"
READ_ONLY = "25006"  # SQLSTATE
BY_HAND = {
    "pg_ctl": f"cd /; {BIN}/pg_ctl promote -W -D {DATA}/*/",
    "pg_promote": f"cd /; {PSQL} 'select pg_promote(false)'",
}


@pytest.mark.parametrize("guard_frozen", [False, True], ids=["guarded", "guard-frozen"])
@pytest.mark.parametrize("way", ["pg_ctl", pytest.param("pg_promote", marks=pytest.mark.full)])
def test_it_acknowledges_nothing_and_comes_back_as_a_standby(
    lab: Lab, way: str, guard_frozen: bool
) -> None:
    """Writers try all the while, straight at the host: a commit would be acked or indeterminate."""
    roles = Roles.now(lab)
    writers = Workload(lab, f"by-hand-{time.time_ns()}")
    with customers(lab, roles.active) as shop:
        try:
            writers.start(Team(roles.active, f"direct:{roles.replica.name}", 4, 100.0))
            wait_until("they try", lambda: len(refused_as_read_only(writers)) > 20)
            promote_by_hand(lab, roles.replica, way, guard_frozen=guard_frozen)
            lab.faults.heal()
            state = whole(lab)
        finally:
            writers.stop()
        assert not [one for one in writers.attempts() if one.outcome is not Outcome.FAILED]
        assert (state.active_site, state.epoch) == (roles.active, roles.state.epoch)
        assert Roles.now(lab).primary == roles.primary
        report = shop.report()
        assert not report.lost
        assert not report.problems
    assert state_of(lab).plan is None


def promote_by_hand(lab: Lab, host: DatabaseHost, way: str, *, guard_frozen: bool) -> None:
    """Until the server has ended over it."""
    before = ended(lab, host)
    if guard_frozen:
        lab.faults.stop(host.name, Process.GUARD)
    lab.shell(host.name, BY_HAND[way], user="postgres")
    wait_until("its server has ended", lambda: ended(lab, host) > before)


def ended(lab: Lab, host: DatabaseHost) -> int:
    """How often a server of this host was not let out of recovery."""
    found = "journalctl -q -u patroni -o cat -g 'recovery_end_command.*child process' | wc -l"
    return int(lab.shell(host.name, found))


def refused_as_read_only(writers: Workload) -> list[Attempt]:
    return [one for one in writers.attempts() if READ_ONLY in one.detail]
