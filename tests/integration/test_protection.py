"""Synchronous protection on real parts: what is on record as safe is safe, whatever is lost.

Every drill begins in sync in ``max-availability``, loses something under load, and counts what was
acknowledged against what is there. Commits may stall; the record never runs ahead of the truth.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from drill import (
    Customers,
    Roles,
    customers,
    state_of,
    wait_until,
    whole,
    writable_at,
)

from failover.clock import boottime_s
from failover.coordination.connect import Connection, open_store
from failover.coordination.store import Store, StoreUnavailable
from failover.lab.lab import Lab
from failover.lab.mode import protect
from failover.lab.processes import Process
from failover.lab.workload.attempt import Outcome
from failover.lab.workload.checker import acked_by_both
from failover.model import ProtectionMode, SiteName
from failover.state import HistoryEntry, decode_record
from failover.znode import GroupPaths

pytestmark = pytest.mark.lab

STEPS = ("degraded", "sync_listed", "in_sync")


@pytest.fixture(scope="module")
def as_before(shared_lab: Lab) -> Iterator[None]:
    """For the tests after these."""
    yield
    protect(shared_lab, ProtectionMode.MAX_PERFORMANCE)


@pytest.fixture
def in_sync(lab: Lab, as_before: None) -> Lab:
    protect(lab, ProtectionMode.MAX_AVAILABILITY)
    return lab


def have(lab: Lab) -> tuple[str, ...]:
    return tuple(state_of(lab).clusters[lab.policy.clusters[0].name].have)


def entries(lab: Lab) -> list[HistoryEntry]:
    with open_store(lab.policy) as store:
        return entries_in(store, lab)


def entries_in(store: Store, lab: Lab) -> list[HistoryEntry]:
    path = GroupPaths(lab.policy.group).history
    store.sync()
    found = store.read_many([f"{path}/{name}" for name in sorted(store.children(path))])
    return [decode_record(HistoryEntry, z.data, path=z.path) for z in found.values() if z]


def nothing_lost(shop: Customers, site: SiteName) -> None:
    report = shop.report_at(site)
    print(f"lost {len(report.lost)}, problems {report.problems}")
    assert not report.lost
    assert not report.problems


def acked_between(shop: Customers, from_s: float, to_s: float) -> int:
    """Commits that were both begun and acknowledged then."""
    return sum(
        one.outcome is Outcome.ACKED and from_s < one.started_s and one.ended_s < to_s
        for one in shop.attempts()
    )


def recorded_s(lab: Lab, event: str, since_unix_s: float) -> float:
    """When the first such step was judged (boot time): no later than its commit."""
    found = [e.at_unix_s for e in entries(lab) if e.event == event and e.at_unix_s > since_unix_s]
    assert found, f"no {event} on record"
    return found[0] - time.time() + boottime_s()


# --------------------------------------------------------------------------- degraded, on record


def other_site_vanishes(lab: Lab) -> None:
    """Commits stall until it is on record that the other site misses them, and it comes back."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop:
        began_s, began_unix_s = boottime_s(), time.time()
        lab.faults.unplug(roles.standby)
        cut_s = boottime_s()  # before that hosts are unplugged one after the other
        wait_until("it is on record", lambda: not state_of(lab).in_sync)
        shop.wait_served()
        degraded_s = recorded_s(lab, "degraded", began_unix_s)
        pause_s = shop.pause_s(began_s)
        # `failover bench stall` holds it to its bound: where nothing else runs.
        print(f"stall {pause_s} s, on record after {degraded_s - began_s:.2f} s")
        # What was under way when the link went may have been acknowledged: it was received.
        assert acked_between(shop, cut_s, degraded_s) == 0
        lab.faults.heal()
        state = whole(lab)
        assert state.in_sync
        assert (state.active_site, state.epoch) == (roles.active, roles.state.epoch)
        nothing_lost(shop, roles.active)


@pytest.mark.full  # and with a controller killed after every step in any case
def test_the_other_site_vanishes_and_comes_back(in_sync: Lab) -> None:
    other_site_vanishes(in_sync)


def test_the_leading_controller_dies_after_every_step(in_sync: Lab) -> None:
    with killing_leaders(in_sync) as killed:
        other_site_vanishes(in_sync)
    print("killed after:", *killed)
    assert set(killed) == set(STEPS)


@contextmanager
def killing_leaders(lab: Lab) -> Iterator[list[str]]:
    """SIGKILL for the leading controller whenever it has made a step of the protection."""
    stop, killed, seen = threading.Event(), [], len(entries(lab))
    connection = Connection(lab.policy)

    def run() -> None:
        known = seen
        while not stop.wait(0.02):
            try:
                new = entries_in(connection.store, lab)[known:]
            except StoreUnavailable:  # its server went with the site: the client takes another one
                continue
            known += len(new)
            for entry in new:
                if entry.event in STEPS and entry.by.startswith("controller"):
                    site = SiteName(entry.by.split()[-1])
                    lab.faults.kill(lab.policy.site(site).controller.name, Process.CONTROLLER)
                    killed.append(entry.event)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join(timeout=10)
        connection.close()


# --------------------------------------------------------------------------- failed over


def test_a_local_failover_loses_nothing_and_neither_does_the_loss_after_it(in_sync: Lab) -> None:
    lab = in_sync
    roles = Roles.now(lab)
    with customers(lab, roles.active, roles.standby) as shop:
        lab.faults.kill_host(roles.primary.name)
        wait_until("local failover", lambda: writable_at(lab, roles.replica))
        shop.wait_served()
        wait_until("in sync again", lambda: state_of(lab).in_sync)
        assert roles.primary.name not in have(lab)
        began_s = boottime_s()
        lab.faults.unplug(roles.active)
        shop.at(roles.standby).wait_served()
        assert state_of(lab).active_site == roles.standby
        assert not acked_by_both(shop.attempts(), new_site=roles.standby, since_s=began_s)
        lab.faults.heal()
        whole(lab)
        nothing_lost(shop, roles.standby)


def test_where_only_the_other_site_has_everything_it_takes_over(in_sync: Lab) -> None:
    """The local replica is held back, so it is off the record and gets no permit."""
    lab = in_sync
    roles = Roles.now(lab)
    with customers(lab, roles.active, roles.standby) as shop:
        lab.faults.cut(roles.primary.name, roles.replica.name, one_way=True)
        wait_until("it is off the record", lambda: have(lab) == (roles.standby_leader.name,))
        shop.wait_served()
        began_s = boottime_s()
        lab.faults.kill_host(roles.primary.name)
        shop.at(roles.standby).wait_served(limit_s=60.0)
        assert state_of(lab).active_site == roles.standby
        assert not acked_by_both(shop.attempts(), new_site=roles.standby, since_s=began_s)
        lab.faults.heal()
        whole(lab)
        nothing_lost(shop, roles.standby)


@pytest.mark.full
def test_the_standby_leader_changes_hosts_and_then_the_site_is_lost(in_sync: Lab) -> None:
    lab = in_sync
    roles = Roles.now(lab)
    with customers(lab, roles.active, roles.standby) as shop:
        lab.faults.kill_host(roles.standby_leader.name)
        wait_until("it is off the record", lambda: roles.standby_leader.name not in have(lab))
        wait_until("in sync again", lambda: state_of(lab).in_sync)
        lab.faults.unplug(roles.active)
        shop.at(roles.standby).wait_served()
        assert state_of(lab).active_site == roles.standby
        lab.faults.heal()
        whole(lab)
        nothing_lost(shop, roles.standby)
