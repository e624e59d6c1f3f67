"""The invariants of the protection modes (decision 0014), asserted on what really is.

* S: whoever is on record, in the run of its server that is on record, has all that was
  acknowledged.
* ``in_sync`` is never true while a commit could be acknowledged without the other site.
* In a synchronous mode nothing that was acknowledged is lost by a local failover, and nothing by a
  takeover of a group that is in sync on record.

The checker (checker.py) tells it what happens; it sees everything, and nothing asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from failover.model import HostName
from failover.simulation.postgres import Acknowledgement, Postgres
from failover.state import ClusterState, GroupState

if TYPE_CHECKING:
    from failover.simulation.world import World


class SyncChecker:
    """``acknowledges``: what a server answers its clients may leave its host now."""

    def __init__(
        self,
        world: World,
        fail: Callable[[str], None],
        acknowledges: Callable[[Postgres], bool],
    ) -> None:
        self._world = world
        self._fail = fail
        self._acknowledges = acknowledges
        self._state: GroupState | None = None
        self._epoch_began_s = 0.0
        self.in_sync_moves: set[int] = set()  # epochs that were begun while in sync
        self.looks_in_sync = 0

    def state_changed(self, before: GroupState | None, state: GroupState) -> None:
        """The committed state; checked at once."""
        self._state = state
        if before is not None and before.epoch != state.epoch:
            self._epoch_began_s = self._world.kernel.now
            if before.protection.synchronous and before.in_sync:
                self.in_sync_moves.add(int(state.epoch))
        for cluster in state.clusters if before is not None else ():
            self.look(cluster)

    def look(self, cluster: str) -> None:
        """Now."""
        state = self._state
        if state is None or not state.protection.synchronous:
            return
        recorded = state.clusters[cluster]  # type: ignore[index]
        self._have_everything(cluster, recorded)
        if state.in_sync:
            self.looks_in_sync += 1
            self._waits_for_the_other_site(cluster, state, recorded)

    def became_writable(self, server: Postgres) -> None:
        """In a synchronous mode, within an epoch: a start, or a local failover."""
        state = self._state
        if state is None or not state.protection.synchronous:
            return
        last = self._last_acknowledged(server.cluster)
        if last is not None and not server.position.contains(last.position):
            self._fail(f"S: {server.name} is writable and lacks the write at {last.position.lsn}")

    def _have_everything(self, cluster: str, recorded: ClusterState) -> None:
        last = self._last_acknowledged(cluster)
        if last is None:
            return
        for host in recorded.have:
            server = self._world.stacks[host].server
            if recorded.runs.get(host) != str(server.run_id):
                continue  # it has died since: what its disk has is not what is on record
            if not server.position.contains(last.position):
                self._fail(f"S: {host} is on record and lacks the write at {last.position.lsn}")

    def _last_acknowledged(self, cluster: str) -> Acknowledgement | None:
        """Of this epoch. Whoever has that one has those before it."""
        for ack in reversed(self._world.acknowledgements(cluster)):
            if ack.at_s < self._epoch_began_s:
                return None
            if self._state is None or ack.site == self._state.active_site:
                return ack
        return None

    def _waits_for_the_other_site(
        self, cluster: str, state: GroupState, recorded: ClusterState
    ) -> None:
        there = {
            HostName(host)
            for host in recorded.have
            if self._world.stacks[host].host.site != state.active_site
        }
        for server in self._world.servers(cluster):
            if server.site != state.active_site or not server.host.up:
                continue
            if not self._acknowledges(server):
                continue
            if server.sync.could_skip(there):
                self._fail(f"in_sync, and {server.name} could acknowledge without the other site")
