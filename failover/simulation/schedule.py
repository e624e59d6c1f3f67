"""One seed, one schedule: a phase of random faults for safety, then everything heals.

The invariants are asserted all the time (checker.py). After the faults are over the group must be
well again within ``LIVENESS_S`` of virtual time: one writable host per cluster at the active site,
everybody else streaming from it, the record in order, clients acknowledged.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from failover.health.relisting import waits_s
from failover.model import ProtectionMode
from failover.simulation.checker import Violation
from failover.simulation.compound_faults import COMPOUND_FAULTS
from failover.simulation.controller import UNIX_EPOCH_S
from failover.simulation.coverage import Coverage
from failover.simulation.faults import FAULTS, Fault, isolate_site, kill_site
from failover.simulation.human import Human
from failover.simulation.memory import remember_what_was_decoded
from failover.simulation.policies import policy
from failover.simulation.postgres import Postgres
from failover.simulation.sync_faults import SYNC_FAULTS
from failover.simulation.world import World
from failover.state import GroupState, StandbyScope

STEP_S = (0.02, 0.25)
WARM_UP_S = 3.0
LIVENESS_S = 120.0
SLOWER = 3.0  # so much longer are the steps, and all faults, of some schedules
SLOW_SHARE = 0.1
OFTENER = 3.0  # faults in two acts come so much more often in them
FAULT_S = (0.1, 15.0)
LONGER, MUCH_LONGER = 2.0, 3.0  # disasters, and faults in two acts, last so much longer
SKEW_S_MAX = 10.0  # of the controllers' clocks; and a host that may come back needs a moment


@dataclass(slots=True)
class Result:
    """How one schedule ended. ``failure`` empty: every invariant held, and it got well."""

    seed: int
    steps: int
    protection: ProtectionMode
    failure: str = ""
    virtual_s: float = 0.0
    events: int = 0
    takeovers: int = 0
    lost_writes: int = 0
    healed_after_s: float = 0.0
    coverage: Coverage = field(default_factory=Coverage)
    log: list[str] = field(default_factory=list)


def mode_of(seed: int) -> ProtectionMode:
    """Half of the schedules in a synchronous mode."""
    asynchronous = ProtectionMode.MAX_PERFORMANCE
    modes = (asynchronous, ProtectionMode.MAX_AVAILABILITY)
    return (*modes, asynchronous, ProtectionMode.MAX_PROTECTION)[seed % 4]


def hosts_of(seed: int) -> int:
    """Of a cluster at each site. Three in every seventh schedule, of each mode."""
    return 3 if seed % 20 in (6, 7, 17) else 2


def run_schedule(
    seed: int,
    steps: int,
    protection: ProtectionMode = ProtectionMode.MAX_PERFORMANCE,
    *,
    log: bool = False,
    begun: Callable[[World], None] | None = None,
) -> Result:
    """Everything that happens follows from the two numbers and the mode. ``begun``: told of the
    world before its time begins."""
    random = Random(seed)
    chosen = policy(
        clusters=random.choice((1, 1, 1, 2)),
        hosts=hosts_of(seed),
        local_recovery_s=random.choice((3.0, 10.0)),
        cooldown_s=random.choice((0.0, 5.0, 3600.0)),
        protection=protection,
    )
    collecting = gc.isenabled()
    gc.disable()
    remember_what_was_decoded()
    world = World(seed, chosen, log=log, round_s=random.choice((0.5, 1.0, 1.0)))
    result = Result(seed, steps, protection)
    if begun is not None:
        begun(world)
    try:
        _faults(world, random, steps)
        _heal(world, result)
    except Violation as violation:
        result.failure = str(violation)
    finally:
        result.virtual_s = world.kernel.now
        result.events = world.kernel.events
        result.takeovers = len(world.checker.epoch_changes)
        result.lost_writes = sum(len(lost) for lost in world.checker.lost.values())
        result.coverage = world.coverage
        result.log = world.kernel.log or []
        world.close()
        if collecting:
            gc.enable()
    return result


def _faults(world: World, random: Random, steps: int) -> None:
    """Faults come, overlap and go; sometimes nothing happens for a while."""
    world.run(random.uniform(0.0, 2 * WARM_UP_S))
    standing: list[tuple[int, Callable[[], None]]] = []
    faults = SYNC_FAULTS if world.policy.protection.synchronous else FAULTS
    faults = {**faults, **COMPOUND_FAULTS}
    names, weights = list(faults), list(faults.values())
    pace = SLOWER if random.random() < SLOW_SHARE else 1.0
    if pace > 1.0:  # there is the time for them
        weights = [w * OFTENER if f in COMPOUND_FAULTS else w for f, w in faults.items()]
    intensity = random.choice((0.01, 0.03, 0.08))
    disaster_at = random.randrange(steps) if random.random() < 0.6 else -1
    for step in range(steps):
        for entry in [entry for entry in standing if entry[0] <= step]:
            standing.remove(entry)
            entry[1]()
        fault: Fault | None = None
        if step == disaster_at:
            fault = random.choice((isolate_site, kill_site))
        elif random.random() < intensity:
            fault = random.choices(names, weights)[0]
        if fault is not None:
            world.coverage.fault(fault.__name__)
            undo = fault(world, random)
            lasts_steps = random.uniform(*FAULT_S) / (sum(STEP_S) / 2)
            if step == disaster_at:
                lasts_steps *= LONGER
            elif fault in COMPOUND_FAULTS:
                lasts_steps *= MUCH_LONGER
            standing.append((step + round(lasts_steps), undo))
        world.run(pace * random.uniform(*STEP_S))
    for _, undo in standing:
        undo()


def _heal(world: World, result: Result) -> None:
    """Everything works again; now it must get well by itself."""
    world.kernel.note("HEAL")
    world.heal()
    healed_s, human, problem = world.kernel.now, Human(world), ""
    while world.kernel.now - healed_s < LIVENESS_S:
        world.run(1.0)
        problem = unwell(world) or _unheard(world, healed_s)
        if not problem or human.has_to_decide(healed_s):
            human.gave_up_nothing()
            result.healed_after_s = world.kernel.now - healed_s
            for cluster in world.policy.clusters:
                world.checker.one_history(world.acknowledgements(cluster.name))
            world.checker.whole_history()
            return
    raise Violation(f"liveness: not well {LIVENESS_S:.0f} s after the last fault: {problem}")


def _unheard(world: World, since_s: float) -> str:
    """Customers are told of commits again."""
    for cluster in world.policy.clusters:
        acks = world.acknowledgements(cluster.name)
        if not acks or acks[-1].at_s < since_s:
            return f"{cluster.name}: nothing was acknowledged"
    return ""


def unwell(world: World) -> str:
    """What is still wrong; empty: the group is well."""
    state = world.state
    if state.plan is not None:
        return f"plan {state.plan.id} stands"
    for cluster in world.policy.clusters:
        recorded = state.clusters[cluster.name]
        if not recorded.promoted:
            return f"{cluster.name}: epoch {state.epoch} is not promoted"
        if recorded.standby is not StandbyScope.FOLLOWING:
            return f"{cluster.name}: {recorded.standby}"
        writable = world.writable(cluster.name)
        if len(writable) != 1:
            return f"{cluster.name}: {len(writable)} writable hosts"
        primary = writable[0].server
        if primary.site != state.active_site:
            return f"{cluster.name}: {primary.name} is writable, {state.active_site} active"
        for server in world.servers(cluster.name):
            if server is not primary and (problem := _not_streaming(server, primary)):
                return problem
    return _not_in_sync(world, state)


def _not_in_sync(world: World, state: GroupState) -> str:
    """Where nobody has to stay away for having fallen behind too often."""
    dropped = (seen for c in state.clusters.values() for seen in c.dropped.values())
    now_unix_s = UNIX_EPOCH_S + world.kernel.now
    waits = any(waits_s(seen, now_unix_s - SKEW_S_MAX) for seen in dropped)
    well = state.in_sync or waits or not state.protection.synchronous
    return "" if well else f"not in sync, {state.protection}"


def _not_streaming(server: Postgres, primary: Postgres) -> str:
    if not (server.answers and server.in_recovery):
        return f"{server.name} is {server.run}, not a standby"
    if not server.streaming:
        up = server.upstream
        return f"{server.name} does not stream (from {up.name if up else 'nobody'})"
    behind = primary.lsn - server.lsn
    if server.branch is not primary.branch or behind > 8192:
        return f"{server.name} is {behind} bytes behind {primary.name}"
    return ""
