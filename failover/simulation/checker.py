"""The invariants (I1 to I4), asserted on what really is, at every moment at which it matters,
and the chain of the history.

The checker sees everything, frozen hosts and lost messages included; nothing in the simulated
world asks it. A violation ends the schedule with its name, its time and what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from failover.history import NO_HEAD, HeadSeen, digest, head_seen
from failover.history_check import check_history, understood
from failover.simulation.postgres import Acknowledgement, Postgres
from failover.simulation.sync_checker import SyncChecker
from failover.simulation.wal import Branch, Position, fork_point
from failover.state import (
    GroupState,
    HistoryEntry,
    HistoryHead,
    OperatorRequest,
    StandbyScope,
    decode_record,
    decode_state,
)
from failover.znode import Create, Set, Transaction, Znode

if TYPE_CHECKING:
    from failover.simulation.world import World

# In a host that was frozen whole and is thawed the guard has not looked yet for that long: the
# acknowledgement barrier alone keeps what its server answers.
THAW_S_MAX = 0.1
# With the guard's own processes stopped as well, systemd first has to replace them.
REPLACED_S_MAX = 0.7
COUNTRY = "ID"
LOSS_SLACK_S = 2.5  # the estimate counts in samples of observers


class Violation(AssertionError):
    """An invariant does not hold."""


class Checker:
    """Told by the world; raises ``Violation``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kernel = world.kernel
        self.epoch_changes: list[tuple[float, int, str]] = []  # when, epoch, site
        self.lost: dict[int, list[Acknowledgement]] = {}  # by epoch
        self._state: GroupState | None = None
        self._first_of_epoch: dict[tuple[str, int], str] = {}
        self._timelines: dict[tuple[str, int], Branch] = {}  # by cluster and number
        self._thawed_at: dict[str, tuple[float, float]] = {}
        self._planned: set[int] = set()  # epochs begun after a shutdown: nothing may be lost
        self._loss_accepted: set[int] = set()  # epochs begun by a takeover by hand
        self._head: HeadSeen = NO_HEAD
        self.sync = SyncChecker(world, self._fail, self._acknowledges)

    # ------------------------------------------------------------------ I1

    def became_writable(self, server: Postgres) -> None:
        """A server has just left recovery, or started as a primary."""
        self.single_writer(server.cluster)
        made = self._timelines.setdefault((server.cluster, server.branch.number), server.branch)
        if made is not server.branch:
            self._fail(f"{server.name} made timeline {made.number} of {server.cluster} once more")
        self.sync.became_writable(server)
        self._stands_in_country(server)
        state = self._state
        if state is None:
            return
        if server.site != state.active_site:
            self._fail(f"I1: {server.name} is writable, but {state.active_site} is active")
        key = (server.cluster, int(state.epoch))
        if key not in self._first_of_epoch:
            self._first_of_epoch[key] = server.name
            if state.epoch > 1:
                self._count_loss(server, state)

    def _stands_in_country(self, server: Postgres) -> None:
        """I4: customers' writes are taken at a declared address of the country alone."""
        config = self.world.stacks[server.name].config
        declared = self.world.policy.site(config.site).declared
        if not any(config.address in d.network for d in declared if d.country == COUNTRY):
            self._fail(f"I4: {server.name} is writable at {config.address}, declared nowhere")

    def thawed(self, host: str) -> None:
        stack = self.world.stacks.get(host)
        stopped = stack is not None and stack.guard.stopped
        grace_s = THAW_S_MAX + (REPLACED_S_MAX if stopped else 0.0)
        self._thawed_at[host] = (self.kernel.now, grace_s)

    def single_writer(self, cluster: str) -> None:
        """At most one server of a cluster may acknowledge now."""
        able = [server for server in self.world.servers(cluster) if self._acknowledges(server)]
        if len(able) > 1:
            self._fail(f"I1: writable at once in {cluster}: {', '.join(s.name for s in able)}")

    def _acknowledges(self, server: Postgres) -> bool:
        """A server that lives is taken to acknowledge, whatever the kernel lets out: its guard
        should have killed it. Only where none of the guard's processes runs the kernel's word
        counts."""
        if not server.writable or server.host.frozen:
            return False
        if self.world.stacks[server.name].guard.watches and not self._just_thawed(server.name):
            return True
        return server.answers_leave()

    def _just_thawed(self, host: str) -> bool:
        thawed_s, grace_s = self._thawed_at.get(host, (-9.0, 0.0))
        return 0 <= self.kernel.now - thawed_s <= grace_s

    # ------------------------------------------------------------------ I2

    def committed(self, transaction: Transaction, _session_id: int) -> None:
        for op in transaction:
            if isinstance(op, Set) and op.path == self.world.paths.state:
                self._state_changed(decode_state(op.data), by_hand=self._by_hand(transaction))
            elif isinstance(op, Create | Set) and op.path == self.world.paths.history_head:
                self._history_written(op, transaction)

    def _by_hand(self, transaction: Transaction) -> bool:
        """It answers an operator who accepts whatever is lost."""
        path = self.world.paths.request
        sets = (op for op in transaction if isinstance(op, Set) and op.path == path)
        requests = (decode_record(OperatorRequest, op.data, path=path) for op in sets)
        return any(request.accept_data_loss for request in requests)

    @staticmethod
    def _all_follow(state: GroupState) -> bool:
        """Everything could be shut down. In quarantine: something was killed, or simply gone."""
        return all(c.standby is StandbyScope.FOLLOWING for c in state.clusters.values())

    def state_created(self, state: GroupState) -> None:
        self._state = state
        self.sync.state_changed(None, state)

    def _state_changed(self, state: GroupState, *, by_hand: bool) -> None:
        before, self._state = self._state, state
        self.sync.state_changed(before, state)
        if before is None or before.epoch == state.epoch:
            if before is not None and before.active_site != state.active_site:
                self._fail("I2: the active site changed without a new epoch")
            return
        if state.epoch != before.epoch + 1:
            self._fail(f"I2: epoch {before.epoch} was followed by {state.epoch}")
        self.epoch_changes.append((self.kernel.now, int(state.epoch), state.active_site))
        if before.plan is not None and self._all_follow(state):
            self._planned.add(int(state.epoch))
        if by_hand:
            self._loss_accepted.add(int(state.epoch))
        for cluster in state.clusters:
            for server in self.world.servers(cluster):
                if self._acknowledges(server):
                    self._fail(f"I2: epoch {state.epoch} while {server.name} could acknowledge")

    # ------------------------------------------------------------------ I3

    def _count_loss(self, server: Postgres, state: GroupState) -> None:
        """Compare what the new primary has with all that was acknowledged before it."""
        recorded = state.clusters[server.cluster]  # type: ignore[index]
        history = Position(server.branch, server.lsn)
        if server.branch.start < recorded.min_lsn.bytes:
            self._fail(
                f"I3: {server.name} was promoted at {server.branch.start}, "
                f"below min_lsn {recorded.min_lsn.bytes}"
            )
        acks = self.world.acknowledgements(server.cluster)
        old = [ack for ack in acks if ack.site != server.site]
        if not old:
            return
        # What a failover inside the old site had lost before is not this takeover's loss.
        last = old[-1].position
        lost = [
            ack for ack in old if last.contains(ack.position) and not history.contains(ack.position)
        ]
        if not lost:
            return
        if int(state.epoch) in self._planned:
            self._fail(f"I3: {len(lost)} writes lost after a shutdown, epoch {state.epoch}")
        if int(state.epoch) in self.sync.in_sync_moves - self._loss_accepted:
            self._fail(f"I3: {len(lost)} writes lost in sync, epoch {state.epoch}")
        self.lost[int(state.epoch)] = lost
        if int(state.epoch) in self._loss_accepted:
            return
        seconds = max(ack.at_s for ack in old) - min(ack.at_s for ack in lost)
        budget_s = self.world.policy.loss_budget.seconds
        if seconds > budget_s + LOSS_SLACK_S:
            self._fail(f"I3: epoch {state.epoch} lost {seconds:.1f} s of {budget_s:g} s allowed")

    def rewound(self, server: Postgres, source: Postgres) -> None:
        """Whatever was acknowledged and goes away now must have been copied before."""
        kept = fork_point(server.position, source.position)
        for ack in self.world.acknowledgements(server.cluster):
            here = ack.position.lsn > kept and server.position.contains(ack.position)
            if not here or source.position.contains(ack.position):
                continue
            if not any(copy.contains(ack.position) for copy in server.salvaged):
                self._fail(
                    f"I3: {server.name} rewound to {kept} before the write at "
                    f"{ack.position.lsn} of {ack.host} was salvaged"
                )

    # ------------------------------------------------------------------ the history

    def _history_written(self, head: Create | Set, transaction: Transaction) -> None:
        """One entry, which continues the head that stood. Without one: somebody's hand."""
        before, path = self._head.head, self.world.paths.history_entry
        self._head = head_seen(Znode(head.path, head.data, 0))
        written = [op for op in transaction if isinstance(op, Create) and op.path == path]
        if not written:
            return
        entry = decode_record(HistoryEntry, written[0].data, path=path)
        wanted = (before.number + 1, before.sha256) if before is not None else (1, "")
        if len(written) != 1 or (entry.number, entry.previous) != wanted:
            self._fail(f"history: {entry.event} is entry {entry.number} after {before}")
        if self._head.head != HistoryHead(entry.number, digest(written[0].data)):
            self._fail(f"history: the head does not name entry {entry.number}")

    def whole_history(self) -> None:
        """Every entry that was ever written is there as it was written."""
        tree, paths = self.world.ensemble.tree, self.world.paths
        names = sorted(tree[paths.history].children)
        entries = [understood(tree[f"{paths.history}/{name}"].znode) for name in names]
        head = head_seen(tree[paths.history_head].znode)
        for finding in check_history(entries, head):
            self._fail(f"history: {finding.what}")

    # ------------------------------------------------------------------ the end

    def one_history(self, acks: Iterable[Acknowledgement]) -> None:
        """Acknowledgements of one cluster come from one host after another, never interleaved."""
        last: Acknowledgement | None = None
        done: set[tuple[str, int]] = set()
        for ack in acks:
            writer = (ack.host, ack.run_id)
            if last is not None and (last.host, last.run_id) != writer:
                done.add((last.host, last.run_id))
            if writer in done:
                self._fail(f"I1: {ack.host} acknowledged at {ack.at_s:.3f} after another host did")
            last = ack

    def _fail(self, text: str) -> None:
        self.kernel.note(f"VIOLATION {text}")
        raise Violation(f"at {self.kernel.now:.3f} s: {text}")
