"""What ``failover explain`` shows: an explanation of the core → ExplainSnapshot → rich. Pure.

Invariant: says exactly what judge, planner and gates say, in their order; adds no judgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from failover.cli.snapshot import HEALTHY, ResidencyNode, VerdictNode, residency_node, verdict_node
from failover.cli.tree import BAD, GOOD, WARN, missing_lines, residency_lines, verdict_lines
from failover.cli.units import duration, size
from failover.health.protection import lines, listed
from failover.health.verdict import Consequence
from failover.health.view import View
from failover.planning.explain import ClusterLoss, Explanation
from failover.planning.plan import Gate, Plan
from failover.replication.loss import LossUnknown


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
class LossNode:
    """What would be lost if the active site vanished now. None: unknown, for ``problem``.

    ``behind_*``: what the standby has not received; ``isolation_*``: what an isolated primary may
    still acknowledge until it stops, at most.
    """

    cluster: str
    behind_bytes: int | None
    behind_s: float | None
    isolation_bytes: int | None
    isolation_s: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class NextNode:
    """``in_s`` None: not before something changes."""

    sentence: str
    step: str | None
    in_s: float | None


@dataclass(frozen=True, slots=True)
class ExplainSnapshot:
    """``decision``: step (one is due), hold (not acting, for a reason) or nothing (all is well).

    ``gates_of``: the step whose gates these are; ``wanted``: it is what the verdict asks for.
    ``blocking``: the first gate that does not pass. ``protection``: mode, record and list in words.
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
    blocking: GateNode | None
    next: NextNode
    losses: tuple[LossNode, ...]
    protection: tuple[str, ...]
    residency: ResidencyNode
    missing: tuple[str, ...]
    looked_for_s: float

    @property
    def healthy(self) -> bool:
        return self.verdict.code == HEALTHY


def explain_snapshot(
    view: View, explained: Explanation, *, looked_for_s: float = 0.0
) -> ExplainSnapshot:
    """The explanation in plain values."""
    state, decision, then = view.state, explained.decision, explained.next
    return ExplainSnapshot(
        group=view.policy.group,
        epoch=state.epoch if state else None,
        active_site=state.active_site if state else None,
        problem=view.store_problem or view.state_problem,
        verdict=verdict_node(explained.verdict),
        decision=_decision(explained),
        sentence=decision.sentence,
        wanted=isinstance(decision, Plan) or decision.wanted is not None,
        gates_of=explained.step.value,
        gates=tuple(gate_node(gate) for gate in explained.gates),
        blocking=gate_node(explained.blocking) if explained.blocking else None,
        next=NextNode(then.sentence, then.step.value if then.step else None, _rounded(then.in_s)),
        losses=tuple(loss_node(loss) for loss in explained.losses),
        protection=_protection(view),
        residency=residency_node(view),
        missing=explained.missing,
        looked_for_s=round(looked_for_s, 1),
    )


def _protection(view: View) -> tuple[str, ...]:
    """Nothing where the mode is asynchronous, and so is what commits do."""
    synchronous = view.state is not None and view.state.protection.synchronous
    waits = any(listed(cluster) != () for cluster in view.clusters)
    return lines(view) if synchronous or (waits and view.state is not None) else ()


def _decision(explained: Explanation) -> str:
    decision = explained.decision
    if isinstance(decision, Plan):
        return "step"
    idle = explained.verdict.consequence is Consequence.NOTHING and decision.wanted is None
    return "nothing" if idle else "hold"


def gate_node(gate: Gate) -> GateNode:
    return GateNode(
        name=gate.name,
        cluster=gate.cluster,
        passes=gate.passes,
        evidence=gate.evidence,
        invariant=gate.invariant.value,
        opens_in_s=_rounded(gate.opens_in_s),
    )


def loss_node(of: ClusterLoss) -> LossNode:
    loss = of.loss
    if isinstance(loss, LossUnknown):
        return LossNode(of.cluster, None, None, None, None, loss.reason)
    known = isfinite(loss.behind_s)
    return LossNode(
        cluster=of.cluster,
        behind_bytes=loss.behind_bytes,
        behind_s=_rounded(loss.behind_s) if known else None,
        isolation_bytes=loss.isolation_bytes,
        isolation_s=_rounded(loss.isolation_s),
        problem="" if known else "behind for longer than the samples reach back",
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --------------------------------------------------------------------------- for the terminal

_STYLES = {"step": WARN, "hold": BAD, "nothing": GOOD}


def as_rich(explanation: ExplainSnapshot) -> Group:
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
    blocking = explanation.blocking
    if decision == "hold" and blocking is not None:
        name = (
            blocking.name if blocking.cluster is None else f"{blocking.name} [{blocking.cluster}]"
        )
        parts.append(
            Text(f"blocked by {name}: {blocking.evidence} ({blocking.invariant})", style=BAD)
        )
    parts.append(Text(f"next: {explanation.next.sentence}"))
    parts += [_loss_line(loss) for loss in explanation.losses]
    parts += [Text(line) for line in explanation.protection]
    parts += residency_lines(explanation.residency, explanation.verdict)
    parts += missing_lines(explanation.missing, explanation.verdict)
    if decision != "nothing":
        parts.append(Text(_FOOTNOTE.format(explanation.looked_for_s), style="dim"))
    return Group(*parts)


def _loss_line(loss: LossNode) -> Text:
    return Text(f"loss of {loss.cluster} if the site vanished now: {loss_words(loss)}")


def loss_words(loss: LossNode) -> str:
    if loss.behind_bytes is None or loss.isolation_bytes is None:
        return f"unknown ({loss.problem})"
    behind = f"{size(loss.behind_bytes)} / {duration(loss.behind_s)}"
    at_most = f"{size(loss.isolation_bytes)} / {duration(loss.isolation_s)}"
    return f"{behind} behind, and at most {at_most} until it stops"


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
