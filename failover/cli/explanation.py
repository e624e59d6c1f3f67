"""What ``failover explain`` shows: (view, verdict, decision) → Explanation → rich. Pure.

Invariant: says exactly what planner and gates say, in their order; adds no judgement. Where no
step is wanted, the gates of a takeover are shown all the same, as what it would be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from failover.cli.snapshot import HEALTHY, VerdictNode, verdict_node
from failover.cli.tree import BAD, GOOD, WARN, duration, missing_lines, verdict_lines
from failover.health.verdict import Consequence, Verdict
from failover.health.view import View
from failover.planning.gates import takeover_gates
from failover.planning.plan import Gate, Hold, Plan, StepName


@dataclass(frozen=True, slots=True)
class GateNode:
    """``passes`` None: unknown, which blocks as firmly as False."""

    name: str
    cluster: str | None
    passes: bool | None
    evidence: str
    invariant: str
    opens_in_s: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``decision``: step (one is due), hold (one is wanted and blocked) or nothing.

    ``gates_of``: the step whose gates these are; ``wanted``: it is what the verdict asks for.
    ``opens_in_s``: when the last blocking gate opens if nothing else changes; None: unknown.
    """

    group: str
    epoch: int | None
    active_site: str | None
    problem: str
    verdict: VerdictNode
    decision: str
    sentence: str
    wanted: bool
    gates_of: str
    gates: tuple[GateNode, ...]
    blocking: tuple[str, ...]
    opens_in_s: float | None
    next: str
    missing: tuple[str, ...]
    looked_for_s: float

    @property
    def healthy(self) -> bool:
        return self.verdict.code == HEALTHY


def explain(
    view: View, verdict: Verdict, decided: Plan | Hold, *, looked_for_s: float = 0.0
) -> Explanation:
    """What the planner decided on this view, and why."""
    gates_of, gates = _gates(view, decided)
    blocking = tuple(gate for gate in gates if gate.passes is not True)
    decision = _decision(decided, verdict)
    state = view.state
    return Explanation(
        group=view.policy.group,
        epoch=state.epoch if state else None,
        active_site=state.active_site if state else None,
        problem=view.store_problem or view.state_problem,
        verdict=verdict_node(verdict),
        decision=decision,
        sentence=decided.sentence,
        wanted=isinstance(decided, Plan) or decided.wanted is not None,
        gates_of=gates_of.value,
        gates=tuple(_gate(gate) for gate in gates),
        blocking=tuple(_blocking(gate) for gate in blocking),
        opens_in_s=_opens_in_s(blocking),
        next=_next(decision, decided, blocking),
        missing=view.missing,
        looked_for_s=round(looked_for_s, 1),
    )


def _decision(decided: Plan | Hold, verdict: Verdict) -> str:
    if isinstance(decided, Plan):
        return "step"
    idle = verdict.consequence is Consequence.NOTHING and decided.wanted is None
    return "nothing" if idle else "hold"


def _gates(view: View, decided: Plan | Hold) -> tuple[StepName, tuple[Gate, ...]]:
    if isinstance(decided, Plan):
        return decided.step, decided.gates
    if decided.wanted is not None:
        return decided.wanted, decided.gates
    return StepName.TAKEOVER, decided.gates or takeover_gates(view)


def _gate(gate: Gate) -> GateNode:
    return GateNode(
        name=gate.name,
        cluster=gate.cluster,
        passes=gate.passes,
        evidence=gate.evidence,
        invariant=gate.invariant.value,
        opens_in_s=None if gate.opens_in_s is None else round(gate.opens_in_s, 1),
    )


def _title(gate: Gate) -> str:
    return gate.name if gate.cluster is None else f"{gate.name} [{gate.cluster}]"


def _blocking(gate: Gate) -> str:
    return f"{_title(gate)}: {gate.evidence} ({gate.invariant.value})"


def _opens_in_s(blocking: tuple[Gate, ...]) -> float | None:
    """All of them must open, so the last one counts; None where one does not say."""
    times = [gate.opens_in_s for gate in blocking if gate.opens_in_s is not None]
    return round(max(times), 1) if times and len(times) == len(blocking) else None


def _next(decision: str, decided: Plan | Hold, blocking: tuple[Gate, ...]) -> str:
    if isinstance(decided, Plan):
        return f"{_words(decided.step)}, at once, by the leading controller"
    if decision == "nothing":
        return "nothing, until something changes"
    opens_in_s = _opens_in_s(blocking)
    names = ", ".join(_title(gate) for gate in blocking if gate.opens_in_s is None)
    if decided.wanted is None:
        if opens_in_s is not None:
            return f"a takeover becomes possible in {duration(opens_in_s)}, if nothing else changes"
        return f"nothing, until something changes; a takeover would need: {names}"
    if opens_in_s is not None:
        return f"{_words(decided.wanted)} in {duration(opens_in_s)}, if nothing else changes"
    return f"{_words(decided.wanted)}, as soon as this passes: {names}"


def _words(step: StepName) -> str:
    return step.value.replace("_", " ")


# --------------------------------------------------------------------------- for the terminal

_STYLES = {"step": WARN, "hold": BAD, "nothing": GOOD}


def as_rich(explanation: Explanation) -> Group:
    """Verdict, decision, table of gates, what blocks, what comes next."""
    first = f"group {explanation.group}"
    if explanation.epoch is not None:
        first += f"  epoch {explanation.epoch}  active site {explanation.active_site}"
    decision = explanation.decision
    style = _STYLES[decision]
    parts: list[RenderableType] = [Text(first), *verdict_lines(explanation.verdict)]
    parts.append(Text.assemble("decision ", (decision.upper(), style), f": {explanation.sentence}"))
    if explanation.gates:
        hypothetical = "" if explanation.wanted else ", if it were wanted now"
        title = explanation.gates_of.replace("_", " ")
        parts.append(Text(f"gates of {title}{hypothetical}", style="bold"))
        parts.append(_table(explanation.gates))
    if decision == "hold" and explanation.blocking:
        parts.append(Text(f"blocked by {explanation.blocking[0]}", style=BAD))
    parts.append(Text(f"next: {explanation.next}"))
    parts += missing_lines(explanation.missing, explanation.verdict)
    if decision != "nothing":
        parts.append(Text(_FOOTNOTE.format(explanation.looked_for_s), style="dim"))
    return Group(*parts)


_FOOTNOTE = (
    "Ages are counted since this command began to look, {:.1f} s ago; the leading\n"
    "controller has looked for longer and may be ahead (--watch keeps looking)."
)

_MARKS = {True: ("passes", GOOD), False: ("BLOCKS", BAD), None: ("UNKNOWN", BAD)}


def _table(gates: tuple[GateNode, ...]) -> Table:
    """One row per gate, the group's first; the invariant by its number."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for overflow in ("ellipsis", "ellipsis", "ellipsis", "fold"):
        table.add_column(no_wrap=overflow == "ellipsis", overflow=overflow)
    cluster: str | None = None
    for gate in gates:
        if gate.cluster != cluster:
            cluster = gate.cluster
            table.add_row("", Text(f"cluster {cluster}", style="bold"), "", "")
        word, style = _MARKS[gate.passes]
        evidence = gate.evidence
        if gate.passes is not True and gate.opens_in_s is not None:
            evidence += f"; opens in {duration(gate.opens_in_s)}"
        number = gate.invariant.partition("_")[0]
        table.add_row(Text(f"  {word}", style=style), gate.name, number, Text(evidence))
    return table
