"""What a metric is, and which labels there may be. Pure.

Invariant: a label's values come from failover.yaml or from this program, never from data, and
their number is bounded by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``name`` as it is exported: a counter's ends in ``_total``, a unit stands last.

    ``buckets``: upper bounds, of a histogram.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


LABELS = {
    "group": "the failover group",
    "reader": "the site of the controller that says so",
    "cluster": "a cluster of `failover.yaml`; empty: the whole group",
    "site": "a site of `failover.yaml`",
    "host": "a database host of `failover.yaml`",
    "server": "a ZooKeeper server of `failover.yaml`",
    "target": "a database host, ZooKeeper server, controller or target of notifications of "
    "`failover.yaml`",
    "wire": "a wire of `tls` in `failover.yaml`",
    "part": "what was asked: postgres, patroni, guard, zookeeper",
    "kind": "of a move: takeover, switchover; of a missing answer: timed_out, refused, rejected, "
    "malformed; of a finding: a way out, as `failover/residency/ways.py` names it",
    "code": "a row of the verdict table",
    "step": "a step of the planner",
    "gate": "a precondition, as `explain` names it",
    "invariant": "I1 to I8, by name",
    "phase": "of a move: without_claim, stopping, promoting, reinstating",
    "outcome": "of a step or an operator's request",
    "mode": "a word of `failover.yaml`: of automation, of protection",
    "version": "of this program",
    "purpose": "of a permit: start, promotion",
    "answer": "of a guard: yes, no",
    "reason": "a guard's, one word of its table",
}
