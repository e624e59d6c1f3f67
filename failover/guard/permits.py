"""The worker's half of the guard's decisions: what was read of ZooKeeper → one transaction.

A permit, a release and a stopped-proof are each one conditional transaction: reads may be stale
(an isolated ZooKeeper leader answers even ``sync`` for seconds), only a commit decides. After an
unknown outcome read again and decide again: whether a claim is its own a guard tells by
``ephemeralOwner``, never from memory. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from failover.last_writer import (
    LastWriter,
    encode_last_writer,
    next_writer,
    not_used,
    permitted_hosts,
    read_last_writer,
)
from failover.model import TIMELINE_MAX, ClusterName, Epoch, HostName, Lsn, SiteName, TimelineId
from failover.state import (
    GroupState,
    PlanKind,
    PlanRecord,
    StateError,
    StopKind,
    StoppedProof,
    WriterClaim,
    decode_record,
    decode_state,
    encode_record,
)
from failover.znode import Check, Create, Delete, GroupPaths, Op, Set, Transaction, Znode


@dataclass(frozen=True, slots=True)
class Member:
    """The host this guard stands on."""

    host: HostName
    site: SiteName
    cluster: ClusterName
    paths: GroupPaths


class RefusalReason(StrEnum):
    NOT_ACTIVE_SITE = "not_active_site"
    PLAN_UNDER_WAY = "plan_under_way"
    BEHIND = "behind_min_lsn"
    WAL_END_UNKNOWN = "wal_end_unknown"
    TIMELINE_UNKNOWN = "timeline_unknown"
    NOT_IN_SYNC = "not_in_sync"  # it may lack what was acknowledged
    NOT_LAST_WRITER = "not_last_writer"  # another host has had the claim since this one wrote
    STATE_UNREADABLE = "state_unreadable"
    RECOVERY_TARGET = "recovery_target"
    CLAIM_HELD = "claim_held"
    NO_LEASE = "no_lease"
    NO_ANSWER = "no_answer"  # of ZooKeeper, or of the worker


# These pass by themselves within seconds, so pre_promote waits for them.
_PASSING = frozenset(
    {
        RefusalReason.CLAIM_HELD,
        RefusalReason.NO_LEASE,
        RefusalReason.NO_ANSWER,
        RefusalReason.WAL_END_UNKNOWN,
        RefusalReason.TIMELINE_UNKNOWN,
    }
)


@dataclass(frozen=True, slots=True)
class WalEnd:
    """Up to where this host has WAL."""

    lsn: Lsn
    timeline: TimelineId


@dataclass(frozen=True, slots=True)
class PermitInputs:
    """What was read for one permit. Reads may be stale: the transaction is what decides.

    ``known_timeline``: the newest that this host knows of; None when its files do not say.
    """

    session_id: int
    state: Znode | None
    claim: Znode | None
    last_writer: Znode | None
    wal_end: WalEnd | None
    known_timeline: TimelineId | None
    promotion: bool
    lease_holds: bool
    armed: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    reason: RefusalReason
    detail: str

    @property
    def passes_by_itself(self) -> bool:
        """Worth asking again within seconds."""
        return self.reason in _PASSING


@dataclass(frozen=True, slots=True)
class AskPermit:
    """Commit this. Committed: the permit is given for ``epoch``. Anything else: read again.

    ``timeline``: what a promotion is to make, promised to this host alone; None for a start.
    """

    transaction: Transaction
    epoch: Epoch
    in_place: bool
    timeline: TimelineId | None


@dataclass(frozen=True, slots=True)
class Unarmed:
    """There is no ``state`` and never was, or the group is not armed: the guard only watches,
    everything passes."""


PermitDecision = Refuse | AskPermit | Unarmed


def decide_permit(me: Member, seen: PermitInputs) -> PermitDecision:
    """May this host become, or stay, writable?"""
    if seen.state is None:
        if not seen.armed:
            return Unarmed()
        return Refuse(RefusalReason.STATE_UNREADABLE, f"{me.paths.state} is gone")
    try:
        state = decode_state(seen.state.data, path=me.paths.state)
    except StateError as error:
        return Refuse(RefusalReason.STATE_UNREADABLE, str(error))
    if not state.armed:
        # Only a guard that never held anything, or has given it back, takes a read for it.
        words = "this guard is armed, and the group is not any more"
        return Refuse(RefusalReason.STATE_UNREADABLE, words) if seen.armed else Unarmed()
    refusal = _forbidden(me, state)
    if refusal is not None:
        return refusal
    if not seen.lease_holds:
        return Refuse(RefusalReason.NO_LEASE, "two renewals of this session are not committed yet")
    own = seen.claim is not None and seen.claim.ephemeral_owner == seen.session_id
    if seen.claim is not None and not own:
        return Refuse(RefusalReason.CLAIM_HELD, f"held by {_holder(me, seen.claim)}")
    refusal = (
        _behind(me, state, seen.wal_end)
        or _not_in_sync(me, state, seen.last_writer)
        or _not_last_writer(me, seen)
    )
    if refusal is not None:
        return refusal
    if seen.promotion and seen.known_timeline is None:
        return Refuse(RefusalReason.TIMELINE_UNKNOWN, "control file or pg_wal cannot be read")
    last = read_last_writer(seen.last_writer)
    if seen.promotion and last is not None and last.timeline >= TIMELINE_MAX:
        return Refuse(RefusalReason.TIMELINE_UNKNOWN, f"no number comes after {last.timeline}")
    writer = next_writer(
        me.host,
        me.site,
        last,
        seen.known_timeline or TimelineId(0),
        judged_unix_s=state.epoch_started_unix_s,
        promotion=seen.promotion,
        claim_kept=own,
    )
    claim = encode_record(WriterClaim(host=me.host, site=me.site, epoch=state.epoch))
    path = me.paths.writer(me.cluster)
    take: Op = (
        Set(path, claim, seen.claim.version)
        if seen.claim is not None
        else Create(path, claim, ephemeral=True)
    )
    transaction = (
        Check(me.paths.state, seen.state.version),
        _session_lives(me, seen.session_id),
        take,
        _mark_last_writer(me, seen.last_writer, writer),
    )
    return AskPermit(transaction, state.epoch, own, writer.timeline if writer.promised else None)


def _session_lives(me: Member, session_id: int) -> Check:
    """The claim that was read is still this session's own.

    A version alone does not say whose it is: after an expiry kazoo opens a new session by itself,
    and the claim of another guard starts at version 0 again.
    """
    return Check(me.paths.session(session_id), version=-1)


def _forbidden(me: Member, state: GroupState) -> Refuse | None:
    if state.active_site != me.site:
        return Refuse(
            RefusalReason.NOT_ACTIVE_SITE,
            f"{state.active_site} is active in epoch {state.epoch}, not {me.site}",
        )
    if (plan := plan_here(me, state)) is not None:
        return Refuse(RefusalReason.PLAN_UNDER_WAY, f"{plan.kind} {plan.id}")
    if me.cluster not in state.clusters:
        return Refuse(RefusalReason.STATE_UNREADABLE, f"no cluster {me.cluster} in state")
    return None


def plan_here(me: Member, state: GroupState | None) -> PlanRecord | None:
    """The plan that forbids this site to write, and waits for its stopped-proof."""
    plan = state.plan if state is not None else None
    return plan if plan is not None and plan.from_site == me.site else None


def stop_here(me: Member, state: GroupState | None) -> bool:
    """That plan has the guards stop what is writable here."""
    plan = plan_here(me, state)
    return plan is not None and plan.kind is PlanKind.TAKEOVER


def needs_wal_end(me: Member, seen: Znode | None, claim: Znode | None, session_id: int) -> bool:
    """The permit will turn on where this host's WAL ends, which takes a moment to find out."""
    if seen is None or (claim is not None and claim.ephemeral_owner != session_id):
        return False
    try:
        state = decode_state(seen.data, path=seen.path)
    except StateError:
        return False
    return _forbidden(me, state) is None and not state.clusters[me.cluster].promoted


def _behind(me: Member, state: GroupState, wal_end: WalEnd | None) -> Refuse | None:
    cluster = state.clusters[me.cluster]
    if cluster.promoted:
        return None
    if wal_end is None:
        return Refuse(RefusalReason.WAL_END_UNKNOWN, f"at least {cluster.min_lsn} is needed")
    if wal_end.lsn < cluster.min_lsn or wal_end.timeline < cluster.timeline:
        return Refuse(
            RefusalReason.BEHIND,
            f"WAL ends at {wal_end.lsn} on timeline {wal_end.timeline}; epoch {state.epoch} needs "
            f"{cluster.min_lsn} on timeline {cluster.timeline}",
        )
    return None


def _not_in_sync(me: Member, state: GroupState, last_writer: Znode | None) -> Refuse | None:
    """In a synchronous mode only who surely has everything that was acknowledged may write.

    It does not pass by itself: who has everything changes only while somebody writes. Patroni then
    bars this host for ``ttl`` and gives its key back at once, to a host that has.
    """
    writer = read_last_writer(last_writer)
    last = writer.host if writer is not None else None
    permitted = permitted_hosts(
        state,
        me.cluster,
        last,
        marked=last_writer is not None,
        judged_unix_s=writer.judged_unix_s if writer is not None else 0.0,
    )
    if permitted is None or me.host in permitted:
        return None
    names = (*state.clusters[me.cluster].have, f"{last or 'an unknown host'} (wrote last)")
    return Refuse(RefusalReason.NOT_IN_SYNC, f"{state.protection}: only {', '.join(names)}")


def _not_last_writer(me: Member, seen: PermitInputs) -> Refuse | None:
    """A start in place goes on with the timeline it finds; where another host has had the claim
    since, that is an old branch.

    Its number is the lower one, so the other host's newer timeline would pass for more than this
    branch wherever positions are compared (``min_lsn``, a standby that follows), without its
    writes. It does not pass by itself, and need not: Patroni gives its key up, starts this host as
    a replica, and may promote it, onto a timeline of its own. A record that cannot be understood
    names nobody; without one nobody has written yet.
    """
    if seen.promotion or seen.last_writer is None or is_last_writer(me, seen.last_writer):
        return None
    writer = read_last_writer(seen.last_writer)
    name = writer.host if writer is not None else "an unknown host"
    return Refuse(RefusalReason.NOT_LAST_WRITER, f"{name} has had the claim since")


def _holder(me: Member, claim: Znode) -> str:
    try:
        return decode_record(WriterClaim, claim.data, path=claim.path).host
    except StateError:
        return "an unknown host"


def _mark_last_writer(me: Member, last_writer: Znode | None, writer: LastWriter) -> Op:
    """Who got the claim last: with it one host alone can prove that nothing was written since.

    On the version that was read: two permits never promise the same timeline.
    """
    path = me.paths.last_writer(me.cluster)
    data = encode_last_writer(writer)
    if last_writer is None:
        return Create(path, data)
    return Set(path, data, last_writer.version)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of WAL of a server none of whose processes lives, or lived when it was noted.

    ``idle_s``, where it was killed: how long nothing had been written there; 0: not known.
    """

    kind: StopKind
    end: WalEnd
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ClaimInputs:
    """What was read of ZooKeeper while there is no grant and no permit under way.

    ``known_timeline``: the newest that this host knows of by now; None when its files do not say.
    """

    session_id: int
    state: Znode | None
    claim: Znode | None
    last_writer: Znode | None
    proof: Znode | None
    stopped: Stopped | None
    known_timeline: TimelineId | None = None


def decide_claim(me: Member, seen: ClaimInputs) -> Transaction | None:
    """Without a grant: give the claim back, with a stopped-proof where a plan waits for one."""
    own = seen.claim is not None and seen.claim.ephemeral_owner == seen.session_id
    give_proof = _proof(me, seen)
    path = me.paths.writer(me.cluster)
    if own and seen.claim is not None:
        lives = _session_lives(me, seen.session_id)
        gives_back = Delete(path, seen.claim.version)
        return (lives, *give_proof[:1], gives_back, *give_proof[1:], *_unused(me, seen))
    if seen.claim is not None or not give_proof or not is_last_writer(me, seen.last_writer):
        return None
    assert seen.last_writer is not None
    return (
        *give_proof[:1],
        Create(path, b"", ephemeral=True),  # and deleted: proof that nobody holds it
        Delete(path),
        Check(me.paths.last_writer(me.cluster), seen.last_writer.version),
        *give_proof[1:],
    )


def _unused(me: Member, seen: ClaimInputs) -> Transaction:
    """The permit of a promotion that was never made binds nobody any more: where it was the first
    one under its judgement, ``min_lsn`` decides again (``last_writer.permitted_hosts``).

    Only together with the claim, which was held ever since: no other disk came in between. And not
    of a second permit: what was acknowledged under the first one is still only here.
    """
    writer = read_last_writer(seen.last_writer)
    if writer is None or seen.last_writer is None or seen.known_timeline is None:
        return ()
    if not (writer.first and not_used(writer, me.host, seen.known_timeline)):
        return ()
    data = encode_last_writer(replace(writer, judged_unix_s=0.0, first=False))
    return (Set(me.paths.last_writer(me.cluster), data, seen.last_writer.version),)


def _proof(me: Member, seen: ClaimInputs) -> Transaction:
    """Check of ``state``, then the proof's own operations; empty where no plan waits for one."""
    if seen.state is None or seen.stopped is None:
        return ()
    try:
        state = decode_state(seen.state.data, path=me.paths.state)
    except StateError:
        return ()
    plan = plan_here(me, state)
    if plan is None:
        return ()
    path = me.paths.stopped(me.cluster)
    operations: list[Op] = [Check(me.paths.state, seen.state.version)]
    if seen.proof is not None:
        if _proves(seen.proof, plan.id):
            return ()
        operations.append(Delete(path, seen.proof.version))
    proof = StoppedProof(
        plan_id=plan.id,
        host=me.host,
        site=me.site,
        kind=seen.stopped.kind,
        end_of_wal=seen.stopped.end.lsn,
        timeline=seen.stopped.end.timeline,
        idle_s=seen.stopped.idle_s,
    )
    return (*operations, Create(path, encode_record(proof)))


def _proves(proof: Znode, plan_id: str) -> bool:
    try:
        return decode_record(StoppedProof, proof.data, path=proof.path).plan_id == plan_id
    except StateError:
        return False


def stand_down(me: Member, seen: Znode, claim: Znode | None, session_id: int) -> Transaction:
    """Give the claim back beside a running server: only where the group is not armed, as the
    version of ``state`` that was read says in the same instant. A read alone may be old."""
    is_so = Check(me.paths.state, seen.version)
    if claim is None or claim.ephemeral_owner != session_id:
        return (is_so,)
    path = me.paths.writer(me.cluster)
    return (is_so, _session_lives(me, session_id), Delete(path, claim.version))


def is_last_writer(me: Member, last_writer: Znode | None) -> bool:
    """This host was the last one to get the claim."""
    writer = read_last_writer(last_writer)
    return writer is not None and writer.host == me.host


def open_session(me: Member, session_id: int) -> Transaction:
    """The token of a new session."""
    return (Create(me.paths.session(session_id), me.host.encode(), ephemeral=True),)


def renewal(me: Member, session_id: int) -> Set:
    """The one unconditional write there is: the name of the token is the condition."""
    return Set(me.paths.session(session_id), me.host.encode(), version=-1)
