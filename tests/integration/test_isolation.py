"""The active site cut off while something keeps its primary from stopping (I1).

Once each here; ``failover bench isolation`` is the campaign. FAILOVER_ISOLATION_RUNS runs more.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from functools import partial

import pytest
from drill import (
    Roles,
    concluding,
    customers,
    logged_at,
    segment_is_whole,
    state_of,
    streams_from,
    wait_until,
    whole,
    writable_at,
)

from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.lab.bench import Settings
from failover.lab.bench_isolation import isolation_runs, run_line
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.trouble import Variant
from failover.model import SiteName
from failover.policy import DatabaseHost
from failover.znode import (
    Committed,
    Conflict,
    Create,
    Delete,
    GroupPaths,
    ScopePaths,
    Set,
    Znode,
)

pytestmark = pytest.mark.lab

RUNS = int(os.environ.get("FAILOVER_ISOLATION_RUNS", "1"))


@pytest.mark.parametrize("variant", list(Variant))
def test_nothing_is_acknowledged_too_late(lab: Lab, variant: Variant) -> None:
    for run in isolation_runs(lab, Settings(RUNS), (variant,), print):
        print(run_line(run))
        assert run.violations == ()


def test_a_site_lost_right_after_its_local_failover_is_taken_over(lab: Lab) -> None:
    """The other site has followed to the new timeline; its control file does not say so yet.

    A moment earlier, with half of the new timeline's segment, nobody could promote it: held.
    """
    roles = Roles.now(lab)
    with customers(lab, roles.active), concluding(lab):
        lab.faults.kill(roles.primary.name, Process.PATRONI, for_good=True)
        wait_until("local failover", lambda: writable_at(lab, roles.replica))
        leader = roles.standby_leader
        wait_until("the other site follows", lambda: streams_from(lab, leader, roles.replica))
        whole_segment = partial(segment_is_whole, lab, leader, roles.replica)
        wait_until("with the new timeline's whole segment", whole_segment)
        lab.faults.unplug(roles.active)
        wait_until("the takeover is on record", lambda: taken_over(lab, roles))
        lab.faults.heal()
        whole(lab)


# --------------------------------------------------------------------------- a stale host


def test_a_host_that_takes_the_lock_after_the_takeover_is_not_promoted(lab: Lab) -> None:
    """Planted: hosts of the lost site that act on the configuration from before the transaction,
    and find no fence. One takes Patroni's lock, as it would, and the guard refuses the permit."""
    roles = Roles.now(lab)
    scope = scope_of(lab, roles.active)
    with customers(lab, roles.active), concluding(lab), open_store(lab.policy) as store:
        stale = read(store, scope.config).data
        began_unix_s = time.time()
        lab.faults.unplug(roles.active)
        wait_until("the takeover is on record", lambda: taken_over(lab, roles))
        refuses_the_lock(store, scope)
        fence = read(store, scope.leader).data
        quarantine = plant(store, scope, stale)
        lab.faults.heal()
        hosts = lab.policy.clusters[0].at(roles.active)
        wait_until("a permit is refused", lambda: refused(lab, hosts, began_unix_s))
        for host in hosts:
            assert logged_at(lab, host.name, "archive recovery complete", began_unix_s) is None
        claim = read(store, GroupPaths(lab.policy.group).writer(lab.policy.clusters[0].name))
        assert json.loads(claim.data)["site"] == roles.standby
        wait_until("quarantined again", lambda: restore(store, scope, quarantine, fence))
    after = whole(lab)
    assert (after.epoch, after.active_site) == (roles.state.epoch + 1, roles.standby)


def scope_of(lab: Lab, site: SiteName) -> ScopePaths:
    return ScopePaths(lab.policy.patroni_namespace, lab.policy.clusters[0].scope(site))


def read(store: KazooStore, path: str) -> Znode:
    store.sync()
    found = store.read(path)
    assert found is not None, path
    return found


def taken_over(lab: Lab, roles: Roles) -> bool:
    state = state_of(lab)
    promoted = all(cluster.promoted for cluster in state.clusters.values())
    return state.epoch == roles.state.epoch + 1 and promoted


def refuses_the_lock(store: KazooStore, scope: ScopePaths) -> None:
    """Patroni takes over a lock by deleting it, or by creating it where there is none."""
    for op in (Delete(scope.leader), Create(scope.leader, b"jkt-db2", ephemeral=True)):
        assert isinstance(store.commit((op,)), Conflict)


def plant(store: KazooStore, scope: ScopePaths, stale: bytes) -> bytes:
    """The configuration from before, and no fence; the quarantine that was there."""
    config = read(store, scope.config)
    outcome = store.commit(
        (
            Set(scope.config, stale, config.version),
            *(Delete(f"{scope.leader}/{name}") for name in store.children(scope.leader)),
            Delete(scope.leader),
        )
    )
    assert isinstance(outcome, Committed), outcome
    return config.data


def restore(store: KazooStore, scope: ScopePaths, quarantine: bytes, fence: bytes) -> bool:
    """Quarantine and fence as the takeover made them. False: a host was quicker, try again."""
    store.sync()
    lock = store.read(scope.leader)
    outcome = store.commit(
        (
            Set(scope.config, quarantine, read(store, scope.config).version),
            *((Delete(scope.leader, lock.version),) if lock else ()),
            Create(scope.leader, fence),
            Create(scope.leader_child, b""),
        )
    )
    return isinstance(outcome, Committed)


def refused(lab: Lab, hosts: Sequence[DatabaseHost], since_unix_s: float) -> bool:
    """A guard of these said no to Patroni's pre_promote hook because its site is not active."""
    script = (
        f"journalctl -u failover-guard -o cat --no-pager -q --since=@{since_unix_s:.0f} "
        "| grep -c 'purpose.*pre_promote.*not_active_site' || true"
    )
    return any(int(lab.shell(host.name, script)) > 0 for host in hosts)
