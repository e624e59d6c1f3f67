"""A decision as text for the golden files: verdict, gates, what comes next, every operation."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from failover.health.verdict import Verdict
from failover.planning.explain import Explanation
from failover.planning.plan import Gate, Plan, RestartZooKeeper
from failover.znode import Check, Create, Delete, Op, Set

WIDTH_MAX = 100
PASSES = {True: "pass", False: "HOLD", None: "hold?"}


def decision(explanation: Explanation) -> str:
    """Everything the core says about one world."""
    parts = [_verdict(explanation.verdict), _decided(explanation), _gates(explanation)]
    if isinstance(explanation.decision, Plan):
        parts.append(_action(explanation.decision))
    return "\n\n".join(parts) + "\n"


def _verdict(verdict: Verdict) -> str:
    page = ", page a human" if verdict.page else ""
    lines = [f"verdict: {verdict.code} ({verdict.consequence}{page})", f"  {verdict.sentence}"]
    lines += [_wrapped(line, "  - ") for line in verdict.evidence]
    lines += [f"  also: {', '.join(verdict.also)}"] if verdict.also else []
    return "\n".join(lines)


def _decided(explanation: Explanation) -> str:
    decided = explanation.decision
    kind = f"plan {decided.step}" if isinstance(decided, Plan) else "hold"
    lines = [f"decision: {kind}: {decided.sentence}", f"next: {explanation.next.sentence}"]
    return "\n".join(_wrapped(line, "") for line in lines)


def _gates(explanation: Explanation) -> str:
    lines = [f"gates of {explanation.step}:"]
    lines += [_gate(gate) for gate in explanation.gates]
    return "\n".join(lines)


def _gate(gate: Gate) -> str:
    name = f"{gate.name} [{gate.cluster}]" if gate.cluster else gate.name
    return _wrapped(f"{PASSES[gate.passes]:5} {name}: {gate.evidence}", "  ")


def _action(plan: Plan) -> str:
    if isinstance(plan.action, RestartZooKeeper):
        return f"action: restart ZooKeeper on {plan.action.server}"
    return "\n".join(["transaction:", *(line for op in plan.action for line in _operation(op))])


def _operation(op: Op) -> list[str]:
    match op:
        case Check():
            return [f"  check  {op.path} at version {op.version}"]
        case Delete():
            at = f" at version {op.version}" if op.version >= 0 else ""
            return [f"  delete {op.path}{at}"]
        case Create():
            kind = " (numbered)" if op.sequence else ""
            return [f"  create {op.path}{kind}", *_data(op.data)]
        case Set():
            return [f"  set    {op.path} at version {op.version}", *_data(op.data)]


def _data(data: bytes) -> list[str]:
    text = data.decode()
    try:
        document: Any = json.loads(text)
    except ValueError:
        return [f"           {text}"] if text else []
    # Text in a JSON document may be long; it is wrapped between its words, nothing is left out.
    return [_wrapped(json.dumps(document), "           ")]


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text,
        WIDTH_MAX,
        initial_indent=indent,
        subsequent_indent=" " * (len(indent) + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )
