"""Puts an event on record that changes nothing else, once, also where an answer is lost."""

from __future__ import annotations

from contextlib import suppress

from failover.coordination.history import record
from failover.coordination.store import FORBIDDEN, Store, StoreForbidden, StoreUnavailable
from failover.state import HistoryEntry, StateError, decode_record
from failover.znode import Committed, Conflict, GroupPaths

TRIES = 5
NEWEST = 20  # entries among which it is looked for after a lost answer


def sign_off(store: Store, paths: GroupPaths, entry: HistoryEntry) -> None:
    """``entry.details`` tell it from every other one. StoreUnavailable where it is not known to be
    on record."""
    reason = ""
    for number in range(TRIES):
        try:
            store.sync()
            if number > 0 and _is_there(store, paths, entry):
                return
            outcome = record(store, paths, entry)
        except StoreUnavailable as error:
            reason = str(error)
            continue
        if isinstance(outcome, Committed):
            return
        if outcome.reason == FORBIDDEN:
            raise StoreForbidden(f"{paths.history} {FORBIDDEN}")
        reason = outcome.reason
        if isinstance(outcome, Conflict):
            break
    raise StoreUnavailable(f"{paths.history}: not on record: {reason}")


def _is_there(store: Store, paths: GroupPaths, entry: HistoryEntry) -> bool:
    for name in store.children(paths.history)[-NEWEST:]:
        path = f"{paths.history}/{name}"
        found = store.read(path)
        with suppress(StateError):
            if found is not None:
                there = decode_record(HistoryEntry, found.data, path=path)
                if (there.event, there.details) == (entry.event, entry.details):
                    return True
    return False
