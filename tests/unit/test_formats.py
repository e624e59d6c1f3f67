"""What parts of two versions tell one another during an upgrade is frozen, field by field.

A part refuses a field that it does not know, and then holds: another shape of what crosses versions
is an outage of automation in the middle of every upgrade, or worse. What to do where this fails:
docs/decisions/0023-two-versions-side-by-side.md.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from golden import check_golden_file

from failover.guard.records import GuardRecord, LeaseRecord, StandInRecord
from failover.health.observation import GuardSeen, SiteObservation
from failover.last_writer import LastWriter
from failover.receipt.document import Receipt
from failover.residency.findings import Ledger
from failover.setting_request import SettingRequest
from failover.state import (
    GroupState,
    HistoryEntry,
    HistoryHead,
    OperatorRequest,
    SalvageProgress,
    StoppedProof,
    WriterClaim,
)

# Written by one part, read by another one or by its own next version.
CROSS_VERSIONS = (
    GroupState,
    OperatorRequest,
    SettingRequest,
    WriterClaim,
    LastWriter,
    StoppedProof,
    SalvageProgress,
    HistoryEntry,
    HistoryHead,
    Ledger,
    SiteObservation,
    GuardSeen,
    Receipt,
    GuardRecord,
    LeaseRecord,
    StandInRecord,
)


def kinds_in(hint: Any) -> Iterator[type[Any]]:
    """Dataclasses and enumerations that stand in a type."""
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, Enum)):
        yield hint
    for part in typing.get_args(hint):
        yield from kinds_in(part)


def hints(kind: type[Any]) -> dict[str, Any]:
    """Types that are imported for checking alone stand in the modules of what is read here."""
    return typing.get_type_hints(kind, vars(sys.modules[kind.__module__]), include_extras=True)


def shapes(roots: tuple[type[Any], ...]) -> Iterator[str]:
    """Every kind once, with what it holds: its fields and their defaults, or its values."""
    waiting, seen = list(roots), set[type[Any]]()
    while waiting:
        kind = waiting.pop(0)
        if kind in seen:
            continue
        seen.add(kind)
        if issubclass(kind, Enum):
            yield f"{kind.__name__}: {', '.join(sorted(str(one.value) for one in kind))}\n"
            continue
        found = hints(kind)
        lines = []
        for field in dataclasses.fields(kind):
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            default = default or (
                " = …" if field.default_factory is not dataclasses.MISSING else ""
            )
            lines.append(f"  {field.name}: {field.type}{default}\n")
            waiting += kinds_in(found[field.name])
        yield f"{kind.__name__}\n{''.join(lines)}"


@pytest.mark.reference
def test_what_crosses_versions_has_the_shape_that_it_had() -> None:
    check_golden_file("formats.txt", "\n".join(shapes(CROSS_VERSIONS)))
