"""What one observer saw of one thing, once. Plain values; pure.

A thing that did not answer is a value too: ``NoAnswer`` says why. It never means "dead": only
that this observer, at this time, had no answer.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import (
    Count,
    EpochNumber,
    HostField,
    NotExactly,
    SiteField,
    TimelineField,
    UnixSeconds,
    read_often,
)
from failover.residency.findings import HostScan
from failover.state import LsnField, StateError

ANSWER_LIMIT_S = 1.0  # a round waits so long for an answer
ROUND_INTERVAL_S = 0.5  # from the beginning of one round to the next, unless one takes longer
ROUND_AGE_S_MAX = (
    3.0  # two rounds of silent hosts take 2.5 s; what is older was asked before a stop
)
SENT_WITHIN_S = 0.5  # of its end: less than readers allow for (READ_DELAY_S)

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class NoAnswerKind(StrEnum):
    TIMED_OUT = "timed_out"  # a black hole, a frozen host, an overload: nothing is known
    REFUSED = "refused"  # the host is there, the process is not
    REJECTED = "rejected"  # an answer that says no (authentication, starting up, HTTP error)
    MALFORMED = "malformed"  # an answer that cannot be understood


@dataclass(frozen=True, slots=True, config=_STRICT)
class NoAnswer:
    kind: NoAnswerKind
    detail: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class SlotSeen:
    """A physical replication slot, and the oldest WAL that it keeps."""

    name: str
    keeps_from: LsnField


@dataclass(frozen=True, slots=True, config=_STRICT)
class WalsenderSeen:
    """One standby as its upstream sees it. ``name``: its application_name, the Patroni member."""

    name: str
    state: str  # startup, catchup, streaming, …
    flush_lsn: LsnField | None  # up to where it has said that its WAL is on disk
    sync_state: str  # async, potential, sync, quorum


@dataclass(frozen=True, slots=True, config=_STRICT)
class PostgresSeen:
    """One query to PostgreSQL. LSNs are None where they have no meaning in that role.

    ``sync_names``: ``synchronous_standby_names`` as this server has it now; None: not asked for.
    ``walsenders``: of a primary. ``checkpointer_idle``: the checkpointer stands at a place that it
    reaches only after it has taken in every setting. ``started``: when this run of the server was
    started, by its own clock: a name for the run, compared with nothing but itself.
    """

    in_recovery: bool
    timeline: TimelineField
    current_lsn: LsnField | None  # end of WAL written; primary only
    received_lsn: LsnField | None  # standby only; None before anything was streamed
    replayed_lsn: LsnField | None  # standby only
    receiver_streaming: bool | None  # standby only: a WAL receiver is connected
    receiver_host: str | None  # the upstream's address, as configured
    system_identifier: str = ""
    kept: tuple[SlotSeen, ...] | None = (
        None  # slots that keep WAL (not the lost ones); None: unknown
    )
    sync_names: str | None = None
    walsenders: tuple[WalsenderSeen, ...] = ()
    checkpointer_idle: bool | None = None
    started: str = ""  # empty: not asked for


@dataclass(frozen=True, slots=True, config=_STRICT)
class FlushSeen:
    """Up to where a host has told a primary that its WAL is on disk, as far as somebody saw it; of
    the newest timeline of a primary. ``system_identifier``: that primary's."""

    host: HostField
    lsn: LsnField
    timeline: TimelineField
    system_identifier: str = ""


@dataclass(frozen=True, slots=True, config=_STRICT)
class PatroniSeen:
    """Patroni's REST interface (``GET /patroni``)."""

    role: str  # primary, replica, standby_leader, …
    state: str  # running, starting, stopped, …
    timeline: TimelineField | None
    paused: bool
    pending_restart: bool = False
    nofailover: bool = False


@dataclass(frozen=True, slots=True, config=_STRICT)
class GuardSeen:
    """The guard's ``GET /status``."""

    armed: bool
    granted: bool  # the host counts as writable
    writable: bool  # it may take writes now: what HAProxy is told
    worker_alive: bool
    server_alive: bool  # a process of the database server lives
    epoch: EpochNumber | None
    deadline_in_s: float | None  # how long the grant still holds without a renewal
    salvaged_epoch: EpochNumber | None
    # Since its primary last answered the guard itself; of a guard that has not asked yet, since it
    # began to. None: it does not say.
    answered_s_ago: float | None = None
    # The kernel holds acknowledgements to the lease. None: not known yet, or it does not say.
    barrier: bool | None = None


@dataclass(frozen=True, slots=True, config=_STRICT)
class HostObservation:
    """One database host. Each part was asked on its own."""

    host: HostField
    postgres: PostgresSeen | NoAnswer
    patroni: PatroniSeen | NoAnswer
    guard: GuardSeen | NoAnswer


class ZooKeeperMode(StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"
    STANDALONE = "standalone"
    NO_QUORUM = "no_quorum"  # it answers, but does not serve


@dataclass(frozen=True, slots=True, config=_STRICT)
class ZooKeeperSeen:
    mode: ZooKeeperMode
    epoch: Count = 0


@dataclass(frozen=True, slots=True, config=_STRICT)
class ZooKeeperObservation:
    server: HostField
    answer: ZooKeeperSeen | NoAnswer


@dataclass(frozen=True, slots=True, config=_STRICT)
class SiteObservation:
    """Everything one observer saw in one round.

    ``sequence`` grows with every round; a reader measures freshness by when it saw the sequence
    change on its own clock, never by comparing clocks across sites. ``told``: what standbys told
    the primaries that anybody saw since this observer was started; who was started later cannot
    know it otherwise.
    """

    observer: SiteField
    sequence: Count
    taken_unix_s: UnixSeconds
    round_duration_s: float
    hosts: tuple[HostObservation, ...]
    zookeeper: tuple[ZooKeeperObservation, ...]
    version: str = ""
    residency: tuple[HostScan, ...] = ()
    told: tuple[FlushSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """A site's own observation, and when its first question was asked (CLOCK_BOOTTIME).

    An observer that stood still holds what it saw before that. For its readers a round is new when
    they first see it, so one that is old already must not come to them.
    """

    observation: SiteObservation
    began_s: float

    def when_fresh(self, boottime_s: float) -> SiteObservation | None:
        """As it is to be used or sent now: with all the time it took. None: too old for either."""
        age_s = boottime_s - self.began_s
        if age_s > ROUND_AGE_S_MAX:
            return None
        took_s = round(age_s - SENT_WITHIN_S, 3)
        if took_s <= self.observation.round_duration_s:
            return self.observation
        return replace(self.observation, round_duration_s=took_s)


_ADAPTER: TypeAdapter[SiteObservation] = TypeAdapter(SiteObservation)


def encode_observation(observation: SiteObservation) -> bytes:
    return _ADAPTER.dump_json(observation)


def decode_observation(data: bytes, *, path: str) -> SiteObservation:
    """StateError when it is not exactly an observation."""
    try:
        return read_often(_ADAPTER, data)  # twenty a second
    except NotExactly as error:
        raise StateError(f"{path}: not an observation: {error}") from None
