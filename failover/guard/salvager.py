"""When the worker salvages: at first sight of a takeover, and before every rewind.

A thread of the worker, so that copying gigabytes disturbs no renewal. Progress is a znode per
epoch, cluster and host; the files are on this host (``salvage``).
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable

import structlog

from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.guard.control_file import ControlFileError, parse_control, read_control
from failover.guard.messages import FromWorker, SalvageAnswer
from failover.guard.permits import Member
from failover.guard.records import Places
from failover.guard.salvage import Copied, end_of_wal, newest_done, read_done, salvage
from failover.model import Epoch, Lsn
from failover.policy import Policy
from failover.state import (
    GroupState,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    StateError,
    decode_state,
    encode_record,
)
from failover.znode import Committed, Create, ScopePaths, Set, Transaction

_RETRY_S = 5.0
_FIRST_SIGHT = 0  # the request number of a salvage that nobody waits for

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
            and state.epoch not in self._published
            and self._places.wal.exists()
        )

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
        if state is not None and taken_over and state.epoch not in self._published:
            copied = self._salvage_epoch(state)
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

    def _salvage_epoch(self, state: GroupState) -> Copied:
        """Copied and published; each is repeated until it is done.

        From where this host's branch was left, which for one that was away may be several epochs
        ago, and at the latest from what the new site has for certain.
        """
        copied = read_done(self._places, state.epoch)
        if copied is None:
            min_lsn = state.clusters[self._me.cluster].min_lsn
            from_lsn = min(min_lsn, self._divergence(state) or min_lsn)
            nothing = Copied(True, from_lsn, from_lsn, 0, 0, self._places.salvage, "")
            self._publish(state.epoch, SalvagePhase.COPYING, nothing)
            copied = salvage(
                self._places, str(state.epoch), from_lsn, self._policy.salvage_bytes_max
            )
            log.warning("salvaged", epoch=state.epoch, ok=copied.ok, segments=copied.segments)
        phase = SalvagePhase.DONE if copied.ok else SalvagePhase.FAILED
        if self._publish(state.epoch, phase, copied) and copied.ok:
            self._published.add(state.epoch)
        return copied

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
        return copied

    def _divergence(self, state: GroupState) -> Lsn | None:
        """Where the active scope left our timeline (Patroni's history); None: not known."""
        raw = read_control(self._places.control_file)
        if raw is None:
            return None
        cluster = self._policy.cluster(self._me.cluster)
        scope = ScopePaths(self._policy.patroni_namespace, cluster.scope(state.active_site))
        try:
            timeline = parse_control(raw).timeline
            history = self._store.read(scope.history)
            entries = [] if history is None else json.loads(history.data)
            ends = [int(entry[1]) for entry in entries if int(entry[0]) == timeline]
        except (ControlFileError, StoreUnavailable, ValueError, TypeError, IndexError):
            return None
        return Lsn(ends[-1]) if ends else None

    def _publish(self, epoch: Epoch, phase: SalvagePhase, copied: Copied) -> bool:
        progress = SalvageProgress(
            host=self._me.host,
            site=self._me.site,
            epoch=epoch,
            phase=phase,
            from_lsn=copied.from_lsn,
            end_of_wal=copied.end_of_wal,
            segments=copied.segments,
            bytes=copied.bytes,
            directory=str(copied.directory),
            detail=copied.detail,
        )
        path = self._me.paths.salvaged(epoch, self._me.cluster, self._me.host)
        before = self._store.read(path)
        data = encode_record(progress)
        transaction: Transaction = (
            (Create(path, data),) if before is None else (Set(path, data, before.version),)
        )
        return isinstance(self._store.commit(transaction), Committed)
