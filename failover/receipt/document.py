"""The loss receipt as it stands in its file. Pure.

Invariant: what could not be read is said in the receipt, with the reason; a receipt never looks
more complete than it is. It has keys of the rows of named tables and nothing else of any row.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from failover.fields import ClusterField, Count, EpochField, HostField, SiteField, UnixSeconds
from failover.state import LsnField

RECEIPT_SCHEMA = 1
_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

Key = dict[str, str | None]  # column → value as text; None: NULL


class FromIs(StrEnum):
    """What the receipt begins at."""

    DIVERGENCE = "divergence"  # where the new branch left this one: exactly what is missing
    # The new branch's beginning was not known: some of what is listed may be there after all.
    PROVEN_ON_NEW_SITE = "proven_on_new_site"
    EVERYTHING = "everything"


class KeysState(StrEnum):
    NOT_ASKED = "not_asked"  # failover.yaml names no table of this cluster
    NOTHING_LOST = "nothing_lost"
    READ = "read"  # of every affected row of the named tables that still has one
    PARTLY = "partly"
    MISSING = "missing"  # nothing was read


@dataclass(frozen=True, slots=True, config=_STRICT)
class LostRow:
    """A row of a named table. ``key_is``: own, later, doubtful (``rows.KeyIs``)."""

    table: str
    change: str  # insert, update
    key: Key
    key_is: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class LostTransaction:
    """Committed on the old branch, and not on the new one.

    ``rows``: how many it changed, by relation. ``keys_missing``: rows of named tables without a
    readable key, by reason (``rows.Missing``).
    """

    xid: Count
    subxids: tuple[Count, ...]
    lsn: LsnField  # of its COMMIT
    committed_at: str  # by the old primary's clock, ISO 8601 in UTC
    rows: dict[str, Count]
    keys: tuple[LostRow, ...] = ()
    keys_missing: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=_STRICT)
class TouchedRelation:
    """``name``: schema.relation where the server said so, else the file's (tablespace/database/
    number). ``database``: its name, its object id where the name is not known, "" for shared."""

    name: str
    database: str
    file: str
    rows: Count
    transactions: Count


@dataclass(frozen=True, slots=True, config=_STRICT)
class Keys:
    """What was done about the keys. ``detail``: why some are missing; "" where none is."""

    state: KeysState
    tables: tuple[str, ...]  # as named in failover.yaml
    read: Count
    missing: Count
    detail: str = ""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Receipt:
    """``name``: the epoch, or the name of a salvage inside the site (then ``epoch`` is the one it
    happened in). ``complete``: all WAL up to ``end_of_wal`` was read; else ``problems`` say why.
    ``transactions`` may be more than there are in ``lost``, which is bounded.
    """

    name: str
    cluster: ClusterField
    host: HostField
    site: SiteField
    epoch: EpochField | None
    made_unix_s: UnixSeconds
    from_lsn: LsnField
    from_is: FromIs
    rows_from_lsn: LsnField  # a transaction's rows are known from here on
    read_to_lsn: LsnField
    end_of_wal: LsnField
    complete: bool
    transactions: Count
    aborted: Count
    unfinished: Count
    first_committed_at: str
    last_committed_at: str
    relations: tuple[TouchedRelation, ...]
    keys: Keys
    lost: tuple[LostTransaction, ...]
    problems: tuple[str, ...] = ()
    schema: Annotated[int, Field(ge=1, lt=2**63)] = RECEIPT_SCHEMA


_RECEIPT: TypeAdapter[Receipt] = TypeAdapter(Receipt)


class ReceiptError(ValueError):
    """Not a receipt of a known schema."""


def encode_receipt(receipt: Receipt) -> bytes:
    return _RECEIPT.dump_json(receipt, indent=1)


def decode_receipt(data: bytes) -> Receipt:
    """ReceiptError when it is not exactly a receipt of this schema."""
    try:
        receipt = _RECEIPT.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ReceiptError(f"not a loss receipt at {where}: {first['msg']}") from None
    if receipt.schema != RECEIPT_SCHEMA:
        raise ReceiptError(f"a loss receipt of schema {receipt.schema}, not {RECEIPT_SCHEMA}")
    return receipt
