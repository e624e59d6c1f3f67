"""Something forbidden that exists, what was done about it, and what stays on record. Pure values.

Published by the scanners with their observations, and kept in ZooKeeper as the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from failover.fields import Count, HostField, NotExactly, UnixSeconds, read_exactly
from failover.model import HostName
from failover.state import StateError

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
FINDINGS_MAX = 200  # of one host; more are counted, in the last one

Key = tuple[str, HostName, str]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Finding:
    """One way out (``ways.BY_CODE``) on one host. ``detail`` may change while it stays the same."""

    way: str
    host: HostField
    subject: str
    detail: str

    @property
    def key(self) -> Key:
        return (self.way, self.host, self.subject)

    def __str__(self) -> str:
        return f"{self.way} on {self.host}: {self.subject}" + (
            f" ({self.detail})" if self.detail else ""
        )


@dataclass(frozen=True, slots=True, config=_STRICT)
class CutSeen:
    """Sessions of one kind from one place that were ended, so far. ``slots``: dropped."""

    way: str
    host: HostField
    subject: str
    first_unix_s: UnixSeconds
    last_unix_s: UnixSeconds
    sessions: Count
    slots: tuple[str, ...]
    detail: str

    @property
    def key(self) -> Key:
        return (self.way, self.host, self.subject)


@dataclass(frozen=True, slots=True, config=_STRICT)
class HostScan:
    """What one scanner knows of one host. Ages count from the last whole look; None: none yet.

    ``problem``: why the last look brought nothing; what was found before stays in ``findings``.
    """

    host: HostField
    age_s: float | None
    catalogues_age_s: float | None
    problem: str
    findings: tuple[Finding, ...]
    cuts: tuple[CutSeen, ...]

    def older(self, by_s: float) -> HostScan:
        """The same, heard of so long after it was said."""
        return replace(
            self,
            age_s=None if self.age_s is None else self.age_s + by_s,
            catalogues_age_s=(
                None if self.catalogues_age_s is None else self.catalogues_age_s + by_s
            ),
        )


@dataclass(frozen=True, slots=True, config=_STRICT)
class OpenFinding:
    finding: Finding
    since_unix_s: UnixSeconds


@dataclass(frozen=True, slots=True, config=_STRICT)
class RecordedCut:
    """A cut that is in the history already, up to so many sessions."""

    way: str
    host: HostField
    subject: str
    at_unix_s: UnixSeconds
    last_unix_s: UnixSeconds

    @property
    def key(self) -> Key:
        return (self.way, self.host, self.subject)


@dataclass(frozen=True, slots=True, config=_STRICT)
class OpenGap:
    """A database host that nobody can look at, wholly or in part, as it stands in the history."""

    host: HostField
    why: str
    since_unix_s: UnixSeconds


@dataclass(frozen=True, slots=True, config=_STRICT)
class Ledger:
    """What stands: written in one transaction with the history entry that says what changed."""

    open: tuple[OpenFinding, ...] = ()
    cuts: tuple[RecordedCut, ...] = ()
    gaps: tuple[OpenGap, ...] = ()
    schema: Literal[1] = 1


class LedgerSeen(NamedTuple):
    """The ledger's znode. Absent: ``version`` None. Not understood: ``problem`` says why."""

    ledger: Ledger
    version: int | None = None
    problem: str = ""


_ADAPTER: TypeAdapter[Ledger] = TypeAdapter(Ledger)


def encode_ledger(ledger: Ledger) -> bytes:
    return _ADAPTER.dump_json(ledger)


def decode_ledger(data: bytes, *, path: str) -> Ledger:
    """StateError when it is not exactly a ledger."""
    try:
        return read_exactly(_ADAPTER, data)
    except NotExactly as error:
        raise StateError(f"{path}: not a ledger: {error}") from None
