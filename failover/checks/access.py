"""Whether every znode lets in whom it should, and nobody else. Pure."""

from __future__ import annotations

from failover.checks.found import Found
from failover.checks.result import Check, Said, Subject, of, unknown
from failover.residency.approved import unapproved, words


def lists(found: Found) -> Said:
    """Where they are required; before that nothing is closed to anybody."""
    position = found.policy.access.position
    if not position.shown:
        return of("", doubtful=["`zookeeper.acl` is off: whoever reaches a server may write"])
    wrong = [f"{path} {what}" for path, what in found.access.wrong]
    unseen = [found.access.problem] if found.access.problem else []
    if position.closed:
        return of("every znode lets in whom it should", wrong=wrong, unseen=unseen)
    nothing = "`zookeeper.acl` is use: keys are shown, and nothing is closed yet"
    return of("", doubtful=[*wrong, nothing], unseen=unseen)


def approvals(found: Found) -> Said:
    """A name in failover.yaml is a word; where roles are told apart it takes a key."""
    if not found.policy.access.position.closed:
        return of("roles are not told apart (`zookeeper.acl`)")
    if found.view.approved is None:
        return unknown("what was approved cannot be read", "`failover status` says why.")
    missing = unapproved(found.policy, found.view.approved)
    return of(
        "every exception and accepted finding was approved with an approver's key",
        wrong=[f"nobody with an approver's key approved: {words(each)}" for each in missing],
    )


ACCESS_CHECKS = (
    Check(
        "residency-approvals",
        Subject.ZOOKEEPER,
        "With `zookeeper.acl: require`, what `residency` of failover.yaml excepts or accepts was "
        "approved with an approver's key.",
        "`failover residency approve --reason TEXT`, by an approver; or take it out of "
        "failover.yaml.",
        "docs/decisions/0019-access-in-zookeeper.md",
        approvals,
    ),
    Check(
        "access-lists",
        Subject.ZOOKEEPER,
        "ZooKeeper tells roles apart: `zookeeper.acl` is require, and every znode has the list "
        "that it gives.",
        "`failover zookeeper acl apply`, with the admin's key; one position after the other.",
        "docs/decisions/0019-access-in-zookeeper.md",
        lists,
        unknown_fails=True,
    ),
)
