"""The ``state`` znode: the one record of who is active and what is under way.

Invariant: every write is conditional on the version that was read, and what cannot be read
exactly (unknown schema, unknown field, wrong type) is refused, never guessed: ``StateError``
means hold. Pure.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, PlainSerializer, TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic.functional_validators import BeforeValidator

from failover.fields import (
    ClusterField,
    Count,
    EpochField,
    GroupField,
    HostField,
    NotExactly,
    SiteField,
    TimelineField,
    UnixSeconds,
    read_exactly,
)
from failover.model import (
    Automation,
    ClusterName,
    Lsn,
    ProtectionMode,
)

STATE_SCHEMA = 1


def _lsn(value: Any) -> Any:
    if isinstance(value, str):
        return Lsn.parse(value)
    if not isinstance(value, Lsn):
        raise ValueError("not an LSN as text")
    return value


LsnField = Annotated[Lsn, BeforeValidator(_lsn), PlainSerializer(str, return_type=str)]

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class StateError(ValueError):
    """The state znode cannot be understood. The message says where and what to do."""


class PlanKind(StrEnum):
    """What an operator may ask for, and what may stand in ``state`` as a plan.

    A takeover stands there only where the claims are still held (a gray failure, decision 0011).
    """

    SWITCHOVER = "switchover"  # Patroni stops its primary
    TAKEOVER = "takeover"  # the guards at the old site stop what is writable there


class StandbyScope(StrEnum):
    """What the other site's Patroni scope has been told to be."""

    FOLLOWING = "following"  # a standby cluster of the active site
    QUARANTINE = "quarantine"  # fenced; stands still on its own branch until salvaged


@dataclass(frozen=True, slots=True, config=_STRICT)
class PlanRecord:
    """A frozen plan. While it stands, ``from_site`` gets no permit."""

    id: str
    kind: PlanKind
    from_site: SiteField
    to_site: SiteField
    deadline_unix_s: UnixSeconds
    requested_by: str


class RequestPhase(StrEnum):
    WAITING = "waiting"  # for the leading controller
    RUNNING = "running"  # the plan of the same id stands, or its promotion is awaited
    DONE = "done"
    REFUSED = "refused"  # nothing was begun
    GONE_BACK = "gone_back"  # begun, and back where it was


ENDED = frozenset({RequestPhase.DONE, RequestPhase.REFUSED, RequestPhase.GONE_BACK})


@dataclass(frozen=True, slots=True, config=_STRICT)
class OperatorRequest:
    """What an operator asks the leading controller for. One at a time per group.

    ``answer_by_unix_s``: nobody wants it any more if it was not begun by then. ``limit_s``: how
    long its plan may stand, and so writes may wait, before it goes back. ``outcome``: reasons.
    Of a takeover alone: what it loses is accepted; the site that this human says he has fenced.
    """

    id: str
    kind: PlanKind
    to_site: SiteField
    by: str
    reason: str
    at_unix_s: UnixSeconds
    answer_by_unix_s: UnixSeconds
    limit_s: float
    phase: RequestPhase = RequestPhase.WAITING
    outcome: tuple[str, ...] = ()
    accept_data_loss: bool = False
    fenced_site: SiteField | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def needs_approver(self) -> bool:
        """A human answers for something with it."""
        return self.accept_data_loss or self.fenced_site is not None


@dataclass(frozen=True, slots=True, config=_STRICT)
class Dropped:
    """A host that commits waited for, and that did not keep up: how often lately, and when last."""

    times: Annotated[int, Field(ge=1, lt=2**63)]
    at_unix_s: UnixSeconds


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClusterState:
    """One cluster of the group in the present epoch.

    Until ``promoted`` a host whose WAL ends below ``min_lsn`` gets no permit. ``timeline`` is the
    one that was judged: the branch point of the epoch is on it, at or after ``min_lsn``.
    ``have``: hosts besides the last writer that surely have every acknowledged commit (invariant S,
    decision 0014); in the synchronous modes only they and the last writer get a permit.
    ``runs``: of each of them the run of its server (when that was started, as it says itself) that
    has everything. Another run may have come up from an older disk, or from a copy.
    ``dropped``: who was dropped lately; such a host is not listed again at once.
    """

    min_lsn: LsnField
    timeline: TimelineField
    promoted: bool
    standby: StandbyScope
    have: tuple[HostField, ...] = ()
    runs: dict[HostField, str] = Field(default_factory=dict)
    dropped: dict[HostField, Dropped] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=_STRICT)
class GroupState:
    """Everything that decides who may write (decision 0001).

    ``in_sync``: the mode is synchronous, and of every cluster a host of the other site is in
    ``have``.
    ``unproven_site``: the quorum was rebuilt without this data site, which may have another one of
    its own: that no claim of it is seen here proves nothing.
    ``proving``: the active site was changed in this epoch and not every promotion is on record yet.
    ``proven_unix_s``: when such a change last came to its end; 0: never. A plan that went back
    changes neither.
    ``takeover_begun_unix_s``: when a takeover of a site that held its claims was last begun.
    ``armed``: guards hold their servers to it; false while a pair that was there before is only
    looked at (`failover adopt`). ``arming``: they are told to, and not every one is known to: that
    no claim is seen proves nothing yet.
    """

    group: GroupField
    epoch: EpochField
    active_site: SiteField
    clusters: dict[ClusterField, ClusterState]
    protection: ProtectionMode
    in_sync: bool
    automation: Automation
    plan: PlanRecord | None = None
    cooldown_until_unix_s: UnixSeconds = 0.0
    paused_until_unix_s: UnixSeconds = 0.0
    schema: Count = STATE_SCHEMA
    epoch_started_unix_s: UnixSeconds = 0.0
    unproven_site: SiteField | None = None
    proving: bool = False
    proven_unix_s: UnixSeconds = 0.0
    takeover_begun_unix_s: UnixSeconds = 0.0
    armed: bool = True
    arming: bool = False

    @property
    def may_move(self) -> bool:
        """Every guard was seen to hold its server to it: a claim that is gone proves something."""
        return self.armed and not self.arming

    def with_cluster(self, name: ClusterName, cluster: ClusterState) -> GroupState:
        """The same state with one cluster's record replaced."""
        return replace(self, clusters={**self.clusters, name: cluster})


# What a state that is read may lack: without it less is believed and less is allowed. Without
# ``have`` only the last writer gets a permit; without ``runs`` nobody named there is believed to
# have everything; without ``dropped`` commits wait for one host more; a change that is not on
# record as proven counts as never proven; guards are armed, all of them. Any other missing key may
# be a permission (no plan, no cooldown, no pause, every site proven), so the state is unreadable.
_MAY_LACK_GROUP = frozenset({"proving", "proven_unix_s", "armed", "arming"})
_MAY_LACK_CLUSTER = frozenset({"have", "runs", "dropped"})
_KEYS_GROUP = frozenset(field.name for field in fields(GroupState)) - _MAY_LACK_GROUP
_KEYS_CLUSTER = frozenset(field.name for field in fields(ClusterState)) - _MAY_LACK_CLUSTER

_ADAPTER: TypeAdapter[GroupState] = TypeAdapter(GroupState)


def encode_state(state: GroupState) -> bytes:
    """The bytes of the znode: JSON, indented, so that a human can read it at 3 a.m."""
    # What is as ever is not written: guards of before do not know it.
    as_ever = {"armed": state.armed, "arming": not state.arming}
    usual = {name for name, it_is in as_ever.items() if it_is}
    return _ADAPTER.dump_json(state, indent=1, exclude=usual)


def decode_state(data: bytes, *, path: str = "state") -> GroupState:
    """What the znode says. StateError when it is anything but exactly a state of schema 1.

    The defaults of ``GroupState`` are for who makes one, not for what is read.
    """
    try:
        state = read_exactly(_ADAPTER, data)
    except NotExactly as error:
        raise _not_understood(path, error.where, error.why) from None
    if state.schema != STATE_SCHEMA:
        raise StateError(
            f"{path}: schema {state.schema} is not known here (this version reads schema "
            f"{STATE_SCHEMA}). Upgrade this failover, or use the version that wrote it."
        )
    if missing := _missing(json.loads(data)):
        raise _not_understood(path, missing, "it is missing, and nobody may guess it")
    return state


def _missing(document: dict[str, Any]) -> str:
    """Where the first key is absent that has to be there; empty where none is."""
    absent = sorted(_KEYS_GROUP - document.keys())
    for name, cluster in document.get("clusters", {}).items():
        absent += [f"clusters.{name}.{key}" for key in sorted(_KEYS_CLUSTER - cluster.keys())]
    return absent[0] if absent else ""


def _not_understood(path: str, where: str, why: str) -> StateError:
    return StateError(
        f"{path}: cannot be understood at {where}: {why}. Nothing is decided until it is "
        "repaired; `failover history` shows the last good epoch."
    )


@dataclass(frozen=True, slots=True, config=_STRICT)
class WriterClaim:
    """The data of the writer claim: who holds it. The lease itself is that it is there."""

    host: HostField
    site: SiteField
    epoch: EpochField


class StopKind(StrEnum):
    SHUT_DOWN = "shut_down"  # pg_controldata says so: the checkpoint is the end of WAL
    KILLED = "killed"  # the end of WAL is that of the last whole record in its files


@dataclass(frozen=True, slots=True, config=_STRICT)
class StoppedProof:
    """Left by a guard whose PostgreSQL is down under a plan.

    ``idle_s``, of one that was killed: how long nothing had been written to its WAL by then.
    """

    plan_id: str
    host: HostField
    site: SiteField
    kind: StopKind
    end_of_wal: LsnField
    timeline: TimelineField
    idle_s: float = 0.0


class SalvagePhase(StrEnum):
    COPYING = "copying"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, config=_STRICT)
class ReceiptRecord:
    """What the loss receipt on a database host says, in counts and positions: no key, no name of a
    relation and no time of a commit leaves that host.

    ``exact``: it begins where the new branch left this one, so all that it lists is missing there.
    ``complete``: it was read up to the end of the WAL. ``keys_state``: one of receipt/document.py.
    """

    path: str
    from_lsn: LsnField
    read_to_lsn: LsnField
    exact: bool
    complete: bool
    transactions: Count
    aborted: Count
    unfinished: Count
    relations: Count
    keys_state: str
    keys: Count
    keys_missing: Count


@dataclass(frozen=True, slots=True, config=_STRICT)
class SalvageProgress:
    """One host's WAL after the divergence point, copied on that host before any rewind.

    While it is ``copying``, ``end_of_wal`` is where the host's WAL ends, as far as is known.
    """

    host: HostField
    site: SiteField
    epoch: EpochField
    phase: SalvagePhase
    from_lsn: LsnField
    end_of_wal: LsnField
    segments: Count
    bytes: Count
    directory: str
    detail: str = ""
    receipt: ReceiptRecord | None = None


@dataclass(frozen=True, slots=True, config=_STRICT)
class HistoryEntry:
    """One event. ``details`` holds evidence and proof as short strings, by name.

    ``number``: its place in the chain, from 1; 0: written before there was a chain. ``previous``:
    SHA-256 of the entry before it, of the bytes as they are stored; empty where a chain starts.
    """

    at_unix_s: UnixSeconds
    epoch: EpochField
    event: str
    summary: str
    by: str
    details: dict[str, str]
    number: Annotated[int, Field(ge=0, lt=2**63)] = 0
    previous: str = ""


@dataclass(frozen=True, slots=True, config=_STRICT)
class HistoryHead:
    """Which entry is the newest of the chain, and the SHA-256 of its bytes."""

    number: Annotated[int, Field(ge=1, lt=2**63)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Record = TypeVar(
    "Record", WriterClaim, StoppedProof, SalvageProgress, HistoryEntry, HistoryHead, OperatorRequest
)


_KINDS = (WriterClaim, StoppedProof, SalvageProgress, HistoryEntry, HistoryHead, OperatorRequest)
_ADAPTERS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in _KINDS}


def encode_record(
    record: WriterClaim
    | StoppedProof
    | SalvageProgress
    | HistoryEntry
    | HistoryHead
    | OperatorRequest,
) -> bytes:
    """JSON of one of the small records."""
    return _ADAPTERS[type(record).__name__].dump_json(record)


def decode_record(kind: type[Record], data: bytes, *, path: str) -> Record:
    """A small record. StateError when it is not exactly one."""
    try:
        record: Record = read_exactly(_ADAPTERS[kind.__name__], data)
    except NotExactly as error:
        raise StateError(f"{path}: not a {kind.__name__}: {error}") from None
    return record
