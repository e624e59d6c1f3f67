"""Keeps the writer claim: says whether it is this session's own, and gives it back.

Part of the desk, in its thread: a release can never overtake a permit. Invariant: a claim is given
back only while no process of the server lives (its lock is in hand), or once what lives is a
standby again; and in one transaction with the proof where a plan waits for one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from failover.coordination.kazoo_store import KazooStore
from failover.guard.control_file import newest_timeline, read_control
from failover.guard.messages import ClaimRead, MinderStatus
from failover.guard.permits import (
    ClaimInputs,
    Member,
    Stopped,
    decide_claim,
    is_last_writer,
    plan_here,
)
from failover.guard.reads import Seen, decoded
from failover.guard.records import Places
from failover.guard.server import lock_if_free, read_note
from failover.guard.wal_end import stopped_at

LOCK_TRIES = 10

log = structlog.get_logger(__name__)


class ClaimKeeper:
    """Of one desk. ``wake`` is set for another look as soon as anything was tried."""

    def __init__(
        self,
        me: Member,
        places: Places,
        boot: str,
        store: KazooStore,
        send: Callable[[ClaimRead], None],
        wake: threading.Event,
    ) -> None:
        self._me = me
        self._places = places
        self._boot = boot
        self._store = store
        self._send = send
        self._wake = wake
        self._end_of_wal: tuple[bytes, Stopped | None] = (b"", None)

    def check(self, seen: Seen) -> None:
        """Under a grant the claim must be there; a missing one is believed only after a sync."""
        session_id = self._store.session_id
        if session_id is None:
            return  # the connection was lost since the read: nothing is known of whose claim it is
        own = seen.claim is not None and seen.claim.ephemeral_owner == session_id
        if not own:
            self._store.sync()
            claim = self._store.read(self._me.paths.writer(self._me.cluster))
            own = claim is not None and claim.ephemeral_owner == session_id
            if self._store.session_id != session_id:
                return
        self._send(ClaimRead(own))

    def give_back(self, seen: Seen, status: MinderStatus) -> None:
        """Without a grant, and with no permit that the minder has yet to take note of."""
        session_id = self._store.session_id
        if session_id is None:
            return
        own = seen.claim is not None and seen.claim.ephemeral_owner == session_id
        plan_waits = self._plan_waits(seen, own=own)
        if not own and not plan_waits:
            return
        if status.server_alive:
            if status.demoted and not status.in_production:
                note = read_note(self._places, self._boot)
                control = None if note is None else note.control_bytes
                self._commit(seen, session_id, control if plan_waits else None)
            return
        for _ in range(LOCK_TRIES):  # the minder may be trying the lock in this instant
            with lock_if_free(self._places) as free:
                if free:
                    control = read_control(self._places.control_file) if plan_waits else None
                    self._commit(seen, session_id, control)
                    return
            time.sleep(0.005)

    def _plan_waits(self, seen: Seen, *, own: bool) -> bool:
        """A plan waits for the proof that this host may give."""
        waits = plan_here(self._me, decoded(seen.state)) is not None
        return waits and (own or is_last_writer(self._me, seen.last_writer))

    def _commit(self, seen: Seen, session_id: int, control: bytes | None) -> None:
        inputs = ClaimInputs(
            session_id=session_id,
            state=seen.state,
            claim=seen.claim,
            last_writer=seen.last_writer,
            proof=seen.proof,
            stopped=None if control is None else self._stopped(control),
            known_timeline=newest_timeline(self._places.control_file, self._places.wal),
        )
        transaction = decide_claim(self._me, inputs)
        if transaction is None:
            return
        outcome = self._store.commit(transaction)
        log.warning("claim_given_back", proof=inputs.stopped, outcome=type(outcome).__name__)
        self._wake.set()  # and look again at once, whatever came of it

    def _stopped(self, control: bytes) -> Stopped | None:
        """Read once per control file, as soon as it can be told: pg_waldump takes a moment."""
        if self._end_of_wal[0] != control or self._end_of_wal[1] is None:
            self._end_of_wal = (control, stopped_at(self._places, control))
        return self._end_of_wal[1]
