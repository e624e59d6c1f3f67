"""What would be lost if the active site vanished now. Pure.

Two parts, kept apart: what the standby is *behind* (the primary's last known end of WAL minus
what was received), and the *isolation window*: an isolated primary goes on acknowledging until it
fences itself, at most for the lease. An idle primary has no lag. Invariant: without samples from
just before the loss the answer is unknown, and unknown holds (I5).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf

from failover.health.cluster_view import READ_DELAY_S, ClusterView
from failover.health.inputs import LsnSample
from failover.health.observation import PostgresSeen
from failover.health.sightings import HostView
from failover.health.view import View
from failover.model import HostName, Lsn, TimelineId
from failover.replication.lineage import Switches, apart, parse_switches
from failover.state import GroupState, StoppedProof

SAMPLE_AGE_S_MAX = 5.0  # the newest sample may be that old when the loss begins
PEAK_WINDOW_S = 60.0  # the peak WAL rate is looked for in the last minute of samples
LATELY_S = 5.0  # samples come every half second; further apart on a busy machine
UNSEEN_S_MAX = READ_DELAY_S + 1.0  # a sample each second, read late; longer gaps are stops of it
RATE_INTERVAL_S = 1.0  # … over at least this long, so that one flush is not a rate


@dataclass(frozen=True, slots=True)
class LossEstimate:
    """``behind_s``: at the newest sample; infinite where the standby is behind the oldest one.

    ``unseen_s``: how long before the loss that sample was, at most. What is lost was acknowledged
    no more than both before it. The budget is about what was measured, and so without ``unseen_s``,
    which every estimate has.
    """

    behind_bytes: int
    behind_s: float
    isolation_bytes: int
    isolation_s: float
    unseen_s: float = 0.0

    @property
    def bytes(self) -> int:
        return self.behind_bytes + self.isolation_bytes

    @property
    def seconds(self) -> float:
        return self.behind_s + self.isolation_s


@dataclass(frozen=True, slots=True)
class LossUnknown:
    reason: str


Loss = LossEstimate | LossUnknown

ANEW = " (but its server was started anew since, or has less than it had)"

NOTHING_TO_LOSE = LossEstimate(0, 0.0, 0, 0.0)


def end_of_received(postgres: PostgresSeen) -> Lsn | None:
    """Up to where a standby has WAL: received, or replayed from what it had before a restart."""
    known = [lsn for lsn in (postgres.received_lsn, postgres.replayed_lsn) if lsn is not None]
    return max(known, default=None)


def estimate(
    samples: tuple[LsnSample, ...], received: Lsn, *, lease_s: float, lost_for_s: float
) -> Loss:
    """The loss for samples (newest first) and a standby that has WAL up to ``received``.

    ``lost_for_s``: how long the primary has been known to be gone (0 while it is not). The last
    sample then stands: its age up to the takeover is expected, its age before the loss is not.
    """
    if not samples:
        return LossUnknown("no samples of the primary's WAL")
    newest = samples[0]
    age_s_max = lost_for_s + lease_s + SAMPLE_AGE_S_MAX
    if newest.age_s > age_s_max:
        return LossUnknown(
            f"the last sample of the primary's WAL is {newest.age_s:.1f} s old, "
            f"{newest.age_s - age_s_max:.1f} s too old to tell"
        )
    peak = last_known_peak_bytes_per_s(samples)
    if peak is None:
        return LossUnknown(
            "how fast the primary writes is not known: its WAL was not yet seen for "
            f"{RATE_INTERVAL_S:g} s"
        )
    return LossEstimate(
        behind_bytes=max(0, newest.lsn - received),
        behind_s=_behind_s(samples, received),
        isolation_bytes=round(lease_s * peak),
        isolation_s=lease_s,
        unseen_s=_unseen_s(samples),
    )


def _behind_s(samples: tuple[LsnSample, ...], received: Lsn) -> float:
    """From when the primary was at ``received`` until its newest sample."""
    newest = samples[0]
    if newest.lsn <= received:
        return 0.0
    passed = next((sample for sample in samples if sample.lsn <= received), None)
    return inf if passed is None else passed.age_s - newest.age_s


def _unseen_s(samples: tuple[LsnSample, ...]) -> float:
    """From the newest sample until the primary is lost, at most. Of an idle one too: it may write
    just before it is lost.

    A sample's time is when it was read, some time after its server was asked: that too is within
    what the samples of late were apart. Where only one is of late, how far apart is not known.
    """
    own = tuple(s for s in samples if s.host == samples[0].host)
    if len(own) < 2:  # just promoted: as it was with the one before, whose clients it has now
        own = tuple(s for s in samples if s.host != samples[0].host)
    lately = [s for s in own if s.age_s - own[0].age_s <= LATELY_S]
    gap_s = max((a.age_s - b.age_s for b, a in pairwise(lately)), default=UNSEEN_S_MAX)
    return min(2 * gap_s, UNSEEN_S_MAX)


def last_known_peak_bytes_per_s(samples: tuple[LsnSample, ...]) -> float | None:
    """The peak rate (newest sample first). Of a primary that was seen for too short a time since a
    long local failover: the one before it, whose clients it has now. None: nobody's is known.

    Every observer gives a sample each half second: a group that is seen is known after a second.
    """
    peak = peak_bytes_per_s(samples)
    before = tuple(s for s in samples if _life(s) != _life(samples[0])) if samples else ()
    return peak_bytes_per_s(before) if peak is None else peak


def peak_bytes_per_s(samples: tuple[LsnSample, ...]) -> float | None:
    """The highest rate of WAL in the last minute of samples (newest first).

    Within one life of a primary: to the next one it may jump by most of a segment, which nobody has
    written (Patroni recovers a server that was killed with ``archive_mode`` on, and that switches).
    None where they do not span ``RATE_INTERVAL_S``: nothing is known then, not that it is idle.
    """
    recent = [s for s in samples if s.age_s - samples[0].age_s <= PEAK_WINDOW_S]
    spaced: list[LsnSample] = []
    for sample in recent:
        fresh = not spaced or _life(sample) != _life(spaced[-1])
        if fresh or sample.age_s - spaced[-1].age_s >= RATE_INTERVAL_S:
            spaced.append(sample)
    rates = [
        (later.lsn - earlier.lsn) / (earlier.age_s - later.age_s)
        for later, earlier in pairwise(spaced)
        if _life(later) == _life(earlier)
    ]
    return max(0.0, *rates) if rates else None


def _life(sample: LsnSample) -> tuple[HostName, TimelineId]:
    return sample.host, sample.timeline


def loss_at_stop(view: View, cluster: ClusterView, proof: StoppedProof) -> Loss:
    """What a takeover gives up of a server that was killed under this proof.

    Where its WAL ends is known; when that was written is, of what comes after the newest sample,
    only bounded: by when the last of it was (``idle_s``).
    """
    if view.state is not None and _in_sync(view.state):
        return _without_loss(cluster)
    leader = cluster.standby.standby_leader
    received = end_of_received(leader.postgres) if leader is not None else None
    if leader is None or received is None:
        return LossUnknown(f"nobody in {cluster.standby.site} says how much it has received")
    if leader.postgres.timeline != proof.timeline:
        return LossUnknown(
            f"{leader.host.name} is on timeline {leader.postgres.timeline}, "
            f"{proof.host} was on {proof.timeline}"
        )
    newest_seen = next((s for s in cluster.samples if s.timeline == proof.timeline), None)
    if newest_seen is not None and newest_seen.lsn > proof.end_of_wal:
        return LossUnknown(
            f"{proof.host} was seen at {newest_seen.lsn}, and its files end at {proof.end_of_wal}"
        )
    if received >= proof.end_of_wal:
        return NOTHING_TO_LOSE
    if not cluster.samples or cluster.samples[0].timeline != proof.timeline:
        return LossUnknown("no samples of the primary's WAL")
    newest = cluster.samples[0]
    until_stop_s = newest.age_s + READ_DELAY_S - cluster.claim_absent_for_s
    unseen_s = max(0.0, until_stop_s - proof.idle_s)
    return LossEstimate(
        behind_bytes=proof.end_of_wal - received,
        behind_s=_behind_s(cluster.samples, received)
        + (unseen_s if newest.lsn < proof.end_of_wal else 0.0),
        isolation_bytes=0,
        isolation_s=0.0,
    )


def _in_sync(state: GroupState) -> bool:
    """Nothing is acknowledged that the other site does not have."""
    return state.protection.synchronous and state.in_sync


def _without_loss(cluster: ClusterView) -> Loss:
    """Nothing, where the standby leader is on record as having everything, or has all that a host
    of its site on the same timeline has which is. On record is one run of a host's server: another
    one may have come up from an older disk or a copy. What such a host says of itself counts only
    while it receives: after a restart it does not know what it has before it has replayed it."""
    leader = cluster.standby.standby_leader
    if leader is None:
        return LossUnknown("no standby leader was seen")
    on_record = [host for host in cluster.standby.hosts if _in_have(cluster, host)]
    as_recorded = [host for host in on_record if _in_the_run_on_record(cluster, host)]
    if any(host.host == leader.host for host in as_recorded):
        return NOTHING_TO_LOSE
    received = end_of_received(leader.postgres)
    for host in as_recorded:
        seen = host.postgres
        if seen is None or seen.received_lsn is None:
            continue
        if cluster.claim_held is False and not host.postgres_after(cluster.claim_absent_for_s):
            continue  # it may have received more since
        end, same = end_of_received(seen), seen.timeline == leader.postgres.timeline
        if same and end is not None and received is not None and received >= end:
            return NOTHING_TO_LOSE
    names = [
        str(h.host.name) if h in as_recorded or h.postgres is None else f"{h.host.name}{ANEW}"
        for h in on_record
    ]
    return LossUnknown(
        f"{leader.host.name} leads; on record with everything: {', '.join(names) or 'nobody there'}"
    )


def _in_have(cluster: ClusterView, host: HostView) -> bool:
    return cluster.recorded is not None and host.host.name in cluster.recorded.have


def _in_the_run_on_record(cluster: ClusterView, host: HostView) -> bool:
    """The server that answers is the very one that was proved to have everything, and it has at
    least what it last told the primary."""
    run = cluster.recorded.runs.get(host.host.name) if cluster.recorded is not None else None
    seen, told = host.postgres, host.flushed
    if seen is None or not run or seen.started != run:
        return False
    if told is None or seen.timeline > told.timeline:
        return True
    end = end_of_received(seen)
    return seen.timeline == told.timeline and end is not None and end >= told.lsn


def cluster_loss(view: View, cluster: ClusterView, *, lost_for_s: float | None = None) -> Loss:
    """The loss of one cluster if its active site vanished now, or since it did.

    ``lost_for_s``: since when its primary gives no samples, where it still holds its claim.
    """
    state = view.state
    if state is None:
        return LossUnknown("no state was read")
    if _in_sync(state):
        return _without_loss(cluster)
    leader = cluster.standby.standby_leader
    if leader is None:
        return LossUnknown("no standby leader was seen")
    received = end_of_received(leader.postgres)
    if received is None:
        return LossUnknown(f"{leader.host.name} does not say how much it has received")
    if cluster.samples:
        scope = cluster.active.scope
        switches = parse_switches(scope.history if scope is not None else "")
        ours, theirs = leader.postgres.timeline, cluster.samples[0].timeline
        problem = apart(received, ours, theirs, switches, cluster.promised)
        problem = problem or _goes_on_unseen(cluster, ours, switches)
        if problem:
            return LossUnknown(problem)
    return estimate(
        cluster.samples,
        received,
        lease_s=view.policy.lease_s,
        lost_for_s=cluster.claim_absent_for_s if lost_for_s is None else lost_for_s,
    )


def _goes_on_unseen(cluster: ClusterView, standby: TimelineId, switches: Switches) -> str:
    """Who got the last permit in the active site is not who was sampled, and may have taken up a
    branch that the sampled primary had left: what it brought back the standby does not have.

    Empty: it is who was sampled, or he stood on the sampled timeline when he was last seen.
    """
    writer, promised, newest = cluster.last_writer, cluster.promised, cluster.samples[0]
    sampled = newest.timeline
    if writer is not None and writer.host is None:
        return "the record of who had the last permit cannot be understood"
    if writer is None or writer.site != cluster.active.site:
        return ""
    if promised is None and writer.host == newest.host:  # he was started in place
        return ""
    if promised is not None and (promised <= sampled or standby == promised):
        return ""
    last = next((h.last_timeline for h in cluster.active.hosts if h.host.name == writer.host), None)
    if last == sampled:
        return ""
    if last is not None and last > sampled and not apart(Lsn(0), last, sampled, switches, None):
        return ""
    where = "was not seen" if last is None else f"was last seen on timeline {last},"
    return (
        f"{writer.host} had the last permit, {where} and {newest.host} was the primary on "
        f"{sampled}: what it writes may be a branch of its own"
    )
