"""Which of the requests that stand is the one to be looked at, as a value for the view."""

from __future__ import annotations

from collections.abc import Mapping

from failover.health.inputs import RequestSeen
from failover.policy import Policy
from failover.state import OperatorRequest, RequestPhase, StateError, decode_record
from failover.znode import GroupPaths, Znode


def places(policy: Policy) -> tuple[str, ...]:
    """Where requests stand: an approver's apart, where ZooKeeper tells roles apart."""
    paths = GroupPaths(policy.group)
    if not policy.access.position.shown:
        return (paths.request,)
    return (paths.request, paths.approvers_request)


def request_seen(where: tuple[str, ...], znodes: Mapping[str, Znode | None]) -> RequestSeen | None:
    """The one that is under way; else one that waits, an approver's first; else the newest."""
    found = [
        _seen(znode, by_approver=number > 0)
        for number, path in enumerate(where)
        if (znode := znodes[path]) is not None and znode.data  # empty: only its place
    ]
    return max(found, key=_urgency, default=None)


def _seen(found: Znode, *, by_approver: bool) -> RequestSeen:
    try:
        request = decode_record(OperatorRequest, found.data, path=found.path)
    except StateError as error:
        return RequestSeen(found.version, None, str(error), by_approver)
    return RequestSeen(found.version, request, by_approver=by_approver)


def _urgency(seen: RequestSeen) -> tuple[int, bool, float]:
    request = seen.request
    if request is None:
        return 0, False, 0.0
    if request.ended:
        return 1, False, request.at_unix_s
    return 3 if request.phase is RequestPhase.RUNNING else 2, seen.by_approver, request.at_unix_s
