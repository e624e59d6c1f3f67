"""Keeps the grant: asks for a permit, makes the grant durable, and only then says yes.

Part of the minder, in its event loop. Invariant: a yes is given only after the grant is on the
disk and the kernel's door follows the lease, and while the lease holds; a permit of which nobody
was told leaves no grant behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from failover.clock import boottime_s
from failover.guard import logic
from failover.guard.guard_metrics import GuardMetrics
from failover.guard.memory import Memory
from failover.guard.messages import (
    Answer,
    FromMinder,
    PermitAnswer,
    PermitAsk,
    PermitWithdrawn,
    Purpose,
)
from failover.model import Epoch, TimelineId

RECORD_LIMIT_S = 1.5  # a disk that takes longer gets no permit

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a barrier. ``timeline``: the number that a promotion must take."""

    yes: bool
    reason: str
    timeline: TimelineId | None = None


def _granted(grant: logic.Grant) -> Reply:
    return Reply(True, f"granted: epoch {grant.epoch}", grant.timeline)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A permit that the worker has yet to answer."""

    ask: PermitAsk
    answered: asyncio.Future[PermitAnswer]


class GrantKeeper:
    """Of one minder, which changes ``guard`` too: by what it sees and what its worker says."""

    def __init__(
        self,
        guard: logic.Guard,
        memory: Memory,
        metrics: GuardMetrics,
        send: Callable[[FromMinder], None],
        settle_door: Callable[[], Awaitable[bool]],
        on_change: Callable[[], None],
    ) -> None:
        """``settle_door``: False where the kernel's door does not follow the lease. ``on_change``:
        told when a grant came or went by itself."""
        self.guard = guard
        self._memory = memory
        self._metrics = metrics
        self._send = send
        self._settle_door = settle_door
        self._on_change = on_change
        self._told = guard.grant is not None  # somebody heard a yes and may act on it
        # Of the latest grant that somebody was told of: an older note is not about its end.
        self.yes_since_s = guard.grant.since_s if guard.grant is not None else 0.0
        self.permits_seen = 0
        self._requests = 0
        self._permits: dict[int, _Pending] = {}

    def save(self) -> asyncio.Future[None]:
        return self._memory.save(self.guard)

    def over(self) -> None:
        """The grant has ended, however: who was told yes was told of one that is gone."""
        self._told = False
        self.save()

    # ----------------------------------------------------------------------- barriers

    async def permit(self, purpose: Purpose, patience_s: float) -> Reply:
        """Ask the worker for a permit. Refused or cancelled, it leaves no new grant behind.

        ``pg_ctl promote`` follows ``pre_promote`` at once: its question is only whether that grant
        still holds, which the deadline answers.
        """
        told = self.guard.grant if purpose is Purpose.PROMOTE and self._told else None
        if told is not None and logic.just_granted(self.guard, boottime_s()):
            return self._replied(purpose, _granted(told))
        self._requests += 1
        request = self._requests
        answered: asyncio.Future[PermitAnswer] = asyncio.get_running_loop().create_future()
        self._permits[request] = _Pending(PermitAsk(request, purpose, patience_s), answered)
        reply = Reply(False, "no_answer: the guard's worker gives no answer")
        self._send(self._permits[request].ask)
        try:
            answer = await asyncio.wait_for(answered, patience_s + 0.2)
            reply = await self._conclude(answer)
            self._told = self._told or (reply.yes and self.guard.grant is not None)
            if reply.yes and self.guard.grant is not None:
                self.yes_since_s = self.guard.grant.since_s
        except TimeoutError:
            pass
        finally:
            self._permits.pop(request, None)
            self._send(PermitWithdrawn(request))
            if not reply.yes and not self._told and self.guard.grant is not None:
                # Nobody heard a yes, no other request either, so nobody acts on it.
                self.guard = replace(self.guard, grant=None)
                self.save()
                self._on_change()
        return self._replied(purpose, reply)

    def _replied(self, purpose: Purpose, reply: Reply) -> Reply:
        self._metrics.permit(purpose, "yes" if reply.yes else "no", reply.reason.split(":")[0])
        log.info("permit", purpose=purpose, yes=reply.yes, reason=reply.reason)
        return reply

    async def _conclude(self, answer: PermitAnswer) -> Reply:
        if answer.answer is Answer.UNARMED:
            return Reply(True, "unarmed: there is no state yet, the guard only watches")
        if answer.answer is Answer.NO:
            return Reply(False, f"{answer.reason}: {answer.detail}")
        grant = self.guard.grant
        if grant is None or grant.epoch != answer.epoch:
            return Reply(False, "no_lease: the permit came too late")
        try:
            await asyncio.wait_for(self.save(), RECORD_LIMIT_S)
        except (TimeoutError, OSError) as error:
            return Reply(False, f"record: the grant could not be written: {error!r}")
        if not await self._settle_door():
            return Reply(False, "barrier: the kernel does not hold acknowledgements to the lease")
        held = self.guard.grant  # another request's permit may have renewed it meanwhile
        same = held is not None and (held.session_id, held.epoch) == (grant.session_id, grant.epoch)
        if not same or not self.guard.lease_holds(grant.session_id, boottime_s()):
            return Reply(False, "no_lease: the lease ended meanwhile")
        return _granted(grant)

    async def leave_recovery(self) -> Reply:
        """Asked by the server itself (``recovery_end_command``) where nothing says that its clients
        are answered under a lease or not at all: then only a grant lets it become writable."""
        if not self.guard.armed:
            return Reply(True, "unarmed: there is no state yet, the guard only watches")
        if self.guard.grant is None:
            return Reply(False, "no_grant: promoted around the guard")
        if not await self._settle_door():
            return Reply(False, "barrier: the kernel does not hold acknowledgements to the lease")
        return _granted(self.guard.grant) if self.guard.grant else Reply(False, "no_grant: over")

    # ----------------------------------------------------------------------- the worker

    def ask_again(self) -> None:
        """The worker may be a new one, which has not been asked."""
        for pending in self._permits.values():
            self._send(pending.ask)

    def answered(self, message: PermitAnswer) -> None:
        """Take the grant the moment the yes is known; from here on the deadline binds it."""
        if message.answer is Answer.YES:
            self.permits_seen = message.request
        waiting = self._permits.get(message.request)
        if waiting is None or waiting.answered.done():
            return  # who asked is gone: no grant, and the worker will give the claim back
        if message.answer is Answer.YES:
            granted = self.guard.permitted(
                message.session_id,
                Epoch(message.epoch),
                boottime_s(),
                promotion=waiting.ask.purpose.is_promotion,
                timeline=None if message.timeline is None else TimelineId(message.timeline),
            )
            self.guard = granted if granted is not None else self.guard
        waiting.answered.set_result(message)
        self._on_change()
