"""What one bench run measured, the summary of many, and the limits they are held against.

Pure: values in, values and text out. Limits are those of issue 1 ("Must show", line 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from failover.lab.bench_receipt import EstimatedLoss, ReceiptRun
from failover.model import ProtectionMode, SiteName
from failover.planning.what_if import Foresight, Outcome

SCHEMA = 1

OUTAGE_OVER_LEASE_MEDIAN_S = 0.5
OUTAGE_OVER_LEASE_WORST_S = 1.5
OVERHEAD_MEDIAN_S = 0.4
OVERHEAD_WORST_S = 1.0
PREDICTION_OFF_MOST = 0.2  # of the outage that came


@dataclass(frozen=True, slots=True)
class LostTransaction:
    """Acknowledged and not there any more. The time is relative to the fault (negative: before)."""

    id: str
    kind: str
    acked_after_fault_s: float


@dataclass(frozen=True, slots=True)
class TakeoverRun:
    """One site lost, the other takes over. Seconds; None where the thing never happened."""

    run: int
    lost_site: SiteName
    new_site: SiteName
    zookeeper_leader_site: SiteName | None
    netem: bool
    lease_s: float
    outage_s: float | None  # without an acknowledgement, clients of the new site's HAProxy
    lease_end_s: float | None  # after the fault, the writer claim was gone
    overhead_s: float | None  # from there to the first acknowledgement by the new site
    transaction_s: float | None  # of that, until the takeover's transaction was seen
    permit_s: float | None  # … until a host of the new site had its permit
    last_ack_old_site_s: float | None  # after the fault, to a client inside the lost site
    acked: int
    lost: int
    indeterminate: int
    acked_by_both: int
    reinstated_s: float | None  # from the heal until the lost site streamed again
    epoch: int | None  # the one that the takeover began
    fault_s: float  # boot time
    first_ack_new_site_s: float | None = None  # after the fault, to any client
    lost_transactions: tuple[LostTransaction, ...] = ()
    problems: tuple[str, ...] = ()  # money, duplicates, a site that did not come back …
    predicted_decision: str | None = None  # `explain --what-if` right before; None: not asked
    predicted_outage_s: float | None = None
    predicted_loss_bytes: int | None = None  # at most
    protection: str = ""  # the group's mode
    estimated_loss: EstimatedLoss = field(
        default_factory=EstimatedLoss
    )  # as the takeover has put it on record
    receipt: ReceiptRun = field(default_factory=ReceiptRun)
    after: str = ""  # what went before the loss (``circumstance``)

    @property
    def lost_out_of_time(self) -> tuple[LostTransaction, ...]:
        """Lost, and acknowledged before what the standby was behind, or after the lease.

        Where no estimate is on record every loss is one that nobody was told of.
        """
        behind_s, until_s = self.estimated_loss.behind_s, self.lease_end_s
        if behind_s is None or until_s is None:
            return self.lost_transactions
        behind_s += self.estimated_loss.unseen_s or 0.0
        return tuple(
            one
            for one in self.lost_transactions
            if not -behind_s <= one.acked_after_fault_s <= until_s
        )

    @property
    def prediction_held(self) -> bool | None:
        """The same decision, and seconds within 20 %. None: nothing was predicted."""
        if self.predicted_decision is None:
            return None
        if self.predicted_outage_s is None or self.outage_s is None:
            return self.predicted_outage_s is self.outage_s
        off_s = abs(self.predicted_outage_s - self.outage_s)
        same = self.predicted_decision == Outcome.TAKEOVER
        return same and off_s <= PREDICTION_OFF_MOST * self.outage_s

    @property
    def succeeded(self) -> bool:
        """The new site took over, never two at a time, the books are right, the receipt agrees,
        and in a synchronous mode nothing was lost (every run begins in sync); in the other one
        nothing but what was said."""
        taken_over = self.outage_s is not None and self.acked_by_both == 0
        kept = not (self.lost if self.synchronous else self.lost_out_of_time)
        return taken_over and kept and not self.problems and self.receipt.agrees

    @property
    def synchronous(self) -> bool:
        return self.protection in [mode.value for mode in ProtectionMode if mode.synchronous]


def with_prediction(run: TakeoverRun, foreseen: Foresight | None) -> TakeoverRun:
    if foreseen is None:
        return run
    return replace(
        run,
        predicted_decision=foreseen.outcome.value,
        predicted_outage_s=rounded(foreseen.outage_s),
        predicted_loss_bytes=foreseen.loss_bytes,
    )


def since(at_s: float | None, from_s: float | None) -> float | None:
    return None if at_s is None or from_s is None else rounded(at_s - from_s)


def rounded(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s, 3)


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and worst of what was measured; None where nothing was."""

    median: float | None
    worst: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread:
        """Of the values that are there. One that is missing makes the worst unknown."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(None, None)
        worst = max(known) if len(known) == len(values) else None
        return cls(round(median(known), 3), None if worst is None else round(worst, 3))

    def within(self, median_most: float, worst_most: float) -> bool:
        if self.median is None or self.worst is None:
            return False
        return self.median <= median_most and self.worst <= worst_most


@dataclass(frozen=True, slots=True)
class Summary:
    runs: int
    succeeded: int
    lease_s: float
    outage_s: Spread
    lease_end_s: Spread
    overhead_s: Spread
    acked: int
    lost: int
    indeterminate: int
    acked_by_both: int
    outage_within_limits: bool
    overhead_within_limits: bool
    receipts_agree: int
    predicted: int  # runs before which it was asked what would happen
    predictions_held: int
    after: str  # what went before the losses; the limits of time are those of a loss alone

    @property
    def passed(self) -> bool:
        in_time = self.outage_within_limits and self.overhead_within_limits
        return self.runs > 0 and self.succeeded == self.runs and (in_time or bool(self.after))


def summarise(runs: Sequence[TakeoverRun]) -> Summary:
    """The figures over all runs. All of them had the same lease."""
    lease_s = runs[0].lease_s if runs else 0.0
    outage = Spread.of([run.outage_s for run in runs])
    overhead = Spread.of([run.overhead_s for run in runs])
    return Summary(
        runs=len(runs),
        succeeded=sum(run.succeeded for run in runs),
        lease_s=lease_s,
        outage_s=outage,
        lease_end_s=Spread.of([run.lease_end_s for run in runs]),
        overhead_s=overhead,
        acked=sum(run.acked for run in runs),
        lost=sum(run.lost for run in runs),
        indeterminate=sum(run.indeterminate for run in runs),
        acked_by_both=sum(run.acked_by_both for run in runs),
        outage_within_limits=outage.within(
            lease_s + OUTAGE_OVER_LEASE_MEDIAN_S, lease_s + OUTAGE_OVER_LEASE_WORST_S
        ),
        overhead_within_limits=overhead.within(OVERHEAD_MEDIAN_S, OVERHEAD_WORST_S),
        receipts_agree=sum(run.receipt.agrees for run in runs),
        predicted=sum(run.prediction_held is not None for run in runs),
        predictions_held=sum(run.prediction_held is True for run in runs),
        after=runs[0].after if runs else "",
    )


def as_json(runs: Sequence[TakeoverRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    summary = summarise(runs)
    return {
        "schema": SCHEMA,
        "runs": [asdict(run) | _concluded(run) for run in runs],
        "summary": asdict(summary) | {"passed": summary.passed},
    }


def _concluded(run: TakeoverRun) -> dict[str, Any]:
    return {
        "succeeded": run.succeeded,
        "prediction_held": run.prediction_held,
        "lost_out_of_time": [asdict(one) for one in run.lost_out_of_time],
    }


def seconds(value: float | None) -> str:
    """``6.312 s``, or a dash."""
    return "–" if value is None else f"{value:.3f} s"


def run_line(run: TakeoverRun) -> str:
    """One run in one line."""
    parts = [
        f"run {run.run}: {run.lost_site} lost",
        f"outage {seconds(run.outage_s)}",
        f"lease end {seconds(run.lease_end_s)}",
        f"overhead {seconds(run.overhead_s)} (transaction {seconds(run.transaction_s)}, "
        f"permit {seconds(run.permit_s)})",
        f"last ack in {run.lost_site} {seconds(run.last_ack_old_site_s)}",
        f"acked {run.acked}",
        f"lost {run.lost}",
        f"acked by both {run.acked_by_both}",
        f"ZooKeeper leader {run.zookeeper_leader_site or 'unknown'}",
        f"back after {seconds(run.reinstated_s)}",
        "netem" if run.netem else "no netem",
    ]
    if run.predicted_decision is not None:
        held = "held" if run.prediction_held else "NOT HELD"
        foreseen = f"{run.predicted_decision}, outage {seconds(run.predicted_outage_s)}"
        parts.append(f"predicted {foreseen} ({held})")
    parts.append(_loss_text(run))
    return ", ".join(parts) + "".join(f"\n    problem: {problem}" for problem in run.problems)


def _loss_text(run: TakeoverRun) -> str:
    """What was thought to be lost, and what the receipt says."""
    estimate, receipt = run.estimated_loss, run.receipt
    behind = "–" if estimate.behind_bytes is None else f"{estimate.behind_bytes}"
    isolation = "–" if estimate.isolation_bytes is None else f"{estimate.isolation_bytes}"
    said = f"{receipt.transactions} transactions of the shop, {receipt.bytes} bytes"
    behind += "" if estimate.behind_s is None else f" bytes / {estimate.behind_s:.1f} s"
    return (
        f"estimated behind {behind} and at most {isolation} bytes while isolated; receipt: {said} "
        f"({'agrees' if receipt.agrees else 'DOES NOT AGREE'})"
        + "".join(
            f"\n    lost out of time: {one.id}, acknowledged {one.acked_after_fault_s:+.2f} s"
            for one in run.lost_out_of_time[:5]
        )
        + "".join(f"\n    receipt: {problem}" for problem in receipt.problems[:5])
    )


def summary_lines(summary: Summary) -> list[str]:
    """The summary for a human; what is outside its limit says so."""
    outage_limits = (
        f"(limits {summary.lease_s + OUTAGE_OVER_LEASE_MEDIAN_S:g} s and "
        f"{summary.lease_s + OUTAGE_OVER_LEASE_WORST_S:g} s: "
        f"{'kept' if summary.outage_within_limits else 'NOT KEPT'})"
    )
    overhead_limits = (
        f"(limits {OVERHEAD_MEDIAN_S:g} s and {OVERHEAD_WORST_S:g} s: "
        f"{'kept' if summary.overhead_within_limits else 'NOT KEPT'})"
    )
    return [
        f"{summary.succeeded} of {summary.runs} runs succeeded, lease {summary.lease_s:g} s",
        _spread_line("outage", summary.outage_s) + f" {outage_limits}",
        _spread_line("lease end", summary.lease_end_s),
        _spread_line("overhead", summary.overhead_s) + f" {overhead_limits}",
        f"acknowledged {summary.acked}, lost {summary.lost}, "
        f"indeterminate {summary.indeterminate}, acknowledged by both {summary.acked_by_both}",
        f"receipts: {summary.receipts_agree} of {summary.runs} agree with what customers were told",
        f"predictions: {summary.predictions_held} of {summary.predicted} held (the same decision, "
        f"seconds within {PREDICTION_OFF_MOST:.0%})",
    ]


def _spread_line(name: str, spread: Spread) -> str:
    return f"{name}: median {seconds(spread.median)}, worst {seconds(spread.worst)}"
