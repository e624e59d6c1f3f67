"""Gates hold on doubt, transitions are complete, explanations agree with decisions."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover.health.verdict import RULES, Consequence, judge
from failover.health.view import View
from failover.model import SiteKind
from failover.planning.explain import explain
from failover.planning.gates import takeover_gates
from failover.planning.plan import Hold, Plan, StepName
from failover.planning.plan_checks import lint
from failover.planning.planner import passing, plan
from failover.planning.transitions import EDGES, Phase, edge, phase
from failover.state import ClusterState, StandbyScope, decode_state
from failover.znode import Set
from tests.scenarios.language import build

LOST = ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]

# Each, alone, keeps a lost Jakarta from being taken over, by the gate that is named.
BLOCKS = {
    "jkt-db1 holds the claim of marketplace for 9 s in epoch 1": "claim_gone",
    "the claim of marketplace cannot be understood": "claim_gone",
    "the claim of marketplace could not be read": "claim_gone",
    "automation is observe": "automation_auto",
    "automation is manual": "automation_auto",
    "automation paused for 60 s": "automation_not_paused",
    "cooldown for 60 s": "no_cooldown",
    "a switchover to makassar is frozen with 9 s left": "nothing_under_way",
    "the promotion of marketplace is not on record": "nothing_under_way",
    "marketplace-jakarta is paused": "old_scope_not_paused",
    "marketplace-jakarta has no configuration": "old_scope_not_fenced",
    "marketplace-makassar is paused": "new_scope_not_paused",
    "marketplace-makassar is not a standby cluster": "new_scope_follows",
    "marketplace-makassar has no configuration": "new_scope_follows",
    "marketplace-makassar has no leader key": "standby_leader_ready",
    "mks-db1 gone for 5 s": "standby_leader_ready",
    "Patroni on mks-db1 says replica": "standby_leader_ready",
    "PostgreSQL on mks-db1 has received 0/5000000, replayed 0/4EFFFFF": "received_wal_replayed",
    "PostgreSQL on mks-db1 has received nothing, replayed 0/5000000": "received_wal_replayed",
    "PostgreSQL on mks-db1 has received 0/4000000, replayed 0/5000000": "received_wal_replayed",
    "the quorum was rebuilt without jakarta": "claims_prove",
    "protection is max-protection, not in sync": "protection",
    "no samples of the primary's WAL": "loss_within_budget",
    "the last sample is 60 s old": "loss_within_budget",
}


def decided(lines: list[str]) -> tuple[View, Plan | Hold]:
    view = build(lines).view()
    return view, plan(view, judge(view))


def test_a_lost_site_is_taken_over() -> None:
    view, decision = decided(LOST)
    assert isinstance(decision, Plan)
    assert decision.step is StepName.TAKEOVER
    assert passing(takeover_gates(view))


@pytest.mark.parametrize(("line", "gate"), BLOCKS.items(), ids=list(BLOCKS))
def test_each_of_these_alone_holds_the_takeover(line: str, gate: str) -> None:
    view, decision = decided([*LOST, line])
    assert not (isinstance(decision, Plan) and decision.step is StepName.TAKEOVER)
    blocking = [g.name for g in takeover_gates(view) if g.passes is not True]
    assert gate in blocking


def test_every_gate_of_a_takeover_is_named_by_some_block() -> None:
    """Those not in the list need a world of their own, tested below."""
    own = {
        "state_readable",
        "living_observer",
        "local_recovery_over",
        "no_working_primary",
        "residency",
    }
    names = {gate.name for gate in takeover_gates(build(LOST).view())}
    assert names == set(BLOCKS.values()) | own


def test_nobody_looking_holds() -> None:
    silent = [f"observer {s} silent for 9 s" for s in ("jakarta", "makassar", "surabaya")]
    view, decision = decided([*LOST, *silent])
    assert isinstance(decision, Hold)
    assert judge(view).code == "insufficient_evidence"


@pytest.mark.parametrize(("absent_s", "step"), [(9.9, None), (10.0, StepName.TAKEOVER)])
def test_local_recovery_gets_its_time_exactly(absent_s: float, step: StepName | None) -> None:
    _, decision = decided(["jkt-db1 gone for 20 s", f"no claim for {absent_s} s"])
    assert (decision.step if isinstance(decision, Plan) else None) is step


def test_local_recovery_is_waited_for_in_one_cluster_of_two() -> None:
    """One cluster has no host left, the other may help itself: they move together or wait."""
    lines = [
        "two clusters",
        "jkt-db1 gone for 20 s",
        "jkt-db2 gone for 20 s",
        "jkt-db3 gone for 20 s",
        "no claim of marketplace for 13 s",
    ]
    view, decision = decided([*lines, "no claim of escrow for 9 s"])
    assert judge(view).code == "primary_down_local_recovery"
    assert isinstance(decision, Hold)
    view, decision = decided([*lines, "no claim of escrow for 11 s"])
    assert judge(view).code == "local_recovery_failed"
    assert isinstance(decision, Plan)


def test_a_working_primary_without_a_claim_holds() -> None:
    view, decision = decided(["no claim for 60 s"])
    assert isinstance(decision, Hold)
    gates = {g.name: g.passes for g in takeover_gates(view)}
    assert gates["no_working_primary"] is False


def test_a_host_outside_the_country_is_no_candidate() -> None:
    view = build(LOST).view()
    sites = tuple(
        replace(s, declared=()) if s.name == "makassar" and s.kind is SiteKind.DATA else s
        for s in view.policy.sites
    )
    abroad = replace(view, policy=replace(view.policy, sites=sites))
    assert isinstance(plan(abroad, judge(abroad)), Hold)
    assert {g.name: g.passes for g in takeover_gates(abroad)}["residency"] is False


def test_the_protocol_needs_no_particular_observer() -> None:
    """Any one living observer outside is enough, and so is any reader."""
    for silent in ("makassar", "surabaya"):
        _, decision = decided([*LOST, f"observer {silent} silent for 60 s"])
        assert isinstance(decision, Plan)


@pytest.mark.parametrize("automation", ["manual", "observe"])
def test_what_was_committed_is_finished_in_every_mode(automation: str) -> None:
    lines = [
        "makassar has taken over in epoch 2",
        "the promotion of marketplace is not on record",
        "mks-db1 holds the claim of marketplace for 0.4 s in epoch 2",
        f"automation is {automation}",
    ]
    assert isinstance(decided(lines)[1], Plan)


@pytest.mark.parametrize(("automation", "acts"), [("manual", True), ("observe", False)])
def test_reinstatement_needs_no_human_but_not_on_paper(automation: str, acts: bool) -> None:
    lines = [
        "makassar has taken over in epoch 2",
        "jkt-db1 has salvaged 9 bytes in epoch 2",
        f"automation is {automation}",
    ]
    assert isinstance(decided(lines)[1], Plan) is acts


# --------------------------------------------------------------------------- transitions


def test_every_record_has_a_phase() -> None:
    view = build([]).view()
    recorded = view.clusters[0].recorded
    assert isinstance(recorded, ClusterState)
    phases = {
        phase(replace(recorded, promoted=promoted, standby=standby))
        for promoted, standby in itertools.product((True, False), StandbyScope)
    }
    assert phases == set(Phase)


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {e.after for e in EDGES}
    left = {e.before for e in EDGES if e.after is not e.before}
    assert reached == set(Phase)
    assert left == {None, *Phase}


def test_every_step_on_clusters_has_an_edge_and_every_sentence_ends() -> None:
    steps = {e.step for e in EDGES if e.step is not None}
    assert steps == set(StepName) - {StepName.RESTART_ZOOKEEPER, StepName.REFUSE_REQUEST}
    assert all(e.sentence.endswith(".") for e in EDGES)
    assert edge(Phase.ALONE, Phase.PROMOTING, StepName.TAKEOVER) is None


# --------------------------------------------------------------------------- any world at all

SITES = ("jakarta", "makassar", "surabaya")
LINES = [
    *BLOCKS,
    *[f"{site} unplugged for {s} s" for site in SITES for s in (1, 7)],
    *[f"observer {site} silent for 9 s" for site in SITES],
    *[f"observer {a} does not reach {b}" for a in SITES for b in SITES[:2] if a != b],
    *[f"{h} gone for 20 s" for h in ("jkt-db1", "jkt-db2", "mks-db1", "mks-db2")],
    *[f"PostgreSQL on {h} refuses for 5 s" for h in ("jkt-db1", "mks-db2")],
    *["PostgreSQL on mks-db2 is a working primary", "PostgreSQL on jkt-db2 is a working primary"],
    *[f"the guard on {h} is silent" for h in ("jkt-db1", "mks-db1")],
    *[f"no claim for {s} s" for s in (0.1, 3, 15)],
    *["mks-db1 holds the claim of marketplace for 1 s in epoch 2"],
    *["jkt-db2 holds the claim of marketplace for 1 s in epoch 1"],
    *["makassar has taken over in epoch 2", "jkt-db1 has salvaged 9 bytes in epoch 2"],
    *["jkt-zk1 leads the ensemble", "ZooKeeper on mks-zk1 refuses", "there is no state"],
    *["marketplace-jakarta has no leader key", "a stopped-proof of jkt-db1 is left behind"],
]


def some_world(seed: int) -> list[str]:
    """A few changes at random; those that contradict what came before are left out."""
    chance = random.Random(seed)
    lines: list[str] = ["two clusters"] if chance.random() < 0.3 else []
    if chance.random() < 0.5:
        lines += LOST
    for line in chance.sample(LINES, chance.randint(0, 6)):
        try:
            build([*lines, line])
        except (AssertionError, KeyError, ValueError):
            continue
        lines.append(line)
    return lines


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_in_any_world_plans_are_clean_and_takeovers_are_safe(seed: int) -> None:
    lines = some_world(seed)
    view = build(lines).view()
    verdict = judge(view)
    decision = plan(view, verdict)
    explanation = explain(view, verdict, decision)
    if isinstance(decision, Hold):
        assert verdict.consequence in (Consequence.NOTHING, Consequence.HOLD) or decision.blocking
        return
    assert lint(decision, view) == (), lines
    assert explanation.next.in_s == 0.0
    assert explanation.blocking is None
    if decision.step is StepName.TAKEOVER:
        _takeover_is_safe(view, decision)


def _takeover_is_safe(view: View, takeover: Plan) -> None:
    """Restated in the plainest words, without the gates."""
    assert view.state is not None
    assert view.living_observers
    for cluster in view.clusters:
        assert cluster.claim is not None
        assert cluster.claim.claim is None
        assert not cluster.claim.problem
        assert not any(host.working_primary for host in cluster.active.hosts)
    written = [op for op in takeover.action if isinstance(op, Set)]  # type: ignore[union-attr]
    state = next(op for op in written if op.path.endswith("/state"))
    assert state.version == view.state_version
    after = decode_state(state.data)
    assert after.epoch == view.state.epoch + 1
    assert set(after.clusters) == set(view.state.clusters)


def test_the_table_ends_with_a_row_that_always_matches() -> None:
    assert RULES[-1].code == "insufficient_evidence"
    assert RULES[-1].matches(build([]).view())
