"""What ``failover explain --what-if`` shows: Foresight → Prediction → rich. Pure.

Invariant: says what the core foresees, in its order; adds no judgement. Seconds are expected ones
and count from the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from failover.cli.explanation import GateNode, LossNode, gate_node, loss_node, loss_words
from failover.cli.tree import BAD, GOOD, indented
from failover.cli.units import duration, size
from failover.health.aftermath import Aftermath, LeaseEnd
from failover.health.sightings import every
from failover.health.verdict import Consequence
from failover.health.view import View
from failover.planning.plan import Plan
from failover.planning.what_if import Chapter, Foresight, Outcome


@dataclass(frozen=True, slots=True)
class ChapterNode:
    """From ``from_s`` on this is the verdict. ``decision``: step, hold or nothing."""

    from_s: float
    verdict: str
    decision: str
    step: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class EventNode:
    """What happens by itself."""

    at_s: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """``outage_s``: of the clients of ``site``, which takes writes in the end. None: never seen.

    ``blocking``: what still keeps a takeover when nothing changes any more. ``losses`` and
    ``within_budget`` (None: unknown) where a takeover would be judged.
    """

    group: str
    epoch: int | None
    active_site: str | None
    what_if: tuple[str, ...]
    outcome: str
    sentence: str
    site: str | None
    decided_s: float | None
    outage_s: float | None
    otherwise_s: float | None
    watched_s: float
    story: tuple[ChapterNode, ...]
    events: tuple[EventNode, ...]
    blocking: tuple[GateNode, ...]
    losses: tuple[LossNode, ...]
    within_budget: bool | None
    budget_bytes: int
    budget_s: float
    looked_for_s: float


def prediction(view: View, foresight: Foresight, *, looked_for_s: float) -> Prediction:
    """The foresight in plain values. ``view``: the present."""
    holds = foresight.outcome is Outcome.HOLD
    ending, budget = foresight.ending, view.policy.loss_budget
    fits = [gate.passes for gate in ending.gates if gate.name == "loss_within_budget"]
    judged = bool(fits) and foresight.outcome is not Outcome.WRITES_GO_ON
    state = view.state
    return Prediction(
        group=view.policy.group,
        epoch=state.epoch if state else None,
        active_site=state.active_site if state else None,
        what_if=tuple(str(change) for change in foresight.changes),
        outcome=foresight.outcome.value,
        sentence=_sentence(view, foresight),
        site=foresight.site,
        decided_s=_rounded(foresight.decided_s),
        outage_s=_rounded(foresight.outage_s),
        otherwise_s=_rounded(foresight.otherwise_s),
        watched_s=round(foresight.watched_s, 2),
        story=tuple(_chapter(chapter) for chapter in foresight.story),
        events=tuple(_events(foresight)),
        blocking=tuple(gate_node(g) for g in ending.gates if holds and g.passes is not True),
        losses=tuple(loss_node(loss) for loss in ending.losses) if judged else (),
        within_budget=every(fits) if judged else None,
        budget_bytes=budget.bytes,
        budget_s=budget.seconds,
        looked_for_s=round(looked_for_s, 1),
    )


def _sentence(view: View, foresight: Foresight) -> str:
    match foresight.outcome:
        case Outcome.TAKEOVER:
            return (
                f"{foresight.site} takes over from {view.active_site}; its clients are without an "
                f"acknowledgement for about {duration(foresight.outage_s)}"
            )
        case Outcome.WRITES_GO_ON:
            if not foresight.outage_s:
                return f"writes go on in {foresight.site}, nothing is moved"
            return f"writes pause for about {duration(foresight.outage_s)}, in {foresight.site}"
        case Outcome.HOLD:
            return f"nobody takes writes within {duration(foresight.watched_s)}"


def _chapter(chapter: Chapter) -> ChapterNode:
    decision = chapter.decision
    if isinstance(decision, Plan):
        kind = "step"
    else:
        idle = chapter.verdict.consequence is Consequence.NOTHING
        kind = "nothing" if idle else "hold"
    step = decision.step if isinstance(decision, Plan) else decision.wanted
    return ChapterNode(
        from_s=round(chapter.from_s, 2),
        verdict=chapter.verdict.code,
        decision=kind,
        step=step.value if step else None,
        sentence=decision.sentence,
    )


def _rounded(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s, 2)


# --------------------------------------------------------------------------- what happens by itself


def _events(foresight: Foresight) -> Iterator[EventNode]:
    """In the order of time, up to the end of the story."""
    after = foresight.after
    found = [*_ensemble(after), *(event for end in after.lease_ends for event in _lease(end))]
    if foresight.outcome is Outcome.TAKEOVER and foresight.outage_s is not None:
        found.append(EventNode(round(foresight.outage_s, 2), f"{foresight.site} takes writes"))
    until_s = foresight.outage_s or foresight.watched_s
    yield from (e for e in sorted(found, key=lambda e: e.at_s) if e.at_s <= until_s)


def _ensemble(after: Aftermath) -> Iterator[EventNode]:
    ensemble = after.ensemble
    from_s, until_s = ensemble.unserved_from_s, ensemble.unserved_until_s
    if ensemble.leader is None:
        yield EventNode(from_s, "ZooKeeper has no majority; the guards stop what they cannot renew")
    elif isfinite(until_s) and ensemble.elected:
        yield EventNode(from_s, "ZooKeeper has lost its leader")
        leader = f"{ensemble.leader.name} leads ZooKeeper; every session begins anew"
        yield EventNode(until_s, leader)


def _lease(end: LeaseEnd) -> Iterator[EventNode]:
    yield EventNode(end.stops_s, f"{end.holder} has stopped writing by now, alive or not")
    yield EventNode(end.ends_s, f"the writer claim of {end.cluster} ends")
    if end.heir is not None:
        took = f"{end.heir.host} takes the claim of {end.cluster} and writes"
        yield EventNode(round(end.heir.takes_writes_s, 2), took)


# --------------------------------------------------------------------------- for the terminal


def as_rich(predicted: Prediction) -> Group:
    """What is supposed, the story, how it ends, the loss."""
    holds = predicted.outcome == Outcome.HOLD
    first = f"group {predicted.group}"
    if predicted.epoch is not None:
        first += f"  epoch {predicted.epoch}  active site {predicted.active_site}"
    word = predicted.outcome.replace("_", " ").upper()
    parts: list[RenderableType] = [
        Text(first),
        Text(f"what if {', '.join(predicted.what_if)}", style="bold"),
        _story(predicted),
        Text.assemble("outcome ", (word, BAD if holds else GOOD), f": {predicted.sentence}"),
    ]
    parts += indented((_blocking(predicted, gate) for gate in predicted.blocking), style=BAD)
    if predicted.otherwise_s is not None:
        late = f"if no host there took the claim: a takeover after {predicted.otherwise_s:.1f} s"
        parts.append(Text(late))
    parts += [Text(f"loss of {loss.cluster}: {loss_words(loss)}") for loss in predicted.losses]
    if predicted.losses:
        parts += indented([_budget(predicted)])
    return Group(*parts, Text(_FOOTNOTE, style="dim"))


_FOOTNOTE = (
    "Seconds are expected ones, from the change on: real decisions on a model of\n"
    "what would be seen then."
)


def _story(predicted: Prediction) -> Table:
    """Events and chapters by the time; a takeover's first write is an estimate."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [(event.at_s, 0, "", event.sentence) for event in predicted.events]
    rows += [(one.from_s, 1, one.verdict, _decided(one)) for one in predicted.story]
    for at_s, _, code, sentence in sorted(rows):
        about = "≈ " if predicted.outage_s and at_s == predicted.outage_s else ""
        table.add_row(f"  {about}{at_s:.1f} s", code, Text(sentence))
    return table


def _decided(chapter: ChapterNode) -> str:
    if chapter.decision == "step" and chapter.step is not None:
        return f"→ {chapter.step.replace('_', ' ')}: {chapter.sentence}"
    return chapter.sentence


def _blocking(predicted: Prediction, gate: GateNode) -> str:
    name = gate.name if gate.cluster is None else f"{gate.name} [{gate.cluster}]"
    if gate.opens_in_s is None:
        return f"blocks for good: {name}: {gate.evidence}"
    return f"opens after {duration(predicted.watched_s + gate.opens_in_s)}: {name}"


def _budget(predicted: Prediction) -> str:
    said = {True: "inside", False: "OUTSIDE", None: "not known to be inside"}
    budget = f"{size(predicted.budget_bytes)} / {duration(predicted.budget_s)}"
    return f"{said[predicted.within_budget]} the loss budget of {budget}"
