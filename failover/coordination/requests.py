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
    store: Store,
    paths: GroupPaths,
    request: OperatorRequest,
    *,
    now_unix_s: float,
    approver: bool = False,
    beside: tuple[str, ...] = (),
) -> Busy | None:
    """Put it before the controllers. None: it stands. StoreUnavailable, StateError.

    ``approver``: at the place of approvers' requests. ``beside``: where another one could stand.
    """
    path, reason = paths.request_of(approver=approver), ""
    for _ in range(ASK_TRIES):
        store.sync()
        found = store.read(path)
        standing = _request(found)
        if standing is not None and standing.id == request.id:
            return None  # an answer was lost, and it had happened
        others = [_request(store.read(each)) for each in beside if each != path]
        for other in (standing, *others):
            if other is not None and _may_be_acted_on(store, paths, other, now_unix_s):
                return Busy(other)
        outcome = store.commit((_write(path, request, found),))
        if isinstance(outcome, Committed):
            return None
        if outcome.reason == FORBIDDEN:
            raise StoreForbidden(f"{path} {FORBIDDEN}")
        reason = outcome.reason
    raise StoreUnavailable(
        f"writing {path}: {reason}; whether the request stands is not known, see `failover explain`"
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


def _write(path: str, request: OperatorRequest, found: Znode | None) -> Op:
    data = encode_record(request)
    return Create(path, data) if found is None else Set(path, data, found.version)


def look(store: Store, path: str) -> OperatorRequest | None:
    """The request that stands there, or the last one. StoreUnavailable, StateError."""
    return _request(store.read(path))


def withdraw(store: Store, path: str, request_id: str, why: str) -> OperatorRequest | None:
    """End a request that nobody has taken up. Returns it as it is now: it may have been."""
    store.sync()
    found = store.read(path)
    standing = _request(found)
    waits = standing is not None and standing.phase is RequestPhase.WAITING
    if found is None or standing is None or standing.id != request_id or not waits:
        return standing
    ended = replace(standing, phase=RequestPhase.REFUSED, outcome=(why,))
    outcome = store.commit((Set(path, encode_record(ended), found.version),))
    return ended if isinstance(outcome, Committed) else look(store, path)


def _request(found: Znode | None) -> OperatorRequest | None:
    if found is None or not found.data:  # only its place
        return None
    try:
        return decode_record(OperatorRequest, found.data, path=found.path)
    except StateError as error:
        raise StateError(f"{error}. Delete it to go on: nothing depends on it.") from None
