"""`failover bench barrier-cost`: what the acknowledgement barrier costs customers.

Windows with the barrier and without, by turns, on the primary of a whole group. In each, sixteen
sessions straight to the primary write without a pause, then a few alone at an even pace, where the
latency is that of the commit, then one session asks for nothing again and again (answer_time.py).
Before every window, of both kinds, the guard of that host is
restarted. Each window says by what was looked at before and after it which kind it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from failover.clock import boottime_s
from failover.lab.answer_time import answer_us
from failover.lab.barrier_seen import Seen
from failover.lab.bench_barrier_cost_result import Load, Window, load_of
from failover.lab.errors import LabError
from failover.lab.faults import Kind
from failover.lab.hosts import LabHost
from failover.lab.lab import Lab
from failover.lab.machine import CpuUsed, cpu_used
from failover.lab.watch import NotWhole, wait_whole
from failover.lab.workload.attempt import Attempt, Outcome
from failover.lab.workload.control import Team, Workload

SESSIONS = 16
NO_PAUSE_RATE = 100_000.0  # a pace that nobody keeps
LIGHT_SESSIONS = 4
LIGHT_RATE = 100.0
LIGHT_PART = 0.5  # of a window's seconds, after it
ANSWERS_PART = 0.3  # of a window's seconds, after that
WHOLE_LIMIT_S = 180.0
WARM_UP_S = 10.0  # an empty shop is not what is measured
SWITCH_LIMIT_S = 20.0
SERVED_LIMIT_S = 30.0
SETTLES_S = 2.0
DRAINS_S = 0.5  # what was under way when the many were told to pause
POLL_S = 0.2


class Customers:
    """One team, and what it was told within some seconds."""

    def __init__(self, lab: Lab, name: str, team: Team) -> None:
        self._workload = Workload(lab, name)
        self._team = team
        self._read = 0  # attempts of windows that are over

    def start(self) -> None:
        self._workload.setup(self._team.site)
        self._workload.start(self._team)
        self._workload.wait_until_served([self._team])

    def stop(self) -> None:
        self._workload.stop()

    def pause(self) -> None:
        self._workload.pause()

    def go_on(self) -> None:
        self._workload.go_on()

    def _new(self) -> list[Attempt]:
        return list(self._workload.attempts()[self._read :])

    def wait_all_served(self, since_s: float) -> None:
        """Until each has an acknowledgement of what it began after ``since_s``. LabError."""
        give_up_s = boottime_s() + SERVED_LIMIT_S
        while True:
            served = {
                one.client
                for one in self._new()
                if one.outcome is Outcome.ACKED and one.started_s > since_s
            }
            if len(served) >= self._team.clients:
                return
            if boottime_s() > give_up_s:
                raise LabError(
                    f"{len(served)} of {self._team.clients} sessions are served "
                    f"{SERVED_LIMIT_S:g} s after the guard's restart",
                    todo=f"their words are in {self._workload.records}/*.log",
                )
            time.sleep(POLL_S)

    def told(self, from_s: float, to_s: float) -> Load:
        return load_of(self._new(), from_s, to_s)

    def window_over(self) -> None:
        """What was told until now is not looked at again."""
        self._read = len(self._workload.attempts())


class BarrierCostBench:
    """On a lab that is up, whose barrier is left as it was."""

    def __init__(
        self,
        lab: Lab,
        todo: Sequence[tuple[int, bool]],
        seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        """``todo``: the windows' numbers, and whether with the barrier."""
        self._lab = lab
        self._todo = todo
        self._seconds = seconds
        self._tell = tell
        self._protection = ""  # the group's mode, once it is known

    def runs(self) -> Iterator[Window]:
        """Every window, as it ends. NotWhole, LabError, WorkloadError."""
        state = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state
        self._protection = str(state.protection)
        primary = self._lab.writable_host()
        if primary is None:
            raise NotWhole("no host takes writes")
        name = f"barrier-cost-{time.time_ns() // 1_000_000}"
        via = f"direct:{primary.name}"
        busy = Team(state.active_site, via, SESSIONS, NO_PAUSE_RATE)
        light = Team(state.active_site, via, LIGHT_SESSIONS, LIGHT_RATE)
        many = Customers(self._lab, f"{name}-busy", busy)
        few = Customers(self._lab, f"{name}-light", light)
        try:
            self._tell(f"customers of {primary.name} warm up")
            many.start()
            few.start()
            time.sleep(WARM_UP_S)
            for number, barrier in self._todo:
                yield self._window(number, barrier, primary, many, few)
        finally:
            try:
                many.stop()
                few.stop()
            finally:
                self._restore(primary)

    def _window(
        self, number: int, barrier: bool, primary: LabHost, many: Customers, few: Customers
    ) -> Window:
        kind = "with the barrier" if barrier else "without"
        self._tell(f"window {number} of {self._todo[-1][0]}, {kind}: the guard restarts")
        many.pause()  # a guard that starts on a machine that is full may miss its deadline
        few.pause()
        self._switch(primary, barrier)
        switched_s = boottime_s()
        many.go_on()
        few.go_on()
        many.wait_all_served(switched_s)
        few.wait_all_served(switched_s)
        time.sleep(SETTLES_S)
        self._tell(f"window {number} of {self._todo[-1][0]}, {kind}")
        before = self._seen(primary)
        used = self._cpu_used()
        busy_s = self._sleep(self._seconds)
        others_cores = self._cpu_used().others_cores(used)
        many.pause()
        time.sleep(DRAINS_S)
        light_s = self._sleep(self._seconds * LIGHT_PART)
        few.pause()
        time.sleep(DRAINS_S)
        answers = self._answer_us(primary)
        after = self._seen(primary)
        window = Window(
            number=number,
            protection=self._protection,
            host=primary.name,
            barrier=barrier,
            before=before,
            after=after,
            busy=many.told(*busy_s),
            light=few.told(*light_s),
            others_cores=others_cores,
            answer_us=answers,
        )
        many.window_over()
        few.window_over()
        return window

    def _answer_us(self, primary: LabHost) -> float:
        database = self._lab.policy.host(primary.name)
        cluster = self._lab.policy.cluster(database.cluster)
        seconds = max(1, round(self._seconds * ANSWERS_PART))
        return answer_us(self._lab.containers, cluster, database, seconds)

    def _sleep(self, seconds: float) -> tuple[float, float]:
        """From when until when, boot time."""
        from_s = boottime_s()
        time.sleep(seconds)
        return from_s, boottime_s()

    def _cpu_used(self) -> CpuUsed:
        return cpu_used(self._lab.containers.first_processes())

    def _seen(self, primary: LabHost) -> Seen:
        return self._lab.faults.barrier_switch.seen(primary)

    def _switch(self, primary: LabHost, barrier: bool) -> None:
        """The guard is restarted with or without the right to make rules. LabError where the
        barrier is then not there, or not gone."""
        faults = self._lab.faults
        gone = self._is_gone(primary)
        if barrier and gone:
            faults.undo(Kind.NO_BARRIER, primary.name)
        elif barrier or gone:
            faults.barrier_switch.restart(primary)
        else:
            faults.no_barrier(primary.name)
        self._wait(primary, lambda seen: seen.objections(barrier))

    def _is_gone(self, primary: LabHost) -> bool:
        return any(
            (one.kind, one.target) == (Kind.NO_BARRIER, primary.name)
            for one in self._lab.faults.active
        )

    def _wait(self, primary: LabHost, objections_to: Callable[[Seen], tuple[str, ...]]) -> None:
        give_up_s = boottime_s() + SWITCH_LIMIT_S
        while True:
            try:
                objections = objections_to(self._seen(primary))
            except LabError as error:  # its worker is not there yet
                objections = (str(error),)
            if not objections:
                return
            if boottime_s() > give_up_s:
                raise LabError(
                    f"{primary.name}, {SWITCH_LIMIT_S:g} s after its guard's restart: "
                    f"{'; '.join(objections)}",
                    todo=f"`failover lab logs {primary.name} -u failover-guard`",
                )
            time.sleep(POLL_S)

    def _restore(self, primary: LabHost) -> None:
        """The guard has its barrier again, on a primary or not. LabError where it has not."""
        self._tell("the barrier is given back")
        if self._is_gone(primary):
            self._lab.faults.undo(Kind.NO_BARRIER, primary.name)
        self._wait(primary, lambda seen: seen.given_back())
