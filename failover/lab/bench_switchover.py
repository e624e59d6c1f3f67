"""`failover bench switchover`: move the group there and back again and again, as a client sees it.

Each run is one `failover switchover`, given on the witness's controller as an operator would, while
customers of both sites write through their HAProxy. Between two runs the group gets whole again, so
the next run goes the other way. Limits are those of issue 2 ("Must show", line 1).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.bench import first_ack_at, last_ack_at
from failover.lab.bench_result import SCHEMA, Spread, rounded, seconds, since
from failover.lab.lab import Lab
from failover.lab.watch import clear_cooldown, wait_whole
from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.checker import acked_by_both, judge
from failover.lab.workload.control import Team, Workload
from failover.model import SiteKind, SiteName
from failover.rehearsal.judgement import PAUSE_S_MAX, STREAMS_AGAIN_S_MAX

WHOLE_LIMIT_S = 120.0
STEADY_S = 2.0
SERVED_LIMIT_S = 30.0
PHASE_JITTER_S = 1.0
CLIENTS, RATE = 4, 50.0

PAUSE_MEDIAN_S = 0.4


@dataclass(frozen=True, slots=True)
class SwitchoverRun:
    """One planned move. Seconds; None where the thing never happened."""

    run: int
    from_site: SiteName
    to_site: SiteName
    netem: bool
    outcome: str
    pause_s: float | None  # last acknowledgement by the old site to the first by the new one
    took_s: float | None  # from the freeze of the plan to the promotion, as on record
    streaming_s: float | None  # from the first acknowledgement until the old site streamed again
    acked: int
    lost: int
    indeterminate: int
    acked_by_both: int
    problems: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Moved, nothing lost, never two at a time, and the books are right."""
        right = self.outcome == "done" and self.pause_s is not None and not self.problems
        in_time = self.streaming_s is not None and self.streaming_s <= STREAMS_AGAIN_S_MAX
        return right and in_time and self.lost == 0 and self.acked_by_both == 0


class SwitchoverBench:
    """Runs one after the other on a lab that is up. ``tell`` is given a line per phase."""

    def __init__(self, lab: Lab, runs: int, seed: int | None, tell: Callable[[str], None]) -> None:
        self._lab = lab
        self._policy = lab.policy
        self._runs = runs
        self._tell = tell
        self._chance = random.Random(seed)
        self._name = f"switchover-{time.time_ns() // 1_000_000}"
        self._attempts: list[Attempt] = []
        self._lost: set[str] = set()

    def runs(self) -> Iterator[SwitchoverRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        for number in range(1, self._runs + 1):
            yield self._run(number)

    def _run(self, number: int) -> SwitchoverRun:
        self._tell("waiting until the group is whole")
        old = wait_whole(self._policy, WHOLE_LIMIT_S).state.active_site
        new = self._policy.other_data_site(old).name
        with open_store(self._policy) as store:
            clear_cooldown(store, self._policy, by="bench")
        workload = Workload(self._lab, f"{self._name}-{number:03d}")
        with self._customers(workload, old):
            self._tell(f"from {old} to {new}")
            asked_s = boottime_s()
            ended = self._move(new)
            problems = self._served(workload, new, asked_s)
            whole = wait_whole(self._policy, WHOLE_LIMIT_S)
            time.sleep(STEADY_S)  # a late acknowledgement by the old site would come now
        attempts = list(workload.attempts())
        self._attempts.extend(attempts)
        self._tell("comparing acknowledgements with the database")
        report = judge(self._attempts, workload.export(new))
        lost = {one.id for one in report.lost} - self._lost
        self._lost |= lost
        first_s = first_ack_at(attempts, new, asked_s)
        outcomes = [one.outcome for one in attempts]
        return SwitchoverRun(
            run=number,
            from_site=old,
            to_site=new,
            netem=self._lab.netem,
            outcome=str(ended.get("outcome")),
            pause_s=since(first_s, last_ack_at(attempts, old)),
            took_s=ended.get("took_s"),
            streaming_s=rounded(max(0.0, whole.since_s - first_s)) if first_s else None,
            acked=outcomes.count(Outcome.ACKED),
            lost=len(lost),
            indeterminate=outcomes.count(Outcome.INDETERMINATE),
            acked_by_both=len(acked_by_both(attempts, new_site=new, since_s=asked_s)),
            problems=(*ended.get("reasons", ()), *problems, *report.problems),
        )

    @contextmanager
    def _customers(self, workload: Workload, old: SiteName) -> Iterator[None]:
        teams = [Team(site.name, "proxy", CLIENTS, RATE) for site in self._policy.data_sites]
        try:
            workload.setup(old)
            for team in teams:
                workload.start(team)
            workload.wait_until_served(teams)
            time.sleep(STEADY_S + self._chance.uniform(0.0, PHASE_JITTER_S))
            yield
        finally:
            workload.stop()

    def _move(self, to_site: SiteName) -> dict[str, Any]:
        """The command's own document; what it said where it has none."""
        witness = next(s for s in self._policy.sites if s.kind is SiteKind.WITNESS)
        command = ["failover", "switchover", "--to", to_site, "--reason", "bench", "--yes"]
        ended = self._lab.exec(witness.controller.name, [*command, "-o", "json"])
        document = last_document(ended.out)
        return document or {"outcome": f"exit {ended.code}", "reasons": [ended.out.strip()]}

    def _served(self, workload: Workload, site: SiteName, since_s: float) -> tuple[str, ...]:
        give_up_s = boottime_s() + SERVED_LIMIT_S
        while boottime_s() < give_up_s:
            if first_ack_at(list(workload.attempts()), site, since_s) is not None:
                return ()
            time.sleep(0.1)
        return (f"{site} acknowledged nothing within {SERVED_LIMIT_S:g} s",)


def last_document(out: str) -> dict[str, Any] | None:
    """The command's own JSON document; a stand-in's log comes before it, an error after it."""
    start = out.rfind('{\n  "schema"')
    if start < 0:
        return None
    document: dict[str, Any] = json.JSONDecoder().raw_decode(out, start)[0]
    return document


# --------------------------------------------------------------------------- results


@dataclass(frozen=True, slots=True)
class Summary:
    runs: int
    succeeded: int
    pause_s: Spread
    streaming_s: Spread
    lost: int
    acked_by_both: int
    pause_within_limits: bool

    @property
    def passed(self) -> bool:
        return self.runs > 0 and self.succeeded == self.runs and self.pause_within_limits


def summarise(runs: Sequence[SwitchoverRun]) -> Summary:
    pause = Spread.of([run.pause_s for run in runs])
    return Summary(
        runs=len(runs),
        succeeded=sum(run.succeeded for run in runs),
        pause_s=pause,
        streaming_s=Spread.of([run.streaming_s for run in runs]),
        lost=sum(run.lost for run in runs),
        acked_by_both=sum(run.acked_by_both for run in runs),
        pause_within_limits=pause.within(PAUSE_MEDIAN_S, PAUSE_S_MAX),
    )


def as_json(runs: Sequence[SwitchoverRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    summary = summarise(runs)
    return {
        "schema": SCHEMA,
        "runs": [asdict(run) | {"succeeded": run.succeeded} for run in runs],
        "summary": asdict(summary) | {"passed": summary.passed},
    }


def run_line(run: SwitchoverRun) -> str:
    """One run in one line."""
    parts = [
        f"run {run.run}: {run.from_site} to {run.to_site}: {run.outcome}",
        f"pause {seconds(run.pause_s)}",
        f"freeze to promotion {seconds(run.took_s)}",
        f"streams again after {seconds(run.streaming_s)}",
        f"acked {run.acked}",
        f"lost {run.lost}",
        f"acked by both {run.acked_by_both}",
        "netem" if run.netem else "no netem",
    ]
    return ", ".join(parts) + "".join(f"\n    problem: {problem}" for problem in run.problems)


def summary_lines(summary: Summary) -> list[str]:
    """The summary for a human; what is outside its limit says so."""
    kept = "kept" if summary.pause_within_limits else "NOT KEPT"
    return [
        f"{summary.succeeded} of {summary.runs} runs succeeded",
        f"pause: median {seconds(summary.pause_s.median)}, worst {seconds(summary.pause_s.worst)} "
        f"(limits {PAUSE_MEDIAN_S:g} s and {PAUSE_S_MAX:g} s: {kept})",
        f"streams again: worst {seconds(summary.streaming_s.worst)}",
        f"lost {summary.lost}, acknowledged by both {summary.acked_by_both}",
    ]
