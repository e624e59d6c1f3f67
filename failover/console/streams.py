"""Who streams WAL from whom, as the map shows it. Pure.

From what every standby's own WAL receiver says, so one that streams from a host nobody declared
is seen as such.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover.health.view import View


@dataclass(frozen=True, slots=True)
class StreamNode:
    """``source`` None: the receiver names no host. ``known``: the source is one of the group's
    hosts; else ``source`` is its address as the receiver has it. ``flowing`` None: not known."""

    source: str | None
    target: str
    known: bool
    flowing: bool | None


def streams(view: View) -> tuple[StreamNode, ...]:
    """One for every host that is seen in recovery."""
    names = {str(h.address): str(h.name) for c in view.policy.clusters for h in c.hosts}
    found = []
    for cluster in view.clusters:
        for side in cluster.sides:
            for host in side.hosts:
                postgres = host.postgres
                if postgres is None or not postgres.in_recovery:
                    continue
                address = postgres.receiver_host
                source = names.get(address, address) if address else None
                known = address in names
                flowing = postgres.receiver_streaming
                found.append(StreamNode(source, host.host.name, known, flowing))
    return tuple(found)
