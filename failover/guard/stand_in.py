"""What the worker of a dead minder goes by: whether it still renews, and until when it may.

A new minder takes a second to load, on a busy machine more than a lease has left. Until it is
there, and for no longer than ``RENEWS_S``, the worker renews on and enforces the deadline itself.
Whatever would have had the minder act ends that: then the deadline comes, as it would have without.
It opens nothing: the acknowledgement barrier stays with the minder's last word, and shuts with it.

Invariant: the deadline is counted from renewals of the granted session alone, as the minder counts
it (``logic``). All times are CLOCK_BOOTTIME seconds. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.guard.logic import Limits, Renewals, renewed
from failover.guard.messages import (
    ClaimRead,
    FromWorker,
    LeaderRead,
    Renewed,
    SessionOpened,
    StateRead,
)

# Loading took 3 to 5 s on two busy cores. A guard that dies again and again is dead after all: the
# next such time begins when a minder has renewed for as long again.
RENEWS_S = 6.0


@dataclass(frozen=True, slots=True)
class StandIn:
    """From the moment the minder was lost. ``ended``: why it renews no more, for a human."""

    limits: Limits
    renewals: Renewals
    until_s: float
    ended: str = ""
    server_gone: bool = False

    @classmethod
    def begun(
        cls,
        session_id: int | None,
        deadline_s: float | None,
        limits: Limits,
        now_s: float,
        before_until_s: float | None,
    ) -> StandIn | None:
        """With the minder's last word on its lease; None: there was no lease to go on with.
        ``before_until_s``: the ``until_s`` of the last one in this boot."""
        if session_id is None or deadline_s is None:
            return None
        sent_s, until_s = deadline_s - limits.deadline_s, now_s + RENEWS_S
        if before_until_s is not None and sent_s < before_until_s + RENEWS_S:
            until_s = before_until_s
        return cls(limits, Renewals(session_id, sent_s, sent_s), until_s)

    @property
    def left(self) -> Renewals | None:
        """What a new minder goes on with."""
        return None if self.ended else self.renewals

    @property
    def deadline_s(self) -> float:
        deadline_s = self.renewals.deadline_s(self.limits)
        assert deadline_s is not None  # it began with one, and keeps its session
        return deadline_s

    def renews(self, now_s: float) -> bool:
        return not self.ended and now_s < min(self.until_s, self.deadline_s)

    def server_seen(self, *, alive: bool) -> StandIn:
        return self if alive else replace(self._end("the server is gone"), server_gone=True)

    def renewed(self, session_id: int, sent_s: float, *, announced: bool = True) -> StandIn:
        """A committed renewal. ``announced``: the kernel was told of it before it was sent: there
        no answer leaves before a new minder is here."""
        if not announced:
            return self._end("the kernel does not count")
        if session_id != self.renewals.session_id:
            return self._end("the session is another one")
        return replace(self, renewals=renewed(self.renewals, session_id, sent_s, self.limits))

    def session_opened(self, session_id: int) -> StandIn:
        same = session_id == self.renewals.session_id
        return self if same else self._end("the session is another one")

    def state_seen(self, *, exists: bool, plan_here: bool) -> StandIn:
        """``plan_here``: one that forbids this site to write."""
        return self if exists and not plan_here else self._end("a plan, or no state")

    def claim_seen(self, *, own: bool) -> StandIn:
        return self if own else self._end("the claim is gone")

    def leader_seen(self, name: str | None, own_name: str, *, paused: bool) -> StandIn:
        """Patroni's key in the own scope; while that is paused it says nothing."""
        return self if paused or name == own_name else self._end("Patroni's key is not ours")

    def _end(self, why: str) -> StandIn:
        return self if self.ended else replace(self, ended=why)


def latest(lease: Renewals | None, stood_in: Renewals | None) -> Renewals | None:
    """What a new minder goes on with: the last one's, or of the worker that has stood in since."""
    if lease is None or stood_in is None or stood_in.session_id != lease.session_id:
        return lease
    return stood_in if stood_in.last_sent_s > lease.last_sent_s else lease


def heard(standing: StandIn, message: FromWorker, own_name: str) -> StandIn:
    """What the minder would have been told."""
    match message:
        case Renewed(session_id, sent_s, announced):
            return standing.renewed(session_id, sent_s, announced=announced)
        case SessionOpened(session_id, _):
            return standing.session_opened(session_id)
        case StateRead(exists, _, plan_here, stop_here):
            return standing.state_seen(exists=exists, plan_here=plan_here or stop_here)
        case ClaimRead(own):
            return standing.claim_seen(own=own)
        case LeaderRead(name, paused, _):
            return standing.leader_seen(name, own_name, paused=paused)
        case _:
            return standing
