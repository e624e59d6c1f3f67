"""What a controller logs: one line per event, never one per tick. How it is written: ``logs``.

Inaction is told as carefully as action: verdict and decision are logged whenever they change,
with the gates that block. What must outlive this process is in ``history/`` instead; every entry
of it, under its own name, and the head of that chain are logged at every site, so that three logs
know a history that was written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

import structlog

from failover.controller import TickResult
from failover.executor import CommandStarted, Execution, NotNow
from failover.history import NO_HEAD, HeadSeen
from failover.history_check import Stored
from failover.history_events import LEVEL, Level, severity_of
from failover.planning.plan import Gate, Hold, Plan
from failover.residency.findings import CutSeen, Finding
from failover.znode import Committed, Conflict, OutcomeUnknown

LOGGED_AT = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


@dataclass(frozen=True, slots=True)
class _Said:
    """What was last logged. Evidence changes with every tick and is no reason to repeat it."""

    verdict: str = ""
    decision: str = ""
    blocking: tuple[str, ...] = ()
    leading: bool = False
    store_problem: bool = False
    site_taken: bool = False
    history_head: HeadSeen = NO_HEAD


class EventLog:
    """Logs what is new in a tick's result."""

    def __init__(self, **context: str) -> None:
        self._log = structlog.get_logger().bind(**context)
        self._said = _Said()
        self._newest: str | None = (
            None  # entry of the history that was logged; None: none looked at
        )

    def history_read(self, entries: Iterable[Stored]) -> None:
        """Every entry that is new since the last look, whoever wrote it. ``entries``: by age.

        Those that are there when this process starts are in the logs of those that ran then.
        """
        known, before = tuple(entries), self._newest
        self._newest = max((stored.name for stored in known), default=before or "")
        if before is not None:
            for stored in known:
                if stored.name > before:
                    self._entry(stored)

    def report(self, result: TickResult) -> None:
        """One tick. Silent when nothing changed."""
        before = self._said
        now = self._said = _said(result, before)
        if now.verdict != before.verdict:
            self._verdict(result)
        if (now.decision, now.blocking) != (before.decision, before.blocking):
            self._decision(result)
        if now.leading != before.leading:
            self._log.info("leadership", leading=now.leading, leader=result.leader)
        if now.store_problem != before.store_problem:
            self._log.warning("zookeeper", problem=result.view.store_problem or "answers again")
        if now.history_head != before.history_head:
            self._history_head(now.history_head)
        if now.site_taken and not before.site_taken:
            self._log.error("site_taken_by_another")
        if result.execution is not None and isinstance(result.decision, Plan):
            self._executed(result.decision, result.execution)
        self._residency(result)
        if result.command_ended is not None:
            ended = result.command_ended
            self._log.info(
                "command_ended",
                command=ended.command,
                exit_code=ended.exit_code,
                output=ended.output,
            )

    def failed(self, error: Exception) -> None:
        """A tick ended with a bug. Nothing was decided by it."""
        self._log.error("tick_failed", error=repr(error), exc_info=error)

    def _entry(self, stored: Stored) -> None:
        entry = stored.entry
        if entry is None:
            self._log.error("entry_not_understood", entry=stored.name, problem=stored.problem)
            return
        self._log.log(
            LOGGED_AT[LEVEL[severity_of(entry)]],
            entry.event,
            number=entry.number,
            epoch=int(entry.epoch),
            summary=entry.summary,
            by=entry.by,
            written_unix_s=entry.at_unix_s,
        )

    def _verdict(self, result: TickResult) -> None:
        verdict = result.verdict
        log = self._log.warning if verdict.page else self._log.info
        log(
            "verdict",
            code=verdict.code,
            sentence=verdict.sentence,
            evidence=list(verdict.evidence),
            page=verdict.page,
        )

    def _decision(self, result: TickResult) -> None:
        decision = result.decision
        if isinstance(decision, Plan):
            acts = "this controller" if result.leading else f"leader {result.leader}"
            self._log.info("plan", step=decision.step, sentence=decision.sentence, acts=acts)
            return
        self._log.info(
            "hold",
            wanted=decision.wanted,
            sentence=decision.sentence,
            blocking={_gate_name(gate): gate.evidence for gate in decision.blocking},
        )
        for problem in result.problems:
            self._log.error("plan_refused", check=problem.check, why=problem.detail)

    def _residency(self, result: TickResult) -> None:
        changes = result.residency_recorded
        for finding in changes.found:
            self._log.error("way_out_found", **_of(finding), detail=finding.detail)
        for cut in changes.cut:
            self._log.error(
                "way_out_cut", **_of(cut), sessions=cut.sessions, slots=cut.slots, detail=cut.detail
            )
        for finding in changes.gone:
            self._log.info("way_out_gone", **_of(finding))
        for gap in changes.gaps:
            self._log.warning("host_not_looked_at", host=gap.host, why=gap.why)
        for host in changes.gaps_over:
            self._log.info("host_looked_at_again", host=host)

    def _history_head(self, seen: HeadSeen) -> None:
        if seen.head is not None:
            self._log.info("history_head", number=seen.head.number, sha256=seen.head.sha256)
        else:
            self._log.warning("history_head", problem=seen.problem or "it is gone")

    def _executed(self, plan: Plan, execution: Execution) -> None:
        match execution:
            case Committed():
                self._log.warning("committed", step=plan.step, sentence=plan.sentence)
            case Conflict(index, op, reason):
                self._log.info(
                    "conflict",
                    step=plan.step,
                    operation=index,
                    kind=type(op).__name__,
                    path=op.path,
                    why=reason,
                )
            case OutcomeUnknown(reason):
                self._log.warning("outcome_unknown", step=plan.step, why=reason)
            case CommandStarted(command):
                self._log.warning("command_started", step=plan.step, command=command)
            case NotNow(reason):
                self._log.info("not_now", step=plan.step, why=reason)
            case _:
                assert_never(execution)


def _said(result: TickResult, before: _Said) -> _Said:
    decision = result.decision
    unread = bool(result.view.store_problem)
    if isinstance(decision, Hold):
        kind = f"hold {decision.wanted or 'nothing to do'}"
        blocking = tuple(_gate_name(gate) for gate in decision.blocking)
    else:
        kind, blocking = f"plan {decision.step} {decision.sentence}", ()
    return _Said(
        verdict=result.verdict.code,
        decision=kind,
        blocking=blocking,
        leading=result.leading,
        store_problem=unread,
        site_taken=result.site_taken_by_another,
        history_head=before.history_head if unread else result.view.history_head,
    )


def _of(found: Finding | CutSeen) -> dict[str, str]:
    return {"way": found.way, "host": found.host, "subject": found.subject}


def _gate_name(gate: Gate) -> str:
    return f"{gate.cluster}/{gate.name}" if gate.cluster else gate.name
