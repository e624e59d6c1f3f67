"""Who was promoted is gone within moments, and comes back behind a host of the branch before.

It alone may be promoted then, and Patroni ranks the other one first (health/candidate.py). Faults
in two acts, as in compound_faults.py: by chance it happens once in five thousand schedules.
"""

from __future__ import annotations

from random import Random

from failover.simulation.acts import Acts, lose, standby_site, together
from failover.simulation.controller import Stack
from failover.simulation.faults import Fault, Undo
from failover.simulation.postgres import Run
from failover.simulation.world import World
from failover.state import PlanKind

OLDER_BYTES = (4_000, 20_000)
UNSENT_S = (
    0.8,
    1.6,
)  # what the primary writes and nobody receives; longer, and who lags is dropped
AWAY_S = (0.4, 1.5)


def outrun_after_a_local_failover(world: World, random: Random) -> Undo:
    """No standby receives the primary's last writes, and it is gone until a replica beside it has
    been promoted and is gone for a moment too. Mostly the servers of the other site were started
    anew meanwhile, so that nobody takes over by what is on record."""
    acts = Acts(world)
    primaries = [s for s in world.at(world.state.active_site) if _writes(s)]
    if not primaries:
        return acts.end
    old = random.choice(primaries)
    standbys = [s for s in _of_cluster(world, old) if s.server.in_recovery]
    here = [s for s in standbys if s.host.site == old.host.site]
    scope = world.scope(world.policy.cluster(old.config.cluster), old.config.site)
    unsent_s, late_s = random.uniform(*UNSENT_S), random.uniform(0.0, 0.1)
    away_s, anew = random.uniform(*AWAY_S), random.random() < 0.7
    world.kernel.note(f"FAULT {old.host.name} writes what nobody receives, and is gone for a while")
    for stack in standbys:
        stack.server.stall_fsync()

    def goes_on() -> None:
        for stack in standbys:
            stack.server.end_stall()

    def dies() -> None:
        old.guard.give_up()
        goes_on()
        acts.when(lambda: scope.leader not in world.ensemble.tree, gives_up_its_claim)

    def gives_up_its_claim() -> None:
        """Patroni has let go of its key, and is not there when the guard lets go of the claim."""
        old.patroni.enabled = False
        old.patroni.kill()
        old.server.kill()
        old.guard.enabled = True
        acts.when(lambda: any(map(_writes, here)), lambda: acts.after(late_s, strike))

    def strike() -> None:
        old.patroni.enabled = True
        _gone_for(acts, [s for s in here if _writes(s)], away_s)
        for stack in standbys if anew else ():
            if stack not in here:
                stack.server.kill()

    def undo() -> None:
        acts.end()
        goes_on()
        old.patroni.enabled = True
        for stack in (old, *here):
            stack.guard.enabled = True

    acts.after(unsent_s, dies)
    return undo


def outrun_after_a_takeover(world: World, random: Random) -> Undo:
    """The active site is lost, who leads at the other one comes back with an older disk, and an
    operator takes over, whatever is lost. Who is promoted so is gone before that is on record, or
    soon after, while Patroni beside it is slow to follow."""
    acts, site = Acts(world), standby_site(world)
    by_power, asked_s = random.random() < 0.5, random.uniform(0.5, 2.5)
    on_record = random.random() < 0.6
    late_s = random.uniform(0.6, 1.8) if on_record else random.uniform(0.0, 0.25)
    older, away_s = random.randrange(*OLDER_BYTES), random.uniform(*AWAY_S)
    active, there = world.state.active_site, list(world.at(site))
    leaders = [s for s in there if s.patroni.role == "standby_leader"]
    world.kernel.note(f"FAULT {active} is lost, and {site} is led from a disk {older} bytes older")
    ended: list[Undo] = [acts.end, lose(world, active, by_power=by_power)]
    for stack in leaders:
        stack.server.come_back_older(older)
    acts.after(asked_s, lambda: world.operator_asks(site, kind=PlanKind.TAKEOVER))

    def promoted() -> None:
        for stack in there if on_record else ():
            if not _writes(stack):
                stack.patroni.freeze()
        acts.after(late_s, strike)

    def strike() -> None:
        for stack in there:
            stack.patroni.thaw()
        _gone_for(acts, [s for s in there if _writes(s)], away_s)

    def undo() -> None:
        for stack in there:
            stack.patroni.thaw()
            stack.guard.enabled = True

    ended.append(undo)
    acts.when(lambda: any(map(_writes, there)), promoted)
    return lambda: together(ended)


OUTRUN_FAULTS: dict[Fault, float] = {
    outrun_after_a_local_failover: 3.0,
    outrun_after_a_takeover: 3.0,
}


def _writes(stack: Stack) -> bool:
    return stack.server.run is Run.RUNNING and not stack.server.in_recovery


def _of_cluster(world: World, of: Stack) -> list[Stack]:
    return [s for s in world.stacks.values() if s.server.cluster == of.server.cluster]


def _gone_for(acts: Acts, stacks: list[Stack], away_s: float) -> None:
    """Their guards die, and their servers with them; then systemd starts the guards again."""
    for stack in stacks:
        stack.guard.give_up()

    def back() -> None:
        for stack in stacks:
            stack.guard.enabled = True

    acts.after(away_s, back)
