"""What the page shows of one group: the newest turn and the newest history → JSON values. Pure.

The same nodes as ``status -o json``, ``explain -o json`` and ``history -o json``; judges nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from failover.cli.explanation import explain_snapshot, gate_node
from failover.cli.history import row_json
from failover.cli.snapshot import residency_node, status_tree
from failover.console.streams import streams
from failover.controller import TickResult
from failover.health.view import View
from failover.history_check import Stored
from failover.phases import Move, moves
from failover.planning.explain import explain
from failover.planning.gates import takeover_gates
from failover.timing import lease_timing

ENTRIES_MAX = 50
MOVES_MAX = 5
# Those gates of a takeover that are about the other site: what has to be true beforehand.
READY = frozenset(
    {
        "new_scope_follows",
        "new_scope_not_paused",
        "residency",
        "standby_leader_ready",
        "received_wal_replayed",
    }
)


def describe(result: TickResult, history: tuple[Stored, ...]) -> dict[str, Any]:
    """The documented shape (docs/console.md)."""
    view = result.view
    explained = explain(view, result.verdict, result.decision)
    timing = lease_timing(view.policy.lease_s)
    found = moves(stored.entry for stored in history if stored.entry is not None)
    return {
        "now_unix_s": view.now_unix_s,
        "leading": result.leading,
        "leader": result.leader,
        "blind": _blind(view),
        "lease_s": view.policy.lease_s,
        "deadline_s": timing.deadline_s,
        "status": asdict(status_tree(view, result.verdict)),
        "explain": asdict(explain_snapshot(view, explained)),
        "readiness": [
            asdict(gate_node(gate)) for gate in takeover_gates(view) if gate.name in READY
        ],
        "streams": [asdict(stream) for stream in streams(view)],
        "history": [row_json(stored) for stored in history[-ENTRIES_MAX:]],
        "moves": [_move(move) for move in found[-MOVES_MAX:]],
        "findings": _findings(view),
    }


def _blind(view: View) -> str:
    """Why this controller cannot see, although its turns go on; empty where it sees."""
    if view.store_forbidden:
        return f"ZooKeeper does not let this controller read: {view.store_problem}"
    if view.store_problem:
        return f"ZooKeeper does not answer this controller: {view.store_problem}"
    if not view.observer_alive(view.reader):
        return f"the probes of {view.reader} bring nothing new"
    return ""


def _move(move: Move) -> dict[str, Any]:
    return {
        "kind": move.kind,
        "epoch": move.epoch,
        "summary": move.summary,
        "committed_unix_s": move.committed_unix_s,
        "phases": [{**asdict(phase), "seconds": phase.seconds} for phase in move.phases],
    }


def _findings(view: View) -> list[dict[str, Any]] | None:
    """Ways out that stand open. None: nobody looks, which is not the same as none."""
    node = residency_node(view)
    if not node.open and not view.residency.scans:
        return None
    return [
        {"way": w.way, "host": w.host, "subject": w.subject, "detail": w.detail} for w in node.open
    ]
