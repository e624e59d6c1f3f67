"""Which exceptions and accepted findings of failover.yaml somebody approved with an approver's key.

Where ZooKeeper tells roles apart (decision 0019) a name in failover.yaml is only a word. Invariant:
an approval is of one entry as it was written; whoever changes a word of it needs another one. Pure.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

from failover.foreign import json_object
from failover.policy import AcceptedFinding, NetworkException, Policy

SCHEMA = 1
MARK_LENGTH = 32

Entry = NetworkException | AcceptedFinding


def mark(entry: Entry) -> str:
    """Stands for the entry, every word of it."""
    return sha256(words(entry).encode()).hexdigest()[:MARK_LENGTH]


def words(entry: Entry) -> str:
    """The entry for a human, on one line."""
    if isinstance(entry, NetworkException):
        purposes = ", ".join(entry.purposes)
        what = f"network {entry.network} of {entry.owner} in {entry.country} for {purposes}"
    else:
        what = f"{entry.way} {entry.subject}"
    return f"{what}, until {entry.expires}; {entry.approver}: {entry.reason}"


def entries(policy: Policy) -> tuple[Entry, ...]:
    """All that takes an approver."""
    return (*policy.residency.exceptions, *policy.residency.accepted)


def unapproved(policy: Policy, approved: frozenset[str] | None) -> tuple[Entry, ...]:
    """Those that nobody approved; none where roles are not told apart (``approved`` None)."""
    if approved is None:
        return ()
    return tuple(each for each in entries(policy) if mark(each) not in approved)


def counted(policy: Policy, approved: frozenset[str] | None) -> Policy:
    """Only what was approved is accepted: any other finding stands open."""
    missing = unapproved(policy, approved)
    if not missing:
        return policy
    kept = tuple(each for each in policy.residency.accepted if each not in missing)
    return replace(policy, residency=replace(policy.residency, accepted=kept))


def encode_approved(marks: frozenset[str]) -> bytes:
    """The znode's bytes."""
    return json.dumps({"schema": SCHEMA, "marks": sorted(marks)}).encode()


def decode_approved(data: bytes) -> frozenset[str]:
    """Nothing where it cannot be understood: what is not known to be approved is not."""
    try:
        found = json_object(data)
    except ValueError:
        return frozenset()
    marks = found.get("marks") if found.get("schema") == SCHEMA else None
    return frozenset(map(str, marks)) if isinstance(marks, list) else frozenset()
