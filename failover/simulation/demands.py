"""What is demanded of a campaign, so that a generator that reaches nothing passes for no proof.

Every verdict, edge, step and fault in at least ``TIMES_MIN`` schedules, and a takeover committed in
at least a fifth of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from failover.health.verdict import RULES
from failover.planning.plan import StepName
from failover.planning.transitions import EDGES
from failover.simulation.compound_faults import COMPOUND_FAULTS
from failover.simulation.coverage import Coverage, edge_name
from failover.simulation.faults import FAULTS
from failover.simulation.sync_faults import SYNC_FAULTS

TIMES_MIN = 100  # schedules with each verdict, edge, step and fault, of a campaign of 100,000
TAKEOVERS_MIN = 0.2  # the share of schedules in which a takeover is committed

_ARMED = (
    "every schedule begins with `failover init`, which arms; tests/scenarios and the lab have cases"
)
# What the simulation cannot reach, and why. Counted apart, and never as covered.
NOT_MODELLED = {
    "not_armed": _ARMED,
    "unarmed_move_requested": _ARMED,
    "keys_refused": "it has no keys; tests/scenarios and tests/unit/test_controller have cases",
    "state_unreadable": "nothing in it writes what nobody understands; tests/scenarios has cases",
    "site_unproven": "no quorum is rebuilt in it; tests/integration has it on a real ensemble",
    "way_out_found": "it has no databases to scan; tests/scenarios and the lab have cases",
}

VERDICTS = tuple(rule.code for rule in RULES if rule.code not in NOT_MODELLED)
EDGE_NAMES = tuple(edge_name(e.before, e.after, e.step) for e in EDGES)
STEPS = tuple(str(step) for step in StepName)
FAULT_NAMES = tuple(fault.__name__ for fault in {**FAULTS, **SYNC_FAULTS, **COMPOUND_FAULTS})


def missing(seen: Coverage, times_min: int = TIMES_MIN) -> tuple[str, ...]:
    """One line for everything that is demanded and was not reached."""
    lines = [
        f"{kind} {name}: in {counts[name]} schedules, {times_min} are demanded"
        for kind, counts, names in _demands(seen)
        for name in names
        if counts[name] < times_min
    ]
    share = seen.takeovers / seen.schedules if seen.schedules else 0.0
    if share < TAKEOVERS_MIN:
        lines.append(f"a takeover: in {share:.1%} of the schedules, {TAKEOVERS_MIN:.0%} demanded")
    return tuple(lines)


def table(seen: Coverage) -> str:
    """Everything with the number of schedules that had it, for a human."""
    lines: list[str] = []
    for kind, counts, names in _demands(seen):
        lines += _section(kind, counts, names)
    lines.append("verdicts that the simulation cannot reach:")
    lines += [f"  {seen.verdicts[code]:7}  {code}: {why}" for code, why in NOT_MODELLED.items()]
    lines.append(f"a takeover was committed in {seen.takeovers} of {seen.schedules} schedules")
    return "\n".join(lines)


def _demands(seen: Coverage) -> tuple[tuple[str, Counter[str], tuple[str, ...]], ...]:
    return (
        ("verdict", seen.verdicts, VERDICTS),
        ("edge", seen.edges, EDGE_NAMES),
        ("step", seen.steps, STEPS),
        ("fault", seen.faults, FAULT_NAMES),
    )


def _section(kind: str, counts: Counter[str], names: Iterable[str]) -> list[str]:
    return [f"{kind}s, in how many schedules:", *(f"  {counts[name]:7}  {name}" for name in names)]
