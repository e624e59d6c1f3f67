"""What the design leaves to a human once every fault is over, and what the human does about it.

Nothing of it may be silent: every controller has to page first, and every other cluster of the
group has to be served.
"""

from __future__ import annotations

from failover.last_writer import read_last_writer
from failover.model import ClusterName
from failover.simulation.checker import Violation
from failover.simulation.postgres import Postgres
from failover.simulation.wal import Position
from failover.simulation.world import World

STUCK = "takeover_stuck"
STANDS_STILL_S = 30.0
LOOKED_S_MAX = 5.0  # how old the look may be by which a takeover is judged


class Human:
    """The operator on call, of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bound_since_s: float | None = None
        self._keeps: dict[ClusterName, Position] = {}  # what the command must not give up

    def has_to_decide(self, since_s: float) -> bool:
        """What a takeover was judged by is on no disk of its site any more, because one was set
        back since it was looked at: nobody may be promoted, and no command leads out.

        Where there is such a command it is given, once nothing has moved for a while, and the group
        has to get well by it.
        """
        world, names = self._world, [cluster.name for cluster in self._world.policy.clusters]
        lost = [name for name in names if _judged_by_what_is_gone(world, name)]
        bound = [name for name in names if _only_an_older_disk_may(world, name)]
        others = [name for name in names if name not in lost and name not in bound]
        served = world.state.plan is None and all(_is_served(world, n, since_s) for n in others)
        if not served or not self._everybody_pages() or not (lost or bound):
            self._bound_since_s = None
            return False
        if bound:
            self._waits_and_acts(bound)
        return not bound

    def _waits_and_acts(self, bound: list[ClusterName]) -> None:
        now_s = self._world.kernel.now
        if self._bound_since_s is None:
            self._bound_since_s = now_s
        if now_s - self._bound_since_s < STANDS_STILL_S or self._keeps:
            return
        self._keeps = {name: _best_here(self._world, name).position for name in bound}
        self._world.operator_gives_up_protection()

    def gave_up_nothing(self) -> None:
        """Of what the site had when the command was given. Violation where it is gone."""
        for name, kept in self._keeps.items():
            primary = self._world.writable(name)[0].server
            if not primary.position.contains(kept):
                raise Violation(f"{name}: {primary.name} lacks what the operator's site had")

    def _everybody_pages(self) -> bool:
        results = [controller.result for controller in self._world.controllers.values()]
        return all(r is not None and r.verdict.code == STUCK for r in results)


def _judged_by_what_is_gone(world: World, name: ClusterName) -> bool:
    recorded, changes = world.state.clusters[name], world.checker.epoch_changes
    if recorded.promoted or not changes:
        return False
    here = [s for s in world.servers(name) if s.site == world.state.active_site]
    judged, looked_s = recorded.min_lsn.bytes, changes[-1][0] - LOOKED_S_MAX
    lost = any(at_s > looked_s and had >= judged for s in here for at_s, had in s.set_back)
    return lost and not any(s.lsn >= judged and s.branch.number >= recorded.timeline for s in here)


def _only_an_older_disk_may(world: World, name: ClusterName) -> bool:
    """In a synchronous mode: the first permit of the epoch binds a host that had come back with an
    older disk, and Patroni promotes another one that has more of the same branch (decision 0014).
    """
    state, recorded = world.state, world.state.clusters[name]
    found = world.ensemble.tree.get(world.paths.last_writer(name))
    writer = read_last_writer(found.znode) if found is not None else None
    if writer is None or recorded.promoted or not state.protection.synchronous:
        return False
    if writer.judged_unix_s != state.epoch_started_unix_s:
        return False
    here = [s for s in world.servers(name) if s.site == state.active_site]
    bound = next((s for s in here if s.host.name == writer.host), None)
    if bound is None or not bound.set_back:
        return False
    return any(s.branch is bound.branch and s.lsn > bound.lsn for s in here)


def _best_here(world: World, name: ClusterName) -> Postgres:
    here = [s for s in world.servers(name) if s.site == world.state.active_site]
    return max(here, key=lambda server: (server.branch.number, server.lsn))


def _is_served(world: World, name: ClusterName, since_s: float) -> bool:
    writable = [stack.server for stack in world.writable(name)]
    here = len(writable) == 1 and writable[0].site == world.state.active_site
    acks = world.acknowledgements(name)
    heard = bool(acks) and acks[-1].at_s >= since_s
    return world.state.clusters[name].promoted and here and heard
