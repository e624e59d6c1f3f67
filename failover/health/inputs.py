"""What the gatherer hands to the core: plain values, read at one moment. Pure.

Every age is measured by the reader on its own clock (how long ago *it* saw something change), so
clocks of different sites are never compared. What could not be read is None or a ``problem``
text, never a default. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.observation import FlushSeen, PostgresSeen, SiteObservation
from failover.health.residency import Unscanned
from failover.history import NO_HEAD, HeadSeen
from failover.model import ClusterName, HostName, Lsn, SiteName, TimelineId
from failover.residency.findings import Ledger, LedgerSeen
from failover.state import (
    GroupState,
    OperatorRequest,
    SalvageProgress,
    StoppedProof,
    WriterClaim,
)


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The ``state`` znode. Absent: all None. Not understood: ``problem`` says why."""

    state: GroupState | None = None
    version: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """``writers/<cluster>``. Present and understood: ``claim``. Absent: neither claim nor problem.

    ``unchanged_for_s``: how long this reader has seen it so, absent or held by this session.
    """

    cluster: ClusterName
    claim: WriterClaim | None
    unchanged_for_s: float
    session_id: int = 0
    version: int = 0
    problem: str = ""  # present, but its data cannot be understood


@dataclass(frozen=True, slots=True)
class LeaderKeySeen:
    """The scope's ``leader`` znode. A fence is persistent (owner 0) and has a child."""

    value: str
    version: int
    ephemeral_owner: int
    children_count: int


@dataclass(frozen=True, slots=True)
class ConfigSeen:
    """The scope's ``config`` znode, as text: Patroni's JSON, of which we change two keys."""

    text: str
    version: int


@dataclass(frozen=True, slots=True)
class ScopeSeen:
    """One Patroni scope. None: the znode does not exist. Versions are of existing znodes."""

    cluster: ClusterName
    site: SiteName
    leader: LeaderKeySeen | None
    config: ConfigSeen | None
    status_version: int | None = None
    failover_version: int | None = None
    sync_version: int | None = None
    failover_candidate: str = ""  # whom a manual failover there names
    history: str = ""  # Patroni's history znode: switches of timeline, JSON text


@dataclass(frozen=True, slots=True)
class ObserverSeen:
    """An observer's latest observation. ``age_s``: since the reader saw its sequence change."""

    site: SiteName
    observation: SiteObservation | None
    age_s: float
    problem: str = ""  # there is a znode, but it cannot be understood


@dataclass(frozen=True, slots=True)
class StoppedSeen:
    """A stopped-proof that stands under ``stopped/<cluster>``."""

    cluster: ClusterName
    version: int
    proof: StoppedProof | None  # None: cannot be understood


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """The operator's request. ``problem``: it is there, but cannot be understood.

    ``by_approver``: it stands where ZooKeeper lets only approvers write (decision 0019).
    """

    version: int
    request: OperatorRequest | None
    problem: str = ""
    by_approver: bool = False


@dataclass(frozen=True, slots=True)
class HostSilence:
    """How long no living observer has had an answer from PostgreSQL on this host, and on which
    timeline it was then; None: this reader has never seen an answer."""

    host: HostName
    unreachable_s: float
    timeline: TimelineId | None = None


@dataclass(frozen=True, slots=True)
class LsnSample:
    """Where a primary's WAL ended, ``age_s`` ago (by the reader's clock). Bounded by the reader:
    one per round for the last few minutes is plenty."""

    cluster: ClusterName
    host: HostName
    age_s: float
    lsn: Lsn
    timeline: TimelineId


@dataclass(frozen=True, slots=True)
class Glanced:
    """PostgreSQL's answer to one more question, asked by the reader after its last look and right
    before this one; ``age_s``: how long before."""

    host: HostName
    postgres: PostgresSeen
    age_s: float


@dataclass(frozen=True, slots=True)
class LastWriterSeen:
    """Who got the claim last. ``version`` grows with every permit: a claim that is given up and
    taken again starts at version 0 again, this znode does not.

    ``promised``: the newest timeline number of all, where it was promised to this host: no other
    site has made a timeline of this number, and none ever will (decision 0010).
    """

    cluster: ClusterName
    host: HostName | None  # None: cannot be understood
    version: int
    site: SiteName | None = None
    promised: TimelineId | None = None
    judged_unix_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SyncHost:
    """One host that its cluster's primary sends WAL to, as the reader has seen it so far.

    ``stalled_for_s``: how long it has not had what the primary had two looks before; counted only
    while the primary is seen. ``caught_up_for_s``: how long it has always had that.
    ``unsettled_for_s``: how long its own server shows another list than the configuration has.
    ``run``: the run of its server that was seen to have all that the primary had at a look after
    that run was first seen (whatever an earlier run said that it has is before that); empty: none.
    ``kept_up``: it was seen to keep up since this primary got its permit.
    """

    host: HostName
    stalled_for_s: float
    caught_up_for_s: float
    unsettled_for_s: float
    run: str = ""
    kept_up: bool = True


@dataclass(frozen=True, slots=True)
class SyncSeen:
    """What the reader has seen of the list of one cluster's active scope since it is as it is.

    ``in_force``: proved of every host in ``listed``, under the versions named here: whatever is
    acknowledged has waited for them, and what was not has reached them (decision 0014).
    """

    cluster: ClusterName
    in_force: bool
    listed: tuple[HostName, ...]
    config_version: int
    claim_session_id: int
    claim_version: int
    last_writer_version: int
    hosts: tuple[SyncHost, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewInputs:
    """Everything the core may know. ``store_problem`` is set where ZooKeeper gave nothing to read:
    it did not answer, or (``store_forbidden``) it answered and does not let this reader read."""

    now_unix_s: float
    reader: SiteName  # the site of the controller that gathered this
    state: StateSeen = StateSeen()
    claims: tuple[ClaimSeen, ...] = ()
    scopes: tuple[ScopeSeen, ...] = ()
    observers: tuple[ObserverSeen, ...] = ()
    stopped: tuple[StoppedSeen, ...] = ()
    salvage: tuple[SalvageProgress, ...] = ()
    silences: tuple[HostSilence, ...] = ()
    samples: tuple[LsnSample, ...] = ()
    flushed: tuple[FlushSeen, ...] = ()
    glances: tuple[Glanced, ...] = ()
    last_writers: tuple[LastWriterSeen, ...] = ()
    sync: tuple[SyncSeen, ...] = ()
    request: RequestSeen | None = None  # None: nobody has ever asked for anything
    approved: frozenset[str] | None = None  # marks (residency/approved.py); None: no roles
    history_head: HeadSeen = NO_HEAD
    ledger: LedgerSeen = LedgerSeen(Ledger())  # noqa: RUF009  # a tuple of frozen values
    unscanned: tuple[Unscanned, ...] = ()
    store_problem: str = ""
    store_forbidden: bool = False
    zookeeper_restarts_s_ago: tuple[float, ...] = ()  # the reader's own, newest first
    ensemble_unchanged_for_s: float = 0.0  # nobody saw another ZooKeeper leader, epoch or silence
