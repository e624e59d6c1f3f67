"""Puts on record what stands open and what was cut: the ledger and its history entry, at once."""

from __future__ import annotations

from failover.coordination.history import record
from failover.coordination.store import Store, StoreUnavailable
from failover.health.residency import NO_LEDGER, ResidencyView
from failover.model import Epoch
from failover.residency.findings import (
    CutSeen,
    Ledger,
    LedgerSeen,
    OpenGap,
    decode_ledger,
    encode_ledger,
)
from failover.residency.ledger import Changes
from failover.state import HistoryEntry, StateError
from failover.znode import Committed, Create, GroupPaths, Op, Set, Znode

DETAILS_MAX = 50  # of one entry; more are counted


def ledger_seen(found: Znode | None) -> LedgerSeen:
    """What the ledger's znode says. Never fails on odd data, and says so."""
    if found is None:
        return NO_LEDGER
    try:
        return LedgerSeen(decode_ledger(found.data, path=found.path), found.version)
    except StateError as error:
        return LedgerSeen(Ledger(), found.version, str(error))


def record_residency(
    store: Store,
    paths: GroupPaths,
    view: ResidencyView,
    *,
    epoch: Epoch,
    now_unix_s: float,
    by: str,
) -> bool:
    """Whether it stands on record now. A conflict: somebody else has written; look again."""
    data = encode_ledger(view.ledger)
    write: Op = (
        Create(paths.residency, data)
        if view.version is None
        else Set(paths.residency, data, view.version)
    )
    entry = HistoryEntry(
        at_unix_s=now_unix_s,
        epoch=epoch,
        event="residency",
        summary=summary(view.changes, view.problem),
        by=by,
        details=details(view.changes, now_unix_s, view.problem),
    )
    try:
        return isinstance(record(store, paths, entry, write), Committed)
    except StoreUnavailable:
        return False


def summary(changes: Changes, problem: str = "") -> str:
    """One sentence."""
    parts = [
        f"{len(changes.found)} found" if changes.found else "",
        f"{len(changes.cut)} cut" if changes.cut else "",
        f"{len(changes.gone)} gone" if changes.gone else "",
        f"{len(changes.gaps)} hosts not looked at" if changes.gaps else "",
        f"{len(changes.gaps_over)} looked at again" if changes.gaps_over else "",
        "the ledger could not be read and is written anew" if problem else "",
    ]
    return "ways out of the country: " + ", ".join(part for part in parts if part)


def details(changes: Changes, now_unix_s: float, problem: str = "") -> dict[str, str]:
    """What it says of each, by kind and key; the history is a chain, so this is evidence.

    ``residency/report/record.py`` reads it.
    """
    texts = {f"gap {each.host}": _gap(each, now_unix_s) for each in changes.gaps}
    texts |= {f"gap_over {host}": "" for host in changes.gaps_over}
    texts |= {f"found {each.way} {each.host} {each.subject}": each.detail for each in changes.found}
    texts |= {f"gone {each.way} {each.host} {each.subject}": "" for each in changes.gone}
    texts |= {f"cut {each.way} {each.host} {each.subject}": _cut(each) for each in changes.cut}
    if problem:
        texts["problem"] = problem
    if len(texts) > DETAILS_MAX:
        kept = dict(list(texts.items())[: DETAILS_MAX - 1])
        return {**kept, "more": str(len(texts) - len(kept))}
    return texts


def _gap(gap: OpenGap, now_unix_s: float) -> str:
    return f"for {now_unix_s - gap.since_unix_s:.0f} s: {gap.why}"


def _cut(cut: CutSeen) -> str:
    slots = f", slots dropped: {', '.join(cut.slots)}" if cut.slots else ""
    return f"{cut.sessions} sessions ended{slots}; {cut.detail}"
