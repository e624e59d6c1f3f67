"""What was read of the WAL and asked of the server, put together as a receipt. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from failover.model import ClusterName, Epoch, HostName, Lsn, SiteName
from failover.policy import ReceiptTable
from failover.receipt.branch import Branch
from failover.receipt.document import (
    FromIs,
    Keys,
    KeysState,
    LostRow,
    LostTransaction,
    Receipt,
    TouchedRelation,
)
from failover.receipt.rows import KeyIs, NoKey, RowKey
from failover.receipt.waldump import FileNode
from failover.state import ReceiptRecord

RELATIONS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose receipt it is, and of which salvage."""

    name: str
    cluster: ClusterName
    host: HostName
    site: SiteName
    epoch: Epoch | None


@dataclass(frozen=True, slots=True)
class WalRead:
    """What was read of the copied WAL. ``problem``: why not all of it; "" where it was."""

    branch: Branch
    from_is: FromIs
    rows_from_lsn: Lsn
    read_to_lsn: Lsn
    end_of_wal: Lsn
    problem: str


@dataclass(frozen=True, slots=True)
class TableKeys:
    """What the server said of one named table. ``problem``: why not everything; "" where it did."""

    table: ReceiptTable
    keys: tuple[RowKey, ...]
    without: tuple[NoKey, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server on the old branch said. ``problem``: why it did not; "" where it did."""

    databases: Mapping[int, str] = field(default_factory=dict)  # object id → name
    names: Mapping[FileNode, str] = field(default_factory=dict)  # schema.relation
    tables: tuple[TableKeys, ...] = ()
    problem: str = ""


def compose(
    origin: Origin,
    wal: WalRead,
    answers: Answers,
    asked: tuple[ReceiptTable, ...],
    made_unix_s: float,
) -> Receipt:
    """The receipt. ``asked``: the tables that failover.yaml names for this cluster."""
    branch = wal.branch
    return Receipt(
        name=origin.name,
        cluster=origin.cluster,
        host=origin.host,
        site=origin.site,
        epoch=origin.epoch,
        made_unix_s=made_unix_s,
        from_lsn=branch.from_lsn,
        from_is=wal.from_is,
        rows_from_lsn=wal.rows_from_lsn,
        read_to_lsn=wal.read_to_lsn,
        end_of_wal=wal.end_of_wal,
        complete=not wal.problem,
        transactions=branch.committed,
        aborted=branch.aborted,
        unfinished=branch.unfinished,
        first_committed_at=branch.first_at,
        last_committed_at=branch.last_at,
        relations=_relations(branch, answers),
        keys=_keys(branch, answers, asked),
        lost=_lost(branch, answers),
        problems=tuple(_problems(wal, answers)),
    )


def _relations(branch: Branch, answers: Answers) -> tuple[TouchedRelation, ...]:
    """Those with the most rows first; at most RELATIONS_MAX."""
    ordered = sorted(branch.rows.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        TouchedRelation(
            name=answers.names.get(file, str(file)),
            database=_database(file, answers),
            file=str(file),
            rows=rows,
            transactions=branch.transactions[file],
        )
        for file, rows in ordered[:RELATIONS_MAX]
    )


def _database(file: FileNode, answers: Answers) -> str:
    return answers.databases.get(file.database, str(file.database)) if file.database else ""


def _keys(branch: Branch, answers: Answers, asked: tuple[ReceiptTable, ...]) -> Keys:
    read = sum(len(table.keys) for table in answers.tables)
    missing = sum(none.rows for table in answers.tables for none in table.without)
    names = tuple(f"{one.database}.{one.name}" for one in asked)
    trouble = [answers.problem, *(table.problem for table in answers.tables)]
    trouble += _rows_without_place(branch, answers)
    trouble += _rows_without_key(answers)
    detail = "; ".join(one for one in trouble if one)
    if not asked:
        state, detail = KeysState.NOT_ASKED, ""
    elif not branch.committed:
        state, detail = KeysState.NOTHING_LOST, ""
    elif answers.problem:
        state = KeysState.MISSING
    else:
        state = KeysState.PARTLY if detail else KeysState.READ
    return Keys(state, names, read, missing, detail)


def _rows_without_place(branch: Branch, answers: Answers) -> Iterable[str]:
    """Rows that may be of named tables, and were not looked for."""
    listed = sum(sum(one.rows.values()) for one in branch.lost)
    forgotten = listed - sum(change.rows for one in branch.lost for change in one.changes)
    if forgotten > 0:
        yield f"the places of {forgotten} rows were too many to remember"
    unlisted = sum(branch.rows.values()) - listed
    if unlisted > 0:
        yield f"{unlisted} rows are of transactions that are not listed"
    nameless = sum(rows for file, rows in branch.rows.items() if file not in answers.names)
    if nameless and not answers.problem:
        yield f"{nameless} rows are in files that no table has now (truncated, rewritten, dropped)"


def _rows_without_key(answers: Answers) -> Iterable[str]:
    missing = sum(none.rows for table in answers.tables for none in table.without)
    doubtful = sum(row.key_is is KeyIs.DOUBTFUL for table in answers.tables for row in table.keys)
    if missing:
        yield f"{missing} rows were deleted later on this branch, or are not where they were"
    if doubtful:
        yield f"{doubtful} keys are those of later versions and may have been changed since"


def _lost(branch: Branch, answers: Answers) -> tuple[LostTransaction, ...]:
    keys: defaultdict[int, list[LostRow]] = defaultdict(list)
    missing: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for table in answers.tables:
        for row in table.keys:
            key = dict(zip(table.table.key, row.key, strict=True))
            keys[row.xid].append(LostRow(table.table.name, row.change.value, key, row.key_is.value))
        for none in table.without:
            missing[none.xid][none.why.value] += none.rows
    return tuple(
        LostTransaction(
            xid=one.xid,
            subxids=one.subxids,
            lsn=one.lsn,
            committed_at=one.committed_at,
            rows=_by_name(one.rows, answers),
            keys=tuple(keys[one.xid]),
            keys_missing=dict(missing[one.xid]),
        )
        for one in branch.lost
    )


def _by_name(rows: Mapping[FileNode, int], answers: Answers) -> dict[str, int]:
    """Two databases may have a relation of the same name: the rows are then added up."""
    by_name: Counter[str] = Counter()
    for file, count in rows.items():
        by_name[answers.names.get(file, str(file))] += count
    return dict(by_name)


def _problems(wal: WalRead, answers: Answers) -> Iterable[str]:
    branch = wal.branch
    if wal.problem:
        yield wal.problem
    if wal.from_is is not FromIs.DIVERGENCE and branch.committed:
        yield (
            "where the present branch left this one is not known: "
            "some of what is listed may not be missing"
        )
    if len(branch.lost) < branch.committed:
        yield f"only the first {len(branch.lost)} of {branch.committed} transactions are listed"
    if len(branch.rows) > RELATIONS_MAX:
        yield f"only {RELATIONS_MAX} of {len(branch.rows)} relations are listed"
    if branch.committed and answers.problem:
        yield f"no names of relations and no keys: {answers.problem}"


def summary(receipt: Receipt, path: str) -> ReceiptRecord:
    """What leaves the host: counts and positions."""
    return ReceiptRecord(
        path=path,
        from_lsn=receipt.from_lsn,
        read_to_lsn=receipt.read_to_lsn,
        exact=receipt.from_is is FromIs.DIVERGENCE,
        complete=receipt.complete,
        transactions=receipt.transactions,
        aborted=receipt.aborted,
        unfinished=receipt.unfinished,
        relations=len(receipt.relations),
        keys_state=receipt.keys.state.value,
        keys=receipt.keys.read,
        keys_missing=receipt.keys.missing,
    )
