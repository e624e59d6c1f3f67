"""How far a host's salvage is, in ZooKeeper: a znode per epoch, cluster and host.

Invariant: positions, counts and paths; nothing of any row, and no name of a relation (I4, I7).
"""

from __future__ import annotations

import structlog

from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.guard.permits import Member
from failover.guard.salvage import Copied
from failover.model import Epoch, Lsn
from failover.policy import Policy
from failover.state import (
    ReceiptRecord,
    SalvagePhase,
    SalvageProgress,
    StateError,
    decode_record,
    encode_record,
)
from failover.znode import Committed, Create, Set, Transaction

log = structlog.get_logger(__name__)


class SalvageRecords:
    """One host's. StoreUnavailable where ZooKeeper does not answer, unless it says otherwise."""

    def __init__(self, me: Member, policy: Policy, store: KazooStore) -> None:
        self._me = me
        self._store = store
        hosts = policy.cluster(me.cluster).at(me.site)
        self._others = tuple(host.name for host in hosts if host.name != me.host)

    def publish(
        self,
        epoch: Epoch,
        phase: SalvagePhase,
        copied: Copied,
        receipt: ReceiptRecord | None = None,
    ) -> bool:
        """Of the salvage after the takeover that made ``epoch``. Whether it is on record now."""
        path = self._me.paths.salvaged(epoch, self._me.cluster, self._me.host)
        return self._write(path, self._progress(epoch, phase, copied, receipt))

    def publish_local(
        self, epoch: Epoch, name: str, copied: Copied, receipt: ReceiptRecord | None
    ) -> None:
        """Of a salvage inside the site, or behind a new primary of the other one, for those who
        look for it: no decision needs it, so no answer is no reason to let a rewind wait."""
        path = self._me.paths.salvaged_locally(epoch, self._me.cluster, self._me.host, name)
        try:
            self._write(path, self._progress(epoch, SalvagePhase.DONE, copied, receipt))
        except StoreUnavailable as error:
            log.warning("local_salvage_not_on_record", name=name, error=str(error))

    def others_copying(self, epoch: Epoch, end_of_wal: Lsn) -> bool:
        """Whether another host of this site is still at it, with more WAL than this one.

        With as much, the first one by name goes first: two hosts never wait for each other.
        """
        for host in self._others:
            path = self._me.paths.salvaged(epoch, self._me.cluster, host)
            try:
                found = self._store.read(path)
                if found is None:
                    continue
                theirs = decode_record(SalvageProgress, found.data, path=path)
            except (StoreUnavailable, StateError):
                continue
            ahead = (theirs.end_of_wal, self._me.host) > (end_of_wal, host)
            if theirs.phase is SalvagePhase.COPYING and ahead:
                return True
        return False

    def _progress(
        self, epoch: Epoch, phase: SalvagePhase, copied: Copied, receipt: ReceiptRecord | None
    ) -> SalvageProgress:
        return SalvageProgress(
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
            receipt=receipt,
        )

    def _write(self, path: str, progress: SalvageProgress) -> bool:
        before = self._store.read(path)
        data = encode_record(progress)
        transaction: Transaction = (
            (Create(path, data),) if before is None else (Set(path, data, before.version),)
        )
        return isinstance(self._store.commit(transaction), Committed)
