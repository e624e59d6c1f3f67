"""What an operator sets in ``state``: automation, a pause, the end of a cooldown. With its history.

These need no controller: each is one conditional write of ``state`` together with its entry, and a
controller that decides in the same instant finds its own write refused. Invariant: nothing that
decides who may write is changed here, but for a weaker protection mode (``protection``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from failover.coordination.history import record
from failover.coordination.store import FORBIDDEN, Store, StoreForbidden, StoreUnavailable
from failover.policy import Policy
from failover.state import (
    GroupState,
    HistoryEntry,
    StateError,
    decode_state,
    encode_state,
)
from failover.znode import Committed, GroupPaths, Op, OutcomeUnknown, Set

TRIES = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """``change`` returns the state as it should be; the same one: there is nothing to do."""

    event: str
    summary: str
    by: str
    details: dict[str, str]
    change: Callable[[GroupState], GroupState]
    beside: Callable[[Store], tuple[Op, ...]] = lambda _store: ()  # in the same transaction


def read_state(store: Store, policy: Policy) -> tuple[GroupState, int]:
    """The state as it is now, and its version. StateError where there is none to be understood."""
    store.sync()
    path = GroupPaths(policy.group).state
    found = store.read(path)
    if found is None:
        raise StateError(f"{path}: there is no state: `failover init`")
    return decode_state(found.data, path=path), found.version


def apply_setting(
    store: Store, policy: Policy, setting: Setting, *, now_unix_s: float
) -> GroupState | None:
    """Write it. The state afterwards; None where it was so already.

    StoreUnavailable where the ensemble does not answer, or the state changes again and again;
    StateError where there is no state that can be understood.
    """
    paths, reason, may_be_done = GroupPaths(policy.group), "", False
    for _ in range(TRIES):
        before, version = read_state(store, policy)
        after = setting.change(before)
        if after == before:
            return after if may_be_done else None
        entry = HistoryEntry(
            at_unix_s=now_unix_s,
            epoch=before.epoch,
            event=setting.event,
            summary=setting.summary,
            by=setting.by,
            details=setting.details,
        )
        changed = Set(paths.state, encode_state(after), version)
        outcome = record(store, paths, entry, changed, *setting.beside(store))
        if isinstance(outcome, Committed):
            return after
        if outcome.reason == FORBIDDEN:
            raise StoreForbidden(f"{paths.state} {FORBIDDEN}")
        reason = outcome.reason
        may_be_done = may_be_done or isinstance(outcome, OutcomeUnknown)
    raise StoreUnavailable(f"{paths.state}: not written in {TRIES} tries: {reason}")
