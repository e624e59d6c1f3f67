"""When a takeover was last proven: put on record by what happened, shown by status and a metric."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cli_world import NOW_UNIX_S, POLICY, STATE, healthy
from golden import text_of

from failover.cli.snapshot import Snapshot, status_tree
from failover.cli.tree import as_rich
from failover.cli.units import ago
from failover.health.inputs import StateSeen
from failover.health.verdict import judge
from failover.health.view import build_view
from failover.planning.plan import Plan, RestartZooKeeper
from failover.planning.planner import plan
from failover.state import GroupState, decode_state, encode_state
from failover.znode import GroupPaths, Set
from tests.scenarios.language import build

TAKEN_OVER = ["makassar has taken over in epoch 2"]
UNPROMOTED = "the promotion of {} is not on record"
CLAIMED = "mks-db1 holds the claim of marketplace for 0.4 s in epoch 2"


def written(lines: list[str], state: dict[str, object] | None = None) -> tuple[GroupState, float]:
    """The state that the next step writes, and the time at which it was judged."""
    world = build(lines)
    assert world.state is not None
    world.state = replace(world.state, **(state or {}))
    view = world.view()
    decided = plan(view, judge(view))
    assert isinstance(decided, Plan), decided
    assert not isinstance(decided.action, RestartZooKeeper)
    path = GroupPaths(view.policy.group).state
    (op,) = (op for op in decided.action if isinstance(op, Set) and op.path == path)
    return decode_state(op.data), view.now_unix_s


def test_a_state_from_before_reads_as_never_proven() -> None:
    document = json.loads(encode_state(STATE))
    del document["proving"], document["proven_unix_s"]
    assert decode_state(json.dumps(document).encode()) == STATE
    assert (STATE.proving, STATE.proven_unix_s) == (False, 0.0)


@pytest.mark.parametrize(
    "lines",
    [
        ["jakarta unplugged for 6.3 s", "no claim for 0.1 s"],
        [
            "a switchover to makassar is frozen with 12 s left",
            "PostgreSQL on mks-db1 has received 0/5000100, replayed 0/5000100",
            "jkt-db1 is shut down under the plan, its WAL ends at 0/5000029",
        ],
    ],
    ids=["takeover", "switchover"],
)
def test_a_change_of_the_active_site_proves_nothing_before_its_end(lines: list[str]) -> None:
    after, _ = written(lines, {"proven_unix_s": 7.0})
    assert (after.epoch, after.proving, after.proven_unix_s) == (2, True, 7.0)


def test_the_last_promotion_on_record_is_the_proof() -> None:
    after, now_unix_s = written([*TAKEN_OVER, UNPROMOTED.format("marketplace"), CLAIMED])
    assert (after.proving, after.proven_unix_s) == (False, now_unix_s)


def test_a_group_is_proven_as_a_whole() -> None:
    both = [UNPROMOTED.format("marketplace"), UNPROMOTED.format("escrow")]
    rest = ["no claim of escrow for 0.6 s", "PostgreSQL on mks-db3 is a standby of jkt-db3"]
    after, _ = written(["two clusters", *TAKEN_OVER, *both, CLAIMED, *rest])
    assert after.clusters["marketplace"].promoted
    assert (after.proving, after.proven_unix_s) == (True, 0.0)


def test_a_plan_that_went_back_proves_nothing() -> None:
    """The old site is promoted again, in the same epoch."""
    stopped = "jkt-db1 is shut down under the plan, its WAL ends at 0/5000029"
    frozen = "a switchover to makassar is frozen with -1 s left"
    after, _ = written([frozen, stopped], {"proven_unix_s": 7.0})
    (back,) = after.clusters.values()
    assert (back.promoted, after.proving, after.proven_unix_s) == (False, False, 7.0)
    again = {"clusters": after.clusters, "proven_unix_s": 7.0}
    after, _ = written([], again)
    (back,) = after.clusters.values()
    assert (back.promoted, after.proving, after.proven_unix_s) == (True, False, 7.0)


# --------------------------------------------------------------------------- shown


def shown(proven_unix_s: float) -> Snapshot:
    state = replace(STATE, proven_unix_s=proven_unix_s)
    view = build_view(POLICY, replace(healthy(), state=StateSeen(state, version=11)))
    return status_tree(view, judge(view))


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (0.0, "just now"),
        (59.9, "just now"),
        (61.0, "1 minute ago"),
        (3600.0 * 23, "23 hours ago"),
        (86400.0 * 6.5, "6 days ago"),
    ],
)
def test_status_says_how_old_the_proof_is(age_s: float, said: str) -> None:
    assert ago(age_s) == said
    snapshot = shown(NOW_UNIX_S - age_s)
    assert f"takeover last proven {said}\n" in text_of(as_rich(snapshot))
    assert (snapshot.proven_unix_s, snapshot.proven_age_s) == (NOW_UNIX_S - age_s, age_s)


def test_never_is_said_and_is_no_number() -> None:
    snapshot = shown(0.0)
    assert "takeover never proven\n" in text_of(as_rich(snapshot))
    assert (snapshot.proven_unix_s, snapshot.proven_age_s) == (None, None)


def test_a_clock_that_is_behind_does_not_prove_the_future() -> None:
    assert shown(NOW_UNIX_S + 3.0).proven_age_s == 0.0
