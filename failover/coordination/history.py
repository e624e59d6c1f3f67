"""Puts an event on record: the entry, the head that names it, and what happens with them.

Invariant: all of it or nothing. Another writer in the same instant costs a fresh look at the head,
no more: what else stands in the transaction is as its caller judged it.
"""

from __future__ import annotations

from failover.coordination.store import Store
from failover.history import continued, head_seen
from failover.state import HistoryEntry
from failover.znode import Conflict, GroupPaths, Op, Outcome

TRIES = 5


def record(store: Store, paths: GroupPaths, entry: HistoryEntry, *conditions: Op) -> Outcome:
    """Write the entry as the newest, together with ``conditions``, which come first.

    A Conflict names one of them, or the head where others have written ``TRIES`` times meanwhile.
    StoreUnavailable where the head cannot be read; nothing is written then.
    """
    outcome = _try(store, paths, entry, conditions)
    for _ in range(TRIES - 1):
        if not isinstance(outcome, Conflict) or outcome.op.path != paths.history_head:
            break
        store.sync()
        outcome = _try(store, paths, entry, conditions)
    return outcome


def _try(
    store: Store, paths: GroupPaths, entry: HistoryEntry, conditions: tuple[Op, ...]
) -> Outcome:
    head = head_seen(store.read(paths.history_head))
    return store.commit((*conditions, *continued(paths, head, entry)))
