"""What one run of `failover bench barrier` found, their table, and what must never be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from failover.lab.bench_result import SCHEMA, seconds
from failover.model import HostName, SiteName


class Fault(StrEnum):
    """What happens to the primary's host: what Patroni cannot answer for."""

    PATRONI_KILLED = "patroni-killed"
    PATRONI_STOPPED = "patroni-stopped"
    HOST_FROZEN = "host-frozen"  # for 30 s, and thawed
    GUARD_FROZEN = "guard-frozen"  # the same, and on the thawed host both its processes stay so


@dataclass(frozen=True, slots=True)
class Case:
    protection: str
    fault: Fault
    number: int


@dataclass(frozen=True, slots=True)
class BarrierRun:
    """One loss of a lease. Seconds after the fault; None where the thing was not seen."""

    case: Case
    host: HostName
    site: SiteName
    active_after: SiteName
    barrier: bool  # the guard of that host said that the kernel holds acknowledgements to the lease
    sessions: int  # that wrote to the host and were open at the fault
    lease_end_s: float | None
    last_ack_s: float | None  # by that host
    acked_late: int  # by that host, after the lease's end
    answers_held_back: int  # packets of that host that the kernel did not let out
    acked: int
    lost: int
    problems: tuple[str, ...] = ()

    @property
    def margin_s(self) -> float | None:
        """From the last acknowledgement to the lease's end. Below zero: too late."""
        if self.lease_end_s is None or self.last_ack_s is None:
            return None
        return round(self.lease_end_s - self.last_ack_s, 3)

    @property
    def violations(self) -> tuple[str, ...]:
        """What must never be; empty where all is well."""
        found = list(self.problems)
        if self.lease_end_s is None:
            found.append("the lease never ended")
        if self.last_ack_s is None:
            found.append("the host acknowledged nothing at all")
        if self.acked_late:
            found.append(f"I1: {self.acked_late} acknowledged after the lease's end")
        if self.lost and self.case.protection != "max-performance":
            found.append(f"I3: {self.lost} acknowledged in {self.case.protection} and lost")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Tally:
    """All runs of one fault in one mode."""

    protection: str
    fault: Fault
    runs: int
    violating: int
    acked_late: int
    lost: int
    lease_end_s_worst: float | None
    margin_s_least: float | None


def tallies(runs: Sequence[BarrierRun]) -> tuple[Tally, ...]:
    keys = dict.fromkeys((run.case.protection, run.case.fault) for run in runs)
    return tuple(
        _tally(mode, fault, [r for r in runs if (r.case.protection, r.case.fault) == (mode, fault)])
        for mode, fault in keys
    )


def _tally(protection: str, fault: Fault, runs: Sequence[BarrierRun]) -> Tally:
    ends = [run.lease_end_s for run in runs if run.lease_end_s is not None]
    margins = [run.margin_s for run in runs if run.margin_s is not None]
    return Tally(
        protection=protection,
        fault=fault,
        runs=len(runs),
        violating=sum(bool(run.violations) for run in runs),
        acked_late=sum(run.acked_late for run in runs),
        lost=sum(run.lost for run in runs),
        lease_end_s_worst=max(ends, default=None),
        margin_s_least=min(margins, default=None),
    )


def passed(runs: Sequence[BarrierRun]) -> bool:
    return bool(runs) and not any(run.violations for run in runs)


def run_line(run: BarrierRun) -> str:
    """One run in one line."""
    case = run.case
    parts = [
        f"{case.protection} {case.fault} {case.number}: {run.host}",
        f"{run.sessions} sessions",
        f"lease end {seconds(run.lease_end_s)}",
        f"last ack {seconds(run.last_ack_s)}",
        f"margin {seconds(run.margin_s)}",
        f"late {run.acked_late}",
        f"held back {run.answers_held_back}{'' if run.barrier else ' (no barrier)'}",
        f"acked {run.acked}",
        f"lost {run.lost}",
        f"{run.active_after} active",
    ]
    return ", ".join(parts) + "".join(f"\n    VIOLATION: {line}" for line in run.violations)


def table_lines(runs: Sequence[BarrierRun]) -> list[str]:
    """The table of docs/reliability.md."""
    lines = [
        "| mode | fault | runs | violations | acknowledged late | lost | latest lease end "
        "| least margin |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {t.protection} | {t.fault} | {t.runs} | {t.violating} | {t.acked_late} | {t.lost} | "
        f"{seconds(t.lease_end_s_worst)} | {seconds(t.margin_s_least)} |"
        for t in tallies(runs)
    ]
    bad = sum(bool(run.violations) for run in runs)
    return [*lines, "", f"{len(runs)} runs, {bad} with a violation."]


def as_json(runs: Sequence[BarrierRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "runs": [asdict(r) | {"margin_s": r.margin_s, "violations": r.violations} for r in runs],
        "tallies": [asdict(one) for one in tallies(runs)],
        "passed": passed(runs),
    }


_RUN: TypeAdapter[BarrierRun] = TypeAdapter(BarrierRun)


def decoded(line: str) -> BarrierRun:
    """A line of the file of results. ValueError when it is not a run."""
    return _RUN.validate_json(line)
