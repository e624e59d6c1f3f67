"""What one run of `failover bench chaos` found, the table of all, and what must never be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from failover.lab.bench_result import SCHEMA, seconds
from failover.model import SiteName


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be tried. Equal cases are tried once."""

    protection: str
    number: int
    fault: str
    then: str = ""  # a second fault on top of it


@dataclass(frozen=True, slots=True)
class ChaosRun:
    """One fault or two, and what came of it. Seconds; None where the thing was not seen."""

    case: Case
    seed: int
    commit: str
    began_unix_s: float
    pause_s_max: float | None  # that writes may be without; None: the fault need not be harmless
    netem: bool
    active_before: SiteName
    active_after: SiteName
    lasted_s: float  # until it was healed
    recovered_s: float | None  # from the heal until the group was whole
    pause_s: float | None  # without an acknowledgement at the site that was active
    acked: int
    indeterminate: int
    acked_by_both: int  # at the site that was active, after the other one had begun
    acked_around_another: int  # on a session older than another server's acknowledgement
    lost: int
    silently_lost: int  # in no receipt
    degraded: bool  # a site was given up that was not in sync, and that was on record
    takeovers: int  # and switchovers, on record
    epochs: int
    second_after_s: float | None = None  # the second fault, after the first one
    took_s: float | None = None  # everything around it included
    findings: tuple[str, ...] = ()  # ways out of the country that stand open
    problems: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        return self.active_before != self.active_after

    @property
    def violations(self) -> tuple[str, ...]:
        """What must never be; empty where all is well."""
        return (*self._safety(), *self._harm(), *self.findings, *self.problems)

    def _safety(self) -> Iterable[str]:
        if self.acked_by_both:
            yield f"I1: {self.acked_by_both} acknowledged by two sites"
        if self.acked_around_another:
            yield f"I1: {self.acked_around_another} acknowledged while another server did"
        if self.epochs != self.takeovers:
            yield f"I2: {self.epochs} epochs and {self.takeovers} takeovers on record"
        if self.silently_lost:
            yield f"I3: {self.silently_lost} of {self.lost} lost are in no receipt"
        if self.lost and self.case.protection != "max-performance" and not self.degraded:
            yield f"I3: {self.lost} lost in sync"

    def _harm(self) -> Iterable[str]:
        if self.recovered_s is None:
            yield "the group did not become whole by itself"
        limit_s = self.pause_s_max
        if limit_s is None:
            return
        if self.moved:
            yield "I8: the active site changed"
        if self.pause_s is None or self.pause_s > limit_s:
            yield f"I8: writes paused for {seconds(self.pause_s)} (limit {limit_s:g} s)"


@dataclass(frozen=True, slots=True)
class Tally:
    """All runs of one fault in one mode."""

    protection: str
    fault: str
    runs: int
    moved: int
    violating: int
    lost: int
    pause_s_worst: float | None
    recovered_s_worst: float | None


def tallies(runs: Sequence[ChaosRun]) -> tuple[Tally, ...]:
    """By fault, those of one mode after the other."""
    keys = dict.fromkeys((run.case.protection, _name(run.case)) for run in runs)
    return tuple(
        _tally(protection, fault, [r for r in runs if _key(r) == (protection, fault)])
        for protection, fault in keys
    )


def _key(run: ChaosRun) -> tuple[str, str]:
    return run.case.protection, _name(run.case)


def _name(case: Case) -> str:
    return "two faults at once" if case.then else case.fault


def _tally(protection: str, fault: str, runs: Sequence[ChaosRun]) -> Tally:
    return Tally(
        protection=protection,
        fault=fault,
        runs=len(runs),
        moved=sum(run.moved for run in runs),
        violating=sum(bool(run.violations) for run in runs),
        lost=sum(run.lost for run in runs),
        pause_s_worst=_worst([run.pause_s for run in runs]),
        recovered_s_worst=_worst([run.recovered_s for run in runs]),
    )


def _worst(figures: Sequence[float | None]) -> float | None:
    """None where one was not seen."""
    known = [figure for figure in figures if figure is not None]
    return max(known) if len(known) == len(figures) and known else None


def passed(runs: Sequence[ChaosRun]) -> bool:
    return bool(runs) and not any(run.violations for run in runs)


def run_line(run: ChaosRun) -> str:
    """One run in one line."""
    then = f", then {run.case.then}" if run.case.then else ""
    parts = [
        f"{run.case.protection} {run.case.number}: {run.case.fault}{then}",
        f"for {run.lasted_s:.1f} s",
        f"{run.active_before} to {run.active_after}" if run.moved else f"{run.active_after} stays",
        f"pause {seconds(run.pause_s)}",
        f"acked {run.acked}",
        f"lost {run.lost}, of these in no receipt {run.silently_lost}",
        f"by both {run.acked_by_both}",
        f"whole after {seconds(run.recovered_s)}",
    ]
    return ", ".join(parts) + "".join(f"\n    VIOLATION: {line}" for line in run.violations)


def table_lines(runs: Sequence[ChaosRun]) -> list[str]:
    """The table of docs/reliability.md."""
    lines = [
        "| mode | fault | runs | violations | active site moved | lost, all in receipts | longest "
        "pause | longest until whole |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.protection} | {t.fault} | {t.runs} | {t.violating} | {t.moved} | {t.lost} | "
        f"{seconds(t.pause_s_worst)} | {seconds(t.recovered_s_worst)} |"
        for t in tallies(runs)
    ]
    bad = sum(bool(run.violations) for run in runs)
    took = [run.took_s for run in runs if run.took_s is not None]
    mean = f" A run took {sum(took) / len(took):.0f} s in the mean." if took else ""
    return [*lines, "", f"{len(runs)} runs, {bad} with a violation.{mean}"]


def as_json(runs: Sequence[ChaosRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "runs": [asdict(run) | {"violations": run.violations} for run in runs],
        "tallies": [asdict(one) for one in tallies(runs)],
        "passed": passed(runs),
    }


_RUN: TypeAdapter[ChaosRun] = TypeAdapter(ChaosRun)


def decoded(line: str) -> ChaosRun:
    """A line of the file of results. ValueError when it is not a run."""
    return _RUN.validate_json(line)
