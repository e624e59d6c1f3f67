"""Which of the requests that stand is the one to be looked at, as a value for the view."""

from __future__ import annotations

from collections.abc import Mapping

from failover.health.inputs import RequestSeen
from failover.policy import Policy
from failover.state import GroupState, OperatorRequest, RequestPhase, StateError, decode_record
from failover.znode import GroupPaths, Znode

# With its answer and the history it is written twice in one transaction, which ZooKeeper takes up
# to 1 MB; whoever sends more loses the connection, and that would be the leading controller.
BYTES_MAX = 64 * 1024


def places(policy: Policy) -> tuple[str, ...]:
    """Where requests stand: an approver's apart, where ZooKeeper tells roles apart."""
    paths = GroupPaths(policy.group)
    if not policy.access.position.shown:
        return (paths.request,)
    return (paths.request, paths.approvers_request)


def request_seen(
    where: tuple[str, ...], znodes: Mapping[str, Znode | None], state: GroupState | None
) -> RequestSeen | None:
    """The one that is under way; else one that waits, an approver's first; else the newest.

    Under way is what ``state`` says, not what stands in the request: whoever may write there could
    keep an approver's from being seen.
    """
    plan_id = state.plan.id if state is not None and state.plan is not None else None
    found = [
        _seen(znode, by_approver=number > 0)
        for number, path in enumerate(where)
        if (znode := znodes[path]) is not None and znode.data  # empty: only its place
    ]
    return max(found, key=lambda seen: _urgency(seen, plan_id), default=None)


def _seen(found: Znode, *, by_approver: bool) -> RequestSeen:
    if len(found.data) > BYTES_MAX:
        problem = f"{found.path}: {len(found.data)} bytes; a request has at most {BYTES_MAX}"
        return RequestSeen(found.version, None, problem, by_approver)
    try:
        request = decode_record(OperatorRequest, found.data, path=found.path)
    except StateError as error:
        return RequestSeen(found.version, None, str(error), by_approver)
    return RequestSeen(found.version, request, by_approver=by_approver)


def _urgency(seen: RequestSeen, plan_id: str | None) -> tuple[int, bool, float]:
    request = seen.request
    if request is None:
        return 0, False, 0.0
    if request.phase is RequestPhase.WAITING:
        return 2, seen.by_approver, request.at_unix_s
    if request.phase is RequestPhase.RUNNING and request.id == plan_id:
        return 3, seen.by_approver, request.at_unix_s
    return 1, False, request.at_unix_s
