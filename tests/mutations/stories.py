"""Stories that aim at one part of the protocol each. With everything in place all of them pass
(tests/simulation/test_mutations.py); what they see when a part is broken is for __main__ to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from math import ceil

from failover.model import Automation, ProtectionMode
from failover.policy import Policy
from failover.simulation.controller import SiteController, Stack
from failover.simulation.policies import MAKASSAR, policy
from failover.simulation.postgres import Hang, Run
from failover.simulation.world import World
from failover.state import PlanKind, StandbyScope, decode_state, encode_state
from failover.timing import LeaseTiming, lease_timing
from failover.znode import Outcome, Transaction
from tests.simulation import test_gray_failure as gray
from tests.simulation import test_races as races
from tests.simulation import test_sync_checker as sync
from tests.simulation.stories import JAKARTA, healthy_world, primary, synchronous_world, unwell
from tests.simulation.test_steps_interrupted import Commit, interrupt
from tests.simulation.test_switchover import asked, nothing_lost

Story = Callable[[], None]

OUTSIDE = ip_address("10.99.0.12")  # in no declared network
SEEDS = 6


def _well_again(world: World) -> None:
    """Within a minute, as the random schedules demand it."""
    began_s = world.kernel.now
    while problem := unwell(world):
        assert world.kernel.now - began_s < 60.0, f"liveness: {problem}"
        world.run(0.5)


def lost_and_back() -> None:
    """Jakarta is lost, Makassar takes over, Jakarta returns."""
    for seed in range(1, 1 + SEEDS):
        world = healthy_world(seed)
        world.network.isolate(JAKARTA)
        world.run(12.0)
        assert world.state.active_site == MAKASSAR, "no takeover"
        world.network.heal()
        _well_again(world)
        world.close()


def _just_enough(timing: LeaseTiming) -> LeaseTiming:
    """The deadline with nothing to spare: the rule is tried, and not the margin around it."""
    return replace(timing, deadline_s=timing.session_ms / 1000 - 0.05)


def lost_with_nothing_to_spare() -> None:
    """Cut off at many moments between two renewals, and with them the own ZooKeeper server.

    Patroni, which would demote by itself at about that time, is frozen.
    """
    timing = _just_enough(lease_timing(6.0))
    for seed in range(1, 25):
        world = World(seed, policy(), log=True, timing=timing)
        world.run(6.0 + seed * 0.021)
        primary(world).patroni.freeze()
        world.network.isolate(JAKARTA)
        world.run(9.0)
        assert world.state.active_site == MAKASSAR, "no takeover"
        world.close()


def cut_off_right_after_a_renewal() -> None:
    """Its answer is the last thing that arrives, and the own ZooKeeper server, cut off as well, has
    not told the leader yet that the session lives. With nothing to spare, as above."""
    timing = _just_enough(lease_timing(6.0))
    tried = 0
    for seed in range(1, 13):
        world = World(seed, policy(), log=True, timing=timing)
        world.run(6.0)
        stack = primary(world)
        worker = stack.guard.worker
        assert worker is not None
        server = worker.store._server
        if server is not None and server.host.site == JAKARTA:
            tried += 1
            stack.patroni.freeze()
            _renew_right_after_a_ping(world, stack)
            world.network.isolate(JAKARTA)
            world.run(9.0)
            assert world.state.active_site == MAKASSAR, "no takeover"
        world.close()
    assert tried, "no guard was connected to a server of its own site"


def _renew_right_after_a_ping(world: World, stack: Stack) -> None:
    """The worker is stopped for a moment, so that its next renewal comes then."""
    guard, worker = stack.guard, stack.guard.worker
    assert worker is not None
    tick_s = world.timing.zookeeper_tick_ms / 1000
    ping_s = ceil((world.kernel.now + 1.0) / tick_s) * tick_s
    world.run(ping_s - 0.41 - world.kernel.now)
    worker.freeze()
    world.run(0.6)
    renewals = guard.logic.renewals
    worker.thaw()
    while guard.logic.renewals is renewals:
        world.run(0.002)


def a_guard_is_killed_while_the_lease_ends() -> None:
    """Isolated, and then the guard is killed: the next one has to know of the deadline."""
    for seed in range(1, 1 + SEEDS):
        world = healthy_world(seed)
        stack = primary(world)
        stack.patroni.freeze()  # it would demote by itself
        world.network.isolate(JAKARTA)
        world.run(3.0 + 0.2 * seed)
        stack.guard.kill()
        world.run(9.0)
        assert world.state.active_site == MAKASSAR, "no takeover"
        world.heal()
        _well_again(world)
        world.close()


def frozen_under_the_stop() -> None:
    """The guard stops a primary that hangs; it is thawed when the other site has taken over."""
    for seed in range(1, 1 + SEEDS):
        world, stack = gray.hanging(seed, Hang.FROZEN)
        stack.server.stall_fsync()
        world.run(25.0)
        stack.server.thaw()
        stack.server.end_stall()
        world.run(3.0)
        world.heal()
        _well_again(world)
        world.close()


def the_judged_host_dies() -> None:
    """Makassar's leader is gone right after the takeover; its replica has less than was judged."""
    for seed in range(1, 1 + SEEDS):
        world = healthy_world(seed)
        judged, behind = _leader_and_replica(world)
        behind.server.stall_fsync()
        world.run(2.0)
        world.network.isolate(JAKARTA)
        while world.state.epoch == 1:
            world.run(0.01)
        world.power_off(judged.host.name)
        behind.server.end_stall()
        world.run(15.0)
        world.close()


def _leader_and_replica(world: World) -> tuple[Stack, Stack]:
    leader = next(s for s in world.at(MAKASSAR) if s.patroni.role == "standby_leader")
    return leader, next(s for s in world.at(MAKASSAR) if s is not leader)


def a_host_outside_the_country() -> None:
    """One host of Makassar stands at no declared address: no takeover, whoever leads there."""
    for seed in range(1, 1 + SEEDS):
        world = World(seed, _with_a_host_outside(policy()), log=True)
        world.run(6.0)
        world.network.isolate(JAKARTA)
        world.run(9.0)
        inside = world.stacks["mks-db1"]
        world.power_off(inside.host.name)
        world.run(25.0)
        assert world.state.epoch == 1, "I4: a takeover by a site with a host outside"
        world.close()


def _with_a_host_outside(found: Policy) -> Policy:
    cluster = found.clusters[0]
    hosts = tuple(
        replace(host, address=OUTSIDE) if host.name == "mks-db2" else host for host in cluster.hosts
    )
    return replace(found, clusters=(replace(cluster, hosts=hosts),))


def switched_over_and_restarted() -> None:
    """``POST /restart`` of the old primary at every moment of a switchover."""
    for moment in range(16):
        world = healthy_world(3, cooldown_s=0.0)
        stack = primary(world)
        asked(world, MAKASSAR)
        world.run(0.2 + 0.1 * moment)
        if stack.server.answers:
            stack.patroni.restart_in_place()
        world.run(20.0)
        _well_again(world)
        nothing_lost(world)
        world.close()


def only_a_host_with_less_returns() -> None:
    """Of Jakarta's hosts only the replica returns, which has far less than ``status`` says."""
    world = healthy_world(4)
    writer, replica = primary(world), next(s for s in world.at(JAKARTA) if not _writes(s))
    world.power_off(replica.host.name)
    world.network.cut_link(JAKARTA, MAKASSAR)
    writer.server.lsn += 4 * 1024 * 1024  # a bulk load
    world.run(3.0)
    world.network.isolate(JAKARTA)
    world.run(1.0)
    world.power_off(writer.host.name)
    world.run(12.0)
    while world.request is None:  # the operator dials a server of Jakarta now and then
        world.operator_asks(MAKASSAR, kind=PlanKind.TAKEOVER)
        world.run(8.0)
    assert world.state.active_site == MAKASSAR, "no takeover"
    world.network.heal()
    world.power_on(replica.host.name)
    began_s = world.kernel.now
    while not (_follows(world) and replica.server.streaming):
        assert world.kernel.now - began_s < 60.0, (
            f"liveness: {replica.host.name} does not follow within a minute of its return"
        )
        world.run(0.5)
    world.close()


def _writes(stack: Stack) -> bool:
    return not stack.server.in_recovery


def _follows(world: World) -> bool:
    return all(c.standby is StandbyScope.FOLLOWING for c in world.state.clusters.values())


def automation_is_switched_off_under_the_decision() -> None:
    """Between judgement and commit an operator writes ``state``: the commit must be refused."""
    for seed in range(1, 4):
        world = healthy_world(seed)

        def off(data: bytes) -> bytes:
            return encode_state(replace(decode_state(data), automation=Automation.MANUAL))

        def stopped_a_while(
            world: World, controller: SiteController, commit: Commit, transaction: Transaction
        ) -> Outcome:
            world.operator_patches(world.paths.state, off)
            controller.freeze()
            world.kernel.after(1.0, controller.thaw)
            world.kernel.sleep(0.001)
            return commit(transaction)

        interrupt(world, "takeover", stopped_a_while)
        world.network.isolate(JAKARTA)
        world.run(15.0)
        assert world.state.automation is Automation.MANUAL, "the operator's word is overwritten"
        assert world.state.epoch == 1, "a takeover although automation was switched off"
        world.close()


def a_local_failover() -> None:
    """The primary's host dies; a replica in the same site gets its time."""
    for seed in range(1, 1 + SEEDS):
        world = healthy_world(seed)
        world.power_off(primary(world).host.name)
        world.run(18.0)
        assert world.state.epoch == 1, "I8: a takeover although a host in the site could lead"
        world.heal()
        _well_again(world)
        world.close()


def a_paused_site_is_lost() -> None:
    """A human has paused Patroni there: nobody takes over."""
    for seed in range(1, 1 + SEEDS):
        world = healthy_world(seed)
        config = world.scope(world.policy.clusters[0], world.policy.initial_site).config
        world.operator_patches(config, lambda data: data[:-1] + b',"pause":true}')
        world.run(3.0)
        world.network.isolate(JAKARTA)
        world.run(15.0)
        assert world.state.epoch == 1, "I5: a takeover of a site that a human has paused"
        world.close()


def held_between_read_and_permit() -> None:
    """The guard has read `state` for the start of a dead primary, and commits the permit when the
    other site has taken over."""
    for seed in range(1, 4):
        world = healthy_world(seed)
        stack = primary(world)
        claim = world.paths.writer(stack.config.cluster)
        stack.patroni.stuck = True  # it does not start the server by itself, and keeps its key
        stack.server.kill()
        while claim in world.ensemble.tree:
            world.run(0.1)
        _hold_reads_until_the_takeover(world, stack)
        ask_s = world.policy.local_recovery_s - 0.7
        world.kernel.after(ask_s, lambda stack=stack: _start_writable(stack))  # type: ignore[misc]
        world.run(ask_s)
        _slow_minder_while_it_starts(world, stack)
        world.run(5.0)
        assert world.state.epoch == 2, "no takeover"
        world.close()


def started_after_the_takeover() -> None:
    """A Patroni that knows nothing of the takeover yet starts its dead primary again."""
    for seed in range(1, 4):
        world = healthy_world(seed)
        stack = primary(world)
        stack.patroni.stuck = True
        stack.server.kill()
        world.run(20.0)
        assert world.state.epoch == 2, "no takeover"
        _start_writable(stack)
        _slow_minder_while_it_starts(world, stack)
        world.run(3.0)
        world.close()


def _slow_minder_while_it_starts(world: World, stack: Stack) -> None:
    """The minder would kill it within the start's tenth of a second: it gets no processor."""
    until_s = world.kernel.now + 3.0
    while world.kernel.now < until_s and stack.server.run is not Run.STARTING:
        world.run(0.005)
    stack.guard.freeze_minder()
    world.run(1.0)
    assert stack.guard.minder is not None
    stack.guard.minder.thaw()


def _start_writable(stack: Stack) -> None:
    stack.patroni._beside("raced start", lambda: stack.patroni._start(standby=False) and None)


def _hold_reads_until_the_takeover(world: World, stack: Stack) -> None:
    worker = stack.guard.worker
    assert worker is not None
    read = worker._read

    def held() -> object:
        seen = read()
        while worker._waiting and world.state.epoch == 1:
            world.kernel.sleep(0.01)
        return seen

    worker._read = held  # type: ignore[method-assign,assignment]


def the_other_site_comes_and_goes() -> None:
    """In sync, dropped, and in sync again."""
    for mode in (ProtectionMode.MAX_AVAILABILITY,):
        found = sync.violation(sync.comes_and_goes)
        assert not found, f"{mode}: {found}"


def only_makassar_has_everything() -> None:
    found = sync.violation(sync.only_makassar_has_everything)
    assert not found, found


def the_first_one_promoted_dies_before_it_is_on_record() -> None:
    """A planned move, and nobody puts the promotion on record: the new primary acknowledges what
    the other host of its site lacks, dies, and comes back."""
    for seed, mode in enumerate((ProtectionMode.MAX_AVAILABILITY, ProtectionMode.MAX_PROTECTION)):
        world = synchronous_world(1 + seed, mode)
        first, other = _leader_and_replica(world)
        asked(world, MAKASSAR)
        while world.state.epoch == 1:
            world.run(0.005)
        for controller in world.controllers.values():
            controller.freeze()
        other.server.stall_fsync()
        _acknowledges(world, first, for_s=1.0)
        world.power_off(first.host.name)
        other.server.end_stall()
        world.run(15.0)
        assert not world.writable("marketplace"), "the other one is promoted"
        world.power_on(first.host.name)
        world.heal()
        for controller in world.controllers.values():
            controller.thaw()
        _well_again(world)
        nothing_lost(world)
        world.close()


def _acknowledges(world: World, stack: Stack, *, for_s: float) -> None:
    """It is promoted, and clients write to it for so long."""
    began_s = world.kernel.now
    while stack not in world.writable("marketplace"):
        assert world.kernel.now - began_s < 10.0, f"{stack.host.name} is not promoted"
        world.run(0.1)
    world.run(for_s)
    assert any(a.site == MAKASSAR for a in world.acknowledgements("marketplace"))


raced = races.test_permit_and_takeover_race_and_one_of_them_wins
old_config = races.test_a_host_that_read_its_config_before_the_takeover_is_not_promoted
thawed_at_the_fence = races.test_a_thawed_patroni_cannot_delete_the_fence


def the_minder_dies_and_then_the_site_is_cut_off() -> None:
    """At many moments of its worker's time in its place. Patroni, which would demote by itself at
    about the same time, is frozen; nothing to spare, as above."""
    timing = _just_enough(lease_timing(6.0))
    for seed in range(1, 17):
        world = World(seed, policy(), log=True, timing=timing)
        world.run(6.0)
        stack = primary(world)
        _minder_dies(world, stack, loads_s=60.0)
        stack.patroni.freeze()
        world.run(seed * 0.37)
        world.network.isolate(JAKARTA)
        world.run(12.0)
        assert world.state.active_site == MAKASSAR, "no takeover"
        world.close()


def _minder_dies(world: World, stack: Stack, *, loads_s: float) -> None:
    """``loads_s``: until there is a new one."""
    assert stack.guard.minder is not None
    stack.guard.starts_from_s = world.kernel.now + loads_s
    stack.guard.minder.kill()


STORIES = (
    lost_and_back,
    the_minder_dies_and_then_the_site_is_cut_off,
    lost_with_nothing_to_spare,
    cut_off_right_after_a_renewal,
    a_guard_is_killed_while_the_lease_ends,
    frozen_under_the_stop,
    the_judged_host_dies,
    a_host_outside_the_country,
    switched_over_and_restarted,
    only_a_host_with_less_returns,
    automation_is_switched_off_under_the_decision,
    a_local_failover,
    a_paused_site_is_lost,
    held_between_read_and_permit,
    started_after_the_takeover,
    the_other_site_comes_and_goes,
    only_makassar_has_everything,
    the_first_one_promoted_dies_before_it_is_on_record,
)
