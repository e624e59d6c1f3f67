"""What can go wrong, one function per fault. Each does its harm and returns what undoes it.

To add one: write a function ``(world, random) -> Undo`` and put it in ``FAULTS`` with its weight.
What is undone must leave nothing behind but its consequences.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from failover.simulation.controller import Stack
from failover.simulation.postgres import Hang, Run
from failover.simulation.world import World
from failover.state import PlanKind

Undo = Callable[[], None]
Fault = Callable[[World, Random], Undo]


# --------------------------------------------------------------------------- network


def isolate_site(world: World, random: Random) -> Undo:
    """A site unplugged; sometimes in one direction only."""
    site = _site(world, random)
    inbound, outbound = random.choice(((True, True), (True, True), (True, False), (False, True)))
    world.kernel.note(f"FAULT isolate {site} (in {inbound}, out {outbound})")
    world.network.isolate(site, inbound=inbound, outbound=outbound)
    return lambda: world.network.rejoin(site)


def cut_link(world: World, random: Random) -> Undo:
    """One link between two sites, in one or both directions."""
    one, other = random.sample(list(world.controllers), 2)
    both = random.random() < 0.6
    world.kernel.note(f"FAULT cut {one} {'<->' if both else '->'} {other}")
    world.network.cut((one, other), *(((other, one),) if both else ()))
    return lambda: world.network.heal_link(one, other)


def isolate_host(world: World, random: Random) -> Undo:
    name = random.choice(list(world.network.hosts))
    world.kernel.note(f"FAULT isolate host {name}")
    world.network.isolate_host(name)
    return lambda: world.network.heal_host(name)


# --------------------------------------------------------------------------- hosts


def kill_host(world: World, random: Random) -> Undo:
    name = _machine(world, random)
    world.kernel.note(f"FAULT kill host {name}")
    world.power_off(name)
    return lambda: world.power_on(name)


def kill_site(world: World, random: Random) -> Undo:
    """Power fails in a whole site."""
    site = _site(world, random)
    world.kernel.note(f"FAULT kill site {site}")
    there = (host for host in world.network.hosts.values() if host.site == site)
    return power_off(world, [host.name for host in there if host.up])


def power_off(world: World, names: list[str]) -> Undo:
    """Of several hosts at once; undone, they boot."""
    for name in names:
        world.power_off(name)

    def undo() -> None:
        for name in names:
            world.power_on(name)

    return undo


def freeze_host(world: World, random: Random) -> Undo:
    name = _machine(world, random)
    world.kernel.note(f"FAULT freeze host {name}")
    world.freeze(name)
    return lambda: world.thaw(name)


def freeze_site(world: World, random: Random) -> Undo:
    site = _site(world, random)
    world.kernel.note(f"FAULT freeze site {site}")
    names = [host.name for host in world.network.hosts.values() if host.site == site]
    for name in names:
        world.freeze(name)

    def undo() -> None:
        for name in names:
            world.thaw(name)

    return undo


# --------------------------------------------------------------------------- database hosts


def kill_postmaster(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    world.kernel.note(f"FAULT kill postmaster {stack.host.name}")
    if stack.host.up:
        stack.server.kill()
    return _nothing


def stall_fsync(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    world.kernel.note(f"FAULT stall fsync {stack.host.name}")
    stack.server.stall_fsync()
    return stack.server.end_stall


def hang_server(world: World, random: Random) -> Undo:
    """A gray failure: PostgreSQL answers nothing (or now and then), the guard holds its claim.

    Sometimes with a Patroni that is frozen a little later, and thawed when all of it ends.
    """
    stack = _stack(world, random)
    how, frozen = random.choice((Hang.FROZEN, Hang.FROZEN, Hang.SLOW)), random.random() < 0.4
    together = " and freeze Patroni soon" if frozen else ""
    world.kernel.note(f"FAULT hang postgres {stack.host.name}: {how}{together}")
    stack.server.hangs(how)
    lasts = True

    def freeze_it_too() -> None:
        if lasts:
            stack.patroni.freeze()

    if frozen:
        world.kernel.after(random.uniform(0.0, 15.0), freeze_it_too)

    def undo() -> None:
        nonlocal lasts
        lasts = False
        stack.server.thaw()
        stack.patroni.thaw()

    return undo


def stop_backend(world: World, random: Random) -> Undo:
    """A backend that Patroni waits for is stopped: its loop hangs, its session lives."""
    stack = _stack(world, random)
    world.kernel.note(f"FAULT stop Patroni's backend {stack.host.name}")
    stack.patroni.stuck = True

    def undo() -> None:
        stack.patroni.stuck = False

    return undo


def kill_patroni(world: World, random: Random) -> Undo:
    """For good, or so that systemd starts it again."""
    stack = _stack(world, random)
    stack.patroni.enabled = random.random() < 0.5
    world.kernel.note(f"FAULT kill Patroni {stack.host.name}")
    stack.patroni.kill()

    def undo() -> None:
        stack.patroni.enabled = True

    return undo


def freeze_patroni(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    world.kernel.note(f"FAULT freeze Patroni {stack.host.name}")
    stack.patroni.freeze()
    return stack.patroni.thaw


def restart_in_place(world: World, random: Random) -> Undo:
    """POST /restart: a shutdown and a start, without pre_promote."""
    stack = _stack(world, random)
    world.kernel.note(f"FAULT restart postgres {stack.host.name}")
    if stack.server.answers and stack.patroni.alive:
        stack.patroni.restart_in_place()
    return _nothing


def pause_scope(world: World, random: Random) -> Undo:
    """An operator pauses Patroni in one scope, and resumes it."""
    stack = _stack(world, random)
    cluster = world.policy.cluster(stack.config.cluster)
    path = world.scope(cluster, stack.config.site).config
    world.kernel.note(f"FAULT pause {stack.config.cluster} in {stack.config.site}")

    def patch(pause: bool) -> None:
        def change(data: bytes) -> bytes:
            config = {key: value for key, value in json.loads(data).items() if key != "pause"}
            return json.dumps({**config, "pause": True} if pause else config).encode()

        world.operator_patches(path, change)

    patch(True)
    return lambda: patch(False)


# --------------------------------------------------------------------------- guards


def kill_worker(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    world.kernel.note(f"FAULT kill guard's worker {stack.host.name}")
    if stack.guard.worker is not None:
        stack.guard.worker.kill()
    return _nothing


def freeze_worker(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    worker = stack.guard.worker
    world.kernel.note(f"FAULT freeze guard's worker {stack.host.name}")
    if worker is None:
        return _nothing
    worker.freeze()
    return worker.thaw


def kill_guard(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    world.kernel.note(f"FAULT kill guard {stack.host.name}")
    stack.guard.kill()
    return _nothing


def freeze_guard(world: World, random: Random) -> Undo:
    """Minder and worker together; systemd's watchdog ends it."""
    stack = _stack(world, random)
    world.kernel.note(f"FAULT freeze guard {stack.host.name}")
    stack.guard.freeze()
    return stack.guard.thaw


def kill_minder(world: World, random: Random) -> Undo:
    """Alone: the worker stands in until systemd has started a new one, which takes its time on a
    busy machine: less than a lease, more than one, more than the worker waits."""
    stack = _stack(world, random)
    loads_s = random.choice((0.0, 2.0, 5.0, 12.0))
    world.kernel.note(f"FAULT kill guard's minder {stack.host.name}, {loads_s:g} s")
    if stack.guard.minder is not None:
        stack.guard.starts_from_s = world.kernel.now + loads_s
        stack.guard.minder.kill()
    return _nothing


def freeze_minder(world: World, random: Random) -> Undo:
    stack = _stack(world, random)
    minder = stack.guard.minder
    world.kernel.note(f"FAULT freeze guard's minder {stack.host.name}")
    if minder is None:
        return _nothing
    stack.guard.freeze_minder()
    return minder.thaw


def lose_guard(world: World, random: Random) -> Undo:
    """It dies again and again: systemd gives up and kills the server."""
    stack = _stack(world, random)
    world.kernel.note(f"FAULT guard of {stack.host.name} dead for good")
    stack.guard.give_up()

    def undo() -> None:
        stack.guard.enabled = True

    return undo


# --------------------------------------------------------------------------- controllers


def kill_controller(world: World, random: Random) -> Undo:
    controller = world.controllers[random.choice(list(world.controllers))]
    controller.enabled = random.random() < 0.7
    world.kernel.note(f"FAULT kill controller {controller.site}")
    controller.kill()

    def undo() -> None:
        controller.enabled = True

    return undo


def freeze_controller(world: World, random: Random) -> Undo:
    controller = world.controllers[random.choice(list(world.controllers))]
    world.kernel.note(f"FAULT freeze controller {controller.site}")
    controller.freeze()
    return controller.thaw


def crash_controller(world: World, random: Random) -> Undo:
    """At its n-th store operation from now on."""
    controller = world.controllers[random.choice(list(world.controllers))]
    world.kernel.note(f"FAULT crash controller {controller.site} soon")
    controller.crash_after(random.randrange(1, 30))
    return _nothing


def lose_answers(world: World, random: Random) -> Undo:
    """Connections to ZooKeeper break often, with the outcome of writes unknown."""
    world.kernel.note("FAULT answers of ZooKeeper get lost")
    world.lost_answers_p = random.choice((0.02, 0.1, 0.3))

    def undo() -> None:
        world.lost_answers_p = 0.0

    return undo


def switchover(world: World, random: Random) -> Undo:
    """An operator asks for one, at whatever moment; sometimes with little patience."""
    to_site = world.policy.other_data_site(world.state.active_site).name
    world.kernel.note(f"FAULT an operator asks for a switchover to {to_site}")
    world.operator_asks(to_site, limit_s=random.choice((2.0, 5.0, 15.0)))
    return _nothing


def takeover_by_hand(world: World, random: Random) -> Undo:
    """An operator who accepts every loss asks for one, whether or not anything is lost."""
    to_site = world.policy.other_data_site(world.state.active_site).name
    world.kernel.note(f"FAULT an operator asks for a takeover by {to_site}")
    world.operator_asks(to_site, kind=PlanKind.TAKEOVER)
    return _nothing


FAULTS: dict[Fault, float] = {
    isolate_site: 6.0,
    cut_link: 4.0,
    isolate_host: 2.0,
    kill_host: 3.0,
    kill_site: 2.0,
    freeze_host: 3.0,
    freeze_site: 1.0,
    kill_postmaster: 2.0,
    stall_fsync: 2.0,
    hang_server: 3.0,
    stop_backend: 2.0,
    kill_patroni: 2.0,
    freeze_patroni: 2.0,
    restart_in_place: 2.0,
    pause_scope: 1.0,
    kill_worker: 1.0,
    freeze_worker: 1.0,
    kill_guard: 1.0,
    freeze_guard: 1.0,
    kill_minder: 1.0,
    freeze_minder: 1.0,
    lose_guard: 1.0,
    kill_controller: 2.0,
    freeze_controller: 1.0,
    crash_controller: 3.0,
    lose_answers: 2.0,
    switchover: 3.0,
    takeover_by_hand: 2.0,
}


def _nothing() -> None:
    """There is nothing to undo."""


def _site(world: World, random: Random) -> str:
    """Any site, the active one most often."""
    active = world.state.active_site
    return active if random.random() < 0.6 else random.choice(list(world.controllers))


def _machine(world: World, random: Random) -> str:
    return random.choice([name for name in world.network.hosts if name != "operator"])


def _stack(world: World, random: Random) -> Stack:
    """Any database host, a primary most often."""
    stacks = list(world.stacks.values())
    primaries = [s for s in stacks if s.server.run is Run.RUNNING and not s.server.in_recovery]
    return random.choice(primaries if primaries and random.random() < 0.6 else stacks)
