"""Carries a rehearsal out: there, until the group is healthy, and back, until it is healthy again.

It asks for the same planned moves as ``failover switchover`` and adds no way of its own to move a
group. Invariant: whatever happens it ends with a report, says where the group is, and leaves no
plan of its own standing. What touches the world is given to it as ``Hands``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from failover import __version__
from failover.cli.exit_codes import ExitCode
from failover.cli.look import Seen
from failover.cli.moves import Ended, blocking, gate_lines, new_request, refuse
from failover.cli.output import UserError
from failover.coordination.store import StoreUnavailable
from failover.health.predicates import all_serving, streaming
from failover.planning.switchover_gates import begin_gates
from failover.rehearsal.pause import Pause
from failover.rehearsal.record import OnRecord
from failover.rehearsal.report import Move, Report, cluster_moves, clusters_seen, steps
from failover.state import StateError

if TYPE_CHECKING:
    from failover.model import SiteName
    from failover.policy import Policy
    from failover.state import OperatorRequest

HEALTHY = "healthy"
HEALTHY_FOR_S = 2.0  # observers publish twice a second: what is older is not believed
LOOK_INTERVAL_S = 0.25
PAGE = "docs/operations/rehearsal.md"


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator wants. ``limit_s``: of each move; ``healthy_limit_s``: of each wait."""

    id: str
    by: str
    reason: str
    limit_s: float
    healthy_limit_s: float
    measured_at: str
    interval_s: float


@dataclass(frozen=True, slots=True)
class Moved:
    """One move as it was asked for, and what was measured of it."""

    ended: Ended
    record: OnRecord
    stopped_unix_s: float | None
    pauses: dict[str, Pause]


@dataclass(frozen=True, slots=True)
class Hands:
    """``move`` returns when a primary works again; UserError, StoreUnavailable or StateError where
    it does not come to that, and then no plan of it stands. ``stop_asked``: by a signal."""

    look: Callable[[], Seen]  # for long enough to know ages
    glance: Callable[[], Seen]
    move: Callable[[SiteName, OperatorRequest], Moved]
    say: Callable[[str], None]
    stop_asked: Callable[[], bool]
    now_unix_s: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


class _Stop(Exception):
    """The rehearsal does not go on. The message says why."""


@dataclass(slots=True)
class _Whole:
    """When the group was first seen to stream again, and to be healthy for good."""

    streams_unix_s: float | None = None
    healthy_unix_s: float | None = None


@dataclass(slots=True)
class Rehearsal:
    """``run`` once."""

    policy: Policy
    order: Order
    hands: Hands
    moves: list[Move] = field(default_factory=list)

    def refusals(self, seen: Seen) -> list[str]:
        """Why no move to the other site is begun in this moment; empty: it may be."""
        request = self._request(seen.view.standby_site)
        reasons = gate_lines(blocking(begin_gates(seen.view, request)))
        verdict = seen.verdict
        if verdict.code != HEALTHY:
            reasons = [f"the group is not healthy: {verdict.code}: {verdict.sentence}", *reasons]
        return reasons

    def run(self) -> Report:
        """There and back. UserError (exit code 5) where the first move is refused: nothing was
        touched, and there is nothing to report."""
        began_unix_s = self.hands.now_unix_s()
        home = self.hands.look().view.active_site
        other, stopped = self.policy.other_data_site(home).name, ""
        try:
            for to_site in (other, home):
                self._leg(to_site)
        except _Stop as stop:
            stopped = str(stop)
        seen = self.hands.glance()
        known = seen.unusable is None and seen.view.state is not None
        return Report(
            id=self.order.id,
            group=self.policy.group,
            by=self.order.by,
            reason=self.order.reason,
            version=__version__,
            home_site=home,
            other_site=other,
            began_unix_s=began_unix_s,
            ended_unix_s=self.hands.now_unix_s(),
            moves=tuple(self.moves),
            stopped=stopped,
            active_site=seen.view.active_site if known else None,
            epoch=int(seen.view.state.epoch) if known and seen.view.state else None,
            todo=_todo(seen.view.active_site if known else None, home, _well(seen)),
            measured_at=self.order.measured_at,
            interval_s=self.order.interval_s,
        )

    # ------------------------------------------------------------------ one move

    def _leg(self, to_site: SiteName) -> None:
        """One move and the wait after it. _Stop where the rehearsal does not go on from there."""
        self._stop_if_asked()
        before = self.hands.look()
        self._refuse_or_stop(to_site, self.refusals(before))
        if before.view.standby_site != to_site:
            raise _Stop(f"{to_site} is active already: somebody else has moved the group")
        from_site, request = before.view.active_site, self._request(to_site)
        self.hands.say(f"from {from_site} to {to_site}")
        moved = self._moved(from_site, request)
        if moved.ended.outcome == "refused":
            self._refuse_or_stop(to_site, list(moved.ended.reasons))
        whole, problem = _Whole(), ""
        if moved.ended.outcome == "done":
            problem = self._wait_whole(whole)
        self._note(before, moved, whole)
        if moved.ended.outcome != "done":
            reasons = "; ".join(moved.ended.reasons)
            raise _Stop(f"the move to {to_site} has ended as {moved.ended.outcome}: {reasons}")
        if problem:
            raise _Stop(problem)

    def _request(self, to_site: SiteName) -> OperatorRequest:
        reason = f"rehearsal {self.order.id}: {self.order.reason}".rstrip(": ")
        return new_request(to_site, reason, self.order.limit_s)

    def _refuse_or_stop(self, to_site: SiteName, reasons: list[str]) -> None:
        if reasons and not self.moves:
            refuse("no rehearsal", reasons, page=PAGE)
        if reasons:
            raise _Stop(f"the move to {to_site} was refused: {'; '.join(reasons)}")

    def _moved(self, from_site: SiteName, request: OperatorRequest) -> Moved:
        try:
            return self.hands.move(from_site, request)
        except (UserError, StoreUnavailable, StateError) as error:
            nothing_begun = isinstance(error, UserError) and error.exit_code == ExitCode.REFUSED
            if nothing_begun and not self.moves:
                raise
            ended = Ended(
                request=request.id,
                outcome="refused" if nothing_begun else "unknown",
                from_site=from_site,
                to_site=request.to_site,
                epoch=None,
                took_s=None,
                reasons=(str(error),),
            )
            return Moved(ended, OnRecord(), None, {})

    def _note(self, before: Seen, moved: Moved, whole: _Whole) -> None:
        after, ended, state = self.hands.glance(), moved.ended, before.view.state
        assert state is not None, "what is moved has a state"
        seen = clusters_seen(after.view) if after.unusable is None else ()
        self.moves.append(
            Move(
                from_site=ended.from_site,
                to_site=ended.to_site,
                request=ended.request,
                outcome=ended.outcome,
                epoch_before=int(state.epoch),
                epoch_after=ended.epoch,
                clusters=cluster_moves(clusters_seen(before.view), seen, moved.pauses),
                steps=steps(
                    moved.record,
                    stopped_unix_s=moved.stopped_unix_s,
                    streams_unix_s=whole.streams_unix_s,
                    healthy_unix_s=whole.healthy_unix_s,
                ),
                evidence=moved.record.evidence,
                reasons=ended.reasons,
            )
        )

    # ------------------------------------------------------------------ waiting

    def _wait_whole(self, whole: _Whole) -> str:
        """Until the group has been healthy for a while. Why it was not in time; empty: it was."""
        give_up_unix_s = self.hands.now_unix_s() + self.order.healthy_limit_s
        told, since_unix_s = "", None
        while True:
            seen, now_unix_s = self.hands.glance(), self.hands.now_unix_s()
            waits_for = _waits_for(seen)
            if whole.streams_unix_s is None and _streams(seen):
                whole.streams_unix_s = now_unix_s
            since_unix_s = (since_unix_s or now_unix_s) if not waits_for else None
            if since_unix_s is not None and now_unix_s - since_unix_s >= HEALTHY_FOR_S:
                whole.healthy_unix_s = since_unix_s
                return ""
            if now_unix_s > give_up_unix_s:
                return f"not healthy within {self.order.healthy_limit_s:g} s: {waits_for or told}"
            if waits_for and waits_for != told:
                self.hands.say(f"waiting: {waits_for}")
                told = waits_for
            if self.hands.stop_asked():
                return "stopped by a signal while the group got healthy"
            self.hands.sleep(LOOK_INTERVAL_S)

    def _stop_if_asked(self) -> None:
        if self.hands.stop_asked() and not self.moves:
            refuse("no rehearsal", ["stopped by a signal"], page=PAGE)
        if self.hands.stop_asked():
            raise _Stop("stopped by a signal between the two moves")


def _well(seen: Seen) -> bool:
    return seen.unusable is None and seen.verdict.code == HEALTHY


def _waits_for(seen: Seen) -> str:
    """What is not as it should be; empty: all is well."""
    if _well(seen):
        return "" if _streams(seen) else "the old site does not stream yet"
    return f"{seen.verdict.code}: {seen.verdict.sentence}"


def _streams(seen: Seen) -> bool:
    """Every cluster has a primary under its claim, and a standby leader that receives from it."""
    view = seen.view
    return seen.unusable is None and all_serving(view) and all(map(streaming, view.clusters))


def _todo(active: SiteName | None, home: SiteName, well: bool) -> str:
    """What a human does now, by where the group is."""
    if active is None:
        return "it is not known which site is active: `failover status`, then `failover explain`"
    if active != home:
        first = "" if well else "`failover explain`; when `failover status` is healthy again, "
        return (
            f"{active} is active and goes on; {first}`failover switchover --to {home}` moves the "
            "group back"
        )
    return (
        f"{home} is active, as before; "
        + ("" if well else "`failover explain`; ")
        + "find the cause, then rehearse again"
    )
