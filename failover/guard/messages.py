"""What minder and worker tell each other over their socket pair: one JSON line per message.

Either side may be replaced while the other lives, so every message says all that it means by
itself; a line that is not exactly a message ends the connection.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import Count, EpochNumber, SessionId, TimelineNumber

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
HOST_REPORT_MAX = 64 * 1024  # characters; as rendered it has some 6,000


class Purpose(StrEnum):
    """Why a permit is asked for."""

    START = "start"
    PRE_PROMOTE = "pre_promote"
    PROMOTE = "promote"
    IN_PLACE = "in_place"

    @property
    def is_promotion(self) -> bool:
        return self in (Purpose.PRE_PROMOTE, Purpose.PROMOTE)


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNARMED = "unarmed"  # there is no ``state`` yet: everything passes, nothing is granted


# --------------------------------------------------------------------------- worker → minder


@dataclass(frozen=True, slots=True, config=_STRICT)
class WorkerAlive:
    type: Literal["worker_alive"] = "worker_alive"


@dataclass(frozen=True, slots=True, config=_STRICT)
class SessionOpened:
    session_id: SessionId
    password: str  # hexadecimal
    type: Literal["session_opened"] = "session_opened"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Renewed:
    session_id: SessionId
    sent_s: float
    announced: bool = True  # to the kernel, before it was sent
    type: Literal["renewed"] = "renewed"


@dataclass(frozen=True, slots=True, config=_STRICT)
class StateRead:
    exists: bool
    epoch: EpochNumber | None  # None: no state, or it cannot be understood
    plan_here: bool  # a plan that forbids this site to write
    stop_here: bool = False  # that plan has the guards stop it; read after a sync
    arming: bool = False  # not every guard was seen to be armed yet
    type: Literal["state_read"] = "state_read"


@dataclass(frozen=True, slots=True, config=_STRICT)
class StoodDown:
    """The group is not armed, and what this session held is given back: committed."""

    type: Literal["stood_down"] = "stood_down"


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClaimRead:
    own: bool  # read after a sync, and after the newest permit
    type: Literal["claim_read"] = "claim_read"


@dataclass(frozen=True, slots=True, config=_STRICT)
class LeaderRead:
    name: str | None
    paused: bool
    synced: bool
    type: Literal["leader_read"] = "leader_read"


@dataclass(frozen=True, slots=True, config=_STRICT)
class PermitAnswer:
    """``timeline``: the number promised to a promotion; a worker of before it promises none."""

    request: Count
    answer: Answer
    reason: str
    detail: str
    session_id: SessionId
    epoch: EpochNumber
    timeline: TimelineNumber | None = None
    type: Literal["permit_answer"] = "permit_answer"


@dataclass(frozen=True, slots=True, config=_STRICT)
class ServerAnswered:
    """The primary answered the worker's own question, on the local socket."""

    type: Literal["server_answered"] = "server_answered"


@dataclass(frozen=True, slots=True, config=_STRICT)
class SalvageAnswer:
    """``request`` 0: a salvage at first sight, which nobody waits for."""

    request: Count
    ok: bool
    epoch: EpochNumber | None
    detail: str
    type: Literal["salvage_answer"] = "salvage_answer"


@dataclass(frozen=True, slots=True, config=_STRICT)
class HostAnswer:
    """``report``: a ``HostReport`` as JSON, which the minder passes on unread."""

    request: Count
    report: Annotated[str, Field(max_length=HOST_REPORT_MAX)]
    type: Literal["host_answer"] = "host_answer"


FromWorker = Annotated[
    WorkerAlive
    | SessionOpened
    | Renewed
    | StateRead
    | StoodDown
    | ClaimRead
    | LeaderRead
    | PermitAnswer
    | ServerAnswered
    | SalvageAnswer
    | HostAnswer,
    Field(discriminator="type"),
]


# --------------------------------------------------------------------------- minder → worker


@dataclass(frozen=True, slots=True, config=_STRICT)
class MinderStatus:
    """Sent at every change and several times a second; silence is the sign of a dead minder.

    ``permits_seen``: the newest permit answer that ``granted`` already takes into account.
    ``deadline_s``: when the lease of ``session_id`` is over. ``demoted``: the server that lives is
    a standby whose start was noted after the last permit that was told, and never left recovery.
    """

    granted: bool
    permits_seen: Count
    session_id: SessionId | None
    deadline_s: float | None
    server_alive: bool
    in_production: bool
    demoted: bool
    type: Literal["minder_status"] = "minder_status"


@dataclass(frozen=True, slots=True, config=_STRICT)
class PermitAsk:
    request: Count
    purpose: Purpose
    patience_s: float
    type: Literal["permit_ask"] = "permit_ask"


@dataclass(frozen=True, slots=True, config=_STRICT)
class PermitWithdrawn:
    """Who asked is gone."""

    request: Count
    type: Literal["permit_withdrawn"] = "permit_withdrawn"


@dataclass(frozen=True, slots=True, config=_STRICT)
class SalvageAsk:
    request: Count
    type: Literal["salvage_ask"] = "salvage_ask"


@dataclass(frozen=True, slots=True, config=_STRICT)
class HostAsk:
    """`failover check` asks for this host. What only the minder knows of it: its own version and
    deadline, the failover.yaml that it has read, and who asked it for writability, so many seconds
    ago."""

    request: Count
    version: str
    deadline_s: float
    configuration_sha256: str
    asked: tuple[tuple[str, float], ...]
    type: Literal["host_ask"] = "host_ask"


FromMinder = Annotated[
    MinderStatus | PermitAsk | PermitWithdrawn | SalvageAsk | HostAsk,
    Field(discriminator="type"),
]

_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)
_FROM_MINDER: TypeAdapter[FromMinder] = TypeAdapter(FromMinder)


def encode(message: FromWorker | FromMinder) -> bytes:
    return TypeAdapter(type(message)).dump_json(message) + b"\n"


def decode_from_worker(line: bytes) -> FromWorker:
    """ValueError when it is not exactly a message."""
    return _FROM_WORKER.validate_json(line, strict=True)


def decode_from_minder(line: bytes) -> FromMinder:
    """ValueError when it is not exactly a message."""
    return _FROM_MINDER.validate_json(line, strict=True)
