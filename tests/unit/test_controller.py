"""The controller's turn with the real core, over a store in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from controller_world import CLUSTER, JAKARTA, MAKASSAR, START_UNIX_S, SURABAYA, Group
from prometheus_client import CollectorRegistry, generate_latest

from failover.config import load
from failover.controller import TickResult
from failover.coordination.gather import Gatherer, Now
from failover.coordination.memory import HostMemory
from failover.health.observation import Round
from failover.metrics.controller import ControllerMetrics, Instruments
from failover.model import Automation, HostName
from failover.planning.plan import Hold, Plan
from failover.policy import Policy
from failover.znode import Committed, Set


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(Path("tests/open.yaml"))


@pytest.fixture
def group(policy: Policy) -> Group:
    group = Group(policy)
    group.run(10)
    return group


def committed(results: list[TickResult]) -> list[str]:
    return [
        r.decision.step
        for r in results
        if isinstance(r.decision, Plan) and isinstance(r.execution, Committed)
    ]


def test_a_healthy_group_is_left_alone(group: Group) -> None:
    results = group.run(5)
    assert {r.verdict.code for r in results} == {"healthy"}
    assert committed(results) == []
    assert [r.view.reader for r in results if r.leading] == [MAKASSAR] * 10


def test_jakarta_lost_makassar_takes_over_when_the_claim_is_gone(group: Group) -> None:
    group.lose_jakarta()
    while_held = group.run(6)
    assert committed(while_held) == []
    assert group.state.epoch == 1
    group.release()
    results = group.run(0.5)
    assert committed(results) == ["takeover"]
    assert (group.state.epoch, group.state.active_site) == (2, MAKASSAR)
    assert group.config(JAKARTA)["standby_cluster"] == {"restore_command": "false"}
    assert "standby_cluster" not in group.config(MAKASSAR)
    assert not group.state.clusters[CLUSTER].promoted
    assert next(r for r in results if r.execution).look_again_in_s == 0.0

    group.claim(HostName("mks-db1"))
    assert "record_promotion" in committed(group.run(1.5))
    assert group.state.clusters[CLUSTER].promoted
    assert group.history() == ["initialised", "takeover", "promoted"]
    assert not group.state.proving
    assert group.state.proven_unix_s >= group.state.epoch_started_unix_s


def test_the_leader_dies_and_another_controller_finishes(group: Group) -> None:
    group.lose_jakarta()
    group.run(6)
    group.stop(MAKASSAR)
    group.release()
    results = group.run(2)
    assert committed(results)[:1] == ["takeover"]
    assert {r.view.reader for r in results if r.execution} == {SURABAYA}


def test_a_controller_that_just_started_needs_to_see_for_itself(policy: Policy) -> None:
    """Leftover observations and a claim that was never seen are no evidence."""
    group = Group(policy)
    group.lose_jakarta()
    group.release()
    assert committed(group.run(3)) == []  # no sample of the primary's WAL: the loss is unknown


def test_observe_says_once_what_it_would_have_done(policy: Policy) -> None:
    group = Group(policy, automation=Automation.OBSERVE)
    group.run(10)
    group.lose_jakarta()
    group.run(6)
    group.release()
    assert committed(group.run(4)) == []
    assert group.history() == ["initialised", "would_have_takeover"]


def test_a_silent_ensemble_is_a_hold_and_nothing_is_lost(group: Group) -> None:
    for store in group.stores.values():
        store.silent = True
    results = group.run(3)
    assert not any(r.leading for r in results)
    assert {r.verdict.code for r in results} == {"quorum_lost"}
    for store in group.stores.values():
        store.silent = False
    assert group.run(3)[-1].verdict.code == "healthy"


def test_a_leader_whose_key_is_refused_says_so_and_another_leads(group: Group) -> None:
    """It can neither read nor say that it is alive: ZooKeeper is well, and so is the group."""
    group.stores[MAKASSAR].forbidden = True
    results = group.run(12)
    assert {r.verdict.code for r in results if r.view.reader == MAKASSAR} == {"keys_refused"}
    assert "quorum_lost" not in {r.verdict.code for r in results}
    assert results[-1].leader not in (None, MAKASSAR)


def test_a_corrupt_state_is_a_hold(group: Group) -> None:
    found = group.guard.read(group.paths.state)
    assert found is not None
    group.guard.commit((Set(group.paths.state, b"{", found.version),))
    group.lose_jakarta()
    group.release()
    results = group.run(15)
    assert committed(results) == []
    assert all(isinstance(r.decision, Hold) for r in results)


def test_a_misplaced_zookeeper_leader_is_moved_once(group: Group) -> None:
    group.zookeeper_leader = HostName("jkt-zk1")
    group.run(15)
    assert group.commands.started == ["/usr/lib/failover/restart-zookeeper jkt-zk1"]
    assert group.history()[-1] == "restart_zookeeper"


def test_a_leader_just_elected_is_left_alone_until_it_is_known_why(group: Group) -> None:
    """The old one hangs; for a moment an observer still shows what it saw of it before."""
    group.run(15)
    group.zookeeper_leader = HostName("mks-zk1")
    group.run(5)
    assert group.commands.started == []
    group.zookeeper_silent = {HostName("sby-zk1")}
    group.run(30)
    assert group.commands.started == []
    group.zookeeper_silent = set()
    group.run(15)
    assert group.commands.started == ["/usr/lib/failover/restart-zookeeper mks-zk1"]


def test_metrics_name_the_invariants(group: Group) -> None:
    registry = CollectorRegistry()
    metrics = ControllerMetrics(group.policy, SURABAYA, Instruments(registry))
    group.lose_jakarta()
    group.run(5)
    for result in group.run(0.5):
        metrics.tick_done(result, 0.01)
    text = generate_latest(registry).decode()
    assert 'failover_epoch{group="marketplace",reader="surabaya"} 1.0' in text
    assert "I1_single_writer" in text
    assert 'failover_active_site{group="marketplace",reader="surabaya",site="jakarta"} 1.0' in text
    proven = 'failover_last_proven_timestamp_seconds{group="marketplace",reader="surabaya"}'
    assert f"{proven} 0.0" in text
    assert 'gate="claim_gone"' in text
    assert "failover_loss_estimate_bytes" in text
    assert 'failover_verdict{code="site_isolated"' in text

    group.release()
    for result in group.run(0.5):
        metrics.tick_done(result, 0.01)
    text = generate_latest(registry).decode()
    assert "site_isolated" not in text
    assert "failover_takeovers_total" in text


def test_what_was_seen_before_a_stop_is_not_shown_after_it(group: Group) -> None:
    """A controller's host stood still and goes on with the round that it had in hand."""
    group.run(2)
    path, controller = group.paths.observer(MAKASSAR), group.controllers[MAKASSAR]
    shown = group.guard.read(path)
    before = Round(group.observation(MAKASSAR), group.now_s)
    result = controller.tick(START_UNIX_S + group.now_s + 4, group.now_s + 4, before)
    assert group.guard.read(path) == shown
    ages = {o.site: o.age_s for o in result.view.observers}
    assert ages[MAKASSAR] == pytest.approx(4.0)


def test_a_round_that_is_sent_late_says_so(group: Group) -> None:
    seen = group.observation(MAKASSAR)
    took_s = seen.round_duration_s
    made = Round(seen, 100.0)
    assert made.when_fresh(100.4) is seen
    late = made.when_fresh(102.5)
    assert late == replace(seen, round_duration_s=2.0)
    assert took_s < 2.0
    assert made.when_fresh(103.1) is None


def test_an_older_look_that_comes_late_takes_no_wal_back(group: Group) -> None:
    memory = HostMemory(group.policy)
    first = group.observation(MAKASSAR)
    group.lsn += 5000
    memory.learn(group.observation(MAKASSAR), 10.0)
    memory.learn(first, 11.0)
    assert [sample.lsn.bytes for sample in memory.samples(11.0)] == [group.lsn]
    memory.learn(first, 16.0)  # no look is that late: the server crashed, and lost its last bytes
    assert [sample.lsn.bytes for sample in memory.samples(16.0)] == [group.lsn, group.lsn - 5000]


def test_ages_are_counted_from_what_this_reader_saw_change(group: Group) -> None:
    gatherer = Gatherer(group.policy, SURABAYA)
    store = group.stores[SURABAYA]
    first = gatherer.gather(store, Now(0.0, 50.0))
    assert min(o.age_s for o in first.observers) > 60  # of unknown age: not alive
    group.run(0.5)
    second = gatherer.gather(store, Now(0.0, 51.0))
    assert [o.age_s for o in second.observers] == [0.0, 0.0, 0.0]
    third = gatherer.gather(store, Now(0.0, 53.5))
    assert [o.age_s for o in third.observers] == [2.5, 2.5, 2.5]
    assert third.claims[0].unchanged_for_s == 3.5
    assert {s.unreachable_s for s in third.silences} == {2.5}
    group.release()
    fourth = gatherer.gather(store, Now(0.0, 54.0))
    assert (fourth.claims[0].claim, fourth.claims[0].unchanged_for_s) == (None, 0.0)


def test_what_changed_while_this_reader_stood_still_may_be_as_old_as_the_stop(group: Group) -> None:
    """Its observer may have been lost with the site right after it had written that."""
    gatherer = Gatherer(group.policy, SURABAYA)
    store = group.stores[SURABAYA]
    gatherer.gather(store, Now(0.0, 50.0))
    group.run(0.5)
    gatherer.gather(store, Now(0.0, 50.5))
    group.lsn += 5000
    group.run(0.5)
    found = gatherer.gather(store, Now(0.0, 54.5))
    assert [o.age_s for o in found.observers] == [3.0, 3.0, 3.0]
    assert max(found.samples, key=lambda s: s.lsn).age_s == 3.0
    assert {s.unreachable_s for s in found.silences} == {0.0}  # never longer than it is
    group.run(0.5)
    again = gatherer.gather(store, Now(0.0, 55.0))
    assert [o.age_s for o in again.observers] == [0.0, 0.0, 0.0]
