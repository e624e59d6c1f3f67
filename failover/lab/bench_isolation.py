"""`failover bench isolation`: the active site cut off while its primary does not stop by itself.

The runs of `failover bench takeover`, each with one of the troubles on the primary that Patroni
alone does not survive. What counts: nothing is acknowledged in the old site after the new one has
begun to (I1), and in a synchronous mode nothing acknowledged is lost (I3). Limits of time, and what
an asynchronous takeover may lose, are the other bench's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from failover.lab.bench import Settings, TakeoverBench
from failover.lab.bench_result import SCHEMA, TakeoverRun, seconds
from failover.lab.lab import Lab
from failover.lab.trouble import Variant


@dataclass(frozen=True, slots=True)
class IsolationRun:
    variant: Variant
    takeover: TakeoverRun

    @property
    def margin_s(self) -> float | None:
        """From the last acknowledgement in the old site to the first in the new one.

        None where one of them never was. Below zero: two sites acknowledged at once.
        """
        last_s, first_s = self.takeover.last_ack_old_site_s, self.takeover.first_ack_new_site_s
        return None if last_s is None or first_s is None else round(first_s - last_s, 3)

    @property
    def violations(self) -> tuple[str, ...]:
        """What must never be; empty where all is well."""
        run = self.takeover
        found = list(run.problems)
        if run.acked_by_both:
            found.append(f"{run.acked_by_both} acknowledged by {run.lost_site} too late")
        if run.synchronous and run.lost:
            found.append(f"{run.lost} acknowledged in {run.protection} and lost")
        if run.first_ack_new_site_s is None:
            found.append(f"{run.new_site} never acknowledged")
        if self.margin_s is None or self.margin_s <= 0:
            found.append(f"margin {seconds(self.margin_s)}")
        return tuple(found)


def isolation_runs(
    lab: Lab, settings: Settings, variants: Sequence[Variant], tell: Callable[[str], None]
) -> Iterator[IsolationRun]:
    """``settings.runs`` of each variant, in turn. NotWhole when the lab does not get ready."""
    for variant in variants:

        def say(words: str, variant: Variant = variant) -> None:
            tell(f"{variant}: {words}")

        bench = TakeoverBench(lab, replace(settings, variant=variant), say)
        for run in bench.runs():
            yield IsolationRun(variant, run)


def passed(runs: Sequence[IsolationRun]) -> bool:
    return bool(runs) and not any(run.violations for run in runs)


def as_json(runs: Sequence[IsolationRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "runs": [_row(run) for run in runs],
        "variants": [asdict(one) for one in tallies(runs)],
        "passed": passed(runs),
    }


def _row(run: IsolationRun) -> dict[str, Any]:
    row = asdict(run.takeover)
    if run.variant is Variant.LOCAL_ZOOKEEPER_IDLE:
        row["outage_s"] = None  # the customers paused on purpose
    return {
        "variant": run.variant.value,
        "margin_s": run.margin_s,
        "violations": run.violations,
        **row,
    }


@dataclass(frozen=True, slots=True)
class Tally:
    """All runs of one variant."""

    variant: Variant
    runs: int
    violating: int
    acked_by_both: int
    lost: int
    lease_end_s_worst: float | None
    last_ack_old_site_s_worst: float | None
    margin_s_least: float | None
    margin_s_median: float | None


def tallies(runs: Sequence[IsolationRun]) -> tuple[Tally, ...]:
    variants = [one for one in Variant if any(run.variant is one for run in runs)]
    return tuple(_tally(one, [run for run in runs if run.variant is one]) for one in variants)


def _tally(variant: Variant, runs: Sequence[IsolationRun]) -> Tally:
    margins = [run.margin_s for run in runs if run.margin_s is not None]
    return Tally(
        variant=variant,
        runs=len(runs),
        violating=sum(bool(run.violations) for run in runs),
        acked_by_both=sum(run.takeover.acked_by_both for run in runs),
        lost=sum(run.takeover.lost for run in runs),
        lease_end_s_worst=_worst(run.takeover.lease_end_s for run in runs),
        last_ack_old_site_s_worst=_worst(run.takeover.last_ack_old_site_s for run in runs),
        margin_s_least=min(margins, default=None),
        margin_s_median=round(median(margins), 3) if margins else None,
    )


def _worst(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def run_line(run: IsolationRun) -> str:
    """One run in one line."""
    one = run.takeover
    parts = [
        f"{run.variant} {one.run}: {one.lost_site} isolated",
        f"last ack there {seconds(one.last_ack_old_site_s)}",
        f"lease end {seconds(one.lease_end_s)}",
        f"first ack in {one.new_site} {seconds(one.first_ack_new_site_s)}",
        f"margin {seconds(run.margin_s)}",
        f"acked by both {one.acked_by_both}",
        f"acked {one.acked}",
        f"lost {one.lost}",
        f"back after {seconds(one.reinstated_s)}",
    ]
    return ", ".join(parts) + "".join(f"\n    VIOLATION: {line}" for line in run.violations)


def tally_lines(runs: Sequence[IsolationRun]) -> list[str]:
    """One line per variant."""
    return [
        f"{one.variant}: {one.runs - one.violating} of {one.runs} runs right, acknowledged by both "
        f"{one.acked_by_both}, lost {one.lost}, last ack in the old site at most "
        f"{seconds(one.last_ack_old_site_s_worst)}, lease end at most "
        f"{seconds(one.lease_end_s_worst)}, margin at least {seconds(one.margin_s_least)}"
        for one in tallies(runs)
    ]
