"""When the simulated worker salvages, as guard/salvager.py does: at first sight of a takeover, and
before every rewind. Copying takes a while, and each step is repeated until it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover.coordination.store import StoreUnavailable
from failover.model import Epoch, Lsn
from failover.simulation.client import Client
from failover.state import (
    GroupState,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    encode_record,
)
from failover.znode import Committed, Create, Set, Transaction

if TYPE_CHECKING:
    from failover.simulation.guard import Guard

ROUND_S = 0.5
RETRY_S = 5.0
COPY_S = (0.1, 1.5)


class Salvager:
    """One worker's; ``run`` is a thread of it."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.kernel = guard.kernel
        self.me = guard.me
        self.state: GroupState | None = None  # as the desk last read it
        self._published: set[Epoch] = set()

    def run(self, store: Client) -> None:
        while True:
            try:
                self._salvage_if_due(store)
                self.kernel.sleep(ROUND_S)
            except StoreUnavailable:
                self.kernel.sleep(RETRY_S)

    def _salvage_if_due(self, store: Client) -> None:
        guard, state = self.guard, self.state
        wanted = guard.salvage_wanted
        taken_over = state is not None and state.active_site != self.me.site and state.epoch > 1
        if state is not None and taken_over and state.epoch not in self._published:
            cluster = state.clusters[self.me.cluster]
            if wanted or cluster.standby is StandbyScope.QUARANTINE:
                self._salvage_epoch(store, state)
        if wanted:
            self.copy()
            guard.salvage_wanted = False

    def _salvage_epoch(self, store: Client, state: GroupState) -> None:
        if self.guard.files.salvaged_epoch != state.epoch:
            self._publish(store, state, SalvagePhase.COPYING)
            self.copy()
            self.guard.files.salvaged_epoch = state.epoch
        if self._publish(store, state, SalvagePhase.DONE):
            self._published.add(state.epoch)

    def copy(self) -> None:
        """Everything that stands in pg_wal now."""
        position = self.guard.server.position
        self.kernel.sleep(self.kernel.random.uniform(*COPY_S))
        self.guard.server.salvaged.append(position)

    def _publish(self, store: Client, state: GroupState, phase: SalvagePhase) -> bool:
        me, server = self.me, self.guard.server
        from_lsn = state.clusters[me.cluster].min_lsn
        progress = SalvageProgress(
            host=me.host,
            site=me.site,
            epoch=state.epoch,
            phase=phase,
            from_lsn=from_lsn,
            end_of_wal=Lsn(server.lsn),
            segments=1,
            bytes=max(0, server.lsn - from_lsn.bytes),
            directory=f"/var/lib/failover/salvage/{state.epoch}",
        )
        path = me.paths.salvaged(state.epoch, me.cluster, me.host)
        before = store.read(path)
        data = encode_record(progress)
        transaction: Transaction = (
            (Create(path, data),) if before is None else (Set(path, data, before.version),)
        )
        return isinstance(store.commit(transaction), Committed)
