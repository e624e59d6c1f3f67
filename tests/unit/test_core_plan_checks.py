"""Every plan check fires on a plan that was broken on purpose, and on no plan of the planner."""

# ruff: noqa: E501  (one mutation a line: the list reads as a table)

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from failover.health.verdict import judge
from failover.health.view import View
from failover.model import Epoch, HostName, Invariant, Lsn, SiteName
from failover.planning import plan_checks, step_checks, takeover_checks
from failover.planning.plan import Gate, Plan, RestartZooKeeper, StepName
from failover.planning.plan_checks import lint
from failover.planning.planner import plan
from failover.state import GroupState, SalvagePhase, decode_state, encode_state
from failover.znode import Check, Create, Delete, Op, Set, Transaction
from tests.scenarios.language import build

WORLDS = {
    StepName.TAKEOVER: ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"],
    StepName.RECORD_PROMOTION: [
        "makassar has taken over in epoch 2",
        "the promotion of marketplace is not on record",
        "mks-db1 holds the claim of marketplace for 0.4 s in epoch 2",
    ],
    StepName.REINSTATE: [
        "makassar has taken over in epoch 2",
        "jkt-db1 has salvaged 16384 bytes in epoch 2",
    ],
    StepName.FOLLOW: [
        "jkt-db1 gone for 9 s",
        "jkt-db2 holds the claim of marketplace for 1.1 s in epoch 1",
        "PostgreSQL on jkt-db2 is a working primary",
    ],
    StepName.RESTART_ZOOKEEPER: ["jkt-zk1 leads the ensemble"],
    StepName.BEGIN_SWITCHOVER: ["an operator asks for a switchover to makassar, 1 s ago"],
    StepName.SWITCHOVER: [
        "a switchover to makassar is frozen with 12 s left",
        "PostgreSQL on mks-db1 has received 0/5000100, replayed 0/5000100",
        "jkt-db1 is shut down under the plan, its WAL ends at 0/5000029",
    ],
    StepName.ABANDON_SWITCHOVER: ["a switchover to makassar is frozen with -1 s left"],
    StepName.REFUSE_REQUEST: [
        "marketplace-makassar is paused",
        "an operator asks for a switchover to makassar, 1 s ago",
    ],
}
ROOT = "/failover/marketplace"
STATE, CLAIM = f"{ROOT}/state", f"{ROOT}/writers/marketplace"
JAKARTA, MAKASSAR = "/service/marketplace-jakarta", "/service/marketplace-makassar"

Case = tuple[Plan, View]


def good(step: StepName, *more: str) -> Case:
    view = build([*more, *WORLDS[step]]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    assert decided.step is step
    return decided, view


def ops(case: Case) -> Transaction:
    assert not isinstance(case[0].action, RestartZooKeeper)
    return case[0].action


def with_ops(case: Case, changed: tuple[Op, ...]) -> Case:
    return replace(case[0], action=changed), case[1]


def without(case: Case, *gone: tuple[type, str]) -> Case:
    return with_ops(case, tuple(op for op in ops(case) if (type(op), op.path) not in gone))


def plus(case: Case, *more: Op) -> Case:
    return with_ops(case, (*ops(case), *more))


def changed(case: Case, kind: type, path: str, **fields: Any) -> Case:
    found = [op for op in ops(case) if type(op) is kind and op.path == path]
    assert found, f"no {kind.__name__} {path}"
    return with_ops(case, tuple(replace(op, **fields) if op in found else op for op in ops(case)))


def with_state(case: Case, edit: Callable[[GroupState], GroupState]) -> Case:
    old = next(op for op in ops(case) if isinstance(op, Set) and op.path == STATE)
    return changed(case, Set, STATE, data=encode_state(edit(decode_state(old.data))))


def with_config(case: Case, scope: str, **keys: Any) -> Case:
    path = f"{scope}/config"
    old = next(op for op in ops(case) if isinstance(op, Set) and op.path == path)
    document = {**json.loads(old.data), **keys}
    return changed(case, Set, path, data=json.dumps(document).encode())


def with_view(case: Case, **fields: Any) -> Case:
    return case[0], replace(case[1], **fields)


def cluster(case: Case, **fields: Any) -> Case:
    (only,) = case[1].clusters
    return with_view(case, clusters=(replace(only, **fields),))


def first_to_end(case: Case, kind: type, path: str) -> Case:
    op = next(op for op in ops(case) if type(op) is kind and op.path == path)
    return with_ops(case, (*(other for other in ops(case) if other is not op), op))


def abroad(case: Case, host: str) -> Case:
    """The same world under a policy in which that host has an address in no network."""
    policy = case[1].policy
    clusters = tuple(
        replace(
            c,
            hosts=tuple(
                replace(h, address=ip_address("203.0.113.9")) if h.name == host else h
                for h in c.hosts
            ),
        )
        for c in policy.clusters
    )
    return with_view(case, policy=replace(policy, clusters=clusters))


def foreign(case: Case, site: str) -> Case:
    """The same world under a policy in which that site is said to be in another country."""
    policy = case[1].policy
    sites = tuple(replace(s, country="SG") if s.name == site else s for s in policy.sites)
    return with_view(case, policy=replace(policy, sites=sites))


def record(case: Case, **fields: Any) -> Callable[[GroupState], GroupState]:
    def edit(state: GroupState) -> GroupState:
        name, only = next(iter(state.clusters.items()))
        return state.with_cluster(name, replace(only, **fields))

    return edit


T, P, R, F = (
    StepName.TAKEOVER,
    StepName.RECORD_PROMOTION,
    StepName.REINSTATE,
    StepName.FOLLOW,
)
HOLDING = Gate("automation_auto", None, "unknown", Invariant.DOUBT_MEANS_HOLD)
FENCE, CHILD = f"{JAKARTA}/leader", f"{JAKARTA}/leader/fence"

# What is broken, in which step, by which hand, and which check must say so.
MUTATIONS: list[tuple[str, StepName, Callable[[Case], Case], str]] = [
    ("a gate is unknown", T, lambda c: (replace(c[0], gates=(HOLDING,)), c[1]), "gates_pass"),
    ("no gates", F, lambda c: (replace(c[0], gates=()), c[1]), "gates_pass"),
    ("stale state", T, lambda c: changed(c, Set, STATE, version=6), "state_conditional"),
    ("no state check", F, lambda c: without(c, (Check, STATE)), "state_conditional"),
    ("unreadable state", T, lambda c: changed(c, Set, STATE, data=b"{}"), "state_conditional"),
    ("blind set", T, lambda c: changed(c, Set, f"{JAKARTA}/config", version=-1), "never_unconditional"),
    ("blind delete", R, lambda c: changed(c, Delete, FENCE, version=-1), "never_unconditional"),
    ("another's znode", T, lambda c: plus(c, Delete("/service/other/leader", 0)), "known_paths"),
    ("another group", F, lambda c: plus(c, Check("/failover/other/state", 1)), "known_paths"),
    ("no history", R, lambda c: without(c, (Create, f"{ROOT}/history/e-")), "history_written"),
    ("ephemeral fence", T, lambda c: changed(c, Create, FENCE, ephemeral=True), "only_history_is_sequential"),
    ("half a group", T, lambda c: (replace(c[0], clusters=()), c[1]), "whole_group"),
    ("a claim is there", T, lambda c: cluster(c, claim=None), "nobody_writes"),
    ("nobody looks", T, lambda c: with_view(c, observers=()), "nobody_writes"),
    ("same epoch", T, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(1))), "epoch_is_next"),
    ("epoch skipped", T, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(3))), "epoch_is_next"),
    ("stays", T, lambda c: with_state(c, lambda s: replace(s, active_site=SiteName("jakarta"))), "moves_to_other_data_site"),
    ("to the witness", T, lambda c: (replace(c[0], to_site=SiteName("surabaya")), c[1]), "moves_to_other_data_site"),
    ("from elsewhere", T, lambda c: (replace(c[0], from_site=SiteName("makassar")), c[1]), "moves_to_other_data_site"),
    ("host abroad", T, lambda c: abroad(c, "mks-db2"), "hosts_in_country"),
    ("site abroad", T, lambda c: foreign(c, "makassar"), "hosts_in_country"),
    ("no proof", T, lambda c: without(c, (Create, CLAIM), (Delete, CLAIM)), "no_claim_is_proved"),
    ("claim kept", T, lambda c: without(c, (Delete, CLAIM)), "no_claim_is_proved"),
    ("proof too late", T, lambda c: first_to_end(first_to_end(c, Create, CLAIM), Delete, CLAIM), "no_claim_is_proved"),
    ("no fence", T, lambda c: without(c, (Create, FENCE), (Create, CHILD)), "old_site_fenced"),
    ("no child", T, lambda c: without(c, (Create, CHILD)), "old_site_fenced"),
    ("fence of an old epoch", T, lambda c: changed(c, Create, FENCE, data=b"fenced by failover, epoch 1"), "old_site_fenced"),
    ("old key kept", T, lambda c: without(c, (Delete, FENCE)), "old_site_fenced"),
    ("no quarantine", T, lambda c: without(c, (Set, f"{JAKARTA}/config")), "old_site_quarantined"),
    ("upstream in quarantine", T, lambda c: with_config(c, JAKARTA, standby_cluster={"host": "10.77.2.11"}), "old_site_quarantined"),
    ("ttl changed", T, lambda c: with_config(c, JAKARTA, ttl=30), "old_site_quarantined"),
    ("old config unread", T, lambda c: changed(c, Set, f"{JAKARTA}/config", version=9), "old_site_quarantined"),
    ("not promoted", T, lambda c: without(c, (Set, f"{MAKASSAR}/config")), "new_site_released"),
    ("still a standby", T, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.11"}), "new_site_released"),
    ("ttl changed there", T, lambda c: with_config(c, MAKASSAR, ttl=30), "new_site_released"),
    ("new config unread", T, lambda c: changed(c, Set, f"{MAKASSAR}/config", version=9), "new_site_released"),
    ("min_lsn too low", T, lambda c: with_state(c, record(c, min_lsn=Lsn(1))), "minimum_is_what_was_judged"),
    ("another timeline", T, lambda c: with_state(c, record(c, timeline=9)), "minimum_is_what_was_judged"),
    ("promoted at once", T, lambda c: with_state(c, record(c, promoted=True)), "state_after"),
    ("no such transition", T, lambda c: with_state(c, record(c, promoted=True)), "along_an_edge"),
    ("in sync", T, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "state_after"),
    ("automation changed", T, lambda c: with_state(c, lambda s: replace(s, automation="manual")), "state_after"),
    ("follows at once", T, lambda c: with_state(c, record(c, standby="following")), "state_after"),
    ("more than a promotion", P, lambda c: with_state(c, lambda s: replace(s, in_sync=True)), "only_promoted_changes"),
    ("no promotion", P, lambda c: with_state(c, record(c, promoted=False)), "only_promoted_changes"),
    ("claim unchecked", P, lambda c: without(c, (Check, CLAIM)), "claims_checked"),
    ("no claim", P, lambda c: cluster(c, claim=None), "claims_checked"),
    ("touches a scope", P, lambda c: plus(c, Delete(FENCE, 0)), "no_other_side"),
    ("active config set", F, lambda c: plus(c, Set(f"{JAKARTA}/config", b"{}", 4)), "no_other_side"),
    ("more than reinstated", R, lambda c: with_state(c, lambda s: replace(s, epoch=Epoch(3))), "only_standby_changes"),
    ("nothing salvaged", R, lambda c: cluster(c, salvage=()), "salvaged_first"),
    ("salvage failed", R, lambda c: cluster(c, salvage=tuple(replace(r, phase=SalvagePhase.FAILED) for r in c[1].clusters[0].salvage)), "salvaged_first"),
    ("old salvage", R, lambda c: cluster(c, salvage=tuple(replace(r, epoch=Epoch(1)) for r in c[1].clusters[0].salvage)), "salvaged_first"),
    ("child stays", R, lambda c: without(c, (Delete, CHILD)), "fence_removed"),
    ("child last", R, lambda c: first_to_end(c, Delete, CHILD), "fence_removed"),
    ("another fence", R, lambda c: changed(c, Delete, FENCE, version=8), "fence_removed"),
    ("status stays", R, lambda c: without(c, (Delete, f"{JAKARTA}/status")), "fence_removed"),
    ("not pointed", R, lambda c: without(c, (Set, f"{JAKARTA}/config")), "points_at_primary"),
    ("to a replica", F, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.11"}), "points_at_primary"),
    ("no slot", F, lambda c: with_config(c, MAKASSAR, standby_cluster={"host": "10.77.1.12"}), "points_at_primary"),
    ("upstream abroad", F, lambda c: foreign(c, "jakarta"), "points_at_primary"),
    ("config unread", F, lambda c: changed(c, Set, f"{MAKASSAR}/config", version=9), "points_at_primary"),
    ("loop_wait changed", F, lambda c: with_config(c, MAKASSAR, loop_wait=9), "points_at_primary"),
    ("state written", F, lambda c: plus(c, Set(STATE, encode_state(c[1].state), 7)), "state_untouched"),  # type: ignore[arg-type]
    ("out of quarantine", F, lambda c: cluster(c, recorded=replace(c[1].clusters[0].recorded, standby="quarantine")), "follows_on_record"),  # type: ignore[type-var]
]  # fmt: skip


@pytest.mark.parametrize("step", list(StepName))
def test_plans_of_the_planner_are_clean(step: StepName) -> None:
    assert lint(*good(step)) == ()


@pytest.mark.parametrize(
    ("step", "mutate", "check"),
    [(step, mutate, check) for _, step, mutate, check in MUTATIONS],
    ids=[f"{step}: {what}" for what, step, _, _ in MUTATIONS],
)
def test_check_fires(step: StepName, mutate: Callable[[Case], Case], check: str) -> None:
    problems = lint(*mutate(good(step)))
    assert check in {problem.check for problem in problems}


def test_a_stopped_proof_left_behind_is_removed() -> None:
    case = good(StepName.TAKEOVER, "a stopped-proof of jkt-db1 is left behind")
    assert lint(*case) == ()
    kept = without(case, (Delete, f"{ROOT}/stopped/marketplace"))
    assert [p.check for p in lint(*kept)] == ["stopped_proof_removed"]


def test_every_check_is_fired_by_some_mutation() -> None:
    tables = [
        *plan_checks._EVERY_STEP,
        *takeover_checks.TAKEOVER,
        *step_checks.RECORD_PROMOTION,
        *step_checks.REINSTATE,
        *step_checks.FOLLOW,
    ]
    fired = {check for _, _, _, check in MUTATIONS} | {"stopped_proof_removed"}
    assert {check.__name__ for check in tables} == fired


def test_restart_only_of_the_leader_with_everything_well() -> None:
    case = good(StepName.RESTART_ZOOKEEPER)
    other = replace(case[0], action=RestartZooKeeper(HostName("mks-zk1")))
    assert [p.check for p in lint(other, case[1])] == ["restart_is_leader"]
    silent = tuple(
        replace(z, serving=None) if z.server.name == "mks-zk1" else z for z in case[1].zookeeper
    )
    assert [p.check for p in lint(*with_view(case, zookeeper=silent))] == ["restart_with_quorum"]
    assert [p.check for p in lint(*cluster(case, claim=None))] == ["restart_with_claims"]
    wrong = replace(case[0], step=StepName.FOLLOW)
    assert [p.check for p in lint(wrong, case[1])] == ["known_step"]


def test_without_a_state_nothing_is_clean() -> None:
    case = with_view(good(StepName.TAKEOVER), state=None)
    assert [p.check for p in lint(*case)] == ["state_known"]
