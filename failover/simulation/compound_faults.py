"""Faults in two acts: something is begun, and right when it stands the next thing goes wrong.

Chance alone seldom strikes within the second in which a move is under way; an operator's command
and a disaster that it was to avoid do. One function each, as in faults.py.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from failover.simulation.acts import Acts, lose, standby_site, together
from failover.simulation.controller import UNIX_EPOCH_S
from failover.simulation.faults import Fault, Undo
from failover.simulation.outrun_faults import OUTRUN_FAULTS
from failover.simulation.postgres import Hang, Run
from failover.simulation.world import World
from failover.state import PlanKind, StandbyScope

STUCK_AFTER_S = 5.0  # of a plan's deadline (health/scenarios.py)


def lose_the_new_site(world: World, random: Random) -> Undo:
    """An operator moves the group, and the site that was just made active is gone before it is
    promoted. Sometimes he asks for the way back, whatever is lost."""
    acts, epoch = Acts(world), world.state.epoch
    by_power, asks_back = random.random() < 0.5, random.random() < 0.4
    late_s, back_s = random.uniform(0.0, 0.4), random.uniform(3.0, 9.0)
    world.kernel.note("FAULT whatever site is made active next is lost at once")
    world.operator_asks(standby_site(world), limit_s=15.0)
    ended: list[Undo] = [acts.end]

    def strike() -> None:
        site = world.state.active_site
        world.kernel.note(f"FAULT {site} is lost as it takes over")
        ended.append(lose(world, site, by_power=by_power))
        if asks_back:
            kind = PlanKind.TAKEOVER
            acts.after(back_s, lambda: world.operator_asks(standby_site(world), kind=kind))

    acts.when(lambda: world.state.epoch != epoch, lambda: acts.after(late_s, strike))
    return lambda: together(ended)


def lose_the_goal_of_a_plan(world: World, random: Random) -> Undo:
    """A planned move whose goal is lost when the old site is being stopped: it has to go back."""
    acts, limit_s = Acts(world), random.choice((2.0, 5.0))
    by_power, late_s = random.random() < 0.5, random.uniform(0.1, 1.5)
    world.kernel.note("FAULT a switchover is asked for, and its goal is lost")
    world.operator_asks(standby_site(world), limit_s=limit_s)
    ended: list[Undo] = [acts.end]

    def strike() -> None:
        plan = world.state.plan
        if plan is not None:
            world.kernel.note(f"FAULT {plan.to_site} is lost under plan {plan.id}")
            ended.append(lose(world, plan.to_site, by_power=by_power))

    acts.when(lambda: world.state.plan is not None, lambda: acts.after(late_s, strike))
    return lambda: together(ended)


def nobody_ends_the_plan(world: World, random: Random) -> Undo:
    """A primary hangs, an operator has the guards stop it, and every controller is gone until long
    after the plan's deadline."""
    acts = Acts(world)
    primaries = [s for s in world.stacks.values() if _works(s.server.run, s.server.in_recovery)]
    hung = random.choice(primaries) if primaries else None
    kind = PlanKind.TAKEOVER if random.random() < 0.85 else PlanKind.SWITCHOVER
    asked_s, late_s = random.uniform(2.0, 4.0), random.uniform(0.0, 0.5)
    away_s = STUCK_AFTER_S + random.uniform(-0.5, 4.0)
    world.kernel.note("FAULT a plan is begun, and every controller is gone until it is overdue")
    if hung is not None and kind is PlanKind.TAKEOVER:
        hung.server.hangs(Hang.FROZEN)
    acts.after(asked_s, lambda: world.operator_asks(standby_site(world), limit_s=2.0, kind=kind))

    def come_back() -> None:
        for controller in world.controllers.values():
            controller.thaw()

    def leave() -> None:
        plan = world.state.plan
        if plan is None:
            return
        world.kernel.note(f"FAULT every controller is frozen under plan {plan.id}")
        for controller in world.controllers.values():
            controller.freeze()
        back_s = plan.deadline_unix_s - UNIX_EPOCH_S - world.kernel.now + away_s
        acts.after(max(0.0, back_s), come_back)

    def undo() -> None:
        acts.end()
        come_back()
        if hung is not None:
            hung.server.thaw()

    acts.when(lambda: world.state.plan is not None, lambda: acts.after(late_s, leave))
    return undo


def lose_a_replica_when_alone(world: World, random: Random) -> Undo:
    """The active site is lost, and later a replica of the one that goes on alone."""
    acts, late_s = Acts(world), random.uniform(3.0, 9.0)
    site, by_power = world.state.active_site, random.random() < 0.5
    world.kernel.note(f"FAULT {site} is lost, and later a replica of the other site")
    ended: list[Undo] = [acts.end, lose(world, site, by_power=by_power)]

    def alone() -> bool:
        clusters = world.state.clusters.values()
        return any(c.promoted and c.standby is not StandbyScope.FOLLOWING for c in clusters)

    def strike() -> None:
        here = [s for s in world.at(world.state.active_site) if s.server.in_recovery]
        if here:
            name = random.choice(here).host.name
            world.kernel.note(f"FAULT {name} loses its power")
            world.power_off(name)
            ended.append(lambda: world.power_on(name))

    acts.when(alone, lambda: acts.after(late_s, strike))
    return lambda: together(ended)


def alter_standby_scope(world: World, random: Random) -> Undo:
    """An operator edits Patroni's configuration of the standby site by hand, and puts it back where
    it still is the standby site's."""
    site = standby_site(world)
    cluster = random.choice(world.policy.clusters)
    path = world.scope(cluster, site).config
    ordinary = random.random() < 0.5
    world.kernel.note(f"FAULT an operator alters {cluster.name}-{site}")
    found: list[Any] = []

    def alter(data: bytes) -> bytes:
        config = json.loads(data)
        standby = config.pop("standby_cluster", None)
        if world.state.active_site == site or not standby:
            return data  # it has become the active one meanwhile
        if standby.get("host") or not found:  # not what an attempt of before has left
            found[:] = [standby]
        if not ordinary:
            config["standby_cluster"] = {"restore_command": "false"}
        return json.dumps(config).encode()

    def put_back(data: bytes) -> bytes:
        config = json.loads(data)
        follows = world.state.clusters[cluster.name].standby is StandbyScope.FOLLOWING
        standby = config.get("standby_cluster")
        altered = not standby or (follows and not standby.get("host"))
        if found and altered and world.state.active_site != site:
            config["standby_cluster"] = found[0]
        return json.dumps(config).encode()

    world.operator_patches(path, alter)
    return lambda: world.operator_patches(path, put_back)


COMPOUND_FAULTS: dict[Fault, float] = {
    lose_the_new_site: 3.0,
    lose_the_goal_of_a_plan: 2.0,
    nobody_ends_the_plan: 3.0,
    lose_a_replica_when_alone: 2.0,
    alter_standby_scope: 1.0,
    **OUTRUN_FAULTS,
}


def _works(run: Run, in_recovery: bool) -> bool:
    return run is Run.RUNNING and not in_recovery
