"""A linter for plans, independent of the planner. Pure.

It reads the operations themselves and compares them with the view and the policy, as a reviewer
would. Invariant: a plan with a problem is not committed; a check that cannot tell is a problem.
The checks of a takeover are in ``takeover_checks``, with those of one that nobody asked for in
``automatic_checks``, those of a planned move in ``switchover_checks``, those of one that guards
have to make possible in ``gray_failure_checks``, those of the protection modes in
``protection_checks``, of whom Patroni is told to promote in ``candidate_checks``, those of the
other steps in ``step_checks``, what every step puts on record in ``history_checks``.
"""

from __future__ import annotations

from collections.abc import Callable

from failover.health.view import View
from failover.planning.automatic_checks import AUTOMATIC, required_gates_are_there
from failover.planning.candidate_checks import NAME_CANDIDATE
from failover.planning.gray_failure_checks import BEGIN_TAKEOVER, STOPPED_BY_GUARDS
from failover.planning.history_checks import HISTORY
from failover.planning.linting import Problem, Problems, Reading, read
from failover.planning.plan import Plan, RestartZooKeeper, StepName
from failover.planning.protection_checks import EVERY_STEP, PROTECTION
from failover.planning.request_checks import REFUSE_REQUEST
from failover.planning.step_checks import FOLLOW, RECORD_PROMOTION, REINSTATE
from failover.planning.switchover_checks import (
    ABANDON_SWITCHOVER,
    BEGIN_SWITCHOVER,
    SWITCHOVER,
)
from failover.planning.takeover_checks import TAKEOVER
from failover.planning.transitions import edge, phase
from failover.znode import Check, Create, Delete, Set

__all__ = ["Problem", "lint"]

SETTLED_S = 10.0


def lint(plan: Plan, view: View) -> tuple[Problem, ...]:
    """Every problem of this plan against this view; empty: it may be committed."""
    if isinstance(plan.action, RestartZooKeeper):
        return tuple(_restart(plan, plan.action, view))
    checks = _CHECKS.get(plan.step)
    if checks is None:
        return (Problem("known_step", f"{plan.step} is not a transaction"),)
    reading = read(plan, view, plan.action)
    if reading is None:
        return (Problem("state_known", "there is no state that the plan could be made from"),)
    return tuple(found for check in (*_EVERY_STEP, *checks) for found in check(reading))


# --------------------------------------------------------------------------- every step


def gates_pass(reading: Reading) -> Problems:
    """A plan carries its gates, all of them passing; automation's takeovers every single one."""
    if not reading.plan.gates:
        yield Problem("gates_pass", "the plan carries no gates")
    for gate in reading.plan.gates:
        if gate.passes is not True:
            yield Problem("gates_pass", f"{gate.name} does not pass: {gate.evidence}")
    yield from required_gates_are_there(reading)


def state_conditional(reading: Reading) -> Problems:
    """``state`` is checked or set with exactly the version that was judged."""
    found = [
        op for op in reading.ops if isinstance(op, Check | Set) and op.path == reading.paths.state
    ]
    if not found:
        yield Problem("state_conditional", "nothing is conditional on the state")
    for op in found:
        if op.version != reading.view.state_version:
            yield Problem(
                "state_conditional",
                f"state at version {op.version}, judged at {reading.view.state_version}",
            )
    if any(isinstance(op, Set) for op in found) and reading.after is None:
        yield Problem("state_conditional", "the state that is written cannot be understood")


def never_unconditional(reading: Reading) -> Problems:
    """Every Set and Check names a version; a Delete may do without only on our own znodes."""
    own = {reading.paths.writer(c.name) for c in reading.clusters}
    own |= {
        reading.paths.stopped(c.name)
        for c in reading.clusters
        if reading.find(Create, reading.paths.stopped(c.name)) is not None  # proof of absence
    }
    own |= {reading.scope(c, side).leader_child for c in reading.clusters for side in c.sides}
    for op in reading.ops:
        if isinstance(op, Check | Set) and op.version < 0:
            yield Problem("never_unconditional", f"{op.path} is written without a version")
        if isinstance(op, Delete) and op.version < 0 and op.path not in own:
            yield Problem("never_unconditional", f"{op.path} is deleted without a version")


def known_paths(reading: Reading) -> Problems:
    """Nothing outside the group's own znodes and the scopes of the clusters in the plan."""
    paths = reading.paths
    known = {paths.state, paths.history_entry, paths.history_head, reading.request_path}
    for cluster in reading.clusters:
        known.add(paths.last_writer(cluster.name))
        known |= {paths.writer(cluster.name), paths.stopped(cluster.name)}
        for side in cluster.sides:
            scope = reading.scope(cluster, side)
            known |= {scope.leader, scope.leader_child, scope.config}
            known |= {scope.status, scope.failover, scope.sync}
    for op in reading.ops:
        if op.path not in known:
            yield Problem("known_paths", f"{op.path} is none of this plan's znodes")


def along_an_edge(reading: Reading) -> Problems:
    """Every cluster of the plan moves along an edge of the transition table, no other moves."""
    after = reading.after or reading.before
    for name, recorded in reading.before.clusters.items():
        moved = after.clusters.get(name)
        if name not in reading.plan.clusters:
            if moved != recorded:
                yield Problem("along_an_edge", f"{name} is not part of the plan")
        elif moved is None or edge(phase(recorded), phase(moved), reading.plan.step) is None:
            yield Problem("along_an_edge", f"{name}: no such transition by {reading.plan.step}")


def only_armed(reading: Reading) -> Problems:
    """A group whose guards may hold nothing is told what is refused, and no more: a server there
    may write without a claim. Whether it is armed no plan changes."""
    before, after = reading.before, reading.after
    refused = reading.plan.step is StepName.REFUSE_REQUEST
    if not refused and (not before.armed or before.arming):
        yield Problem("only_armed", "not every guard is known to be armed")
    if after is not None and (after.armed, after.arming) != (before.armed, before.arming):
        yield Problem("only_armed", "a plan changes whether the group is armed")


# --------------------------------------------------------------------------- ZooKeeper's leader


def _restart(plan: Plan, action: RestartZooKeeper, view: View) -> Problems:
    """Only a server of the policy, only the leader, only while every server serves."""
    if plan.step is not StepName.RESTART_ZOOKEEPER:
        yield Problem("known_step", f"{plan.step} restarts ZooKeeper")
    leader = view.zookeeper_leader
    if view.state is None or not view.state.armed or view.state.arming:
        yield Problem("only_armed", "not every guard is known to be armed")
    if leader is None or leader.name != action.server:
        yield Problem("restart_is_leader", f"{action.server} is not seen as the leader")
    if view.ensemble_unchanged_for_s < SETTLED_S:
        yield Problem("restart_of_the_settled", "who leads or serves has changed just now")
    silent = [z.server.name for z in view.zookeeper if z.serving is not True]
    if silent:
        yield Problem("restart_with_quorum", f"not serving: {', '.join(silent)}")
    if not all(cluster.claim_held for cluster in view.clusters):
        yield Problem("restart_with_claims", "a cluster has no writer claim")


_EVERY_STEP: tuple[Callable[[Reading], Problems], ...] = (
    gates_pass,
    state_conditional,
    never_unconditional,
    known_paths,
    *HISTORY,
    along_an_edge,
    only_armed,
    *EVERY_STEP,
)

_CHECKS: dict[StepName, tuple[Callable[[Reading], Problems], ...]] = {
    StepName.TAKEOVER: (*TAKEOVER, *AUTOMATIC, *STOPPED_BY_GUARDS),
    StepName.BEGIN_TAKEOVER: BEGIN_TAKEOVER,
    StepName.RECORD_PROMOTION: RECORD_PROMOTION,
    StepName.REINSTATE: REINSTATE,
    StepName.FOLLOW: FOLLOW,
    StepName.BEGIN_SWITCHOVER: BEGIN_SWITCHOVER,
    StepName.SWITCHOVER: SWITCHOVER,
    StepName.ABANDON_SWITCHOVER: ABANDON_SWITCHOVER,
    StepName.REFUSE_REQUEST: REFUSE_REQUEST,
    StepName.DROP_SYNCHRONOUS: PROTECTION,
    StepName.RECORD_SYNCHRONOUS: PROTECTION,
    StepName.LIST_SYNCHRONOUS: PROTECTION,
    StepName.NAME_CANDIDATE: NAME_CANDIDATE,
}
