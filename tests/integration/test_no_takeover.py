"""Faults that must never change the active site (I8): the right verdict by name, and no takeover.

Each drill breaks one thing in a group that serves, sees that ``failover explain`` names it, heals
it and waits until the group is whole again by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from drill import (
    PAUSE_MOST_S,
    Conclusions,
    Customers,
    Roles,
    concluding,
    customers,
    explains,
    logged_at,
    sql,
    standby_leader,
    state_of,
    streams_from,
    wait_until,
    whole,
)

from failover.coordination.connect import open_store
from failover.lab.lab import Lab
from failover.lab.watch import watch_claim, zookeeper_leader
from failover.model import SiteKind, SiteName
from failover.planning.plan import Plan, StepName
from failover.policy import DatabaseHost
from failover.znode import Committed, GroupPaths, ScopePaths, Set

pytestmark = pytest.mark.lab

FOLLOWS_WITHIN_S = 3.0


@contextmanager
def same_epoch(lab: Lab) -> Iterator[Conclusions]:
    """Nothing in the block changes the active site, or would."""
    before = state_of(lab)
    with concluding(lab) as seen:
        yield seen
    after = state_of(lab)
    assert (after.epoch, after.active_site) == (before.epoch, before.active_site)
    assert seen.never_took_over(), seen.codes


# --------------------------------------------------------------------------- the primary


def test_postmaster_killed(lab: Lab) -> None:
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop, same_epoch(lab) as seen:
        lab.faults.kill(roles.primary.name, "postmaster")
        killed_s = seen.wait_for("primary_down_local_recovery")
        shop.wait_served(killed_s)
        whole(lab)
        print("pause of writes:", shop.pause_s(killed_s))
        if Roles.now(lab).primary == roles.primary:  # started in place, with all its WAL
            assert not shop.report().lost


@pytest.mark.parametrize("fault", ["kill_host", "unplug"])
def test_primary_host_lost(lab: Lab, fault: str) -> None:
    """Local failover; the other site streams from the new primary soon after its promotion."""
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop, same_epoch(lab) as seen:
        began_unix_s = time.time()
        getattr(lab.faults, fault)(roles.primary.name)
        lost_s = seen.wait_for("primary_down_local_recovery")
        shop.wait_served(lost_s)
        assert promoted(lab).name == roles.replica.name
        assert follows_after_s(lab, roles, began_unix_s) <= FOLLOWS_WITHIN_S
        explains(lab, "database_host_lost")
        lab.faults.heal()
        whole(lab)
        print(f"{fault}: pause of writes: {shop.pause_s(lost_s)}")
        assert not shop.report().problems


@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "out_of_reach"])
def test_primary_host_lost_while_the_other_site_has_more_than_its_replica(
    lab: Lab, fetched: bool
) -> None:
    """The replica streams the surplus first; where it cannot, that is copied, then rewound."""
    roles = Roles.now(lab)
    before = salvages(lab, roles.standby)
    with customers(lab, roles.active) as shop, same_epoch(lab) as seen:
        began_unix_s = time.time()
        lab.faults.cut(roles.primary.name, roles.replica.name, one_way=True)
        wait_until("the other site is ahead", lambda: ahead(lab, roles))
        if not fetched:
            lab.faults.cut(roles.replica.name, roles.standby_leader.name, ports=(5432,))
        lab.faults.kill_host(roles.primary.name)
        lost_s = seen.wait_for("primary_down_local_recovery")
        shop.wait_served(lost_s)
        if fetched:
            assert follows_after_s(lab, roles, began_unix_s) <= FOLLOWS_WITHIN_S
        lab.faults.heal()
        whole(lab)
        report = shop.report()
        print(f"lost {len(report.lost)}, problems {report.problems}")
        assert not report.problems
    assert (salvages(lab, roles.standby) == before) is fetched


def ahead(lab: Lab, roles: Roles) -> bool:
    query = """select pg_wal_lsn_diff(
        greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')"""
    here, there = (int(sql(lab, h.name, query)) for h in (roles.replica, roles.standby_leader))
    return there > here + 4096


def salvages(lab: Lab, site: SiteName) -> int:
    """How many salvages are done on the hosts of a site."""
    script = "ls -d /var/lib/failover/salvage/*/DONE 2>/dev/null | wc -l"
    hosts = lab.policy.clusters[0].at(site)
    return sum(int(lab.shell(host.name, script)) for host in hosts)


def promoted(lab: Lab) -> DatabaseHost:
    """The host that takes writes, once there is one."""
    wait_until("a host takes writes", lambda: lab.writable_host() is not None)
    found = lab.writable_host()
    assert found is not None
    return lab.policy.host(found.name)


def follows_after_s(lab: Lab, roles: Roles, since_unix_s: float) -> float:
    """From the promotion of the new primary until the other site streams from it."""
    primary, leader = promoted(lab), standby_leader(lab, roles.standby)
    wait_until(f"{leader.name} follows", lambda: streams_from(lab, leader, primary))
    at = logged_at(lab, roles.replica.name, "archive recovery complete", since_unix_s)
    timeline = sql(lab, leader.name, "select received_tli from pg_stat_wal_receiver")
    streams = logged_at(lab, leader.name, f"on timeline {timeline}", since_unix_s)
    assert at is not None
    assert streams is not None
    print(f"streams {streams - at:.3f} s after the promotion")
    return streams - at


# --------------------------------------------------------------------------- Patroni paused


def test_patroni_paused(lab: Lab) -> None:
    """Even when the paused site is lost, and its primary stopped by the guard, nothing moves."""
    roles = Roles.now(lab)
    cluster = lab.policy.clusters[0].name
    set_pause(lab, roles.active, paused=True)
    try:
        with same_epoch(lab) as seen:
            explains(lab, "patroni_paused")
            with watch_claim(lab.policy, cluster, roles.active) as watch:
                lab.faults.unplug(roles.active)
                wait_until("the lease ends", lambda: watch.ended_s is not None)
            # The controllers judge twice a second; they have judged this again and again.
            looked = len(seen.looks)
            wait_until("more looks", lambda: len(seen.looks) > looked + 40)
            explains(lab, "patroni_paused")
            lab.faults.heal()
    finally:
        set_pause(lab, roles.active, paused=False)
    whole(lab)


def set_pause(lab: Lab, site: SiteName, *, paused: bool) -> None:
    """As `patronictl pause` does, in the scope's configuration."""
    cluster = lab.policy.clusters[0]
    path = ScopePaths(lab.policy.patroni_namespace, cluster.scope(site)).config
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read(path)
        assert found is not None
        config = json.loads(found.data) | {"pause": paused}
        config = {key: value for key, value in config.items() if key != "pause" or paused}
        outcome = store.commit((Set(path, json.dumps(config).encode(), found.version),))
    assert isinstance(outcome, Committed)


# --------------------------------------------------------------------------- links and sites


def the_link(lab: Lab, roles: Roles) -> None:
    lab.faults.cut(roles.active, roles.standby)


def the_witness(lab: Lab, roles: Roles) -> None:
    lab.faults.unplug(witness(lab))


def the_standby_site(lab: Lab, roles: Roles) -> None:
    lab.faults.unplug(roles.standby)


def a_zookeeper_server(lab: Lab, roles: Roles) -> None:
    (server,) = lab.policy.site(roles.active).zookeeper
    lab.faults.kill(server.name, "zookeeper", for_good=True)


def witness(lab: Lab) -> SiteName:
    return next(site.name for site in lab.policy.sites if site.kind is SiteKind.WITNESS)


@pytest.mark.parametrize(
    ("lose", "verdict"),
    [
        (the_link, "link_down"),
        (the_witness, "witness_lost"),
        (the_standby_site, "standby_site_lost"),
        (a_zookeeper_server, "zookeeper_degraded"),
    ],
)
def test_writes_go_on(lab: Lab, lose: Callable[[Lab, Roles], None], verdict: str) -> None:
    roles = Roles.now(lab)
    with customers(lab, roles.active) as shop, same_epoch(lab):
        since_s = shop_is_served(shop)
        lose(lab, roles)
        explains(lab, verdict)
        shop.wait_served()
        lab.faults.heal()
        whole(lab)
        print(f"{verdict}: pause of writes: {shop.pause_s(since_s)}")
        assert shop.pause_s(since_s) <= PAUSE_MOST_S
        assert Roles.now(lab).primary.name == roles.primary.name


def shop_is_served(shop: Customers) -> float:
    """The last acknowledgement so far: what is measured begins there."""
    shop.wait_served()
    return max(one.ended_s for one in shop.attempts())


# --------------------------------------------------------------------------- who decides


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_leading_controller_lost(lab: Lab, fault: str) -> None:
    wait_until("a controller leads", lambda: leading_site(lab) is not None)
    before = leading_site(lab)
    assert before is not None
    host = lab.policy.site(before).controller.name
    with same_epoch(lab):
        if fault == "killed":
            lab.faults.kill(host, "controller", for_good=True)
        else:
            lab.faults.freeze(host)
        explains(lab, "controller_lost")
        wait_until("another leads", lambda: leading_site(lab) not in (None, before))
        lab.faults.heal()
        whole(lab)


def leading_site(lab: Lab) -> str | None:
    path = f"{GroupPaths(lab.policy.group).leadership}/leader"
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read(path)
    return None if found is None else SiteName(found.data.decode())


# --------------------------------------------------------------------------- ZooKeeper


def test_quorum_lost(lab: Lab) -> None:
    """Nothing is decided, it is said, and with the quorum everything returns by itself."""
    roles = Roles.now(lab)
    before = state_of(lab)
    servers = [s for s in lab.policy.zookeeper_servers if s.site != roles.active]
    with customers(lab, roles.active) as shop, concluding(lab) as seen:
        for server in servers:
            lab.faults.freeze(server.name)
        explains(lab, "quorum_lost")
        wait_until("the primary is stopped", lambda: lab.writable_host() is None)
        lab.faults.heal()
        back_s = wait_until("a leader again", lambda: zookeeper_leader(lab.policy) is not None)
        shop.wait_served(back_s, limit_s=60.0)
        whole(lab)
        print("pause of writes:", shop.pause_s(back_s))
        assert not shop.report().lost
    after = state_of(lab)
    assert (after.epoch, after.active_site) == (before.epoch, before.active_site)
    takeovers = [
        look
        for look in seen.looks
        if isinstance(look.next_step, Plan) and look.next_step.step is StepName.TAKEOVER
    ]
    assert not takeovers


# --------------------------------------------------------------------------- too much to lose


def budget_gate(document: dict[str, object]) -> dict[str, object]:
    decision = document["decision"]
    assert isinstance(decision, dict), document
    return next(gate for gate in decision["gates"] if gate["name"] == "loss_within_budget")


@pytest.mark.full
def test_above_the_loss_budget_automation_holds_and_says_by_how_much(lab: Lab) -> None:
    """The link was too slow for too long before the loss: what that costs is a human's decision."""
    roles = Roles.now(lab)
    with customers(lab, roles.active, roles.standby) as shop, same_epoch(lab):
        lab.faults.throttle(roles.active, roles.standby, 4096)
        budget_s = lab.policy.loss_budget.seconds

        def lag_s() -> float:
            at = "select extract(epoch from now() - pg_last_xact_replay_timestamp())"
            return float(sql(lab, roles.standby_leader.name, at))

        wait_until("the other site is far behind", lambda: lag_s() > budget_s, limit_s=60.0)
        lab.faults.unplug(roles.active)
        gate = budget_gate(explains(lab, "site_lost"))
        print(gate["evidence"])
        assert gate["passes"] is False
        assert "above it by" in str(gate["evidence"])
        lab.faults.heal()
        whole(lab)
        assert not shop.report().lost
