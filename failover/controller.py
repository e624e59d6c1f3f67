"""The loop's one turn: gather, decide, commit, publish. No rules of its own.

Synchronous and without threads, clocks or sleeps: the service (controller_service.py) and the
simulation call the same ``tick``. Only the leader acts, and leadership is a convenience: every
step is conditional on what was read. Any turn may be the last one; the next, here or on another
controller, plans from scratch (I6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from failover.coordination.gather import Gatherer, Now
from failover.coordination.history import record
from failover.coordination.leadership import Election
from failover.coordination.presence import Presence
from failover.coordination.residency import record_residency
from failover.coordination.setting_desk import answer_settings
from failover.coordination.store import Store, StoreUnavailable
from failover.executor import CommandEnded, CommandRunner, CommandStarted, Execution, Executor
from failover.health.inputs import Glanced
from failover.health.observation import Round, SiteObservation, encode_observation
from failover.health.verdict import Verdict
from failover.health.view import View, build_view
from failover.history_events import HELD, PAGE, WHAT
from failover.holds import StandingHolds, held
from failover.model import SiteName
from failover.planning.decision import decide
from failover.planning.plan import Hold, Plan
from failover.planning.plan_checks import Problem
from failover.planning.turn import TICK_INTERVAL_S, next_turn_in_s
from failover.policy import Policy
from failover.residency.ledger import NOTHING_NEW, Changes
from failover.state import HistoryEntry
from failover.timing import lease_timing
from failover.znode import Committed, Conflict, GroupPaths

REST_S = 0.25
CONFLICT_PAUSE_S = 0.02  # doubled with each conflict in a row


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one turn saw, thought and did."""

    view: View
    verdict: Verdict
    decision: Plan | Hold
    problems: tuple[Problem, ...]  # why the plan checks refused the plan; empty: they did not
    leading: bool
    leader: SiteName | None
    execution: Execution | None
    command_ended: CommandEnded | None
    site_taken_by_another: bool  # a second controller publishes under our site's name
    look_again_in_s: float
    rest_s: float  # not again before, whatever wakes
    yields_s: float  # after whatever wakes: whoever acts on it has the processor first
    residency_recorded: Changes = NOTHING_NEW  # what was put on record of ways out of the country


class Controller:
    """One site's controller of one group."""

    def __init__(
        self,
        policy: Policy,
        site: SiteName,
        store: Store,
        *,
        commands: CommandRunner | None = None,
        boottime: Callable[[], float] | None = None,
    ) -> None:
        """``boottime``: asked again right before a step, because reading may have taken long."""
        session_s = lease_timing(policy.lease_s).controller_session_ms / 1000
        self._policy = policy
        self._site = site
        self._store = store
        self._paths = GroupPaths(policy.group)
        self._gatherer = Gatherer(policy, site)
        self._presence = Presence(self._paths.observer(site))
        self._election = Election(policy, site, self._presence, session_s)
        self._executor = Executor(policy, commands)
        self._boottime = boottime
        self._published: Round | None = None
        self._conflicts = 0
        self._would_have: set[tuple[int, str]] = set()
        self._holds = StandingHolds()

    @property
    def watched_paths(self) -> tuple[str, ...]:
        """A change of one of these is a reason for a tick at once."""
        return (*self._gatherer.watched_paths, self._election.lock_path)

    def tick(
        self,
        now_unix_s: float,
        boottime_s: float,
        local: Round | None,
        glances: tuple[Glanced, ...] = (),
    ) -> TickResult:
        """One turn. ``local``: the newest round of this site's own probes. ``glances``: what was
        asked once more for this turn alone."""
        now = Now(now_unix_s, boottime_s)
        active: SiteName | None = None
        fresh = local.when_fresh(boottime_s) if local is not None else None
        try:
            result = self._decide(now, fresh, glances)
            active = result.view.active_site
        finally:  # also after a bug in the middle: an observer goes on observing
            self._show_presence(boottime_s, local, active)
        return replace(
            result,
            leader=self._election.leader,
            site_taken_by_another=self._presence.taken_by_another,
        )

    # ------------------------------------------------------------------ deciding

    def _decide(
        self, now: Now, local: SiteObservation | None, glances: tuple[Glanced, ...]
    ) -> TickResult:
        ended = self._executor.command_ended(now.boottime_s)
        self._read_fresh_after_conflict()
        inputs = self._gatherer.gather(
            self._store,
            now,
            local=local,
            glances=glances,
            zookeeper_restarts_s_ago=self._executor.restarts_s_ago(now.boottime_s),
        )
        view = build_view(self._policy, inputs)
        decided = decide(view)
        decision = decided.next_step
        leading = self._leads_now(now)
        execution: Execution | None = None
        if leading and isinstance(decision, Plan):
            execution = self._act(decision, view, now)
        else:
            self._conflicts = 0
        if leading and isinstance(decision, Hold):
            self._record_what_would_have_been(decision, view)
        if leading and execution is None:
            answer_settings(self._store, self._policy, now_unix_s=now.unix_s)
        if leading:
            self._record_hold(decision, decided.verdict, view, now)
        else:
            self._holds = StandingHolds()
        recorded = self._record_residency(view) if leading and execution is None else NOTHING_NEW
        return TickResult(
            view=view,
            verdict=decided.verdict,
            decision=decision,
            problems=decided.problems,
            leading=leading,
            leader=None,
            execution=execution,
            command_ended=ended,
            site_taken_by_another=False,
            residency_recorded=recorded,
            look_again_in_s=self._look_again_in_s(decision, execution),
            rest_s=_rest_s(view, execution) if leading else 0.0,
            yields_s=0.0 if leading else REST_S,
        )

    def _act(self, plan: Plan, view: View, now: Now) -> Execution:
        execution = self._executor.execute(self._store, plan, now.boottime_s)
        self._conflicts = self._conflicts + 1 if isinstance(execution, Conflict) else 0
        if isinstance(execution, CommandStarted):
            self._record(view, plan.step, plan.sentence, {"command": execution.command})
        return execution

    def _read_fresh_after_conflict(self) -> None:
        """A refused transaction knew better than what was read: do not read the same again."""
        if self._conflicts == 0:
            return
        try:
            self._store.sync()
        except StoreUnavailable:
            return

    def _leads_now(self, now: Now) -> bool:
        boottime_s = self._boottime() if self._boottime is not None else now.boottime_s
        return self._election.leads(self._store, boottime_s)

    def _look_again_in_s(self, decision: Plan | Hold, execution: Execution | None) -> float:
        if isinstance(execution, Committed):
            return 0.0
        if isinstance(execution, Conflict):
            return min(TICK_INTERVAL_S, CONFLICT_PAUSE_S * 2.0 ** min(self._conflicts - 1, 8))
        return next_turn_in_s(decision)

    # ------------------------------------------------------------------ recording

    def _record_what_would_have_been(self, hold: Hold, view: View) -> None:
        """Automation that only observes says once per epoch what it would have done."""
        if hold.wanted is None or view.state is None or not hold.only_automation_blocks:
            return
        key = (int(view.state.epoch), hold.wanted)
        if key in self._would_have:
            return
        evidence = {gate.name: gate.evidence for gate in hold.gates}
        if self._record(view, f"would_have_{hold.wanted}", hold.sentence, evidence):
            self._would_have.add(key)

    def _record_hold(self, decision: Plan | Hold, verdict: Verdict, view: View, now: Now) -> None:
        what = held(decision, verdict)
        if not self._holds.due(what, now.boottime_s) or what is None or isinstance(decision, Plan):
            return
        facts = {WHAT: what, PAGE: str(verdict.page).lower()}
        evidence = {gate.name: gate.evidence for gate in decision.blocking}
        if self._record(view, HELD, decision.sentence, evidence | facts):
            self._holds.recorded(what, now.boottime_s)

    def _record_residency(self, view: View) -> Changes:
        """After the step, which matters more: the next turn is half a second away."""
        changes = view.residency.changes
        if view.state is None or not view.residency.to_be_recorded:
            return NOTHING_NEW
        done = record_residency(
            self._store,
            self._paths,
            view.residency,
            epoch=view.state.epoch,
            now_unix_s=view.now_unix_s,
            by=f"controller at {self._site}",
        )
        return changes if done else NOTHING_NEW

    def _record(self, view: View, event: str, summary: str, details: dict[str, str]) -> bool:
        if view.state is None:
            return False
        entry = HistoryEntry(
            at_unix_s=view.now_unix_s,
            epoch=view.state.epoch,
            event=event,
            summary=summary,
            by=f"controller at {self._site}",
            details=details,
        )
        try:
            return isinstance(record(self._store, self._paths, entry), Committed)
        except StoreUnavailable:
            return False

    # ------------------------------------------------------------------ presence

    def _show_presence(
        self, boottime_s: float, local: Round | None, active: SiteName | None
    ) -> None:
        sent_s = self._boottime() if self._boottime is not None else boottime_s
        fresh = local.when_fresh(sent_s) if local is not None else None
        if fresh is not None and local is not self._published:
            data = encode_observation(replace(fresh, told=self._gatherer.shown()))
            if self._presence.publish(self._store, data, sent_s):
                self._published = local
        self._election.turn(self._store, sent_s, active)


def _rest_s(view: View, execution: Execution | None) -> float:
    """Not right after a step, which wakes everybody: what carries it out, guards and Patroni, needs
    the processor then. A plan waits for proofs, an operator for an answer."""
    return REST_S if isinstance(execution, Committed) and view.waiting_request is None else 0.0
