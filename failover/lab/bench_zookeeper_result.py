"""What one ZooKeeper fault did to a healthy primary, the summary of many, and the limits.

Pure. Limits are those of issue 1 ("Must show", line 3).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from failover.lab.bench_result import SCHEMA, seconds
from failover.model import HostName, SiteName

PAUSE_WORST_S = 1.0


class LeaderPlace(StrEnum):
    """Where the ensemble's leader is when the fault comes."""

    WITNESS = "witness"
    DRIFTED = "drifted"  # into a data site, one after the other


class ServerFault(StrEnum):
    BLACKHOLE = "blackhole"  # cut from everybody, its own site too
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be tried. Equal cases are tried once."""

    leader: LeaderPlace
    number: int
    fault: ServerFault
    server: HostName


@dataclass(frozen=True, slots=True)
class ZooKeeperRun:
    """One server lost for a while. Seconds; None where the thing was not seen."""

    leader: LeaderPlace
    number: int
    fault: ServerFault
    server: HostName
    server_site: SiteName
    zookeeper_leader_site_before: SiteName | None
    zookeeper_leader_site_after: SiteName | None  # while the server is still lost
    primary_attached_to: tuple[HostName, ...]  # before: per connection to ZooKeeper
    netem: bool
    lease_s: float
    epoch: int
    primary: HostName
    moved: bool
    demoted: bool
    killed_by_guard: bool
    pause_s: float | None  # the longest time without an acknowledgement, in the worse site
    pause_from_s: float | None  # after the fault
    acked: int
    recovered_s: float | None  # from the heal until all was whole
    problems: tuple[str, ...] = ()

    @property
    def case(self) -> Case:
        return Case(self.leader, self.number, self.fault, self.server)

    @property
    def hit_the_leader(self) -> bool:
        return self.server_site == self.zookeeper_leader_site_before

    @property
    def violations(self) -> tuple[str, ...]:
        """What must never be; empty where all is well. The problems say the details."""
        found = [
            word
            for word, is_so in (
                ("the active site changed", self.moved),
                ("a healthy primary was demoted", self.demoted),
                ("a healthy primary was killed by its guard", self.killed_by_guard),
            )
            if is_so
        ]
        if self.pause_s is None or self.pause_s > PAUSE_WORST_S:
            found.append(f"write pause {seconds(self.pause_s)}")
        return (*found, *self.problems)


@dataclass(frozen=True, slots=True)
class Tally:
    """All runs with the same fault of the same server."""

    leader: LeaderPlace
    fault: ServerFault
    server: HostName
    runs: int
    violating: int
    moved: int
    demoted: int
    killed_by_guard: int
    hit_the_leader: int
    pause_s_median: float | None
    pause_s_worst: float | None  # None where one was not seen


def tallies(runs: Sequence[ZooKeeperRun]) -> tuple[Tally, ...]:
    """In the order in which they were first tried."""
    keys = dict.fromkeys((run.leader, run.fault, run.server) for run in runs)
    return tuple(
        _tally([run for run in runs if (run.leader, run.fault, run.server) == key]) for key in keys
    )


def _tally(runs: Sequence[ZooKeeperRun]) -> Tally:
    first = runs[0]
    pauses = [run.pause_s for run in runs if run.pause_s is not None]
    return Tally(
        leader=first.leader,
        fault=first.fault,
        server=first.server,
        runs=len(runs),
        violating=sum(bool(run.violations) for run in runs),
        moved=sum(run.moved for run in runs),
        demoted=sum(run.demoted for run in runs),
        killed_by_guard=sum(run.killed_by_guard for run in runs),
        hit_the_leader=sum(run.hit_the_leader for run in runs),
        pause_s_median=round(median(pauses), 3) if pauses else None,
        pause_s_worst=max(pauses) if len(pauses) == len(runs) else None,
    )


def passed(runs: Sequence[ZooKeeperRun]) -> bool:
    return bool(runs) and not any(run.violations for run in runs)


def as_json(runs: Sequence[ZooKeeperRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    pauses = [run.pause_s for run in runs]
    known = [pause for pause in pauses if pause is not None]
    return {
        "schema": SCHEMA,
        "runs": [asdict(run) | {"violations": run.violations} for run in runs],
        "tallies": [asdict(one) for one in tallies(runs)],
        "summary": {
            "runs": len(runs),
            "violating": sum(bool(run.violations) for run in runs),
            "moved": sum(run.moved for run in runs),
            "demoted": sum(run.demoted for run in runs),
            "killed_by_guard": sum(run.killed_by_guard for run in runs),
            "pause_s_median": round(median(known), 3) if known else None,
            "pause_s_worst": max(known) if known and len(known) == len(pauses) else None,
            "passed": passed(runs),
        },
    }


def run_line(run: ZooKeeperRun) -> str:
    """One run in one line."""
    parts = [
        f"{run.leader} {run.number}: {run.server} {run.fault}",
        f"leader in {run.zookeeper_leader_site_before or 'nobody knows'}, then "
        f"{run.zookeeper_leader_site_after or 'nobody knows'}",
        f"pause {seconds(run.pause_s)}",
        f"{run.primary} attached to {' '.join(run.primary_attached_to) or 'nobody'}",
        f"acked {run.acked}",
        f"whole after {seconds(run.recovered_s)}",
        "netem" if run.netem else "no netem",
    ]
    return ", ".join(parts) + "".join(f"\n    VIOLATION: {line}" for line in run.violations)


def tally_lines(runs: Sequence[ZooKeeperRun]) -> list[str]:
    """One line per fault of a server, and one for all."""
    lines = [
        f"leader {one.leader}, {one.server} {one.fault}: {one.runs - one.violating} of {one.runs} "
        f"runs right (leader hit in {one.hit_the_leader}), demoted {one.demoted}, killed "
        f"{one.killed_by_guard}, pause median {seconds(one.pause_s_median)}, worst "
        f"{seconds(one.pause_s_worst)}"
        for one in tallies(runs)
    ]
    summary = as_json(runs)["summary"]
    lines.append(
        f"all: {summary['runs'] - summary['violating']} of {summary['runs']} runs right, demoted "
        f"{summary['demoted']}, killed {summary['killed_by_guard']}, pause worst "
        f"{seconds(summary['pause_s_worst'])} (limit {PAUSE_WORST_S:g} s)"
    )
    return lines


def still_to_do(cases: Iterable[Case], done: Iterable[ZooKeeperRun]) -> list[Case]:
    """The cases that are not on record yet, in order."""
    known = {run.case for run in done}
    return [case for case in cases if case not in known]


def decoded(line: str) -> ZooKeeperRun:
    """A line of the file of results. ValueError, TypeError or KeyError when it is not a run."""
    row = json.loads(line)
    return ZooKeeperRun(
        **{
            **row,
            "leader": LeaderPlace(row["leader"]),
            "fault": ServerFault(row["fault"]),
            "primary_attached_to": tuple(row["primary_attached_to"]),
            "problems": tuple(row["problems"]),
        }
    )
