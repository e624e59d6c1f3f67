"""When the worker salvages: at first sight of a takeover, and before every rewind.

A thread of the worker, so that copying gigabytes disturbs no renewal. The copy (``salvage``) and
the loss receipt made from it (``receipt``) are on this host; how far it is stands in ZooKeeper
(``salvage_record``).
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

import structlog

from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.guard.control_file import ControlFileError, parse_control, read_control
from failover.guard.local_connection import SOCKET_DIR
from failover.guard.messages import FromWorker, SalvageAnswer
from failover.guard.permits import Member
from failover.guard.receipt import LIMIT_S, Patience, ReceiptWriter, read_record
from failover.guard.receipt_rows import Server
from failover.guard.records import Places
from failover.guard.salvage import Copied, end_of_wal, newest_done, read_done, salvage
from failover.guard.salvage_record import SalvageRecords
from failover.guard.wal_segments import newest_wal_timeline
from failover.model import Epoch, Lsn, TimelineId
from failover.policy import Policy
from failover.receipt.compose import Origin
from failover.receipt.document import FromIs, KeysState
from failover.replication.lineage import parse_switches
from failover.state import (
    GroupState,
    ReceiptRecord,
    SalvagePhase,
    StandbyScope,
    StateError,
    decode_state,
)
from failover.znode import ScopePaths

_RETRY_S = 5.0
_FIRST_SIGHT = 0  # the request number of a salvage that nobody waits for
_AT_REWIND = 1  # any other one
_OTHERS_AGAIN_S = 0.25
_KEYS_AGAIN_S = 30.0

log = structlog.get_logger(__name__)


class Salvager:
    """``state_seen`` and ``ask`` from any thread; ``run`` in its own."""

    def __init__(
        self,
        me: Member,
        policy: Policy,
        places: Places,
        store: KazooStore,
        send: Callable[[FromWorker], None],
        receipt_limit_s: float = LIMIT_S,
        socket_dir: str = SOCKET_DIR,
    ) -> None:
        self._me = me
        self._policy = policy
        self._places = places
        self._store = store
        self._send = send
        self._state: GroupState | None = None
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._known: set[int] = set()
        self._published: set[Epoch] = set()
        self._records = SalvageRecords(me, policy, store)
        server = Server(socket_dir, policy.host(me.host).postgres_port)
        tables = policy.cluster(me.cluster).loss_receipt
        self._receipts = ReceiptWriter(places.bin_dir, server, tables)
        self._receipt_limit_s = receipt_limit_s
        self._without_keys: Epoch | None = None  # the epoch whose receipt lacks what a server says
        self._keys_again_s = 0.0  # when to ask next, monotonic
        self._local = ""  # the directory of a local salvage that is not done yet

    def state_seen(self, state: GroupState) -> None:
        self._state = state
        if self._is_due(state):
            self.ask(_FIRST_SIGHT)

    def ask(self, request: int) -> None:
        if request not in self._known:
            self._known.add(request)
            self._asked.put(request)

    def _is_due(self, state: GroupState) -> bool:
        """The site was taken over and this host stands on its old branch."""
        cluster = state.clusters.get(self._me.cluster)
        return (
            cluster is not None
            and state.active_site != self._me.site
            and cluster.standby is StandbyScope.QUARANTINE
            and (state.epoch not in self._published or self._keys_may_come(state.epoch))
            and self._places.wal.exists()
        )

    def _keys_may_come(self, epoch: Epoch) -> bool:
        """The server did not stand on its branch in time; it may now, while nothing is rewound."""
        return epoch == self._without_keys and time.monotonic() > self._keys_again_s

    def run(self) -> None:
        self._send(SalvageAnswer(_FIRST_SIGHT, True, newest_done(self._places), ""))
        while True:
            request = self._asked.get()
            try:
                answer = self._salvage(request)
            except (OSError, StoreUnavailable, StateError) as error:
                answer = SalvageAnswer(request, False, None, f"salvage: {error}")
            self._known.discard(request)
            if not answer.ok:
                log.error("salvage_failed", detail=answer.detail)
                time.sleep(_RETRY_S)
            if answer.ok or request == _FIRST_SIGHT:
                self._send(answer)
            else:
                self.ask(request)  # who rewinds waits; it is never refused

    def _salvage(self, request: int) -> SalvageAnswer:
        state = self._state if request == _FIRST_SIGHT else self._read_state()
        taken_over = state is not None and state.active_site != self._me.site and state.epoch > 1
        if request != _FIRST_SIGHT:
            self._without_keys = None  # what stands there after the rewind is another branch
        elif state is not None and state.epoch in self._published:
            self._ask_for_keys(state)
        if state is not None and taken_over and state.epoch not in self._published:
            copied = self._salvage_epoch(request, state)
            if not copied.ok:
                return SalvageAnswer(request, False, None, copied.detail)
        if request != _FIRST_SIGHT and not self._is_covered(state):
            copied = self._salvage_local(state)
            if not copied.ok:
                return SalvageAnswer(request, False, None, copied.detail)
        return SalvageAnswer(request, True, newest_done(self._places), "salvaged")

    def _read_state(self) -> GroupState | None:
        """As it is now: before a rewind, what was seen last (or not yet) is not good enough."""
        self._store.sync()
        found = self._store.read(self._me.paths.state)
        return None if found is None else decode_state(found.data, path=found.path)

    def _salvage_epoch(self, request: int, state: GroupState) -> Copied:
        """Copied, told in a receipt, and published; each is repeated until it is done.

        From where this host's branch was left, which for one that was away may be several epochs
        ago, and at the latest from what the new site has for certain.
        """
        copied = read_done(self._places, state.epoch)
        if copied is None:
            min_lsn = state.clusters[self._me.cluster].min_lsn
            from_lsn = min(min_lsn, self._divergence(state) or min_lsn)
            end = end_of_wal(self._places)
            nothing = Copied(True, from_lsn, end, 0, 0, self._places.salvage, "")
            self._records.publish(state.epoch, SalvagePhase.COPYING, nothing)
            copied = salvage(
                self._places, str(state.epoch), from_lsn, self._policy.salvage_bytes_max
            )
            log.warning("salvaged", epoch=state.epoch, ok=copied.ok, segments=copied.segments)
        if not copied.ok:
            self._records.publish(state.epoch, SalvagePhase.FAILED, copied)
            return copied
        receipt = read_record(copied.directory) or self._receipt(request, state, copied)
        if request == _FIRST_SIGHT:
            self._let_the_others_finish(state.epoch, copied)
        if self._records.publish(state.epoch, SalvagePhase.DONE, copied, receipt):
            self._published.add(state.epoch)
        if request == _FIRST_SIGHT and receipt is not None and _has_no_keys(receipt):
            self._without_keys = state.epoch
            self._keys_again_s = time.monotonic() + _KEYS_AGAIN_S
        return copied

    def _ask_for_keys(self, state: GroupState) -> None:
        """Once more, where a receipt was written without them: a quarantine may last for hours
        (``automation: observe``), and a crashed server may take minutes to replay."""
        if state.epoch != self._without_keys:
            return
        self._keys_again_s = time.monotonic() + _KEYS_AGAIN_S
        copied = read_done(self._places, state.epoch)
        receipt = None if copied is None else self._receipt(_AT_REWIND, state, copied)
        if copied is None or receipt is None:
            return
        if self._records.publish(state.epoch, SalvagePhase.DONE, copied, receipt):
            self._without_keys = state.epoch if _has_no_keys(receipt) else None

    def _receipt(
        self, request: int, state: GroupState | None, copied: Copied, name: str = ""
    ) -> ReceiptRecord | None:
        """Written beside the copy; None where that failed: the copy is what a rewind waits for."""
        epoch = None if state is None else state.epoch
        origin = Origin(name or str(epoch), self._me.cluster, self._me.host, self._me.site, epoch)
        known = not name and copied.from_lsn > Lsn(0)  # 0/0: copied by hand
        copied_is = FromIs.PROVEN_ON_NEW_SITE if known else FromIs.EVERYTHING
        patience = Patience(
            self._receipt_limit_s, lambda: request == _FIRST_SIGHT and self._asked.empty()
        )
        try:
            record = self._receipts.write(
                origin,
                copied,
                copied_is,
                lambda: None if state is None else self._branch_left(state),
                patience,
            )
        except Exception:  # whatever it is: a rewind must not wait for it for ever
            log.exception("no_receipt", name=origin.name)
            return None
        log.warning("receipt", path=record.path, transactions=record.transactions)
        return record

    def _let_the_others_finish(self, epoch: Epoch, copied: Copied) -> None:
        """One salvaged host is enough for the site to be reinstated, and then the servers of the
        others are stopped for their rewind: wait for who has more WAL, and so more to tell."""
        until_s = time.monotonic() + self._receipt_limit_s
        while self._asked.empty() and time.monotonic() < until_s:
            if not self._records.others_copying(epoch, copied.end_of_wal):
                return
            time.sleep(_OTHERS_AGAIN_S)

    def _is_covered(self, state: GroupState | None) -> bool:
        """This epoch's salvage has everything from where our branch was left to its present end."""
        done = None if state is None else read_done(self._places, state.epoch)
        left = None if state is None else self._divergence(state)
        if done is None or left is None:
            return False
        end = end_of_wal(self._places)
        return Lsn(0) < end <= done.end_of_wal and done.from_lsn <= left

    def _salvage_local(self, state: GroupState | None) -> Copied:
        """Before a rewind inside the site, or behind a new primary of the active one."""
        # Tried again it goes on in the same place: each half copy counts against the limit.
        name = self._local or f"local-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        self._local = name
        left = None if state is None else self._divergence(state)
        copied = salvage(self._places, name, left, self._policy.salvage_bytes_max)
        if copied.ok:
            self._local = ""
            receipt = self._receipt(_AT_REWIND, state, copied, name)
            if state is not None:
                self._records.publish_local(state.epoch, name, copied, receipt)
        return copied

    def _divergence(self, state: GroupState) -> Lsn | None:
        """At or before where the active scope left our branch; None: not known.

        The control file's timeline is as old as the last checkpoint: it may have been left for
        ours, before the active scope left that one. For a copy, too early is safe.
        """
        raw = read_control(self._places.control_file)
        try:
            return None if raw is None else self._left_at(state, parse_control(raw).timeline)
        except ControlFileError:
            return None

    def _branch_left(self, state: GroupState) -> Lsn | None:
        """Exactly where the active scope left our branch; None: not known."""
        timeline = newest_wal_timeline(self._places.wal)
        return None if timeline is None else self._left_at(state, timeline)

    def _left_at(self, state: GroupState, timeline: TimelineId) -> Lsn | None:
        """Where the active scope left that timeline, by Patroni's history; None: not known."""
        cluster = self._policy.cluster(self._me.cluster)
        scope = ScopePaths(self._policy.patroni_namespace, cluster.scope(state.active_site))
        try:
            history = self._store.read(scope.history)
        except StoreUnavailable:
            return None
        text = "" if history is None else history.data.decode(errors="replace")
        return parse_switches(text).get(timeline)


def _has_no_keys(receipt: ReceiptRecord) -> bool:
    return receipt.keys_state == KeysState.MISSING
