"""The controller's transactions on a tree of znodes: all of it happens, or nothing does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from failover.health.verdict import judge
from failover.model import Epoch
from failover.planning import transactions
from failover.planning.plan import Hold, Plan, RestartZooKeeper
from failover.planning.planner import plan
from failover.simulation.tree import EMPTY, Tree, apply
from failover.state import (
    GroupState,
    HistoryEntry,
    StandbyScope,
    decode_record,
    decode_state,
    encode_record,
    encode_state,
)
from failover.znode import (
    Check,
    Conflict,
    Create,
    Delete,
    GroupPaths,
    Op,
    ScopePaths,
    Set,
    Transaction,
)
from tests.scenarios.language import build
from tests.scenarios.world import World

CONTROLLER, GUARD, PATRONI = 0x3001, 0x1002, 0x2001
SITE_LOST = ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"]
TWO_LOST = ["two clusters", *SITE_LOST]
SALVAGED = ["makassar has taken over in epoch 2", "jkt-db1 has salvaged 16384 bytes in epoch 2"]
JAKARTA = ScopePaths("/service", "marketplace-jakarta")
MAKASSAR = ScopePaths("/service", "marketplace-makassar")
GROUP = GroupPaths("marketplace")


def planned(world: World) -> Transaction:
    """The operations of the step that the core plans in this world."""
    view = world.view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan)
    assert not isinstance(decided.action, RestartZooKeeper)
    return decided.action


def commit(tree: Tree, *ops: Op, session: int = CONTROLLER) -> Tree:
    outcome = apply(tree, ops, session)
    assert not isinstance(outcome, Conflict), outcome
    return outcome[0]


def tree_of(world: World) -> Tree:
    """The znodes that the world's inputs were read from, with the same versions."""
    inputs = world.inputs()
    tree = commit(EMPTY, *(Create(path, b"") for path in GROUP.all_parents))
    tree = commit(tree, Create("/service", b""))
    assert inputs.state.state is not None
    assert inputs.state.version is not None
    tree = put(tree, GROUP.state, encode_state(inputs.state.state), inputs.state.version)
    head = inputs.history_head
    assert head.head is not None
    assert head.version is not None
    tree = put(tree, GROUP.history_head, encode_record(head.head), head.version)
    for proof in inputs.stopped:
        tree = put(tree, GROUP.stopped(proof.cluster), b"{}", proof.version)
    for writer in inputs.last_writers:
        tree = put(tree, GROUP.last_writer(writer.cluster), b"{}", writer.version)
    for claim in inputs.claims:
        if claim.claim is not None:
            owned = Create(GROUP.writer(claim.cluster), b"{}", ephemeral=True)
            tree = commit(tree, owned, session=GUARD)
    for scope in inputs.scopes:
        paths = ScopePaths("/service", world.policy.cluster(scope.cluster).scope(scope.site))
        tree = commit(tree, Create(paths.root, b""))
        if scope.config is not None:
            tree = put(tree, paths.config, scope.config.text.encode(), scope.config.version)
        if scope.status_version is not None:
            tree = put(tree, paths.status, b"{}", scope.status_version)
        if scope.leader is not None:
            fenced = scope.leader.ephemeral_owner == 0
            key = Create(paths.leader, scope.leader.value.encode(), ephemeral=not fenced)
            tree = commit(tree, key, session=PATRONI)
            if fenced:
                tree = commit(tree, Create(paths.leader_child, b""))
    return tree


def put(tree: Tree, path: str, data: bytes, version: int) -> Tree:
    tree = commit(tree, Create(path, data))
    for number in range(version):
        tree = commit(tree, Set(path, data, number))
    return tree


def data(tree: Tree, path: str) -> bytes | None:
    node = tree.get(path)
    return None if node is None else node.znode.data


def state(tree: Tree) -> GroupState:
    found = data(tree, GROUP.state)
    assert found is not None
    return decode_state(found)


def test_takeover_commits_on_the_world_it_was_judged_in() -> None:
    world = build(SITE_LOST)
    takeover = planned(world)
    tree = commit(tree_of(world), *takeover)
    assert state(tree).epoch == 2
    assert state(tree).active_site == "makassar"
    assert data(tree, GROUP.writer("marketplace")) is None
    assert data(tree, JAKARTA.leader) == b"fenced by failover, epoch 2"
    assert tree[JAKARTA.leader].znode.ephemeral_owner == 0
    assert data(tree, JAKARTA.leader_child) is not None
    assert json.loads(data(tree, JAKARTA.config) or b"")["standby_cluster"] == {
        "restore_command": "false"
    }
    new = json.loads(data(tree, MAKASSAR.config) or b"")
    assert "standby_cluster" not in new
    assert new["slots"] == {"failover_jakarta": {"type": "physical", "cluster_type": "primary"}}
    assert new["ttl"] == 20


def test_takeover_leaves_one_history_entry() -> None:
    world = build(SITE_LOST)
    takeover = planned(world)
    tree = commit(tree_of(world), *takeover)
    (name,) = tree[GROUP.history].children
    entry = decode_record(HistoryEntry, data(tree, f"{GROUP.history}/{name}") or b"", path=name)
    assert (entry.event, entry.epoch) == ("takeover", 2)
    assert entry.details["marketplace.min_lsn"] == "0/5000000"


def test_order_of_a_takeover_is_the_documented_one() -> None:
    takeover = planned(build(TWO_LOST))
    kinds = [(type(op).__name__, op.path.split("/")[-1]) for op in takeover]
    assert kinds == [
        ("Check", "state"),
        ("Create", "escrow"),
        ("Delete", "escrow"),
        ("Create", "marketplace"),
        ("Delete", "marketplace"),
        ("Check", "escrow.last_writer"),
        ("Check", "marketplace.last_writer"),
        *[("Delete", "leader"), ("Create", "leader"), ("Create", "fence")] * 2,
        *[("Set", "config")] * 4,
        ("Set", "state"),
        ("Create", "e-"),
        ("Set", "history_head"),
    ]


def test_two_clusters_move_together() -> None:
    world = build(TWO_LOST)
    takeover = planned(world)
    tree = commit(tree_of(world), *takeover)
    for cluster in ("escrow", "marketplace"):
        recorded = state(tree).clusters[cluster]
        assert (recorded.promoted, recorded.standby) == (False, StandbyScope.QUARANTINE)
        assert data(tree, f"/service/{cluster}-jakarta/leader/fence") is not None


def a_claim_appears(tree: Tree) -> Tree:
    claim = Create(GROUP.writer("escrow"), b"{}", ephemeral=True)
    return commit(tree, claim, session=GUARD)


def a_claim_comes_and_goes(tree: Tree) -> Tree:
    """What the host wrote under it was not judged."""
    path, claim = GROUP.last_writer("escrow"), GROUP.writer("escrow")
    permit = (Create(claim, b"{}", ephemeral=True), Set(path, b"{}", tree[path].znode.version))
    return commit(commit(tree, *permit, session=GUARD), Delete(claim, 0), session=GUARD)


def the_state_changes(tree: Tree) -> Tree:
    return commit(tree, Set(GROUP.state, data(tree, GROUP.state) or b"", 7))


def the_old_config_changes(tree: Tree) -> Tree:
    return commit(tree, Set(JAKARTA.config, b"{}", 4))


def the_new_config_changes(tree: Tree) -> Tree:
    return commit(tree, Set(MAKASSAR.config, b"{}", 4))


def the_leader_key_goes(tree: Tree) -> Tree:
    return commit(tree, Delete(JAKARTA.leader))


@pytest.mark.parametrize(
    "meanwhile",
    [
        a_claim_appears,
        a_claim_comes_and_goes,
        the_state_changes,
        the_old_config_changes,
        the_new_config_changes,
        the_leader_key_goes,
    ],
)
def test_takeover_is_refused_whole_when_the_world_changed(
    meanwhile: Callable[[Tree], Tree],
) -> None:
    world = build(TWO_LOST)
    takeover = planned(world)
    before = meanwhile(tree_of(world))
    outcome = apply(before, takeover, CONTROLLER)
    assert isinstance(outcome, Conflict)
    assert state(before).epoch == 1


def test_takeover_is_not_committed_twice() -> None:
    world = build(SITE_LOST)
    takeover = planned(world)
    tree = commit(tree_of(world), *takeover)
    assert isinstance(apply(tree, takeover, CONTROLLER), Conflict)


def test_half_a_segment_is_not_promoted() -> None:
    """The receiver begins a new timeline at the start of the segment; so does a restarted one."""
    received = "PostgreSQL on mks-db1 has received 0/4000000, replayed 0/5000000"
    view = build([received, *SITE_LOST]).view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Hold)
    assert [gate.name for gate in decided.blocking] == ["received_wal_replayed"]


def test_half_a_record_at_the_end_is_not_waited_for() -> None:
    """Nobody sends the rest of it any more; who is promoted must have it all the same."""
    received = "PostgreSQL on mks-db1 has received 0/5002000, replayed 0/5000F18"
    takeover = planned(build([received, *SITE_LOST]))
    written = next(op for op in takeover if isinstance(op, Set) and op.path == GROUP.state)
    assert str(decode_state(written.data).clusters["marketplace"].min_lsn) == "0/5002000"


def test_takeover_cannot_be_built_without_a_standby_leader() -> None:
    with pytest.raises(ValueError, match="although a gate holds"):
        transactions.takeover(build(["marketplace-makassar has no leader key"]).view())


def test_promotion_on_record_changes_one_flag() -> None:
    lines = [
        "makassar has taken over in epoch 2",
        "the promotion of marketplace is not on record",
        "mks-db1 holds the claim of marketplace for 0.4 s in epoch 2",
    ]
    world = build(lines)
    record = planned(world)
    tree = tree_of(world)
    after = state(commit(tree, *record))
    assert after.clusters["marketplace"].promoted
    assert after.epoch == Epoch(2)
    gone = commit(tree, Delete(GROUP.writer("marketplace")))
    assert isinstance(apply(gone, record, CONTROLLER), Conflict)


def test_reinstatement_lifts_fence_and_status() -> None:
    world = build(SALVAGED)
    reinstate = planned(world)
    tree = commit(tree_of(world), *reinstate)
    for path in (JAKARTA.leader, JAKARTA.leader_child, JAKARTA.status):
        assert data(tree, path) is None
    config = json.loads(data(tree, JAKARTA.config) or b"")
    assert config["standby_cluster"]["host"] == "10.77.2.11"
    assert config["standby_cluster"]["primary_slot_name"] == "failover_jakarta"
    assert state(tree).clusters["marketplace"].standby is StandbyScope.FOLLOWING
    assert isinstance(apply(tree, reinstate, CONTROLLER), Conflict)


def test_following_is_conditional_on_the_state_and_leaves_it_alone() -> None:
    lines = [
        "jkt-db1 gone for 9 s",
        "jkt-db2 holds the claim of marketplace for 1.1 s in epoch 1",
        "PostgreSQL on jkt-db2 is a working primary",
    ]
    world = build(lines)
    follow = planned(world)
    assert Check(GROUP.state, 7) in follow
    tree = tree_of(world)
    after = commit(tree, *follow)
    assert data(after, GROUP.state) == data(tree, GROUP.state)
    assert b"10.77.1.12" in (data(after, MAKASSAR.config) or b"")
    moved = the_state_changes(tree)
    assert isinstance(apply(moved, follow, CONTROLLER), Conflict)
