"""ZooKeeper's leader drifts into a data site: it is said, and moved back, and nobody is harmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from drill import PAUSE_MOST_S, Roles, concluding, customers, explains, wait_until, whole
from prometheus_client.parser import text_string_to_metric_families

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.hosts import Role
from failover.lab.lab import Lab
from failover.lab.stages import http_get
from failover.lab.standing import harm, standing
from failover.lab.watch import zookeeper_leader
from failover.lab.zookeeper_leader import drift_not_corrected, move_zookeeper_leader
from failover.model import SiteKind, SiteName
from failover.policy import ControllerHost
from failover.state import HistoryEntry, decode_record
from failover.znode import GroupPaths

pytestmark = pytest.mark.lab

CODE = "zookeeper_leader_misplaced"
SAID_WITHIN_S = 10.0
MOVED_WITHIN_S = 240.0  # three restarts: the election after one may end in a data site again


def witness(lab: Lab) -> SiteName:
    return next(site.name for site in lab.policy.sites if site.kind is SiteKind.WITNESS)


def leader_site(lab: Lab) -> SiteName | None:
    leader = zookeeper_leader(lab.policy)
    return leader.site if leader else None


def witness_leads(lab: Lab) -> bool:
    return leader_site(lab) == witness(lab)


def drift(lab: Lab) -> float:
    """The witness's server hangs until another one leads; since when that does (boot time)."""
    (server,) = lab.policy.site(witness(lab)).zookeeper
    lab.faults.freeze(server.name)
    try:
        wait_until("a data site leads", lambda: leader_site(lab) not in (None, witness(lab)))
        return boottime_s()
    finally:
        lab.faults.heal()


@contextmanager
def leader_at_the_witness(lab: Lab) -> Iterator[None]:
    """Before and after."""
    move_zookeeper_leader(lab, lab.policy, witness(lab))
    whole(lab)
    try:
        yield
    finally:
        lab.faults.heal()
        move_zookeeper_leader(lab, lab.policy, witness(lab))


def forget_restarts(lab: Lab) -> None:
    """New controllers: with every restart of the last hour a controller waits for longer."""
    for host in lab.hosts(Role.CONTROLLER):
        lab.shell(host.name, "systemctl restart failover-controller")
    whole(lab)


def said_by(lab: Lab) -> list[SiteName]:
    """The sites whose controllers have come to this verdict."""
    return [site.name for site in lab.policy.sites if verdict_of(site.controller) == CODE]


def verdict_of(controller: ControllerHost) -> str | None:
    """As its metrics say."""
    code, text = http_get(str(controller.address), controller.metrics_port, "/metrics")
    if code != 200:
        return None
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    found = (s.labels["code"] for s in samples if s.name == "failover_verdict" and s.value == 1)
    return next(found, None)


def restarts_on_record(lab: Lab) -> list[HistoryEntry]:
    path = GroupPaths(lab.policy.group).history
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read_many([f"{path}/{name}" for name in store.children(path)])
    entries = [decode_record(HistoryEntry, z.data, path=z.path) for z in found.values() if z]
    return [entry for entry in entries if entry.event == "restart_zookeeper"]


def test_a_drifted_leader_is_said_and_moved_back(lab: Lab) -> None:
    """By the configured command, while customers notice nothing."""
    forget_restarts(lab)
    roles = Roles.now(lab)
    with leader_at_the_witness(lab), customers(lab, roles.active) as shop, concluding(lab):
        shop.wait_served()
        before, on_record = standing(lab), len(restarts_on_record(lab))
        since_s = boottime_s()
        drifted_s = drift(lab)
        said_s = wait_until("it is said", lambda: bool(said_by(lab)), SAID_WITHIN_S)
        back_s = wait_until("the witness leads", lambda: witness_leads(lab), MOVED_WITHIN_S)
        whole(lab)
        shop.wait_served()
        print(f"said after {said_s - drifted_s:.1f} s, moved back after {back_s - drifted_s:.1f} s")
        print(f"longest pause of writes {shop.pause_s(since_s)} s")
        assert said_s - drifted_s <= SAID_WITHIN_S
        restarts = restarts_on_record(lab)[on_record:]
        print(f"restarts: {[restart.details['command'] for restart in restarts]}")
        assert 1 <= len(restarts) <= 3
        assert all("restart-zookeeper" in restart.details["command"] for restart in restarts)
        assert not harm(before, standing(lab)).words
        assert shop.pause_s(since_s) <= PAUSE_MOST_S
        assert not shop.report().lost


def test_a_drifted_leader_that_cannot_be_moved_goes_on_being_said(lab: Lab) -> None:
    """The command fails: nothing else is tried, and the verdict stays."""
    forget_restarts(lab)
    with leader_at_the_witness(lab), drift_not_corrected(lab, lab.policy):
        drifted_s = drift(lab)
        explains(lab, CODE, SAID_WITHIN_S)
        said_s = boottime_s()
        print(f"explained after {said_s - drifted_s:.1f} s")
        assert said_s - drifted_s <= SAID_WITHIN_S
        everybody = len(lab.hosts(Role.CONTROLLER))
        wait_until("every controller says it", lambda: len(said_by(lab)) == everybody)
        whole(lab)
        assert leader_site(lab) not in (None, witness(lab))
        assert len(said_by(lab)) == everybody
