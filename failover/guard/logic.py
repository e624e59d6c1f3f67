"""When a grant holds and when it ends: the minder's half of the guard's decisions.

``Guard`` holds the grant and counts the deadline, ``decide`` says when to kill; neither knows
ZooKeeper. The worker's half, permits and claims, is in ``permits``.

Invariant: a server out of recovery has a grant; a grant has a claim in the same ZooKeeper session;
the deadline of the grant passes before that session can end. A grant ends only when no process of
the server it was given for lives. All times are CLOCK_BOOTTIME seconds, given as arguments. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from failover.fields import EpochField, SessionId, TimelineField
from failover.model import Epoch, TimelineId
from failover.timing import LeaseTiming

# --------------------------------------------------------------------------- words


@dataclass(frozen=True, slots=True)
class Limits:
    """The times the decisions use, in seconds."""

    tick_s: float
    deadline_s: float
    leader_absent_s: float = 2.0
    # A new cluster's first start comes before any leader key exists.
    first_leader_key_s: float = 60.0
    in_place_s: float = 3.0
    fast_stop_s: float = 3.0

    @classmethod
    def of(cls, timing: LeaseTiming) -> Limits:
        return cls(tick_s=timing.zookeeper_tick_ms / 1000, deadline_s=timing.deadline_s)


class KillReason(StrEnum):
    DEADLINE = "deadline"  # the lease could not be renewed in time
    SESSION_LOST = "session_lost"  # the session that held the claim is over
    CLAIM_LOST = "claim_lost"  # somebody removed the claim
    LEADER_KEY_LOST = "leader_key_lost"  # Patroni's key names another member, or nobody
    NO_GRANT = "no_grant"  # out of recovery without a permit, whoever started it
    PLAN = "plan"  # a plan has this guard stop the server, and a fast stop was not enough


class StartMode(StrEnum):
    """What the start barrier noted, lock in hand."""

    STANDBY = "standby"
    WRITABLE = "writable"
    SINGLE = "single"  # postgres --single: Patroni's crash recovery; serves nobody


@dataclass(frozen=True, slots=True)
class Note:
    """The start barrier held the lock at ``at_s``: every earlier process was gone by then."""

    mode: StartMode
    at_s: float


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """``alive``: a process of the server lives (the lock is held, or one was found).

    ``around``: the postmaster's number where it was not started through the barrier: it has no
    lock. ``in_production``: it has left recovery. The control file of a crashed primary says so too
    until its next start has begun; a file still exactly as the barrier found it does not count.
    """

    alive: bool
    in_production: bool
    note: Note | None
    around: int | None = None


# --------------------------------------------------------------------------- the lease


@dataclass(frozen=True, slots=True)
class Renewals:
    """When the last two committed renewals of one session were sent, a tick or more apart.

    The last but one counts: a follower tells the leader that a session lives only in its answers
    to pings, so the last one may not have reached the session's clock yet.
    """

    session_id: SessionId
    last_sent_s: float
    base_sent_s: float | None = None

    def deadline_s(self, limits: Limits) -> float | None:
        """None: no lease yet in this session."""
        return None if self.base_sent_s is None else self.base_sent_s + limits.deadline_s


def renewed(before: Renewals | None, session_id: int, sent_s: float, limits: Limits) -> Renewals:
    """A renewal sent at ``sent_s`` was committed in ``session_id``."""
    if before is None or before.session_id != session_id:
        return Renewals(session_id, sent_s)
    if sent_s - before.last_sent_s < limits.tick_s:
        return before
    return Renewals(session_id, sent_s, base_sent_s=before.last_sent_s)


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit given and not yet over."""

    session_id: SessionId
    epoch: EpochField
    since_s: float  # of the latest permit: a note older than this is superseded
    promotion: bool
    timeline: TimelineField | None = None  # what the promotion is to make


# --------------------------------------------------------------------------- the keeper


JUST_NOW_S = 2.0


class InPlace(StrEnum):
    """A running primary found without a grant, at the guard's start or when it is armed."""

    NOT_YET = "not_yet"  # nothing was looked at yet
    ASKED = "asked"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class LeaderKey:
    """What was read of Patroni's leader key in the own scope since the grant."""

    own_seen: bool = False
    names_other: bool = False
    absent_since_s: float | None = None
    absent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Guard:
    """Everything the minder knows. Change it through the methods, then ``decide``."""

    limits: Limits
    armed: bool = False
    grant: Grant | None = None
    renewals: Renewals | None = None
    epoch: Epoch | None = None  # as last read from ``state``
    claim_lost: bool = False  # confirmed after a sync
    leader: LeaderKey = LeaderKey()
    in_place: InPlace = InPlace.NOT_YET
    in_place_until_s: float = 0.0
    killing: KillReason | None = None
    stop_wanted: bool = False  # by the plan that stands in ``state``, as last read
    stopping_since_s: float | None = None  # the postmaster was asked to stop
    adopted: int | None = None  # the postmaster that ran, without a lock, when this was armed
    arming: bool = False  # by ``state``: nobody moves the group yet

    @property
    def deadline_s(self) -> float | None:
        return None if self.renewals is None else self.renewals.deadline_s(self.limits)

    def lease_holds(self, session_id: int, now_s: float) -> bool:
        """Two renewals are committed in this session and the deadline has not passed."""
        return (
            self.renewals is not None
            and self.renewals.session_id == session_id
            and self.deadline_s is not None
            and now_s < self.deadline_s
        )

    def renewed(self, session_id: int, sent_s: float) -> Guard:
        """A committed renewal. One of another session never prolongs a grant."""
        if self.grant is not None and self.grant.session_id != session_id:
            return self
        return replace(self, renewals=renewed(self.renewals, session_id, sent_s, self.limits))

    def session_opened(self, session_id: int) -> Guard:
        """The worker has this session now. Under a grant of another one, that one is over."""
        if self.grant is not None and self.grant.session_id != session_id:
            return replace(self, killing=self.killing or KillReason.SESSION_LOST)
        if self.renewals is not None and self.renewals.session_id != session_id:
            return replace(self, renewals=None)
        return self

    def state_seen(
        self,
        *,
        exists: bool,
        epoch: Epoch | None,
        stop_wanted: bool = False,
        arming: bool = False,
    ) -> Guard:
        """``state`` was read. Once armed, a guard stays armed: a lost znode disarms nobody."""
        arming = arming or (self.arming and not exists)  # taken back, and not stood down yet
        before = (self.epoch, self.stop_wanted, self.arming)
        if (epoch, stop_wanted, arming) == before and (self.armed or not exists):
            return self
        seen = replace(self, epoch=epoch, stop_wanted=stop_wanted, arming=arming)
        if exists and not self.armed:
            return replace(seen, armed=True, in_place=InPlace.NOT_YET)
        return seen

    def stood_down(self) -> Guard:
        """The group is not armed any more, and the claim is given back: whatever runs goes on."""
        return Guard(self.limits, renewals=self.renewals, epoch=self.epoch)

    def claim_seen(self, *, own: bool) -> Guard:
        """The claim was read after a ``sync``."""
        lost = self.grant is not None and not own
        return self if lost == self.claim_lost else replace(self, claim_lost=lost)

    def leader_seen(
        self, name: str | None, own_name: str, *, paused: bool, synced: bool, now_s: float
    ) -> Guard:
        """Patroni's key in the own scope. Only a read after a ``sync`` can condemn."""
        if paused:
            return replace(
                self,
                leader=replace(self.leader, names_other=False, absent_since_s=None, absent_s=0.0),
            )
        if name == own_name:
            own = LeaderKey(own_seen=True)
            return self if self.leader == own else replace(self, leader=own)
        if name is not None:
            return replace(self, leader=LeaderKey(self.leader.own_seen, names_other=synced))
        since_s = self.leader.absent_since_s if self.leader.absent_since_s is not None else now_s
        return replace(
            self, leader=LeaderKey(self.leader.own_seen, False, since_s, now_s - since_s)
        )

    def permitted(
        self,
        session_id: int,
        epoch: Epoch,
        now_s: float,
        *,
        promotion: bool,
        timeline: TimelineId | None = None,
    ) -> Guard | None:
        """The permit transaction committed: the guard with its grant, None when it came too late.

        The caller makes the grant durable before anybody is told yes.
        """
        if not self.lease_holds(session_id, now_s) or self.killing is not None:
            return None
        if self.grant is not None and self.grant.session_id != session_id:
            return None
        return replace(
            self,
            grant=Grant(session_id, epoch, now_s, promotion, timeline),
            epoch=epoch,
            claim_lost=False,
            leader=self.leader if self.grant is not None else LeaderKey(),
            in_place=InPlace.OVER,
            # The permit's transaction checked ``state``: a plan that was read before is over.
            stop_wanted=False,
            stopping_since_s=None,
        )

    def in_place_refused(self) -> Guard:
        """For good; while the group is being armed it is asked for again when the time is over."""
        return replace(self, in_place=InPlace.ASKED if self.arming else InPlace.OVER)


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to every process of the server, again and again until none lives."""

    reason: KillReason


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGINT to the postmaster, once: a fast shutdown, which leaves a certain end of WAL."""


@dataclass(frozen=True, slots=True)
class EndGrant:
    """Every process of the granted server is gone. Make it durable, then release the claim."""


@dataclass(frozen=True, slots=True)
class AskInPlace:
    """Ask for a permit for the running primary; refused or unanswered, it is killed."""


Decision = Nothing | Kill | Stop | EndGrant | AskInPlace


def decide(guard: Guard, server: ServerSeen, now_s: float) -> tuple[Guard, Decision]:
    """What to do now. To be asked often, and at the deadline at the latest."""
    if guard.grant is not None:
        return _decide_granted(guard, guard.grant, server, now_s)
    return _decide_ungranted(guard, server, now_s)


def _decide_granted(
    guard: Guard, grant: Grant, server: ServerSeen, now_s: float
) -> tuple[Guard, Decision]:
    started_again = server.note is not None and server.note.at_s > grant.since_s
    if not server.alive or started_again:
        ended = replace(guard, grant=None, killing=None, claim_lost=False, leader=LeaderKey())
        return replace(ended, in_place=InPlace.OVER, stopping_since_s=None), EndGrant()
    reason = guard.killing or _reason_to_kill(guard, grant, now_s)
    if reason is None:
        return _decide_stop(guard, now_s)
    return replace(guard, killing=reason), Kill(reason)


def _decide_stop(guard: Guard, now_s: float) -> tuple[Guard, Decision]:
    """A fast stop first. What does not end by it (a process that hangs never does) is killed.

    A plan that is gone again kills nobody any more; a stop that was asked for goes on.
    """
    if not guard.stop_wanted:
        asked = guard.stopping_since_s is not None
        return replace(guard, stopping_since_s=None) if asked else guard, Nothing()
    if guard.stopping_since_s is None:
        return replace(guard, stopping_since_s=now_s), Stop()
    if now_s - guard.stopping_since_s < guard.limits.fast_stop_s:
        return guard, Nothing()
    return replace(guard, killing=KillReason.PLAN), Kill(KillReason.PLAN)


def _reason_to_kill(guard: Guard, grant: Grant, now_s: float) -> KillReason | None:
    if not guard.lease_holds(grant.session_id, now_s):
        return KillReason.DEADLINE
    if guard.claim_lost:
        return KillReason.CLAIM_LOST
    leader, limits = guard.leader, guard.limits
    expected = grant.promotion or leader.own_seen
    absent_limit_s = limits.leader_absent_s if expected else limits.first_leader_key_s
    if leader.names_other or leader.absent_s >= absent_limit_s:
        return KillReason.LEADER_KEY_LOST
    return None


def _decide_ungranted(guard: Guard, server: ServerSeen, now_s: float) -> tuple[Guard, Decision]:
    writable = server.alive and server.in_production
    if server.note is not None and server.note.mode is StartMode.SINGLE:
        writable = False
    if not guard.armed:
        return replace(guard, killing=None), Nothing()
    if not writable:
        over = InPlace.OVER if guard.in_place is InPlace.NOT_YET else guard.in_place
        if guard.killing is None and guard.in_place is over:
            return guard, Nothing()
        return replace(guard, killing=None, in_place=over), Nothing()
    if guard.in_place is InPlace.NOT_YET:
        until_s = now_s + guard.limits.in_place_s
        return replace(guard, in_place=InPlace.ASKED, in_place_until_s=until_s), AskInPlace()
    if guard.in_place is InPlace.ASKED and now_s < guard.in_place_until_s:
        return guard, Nothing()
    if guard.in_place is InPlace.ASKED and guard.arming:
        # As before it was armed: nobody is made active meanwhile, and whoever arms takes it back
        # where no claim comes. An election of the ensemble takes longer than the time for asking.
        return replace(guard, in_place=InPlace.NOT_YET), Nothing()
    killing = replace(guard, in_place=InPlace.OVER, killing=KillReason.NO_GRANT)
    return killing, Kill(KillReason.NO_GRANT)


def just_granted(guard: Guard, now_s: float) -> bool:
    """A promotion was permitted a moment ago in this epoch, and its lease holds.

    While it does the claim stands, so no other site can have been made active meanwhile.
    """
    grant = guard.grant
    return (
        grant is not None
        and grant.promotion
        and 0 <= now_s - grant.since_s < JUST_NOW_S
        and grant.epoch == guard.epoch
        and guard.killing is None
        and not guard.claim_lost
        and guard.lease_holds(grant.session_id, now_s)
    )


@dataclass(frozen=True, slots=True)
class Writable:
    """May this host take writes now? ``reason`` is one line for a human. ``closes``: under its
    lease the server takes none, because it is being shut down or is not promoted yet."""

    yes: bool
    reason: str
    closes: bool = False


def writable(guard: Guard, server: ServerSeen, now_s: float) -> Writable:
    """What HAProxy is told. It holds no state of its own: asked anew every time."""
    if guard.grant is None:
        return Writable(False, "no grant" if guard.armed else "not armed: `failover init`")
    if guard.killing is not None:
        return Writable(False, f"being killed: {guard.killing}")
    if guard.stop_wanted:
        return Writable(False, "being stopped: a plan has this guard stop the server")
    if not guard.lease_holds(guard.grant.session_id, now_s):
        return Writable(False, "the deadline of the lease has passed")
    if guard.claim_lost:
        return Writable(False, "the writer claim is gone")
    if guard.epoch != guard.grant.epoch:
        return Writable(False, f"epoch {guard.grant.epoch} is over, {guard.epoch} is current")
    if not server.alive:
        return Writable(False, "the server is down", closes=True)
    if not server.in_production:
        return Writable(False, "the server is being shut down, or is in recovery", closes=True)
    return Writable(True, f"writable in epoch {guard.grant.epoch}")
