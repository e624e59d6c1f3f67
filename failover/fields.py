"""What may stand in the fields of our records, and how a record is read back. Pure.

Invariant: what is read is exactly what one of us could have written, or it is refused: no key
given twice (JSON's readers would silently take the last one), no number as text, nothing that is no
number, no position or moment that there cannot be, no name that does something to a terminal.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from failover.model import ClusterName, Epoch, GroupName, HostName, SiteName, TimelineId

Value = TypeVar("Value")

_NAME = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")  # of hosts: config/units.py
HostField = Annotated[HostName, _NAME]
SiteField = Annotated[SiteName, _NAME]
ClusterField = Annotated[ClusterName, _NAME]
GroupField = Annotated[GroupName, _NAME]

_EPOCH = Field(ge=0, lt=2**31)
EpochField = Annotated[Epoch, _EPOCH]
EpochNumber = Annotated[int, _EPOCH]
_TIMELINE = Field(ge=0, lt=2**32)  # TimeLineID of access/xlogdefs.h
TimelineField = Annotated[TimelineId, _TIMELINE]
TimelineNumber = Annotated[int, _TIMELINE]
Count = Annotated[int, Field(ge=0, lt=2**63)]
SessionId = Annotated[int, Field(ge=-(2**63), lt=2**64)]
# Up to a day before the end of the year 9999, where Python's calendar ends in every time zone.
UnixSeconds = Annotated[float, Field(ge=0, lt=253_402_214_400, allow_inf_nan=False)]


class NotExactly(ValueError):
    """``where`` in the record, and ``why`` it cannot be read."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why


def read_exactly(adapter: TypeAdapter[Value], data: bytes) -> Value:
    """The value whose JSON this is. NotExactly where it is anything else."""
    try:
        value = adapter.validate_json(data, strict=True)
        json.loads(data, object_pairs_hook=_once)  # nested no deeper than the value is
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise NotExactly(where, first["msg"]) from None
    return value


def read_often(adapter: TypeAdapter[Value], data: bytes) -> Value:
    """As ``read_exactly``, and cheap for what one of us has written: what would be written again in
    the same bytes has no key twice."""
    try:
        value = adapter.validate_json(data, strict=True)
        if adapter.dump_json(value) == data:
            return value
    except ValueError:
        pass  # and why is said below
    return read_exactly(adapter, data)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise NotExactly(next(key for key in keys if keys.count(key) > 1), "it is given twice")
    return found
