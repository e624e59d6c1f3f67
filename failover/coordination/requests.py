"""An operator's request: put before the leading controller, looked after, withdrawn.

One znode per group holds the request that stands, or the last one with its outcome. Invariant: a
request that has not ended is never overwritten while anybody may still act on it, and every write
is conditional on the version that was read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from failover.coordination.store import FORBIDDEN, Store, StoreForbidden, StoreUnavailable
from failover.state import (
    OperatorRequest,
    RequestPhase,
    StateError,
    decode_record,
    decode_state,
    encode_record,
)
from failover.znode import Committed, Create, GroupPaths, Op, Set, Znode

ASK_TRIES = 3


@dataclass(frozen=True, slots=True)
class Busy:
    """Another operator's request stands."""

    request: OperatorRequest


def ask(
    store: Store, paths: GroupPaths, request: OperatorRequest, *, now_unix_s: float
) -> Busy | None:
    """Put it before the controllers. None: it stands. StoreUnavailable, StateError."""
    reason = ""
    for _ in range(ASK_TRIES):
        store.sync()
        found = store.read(paths.request)
        standing = _request(found)
        if standing is not None and standing.id == request.id:
            return None  # an answer was lost, and it had happened
        if standing is not None and _may_be_acted_on(store, paths, standing, now_unix_s):
            return Busy(standing)
        outcome = store.commit((_write(paths, request, found),))
        if isinstance(outcome, Committed):
            return None
        if outcome.reason == FORBIDDEN:
            raise StoreForbidden(f"{paths.request} {FORBIDDEN}")
        reason = outcome.reason
    raise StoreUnavailable(
        f"writing {paths.request}: {reason}; whether the request stands is not known, see "
        "`failover explain`"
    )


def _may_be_acted_on(
    store: Store, paths: GroupPaths, standing: OperatorRequest, now_unix_s: float
) -> bool:
    """One that nobody took up in time is refused by whoever sees it, so it may be replaced; so may
    one whose plan is not there any more."""
    if standing.phase is RequestPhase.WAITING:
        return now_unix_s <= standing.answer_by_unix_s
    if standing.ended:
        return False
    found = store.read(paths.state)
    plan = decode_state(found.data, path=found.path).plan if found is not None else None
    return plan is not None and plan.id == standing.id


def _write(paths: GroupPaths, request: OperatorRequest, found: Znode | None) -> Op:
    data = encode_record(request)
    return Create(paths.request, data) if found is None else Set(paths.request, data, found.version)


def look(store: Store, paths: GroupPaths) -> OperatorRequest | None:
    """The request that stands, or the last one. StoreUnavailable, StateError."""
    return _request(store.read(paths.request))


def withdraw(store: Store, paths: GroupPaths, request_id: str, why: str) -> OperatorRequest | None:
    """End a request that nobody has taken up. Returns it as it is now: it may have been."""
    store.sync()
    found = store.read(paths.request)
    standing = _request(found)
    waits = standing is not None and standing.phase is RequestPhase.WAITING
    if found is None or standing is None or standing.id != request_id or not waits:
        return standing
    ended = replace(standing, phase=RequestPhase.REFUSED, outcome=(why,))
    outcome = store.commit((Set(paths.request, encode_record(ended), found.version),))
    return ended if isinstance(outcome, Committed) else look(store, paths)


def _request(found: Znode | None) -> OperatorRequest | None:
    if found is None or not found.data:  # only its place
        return None
    try:
        return decode_record(OperatorRequest, found.data, path=found.path)
    except StateError as error:
        raise StateError(f"{error}. Delete it to go on: nothing depends on it.") from None
