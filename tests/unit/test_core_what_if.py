"""What would happen after a change: physics of a model, decisions of the real code."""

from __future__ import annotations

from copy import deepcopy
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.health.aftermath import ELECTION_S, PROMOTION_S, aftermath
from failover.health.change import Change, HostLost, LinkCut, SiteLost, hosts_of
from failover.health.hypothetical import Hypothesis
from failover.health.view import build_view
from failover.model import HostName, SiteName
from failover.planning.plan import Hold, Plan, StepName
from failover.planning.turn import SOON_S
from failover.planning.what_if import Foresight, Outcome, foresee
from failover.policy import DatabaseHost, Policy, ZooKeeperServer
from tests.scenarios.language import build
from tests.scenarios.world import JAKARTA, MAKASSAR, SURABAYA, policy_of

LEASE_S = 6.0
JAKARTA_LOST = SiteLost(JAKARTA)


def lost(host: str) -> HostLost:
    return HostLost(HostName(host))


def what_if(*changes: Change, world: tuple[str, ...] = ()) -> Foresight:
    built = build(list(world))
    return foresee(built.policy, built.inputs(), changes)


def codes(foresight: Foresight) -> list[str]:
    return [chapter.verdict.code for chapter in foresight.story]


def blocking(foresight: Foresight) -> list[str]:
    decision = foresight.ending.decision
    assert isinstance(decision, Hold)
    return [gate.name for gate in decision.blocking]


# --------------------------------------------------------------------------- the active site


def test_the_active_site_lost_is_a_takeover_when_the_lease_ends() -> None:
    foresight = what_if(JAKARTA_LOST)
    assert codes(foresight) == ["healthy", "site_isolated", "site_lost"]
    assert (foresight.outcome, foresight.site) == (Outcome.TAKEOVER, MAKASSAR)
    assert foresight.decided_s == LEASE_S
    assert foresight.outage_s == pytest.approx(LEASE_S + PROMOTION_S)
    decision = foresight.ending.decision
    assert isinstance(decision, Plan)
    assert decision.step is StepName.TAKEOVER


@pytest.mark.parametrize("clusters", [(), ("two clusters",)])
def test_in_sync_the_new_site_is_asked_once_more_as_soon_as_the_claim_is_gone(
    clusters: tuple[str, ...],
) -> None:
    """As the leading controller does: no wait for the next round of probes."""
    foresight = what_if(JAKARTA_LOST, world=(*clusters, "protection is max-availability, in sync"))
    assert foresight.outcome is Outcome.TAKEOVER
    assert foresight.decided_s == LEASE_S + SOON_S
    assert foresight.loss_bytes == 0


def test_who_does_not_answer_the_second_question_is_waited_for() -> None:
    """The leader's server is silent from the change on: no look after the claim, no takeover."""
    world = ("protection is max-availability, in sync",)
    foresight = what_if(JAKARTA_LOST, lost("mks-db1"), world=world)
    assert foresight.outcome is Outcome.HOLD


def test_two_clusters_move_together() -> None:
    foresight = what_if(JAKARTA_LOST, world=("two clusters",))
    assert (foresight.outcome, foresight.decided_s) == (Outcome.TAKEOVER, LEASE_S)
    assert len(foresight.ending.losses) == 2


def test_every_database_host_of_the_site_lost_is_the_same() -> None:
    foresight = what_if(lost("jkt-db1"), lost("jkt-db2"))
    assert (foresight.outcome, foresight.decided_s) == (Outcome.TAKEOVER, LEASE_S)


def test_an_election_starts_the_sessions_anew() -> None:
    foresight = what_if(JAKARTA_LOST, world=("jkt-zk1 leads the ensemble",))
    assert foresight.decided_s == pytest.approx(1.5 + ELECTION_S + LEASE_S)
    assert "quorum_lost" in codes(foresight)  # while it lasts
    assert foresight.after.ensemble.leader is not None
    assert foresight.after.ensemble.leader.site == SURABAYA


@pytest.mark.parametrize(
    ("line", "gate"),
    [
        ("automation is manual", "automation_auto"),
        ("automation is observe", "automation_auto"),
        ("automation paused for 7200 s", "automation_not_paused"),
        ("cooldown for 3000 s", "no_cooldown"),
        ("the primary writes 12 MiB/s", "loss_within_budget"),
        ("no samples of the primary's WAL", "loss_within_budget"),
        ("protection is max-protection, not in sync", "protection"),
    ],
)
def test_what_keeps_a_takeover_is_named(line: str, gate: str) -> None:
    foresight = what_if(JAKARTA_LOST, world=(line,))
    assert (foresight.outcome, foresight.site) == (Outcome.HOLD, None)
    assert (foresight.decided_s, foresight.outage_s) == (None, None)
    assert blocking(foresight) == [gate]
    assert codes(foresight)[-1] == "site_lost"


def test_a_pause_that_ends_soon_only_delays() -> None:
    foresight = what_if(JAKARTA_LOST, world=("automation paused for 20 s",))
    assert (foresight.outcome, foresight.decided_s) == (Outcome.TAKEOVER, 20.0)


def test_the_loss_is_the_real_estimate_at_the_decision() -> None:
    loss_bytes = what_if(JAKARTA_LOST).loss_bytes
    assert loss_bytes == 6 * 1024  # an idle standby lag; 1 KiB a second for the lease
    assert what_if(JAKARTA_LOST, world=("no samples of the primary's WAL",)).loss_bytes is None


# --------------------------------------------------------------------------- everything else


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (SiteLost(MAKASSAR), "standby_site_lost"),
        (SiteLost(SURABAYA), "witness_lost"),
        (LinkCut(), "link_down"),
        (lost("jkt-db2"), "database_host_lost"),
        (lost("mks-db1"), "standby_not_streaming"),
        (lost("jkt-zk1"), "zookeeper_degraded"),
        (lost("sby-zk1"), "zookeeper_degraded"),
        (lost("mks-ctl1"), "controller_lost"),
    ],
)
def test_one_fault_does_no_harm(change: Change, code: str) -> None:
    foresight = what_if(change)
    assert (foresight.outcome, foresight.site) == (Outcome.WRITES_GO_ON, JAKARTA)
    assert foresight.outage_s == 0.0
    assert codes(foresight)[-1] == code


def test_the_primary_s_host_lost_is_local_recovery() -> None:
    """The replica there has it once Patroni's session is over, longer than the claim's."""
    foresight = what_if(lost("jkt-db1"))
    assert (foresight.outcome, foresight.site) == (Outcome.WRITES_GO_ON, JAKARTA)
    assert foresight.outage_s == pytest.approx(8.0 + PROMOTION_S)
    assert foresight.otherwise_s == LEASE_S + 10.0  # local_recovery, had nobody taken the claim
    assert codes(foresight)[:2] == ["healthy", "primary_down_local_recovery"]


def test_without_an_heir_the_other_site_waits_for_local_recovery() -> None:
    foresight = what_if(lost("jkt-db1"), world=("the guard on jkt-db2 is not armed",))
    assert (foresight.outcome, foresight.decided_s) == (Outcome.TAKEOVER, LEASE_S + 10.0)
    assert foresight.otherwise_s is None


@pytest.mark.parametrize(
    "changes",
    [
        (JAKARTA_LOST, SiteLost(SURABAYA)),
        (JAKARTA_LOST, SiteLost(MAKASSAR)),
        (lost("jkt-zk1"), lost("sby-zk1")),
    ],
)
def test_without_a_majority_nothing_is_decided(changes: tuple[Change, ...]) -> None:
    foresight = what_if(*changes)
    assert foresight.outcome is Outcome.HOLD
    assert foresight.after.ensemble.unserved_until_s == inf
    assert codes(foresight) == ["healthy", "quorum_lost"]
    assert [gate.name for gate in foresight.ending.gates] == ["state_readable"]


def test_a_cut_link_with_the_leader_on_the_wrong_side_costs_the_lease() -> None:
    """Guards do not list the witness, so Jakarta's find no server that serves."""
    foresight = what_if(LinkCut(), world=("mks-zk1 leads the ensemble",))
    assert codes(foresight)[-2:] == ["primary_down_local_recovery", "local_recovery_failed"]
    assert (foresight.outcome, foresight.decided_s) == (Outcome.TAKEOVER, LEASE_S + 10.0)


def test_a_hold_that_is_there_already_stays() -> None:
    foresight = what_if(SiteLost(MAKASSAR), world=("there is no state",))
    assert (codes(foresight), foresight.outcome) == (["not_initialised"], Outcome.HOLD)


# --------------------------------------------------------------------------- the model

POLICY = policy_of()
CHANGES: list[Change] = [
    LinkCut(),
    *(SiteLost(site.name) for site in POLICY.sites),
    *(HostLost(host) for host, _ in hosts_of(POLICY)),
]
WORLDS = [
    (),
    ("jkt-zk1 leads the ensemble",),
    ("jakarta unplugged for 2.0 s",),
    ("jakarta unplugged for 6.3 s", "no claim for 0.1 s"),
    ("makassar has taken over in epoch 2",),
    ("observer makassar has published nothing",),
    ("there is no state",),
]


@given(
    world=st.sampled_from(WORLDS),
    changes=st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3, unique=True),
    at_s=st.floats(0.0, 100.0),
)
@settings(max_examples=60, deadline=None)
def test_the_present_is_left_alone_and_is_where_it_begins(
    world: tuple[str, ...], changes: list[Change], at_s: float
) -> None:
    built = build(list(world))
    present = built.inputs()
    before = deepcopy(present)
    supposed = Hypothesis(POLICY, present, aftermath(POLICY, present, changes))
    assert supposed.at(0.0) == present
    later = build_view(POLICY, supposed.at(at_s))
    assert later.now_unix_s == present.now_unix_s + at_s
    assert present == before


def test_a_change_of_what_nobody_asks_changes_nothing_but_its_silence() -> None:
    built = build([])
    present = built.inputs()
    supposed = Hypothesis(POLICY, present, aftermath(POLICY, present, [lost("sby-ctl1")]))
    now, then = present.observers, supposed.at(10.0).observers
    assert then[:2] == now[:2]
    assert then[2].age_s == now[2].age_s + 10.0


def test_silence_is_seen_by_the_round_that_waits_for_it() -> None:
    built = build([])
    present = built.inputs()
    supposed = Hypothesis(POLICY, present, aftermath(POLICY, present, [JAKARTA_LOST]))
    ages_s = [supposed.at(at_s).observers[1].age_s for at_s in (0.0, 1.0, 1.25, 9.0)]
    assert ages_s == pytest.approx([0.4, 1.4, 0.4, 0.4])


def test_every_host_that_may_be_lost_is_known() -> None:
    assert {site for _, site in hosts_of(POLICY)} == {site.name for site in POLICY.sites}
    names = [name for name, _ in hosts_of(POLICY)]
    assert len(names) == len(set(names)) == _count(POLICY)


def _count(policy: Policy) -> int:
    hosts: list[DatabaseHost | ZooKeeperServer] = [*policy.zookeeper_servers]
    hosts += [host for cluster in policy.clusters for host in cluster.hosts]
    return len(hosts) + len(policy.sites)


def test_changes_are_named_as_they_are_asked_for() -> None:
    named = [str(c) for c in (SiteLost(SiteName("jakarta")), lost("jkt-db1"), LinkCut())]
    assert named == ["site-lost=jakarta", "host-lost=jkt-db1", "link-cut"]
