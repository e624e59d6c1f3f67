"""The words of the field as value types. Pure; imports nothing of this project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import NewType

SiteName = NewType("SiteName", str)
ClusterName = NewType("ClusterName", str)
HostName = NewType("HostName", str)
GroupName = NewType("GroupName", str)
ScopeName = NewType("ScopeName", str)  # a Patroni scope: one cluster in one data site
Epoch = NewType("Epoch", int)
TimelineId = NewType("TimelineId", int)

TIMELINE_MAX = 2**32 - 1
LSN_MAX = 2**64 - 1
_LSN = re.compile("[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


@total_ordering
@dataclass(frozen=True, slots=True)
class Lsn:
    """A position in the WAL, in bytes; printed as PostgreSQL prints it (``0/3000148``)."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """The position written as ``X/Y`` in hexadecimal. ValueError when it is not one."""
        if _LSN.fullmatch(text) is None:
            raise ValueError(f"not an LSN: {text[:40]!r} (expected for example 0/3000148)")
        high, _, low = text.partition("/")
        return cls((int(high, 16) << 32) | int(low, 16))

    def __str__(self) -> str:
        return f"{self.bytes >> 32:X}/{self.bytes & 0xFFFFFFFF:X}"

    def __lt__(self, other: Lsn) -> bool:
        return self.bytes < other.bytes

    def __sub__(self, other: Lsn) -> int:
        """Distance in bytes."""
        return self.bytes - other.bytes


class SiteKind(StrEnum):
    DATA = "data"
    WITNESS = "witness"


class Automation(StrEnum):
    """Who decides: the controller, the controller on paper only, or a human."""

    AUTO = "auto"
    OBSERVE = "observe"
    MANUAL = "manual"


class ProtectionMode(StrEnum):
    MAX_PERFORMANCE = "max-performance"
    MAX_AVAILABILITY = "max-availability"
    MAX_PROTECTION = "max-protection"

    @property
    def synchronous(self) -> bool:
        """An acknowledged commit is to be at the other site as well (decision 0014)."""
        return self is not ProtectionMode.MAX_PERFORMANCE


class Invariant(StrEnum):
    """Their promises: docs/architecture.md. The values are the names in metrics and ``explain``."""

    SINGLE_WRITER = "I1_single_writer"
    PROOF_BEFORE_PROMOTION = "I2_proof_before_promotion"
    NOTHING_LOST_SILENTLY = "I3_nothing_lost_silently"
    IN_COUNTRY = "I4_in_country"
    DOUBT_MEANS_HOLD = "I5_doubt_means_hold"
    RESUMABLE = "I6_resumable"
    BLIND_OPERATORS = "I7_blind_operators"
    ONE_FAULT_NO_HARM = "I8_one_fault_no_harm"
