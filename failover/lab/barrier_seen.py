"""The acknowledgement barrier of a host at one moment, as the kernel and the guard tell. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from failover.guard.acknowledgement import Barrier

CAP_NET_ADMIN = 12  # its bit: capability.h
SIEVE_RULES = 6  # of ``Barrier.sieve``: one more, and packets may go around the door


@dataclass(frozen=True, slots=True)
class Rules:
    """What a host's kernel has of one cluster's barrier."""

    table: bool  # something with its name is there
    generation: int | None  # of the renewal in the door, where all leads to the door


@dataclass(frozen=True, slots=True)
class Seen:
    """The barrier of the primary's host at one moment."""

    rules: Rules
    metric: float | None  # failover_guard_acknowledgement_barrier
    may: bool  # a process of its guard has CAP_NET_ADMIN
    pids: tuple[int, ...]  # of its guard: minder and worker
    writable: bool  # by its guard

    def given_back(self) -> tuple[str, ...]:
        """Why its guard does not have its barrier, on a primary or not; empty: it has."""
        found = []
        if not self.rules.table:
            found.append("the kernel has not the barrier's table")
        if self.metric != 1.0:
            found.append(f"failover_guard_acknowledgement_barrier is {self.metric}")
        if not self.may:
            found.append("the guard lacks CAP_NET_ADMIN")
        return tuple(found)

    def objections(self, barrier: bool) -> tuple[str, ...]:
        """Why this is no window with the barrier, or none without; empty: it is one."""
        found = []
        if not self.writable:
            found.append("the host takes no writes")
        if barrier and self.rules.generation is None:
            found.append("the kernel does not hold answers to a lease")
        if not barrier and self.rules.table:
            found.append("the kernel has the barrier's table")
        if self.metric != float(barrier):
            found.append(f"failover_guard_acknowledgement_barrier is {self.metric}")
        if self.may != barrier:
            found.append(f"the guard {'has' if self.may else 'lacks'} CAP_NET_ADMIN")
        return tuple(found)


def rules_of(ruleset: str, barrier: Barrier) -> Rules:
    """Of ``nft -j list ruleset``. ValueError, KeyError where it is something else."""
    family, name = barrier.table.split()
    entries = [
        (kind, entry)
        for one in json.loads(ruleset)["nftables"]
        for kind, entry in one.items()
        if entry.get("family") == family and name in (entry.get("table"), entry.get("name"))
    ]
    hooked = any(
        kind == "chain" and entry["name"] == "output" and entry.get("hook") == "output"
        for kind, entry in entries
    )
    rules = {
        chain: [e["expr"] for kind, e in entries if kind == "rule" and e["chain"] == chain]
        for chain in ("output", "door")
    }
    whole = hooked and _all_to_the_door(rules["output"], barrier)
    return Rules(bool(entries), _generation(rules["door"]) if whole else None)


def _all_to_the_door(rules: list[list[dict[str, Any]]], barrier: Barrier) -> bool:
    """All that leaves a client port meets the door and then nothing but the drop."""
    if len(rules) != SIEVE_RULES:
        return False
    *_, ports, _rst, to_door, last = rules
    right = ports[0].get("match", {}).get("right")
    looked_at = right["set"] if isinstance(right, dict) else [right]
    jumps = to_door == [{"jump": {"target": "door"}}]
    return sorted(looked_at) == sorted(barrier.ports) and jumps and "drop" in last[-1]


def _generation(door: list[list[dict[str, Any]]]) -> int | None:
    """None where the door is shut, or lets everything out."""
    if len(door) != 1 or "accept" not in door[0][-1]:
        return None
    match = door[0][0].get("match", {})
    if match.get("right") != "@lease":
        return None
    return int(match["left"]["concat"][-1])


def metric_of(page: str) -> float | None:
    """failover_guard_acknowledgement_barrier of a page of metrics; None: not there."""
    for line in page.splitlines():
        if line.startswith("failover_guard_acknowledgement_barrier{"):
            return float(line.rpartition(" ")[2])
    return None


def may_admin(cap_eff: Sequence[str]) -> bool:
    """Whether one of these sets (hexadecimal, of /proc/PID/status) has CAP_NET_ADMIN."""
    return any(int(one, 16) >> CAP_NET_ADMIN & 1 for one in cap_eff)
