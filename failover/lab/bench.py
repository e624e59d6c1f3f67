"""`failover bench takeover`: lose the active site again and again, and measure as a client sees it.

One run: a whole group, customers in both sites, sessions opened before the loss straight to the
hosts of the site that is lost; then a black hole around that site at a random moment. Nothing is
steered: the lab's controllers take over by themselves, or the run has failed. Between two runs
the lost site comes back as standby, so the next run loses the other one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.bench_receipt import compare, estimated_loss, receipts_of
from failover.lab.bench_result import (
    LostTransaction,
    TakeoverRun,
    rounded,
    since,
    with_prediction,
)
from failover.lab.circumstance import CIRCUMSTANCES, Circumstance
from failover.lab.errors import LabError
from failover.lab.hosts import Role
from failover.lab.lab import Lab
from failover.lab.mode import protect
from failover.lab.trouble import TROUBLES, Trouble, Variant
from failover.lab.watch import (
    NotWhole,
    Whole,
    claim_holder,
    clear_cooldown,
    wait_whole,
    watch_claim,
    zookeeper_leader,
)
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import Report, acked_by_both, judge, longest_gap
from failover.lab.workload.control import Workload, standard_teams
from failover.lab.zookeeper_leader import drift_not_corrected, move_zookeeper_leader
from failover.model import Epoch, ProtectionMode, SiteKind, SiteName
from failover.planning.what_if import Foresight

WHOLE_LIMIT_S = 180.0
TAKEOVER_LIMIT_S = 60.0

# How long the lost site stays lost after the other one answered: time for a late answer there.
LINGER_S = 4.0
STEADY_S = 2.0
JOURNAL_LINES = 400
LAG_GROWS_S = 2.0  # before the fault, where the link is throttled; the budget is 10 s, the lease 6
PHASE_JITTER_S = 3.0  # longer than every interval in the system: renewal, loops, checks


ACTIVE = "active"  # for ZooKeeper's leader: in the site that is lost


@dataclass(frozen=True, slots=True)
class Settings:
    runs: int
    phase_jitter: bool = True
    zookeeper_leader: SiteName | str | None = None  # a site, ACTIVE, or None: the witness
    seed: int | None = None
    variant: Variant = Variant.PLAIN  # what else is the matter with the primary that is lost
    after: Circumstance | None = None  # what goes before the loss
    protection: ProtectionMode | None = None  # None: as the group is
    load: float | None = None  # transactions a second through HAProxy at the site that stays
    throttle_bytes_s: int | None = None  # what PostgreSQL at the lost site gets across the sea


@dataclass(slots=True)
class _Memory:
    """What earlier runs of this bench know: nothing is counted twice, nothing is forgotten."""

    attempts: list[Attempt] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Fault:
    """One site lost and back again."""

    fault_s: float
    lease_end_s: float | None
    transaction_s: float | None
    permit_s: float | None
    reinstated_s: float | None
    epoch: Epoch | None
    zookeeper_site: SiteName | None
    protection: str
    problems: tuple[str, ...]


Predict = Callable[[SiteName], Foresight | None]  # what the loss of this site would bring now


class TakeoverBench:
    """Runs one after the other on a lab that is up. ``tell`` is given a line per phase.

    ``predict`` is asked before each fault, and compared with what then came.
    """

    def __init__(
        self,
        lab: Lab,
        settings: Settings,
        tell: Callable[[str], None],
        predict: Predict = lambda _lost: None,
    ) -> None:
        self._lab = lab
        self._predict = predict
        self._policy = lab.policy
        self._settings = settings
        self._tell = tell
        self._chance = random.Random(settings.seed)
        self._memory = _Memory()
        self._name = f"bench-{time.time_ns() // 1_000_000}"

    def runs(self) -> Iterator[TakeoverRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        if self._settings.protection is not None:
            self._tell(f"protection {self._settings.protection}")
            protect(self._lab, self._settings.protection)
        with self._leader_stays():
            for number in range(1, self._settings.runs + 1):
                yield self.run(number)

    def run(self, number: int) -> TakeoverRun:
        """Lose the site that is active now."""
        self._tell("waiting until the group is whole")
        lost = self._whole().state.active_site
        new = self._policy.other_data_site(lost).name
        workload = Workload(self._lab, f"{self._name}-{number:03d}")
        self._prepare(lost)
        with self._customers(workload, lost, new):
            trouble = self._trouble(workload)
            self._slow_down(lost, new)
            foreseen = self._predict(lost)
            fault = self._lose(lost, workload, trouble)
        self._tell("comparing acknowledgements with the database")
        attempts = list(workload.attempts())
        survivors = workload.export(new)
        still_there = [one for one in self._memory.attempts if one.id not in self._memory.lost]
        receipt = compare(
            [*still_there, *attempts], survivors, receipts_of(self._lab, lost, fault.epoch)
        )
        self._memory.attempts.extend(attempts)
        report = judge(self._memory.attempts, survivors)
        result = replace(
            self._result(number, lost, new, fault, attempts, report),
            estimated_loss=estimated_loss(self._policy, fault.epoch),
            receipt=receipt,
            after=str(self._settings.after or ""),
        )
        return with_prediction(result, foreseen)

    # ------------------------------------------------------------------ before

    def _prepare(self, lost: SiteName) -> None:
        site = self._leader_site(lost)
        self._tell(f"ZooKeeper's leader to {site}")
        move_zookeeper_leader(self._lab, self._policy, site, self._tell)
        self._whole()
        with open_store(self._policy) as store:
            clear_cooldown(store, self._policy, by="bench")

    def _leader_stays(self) -> AbstractContextManager[None]:
        """A leader wanted elsewhere than on the witness is not moved back by the controllers."""
        if self._settings.zookeeper_leader is None:
            return nullcontext()
        return drift_not_corrected(self._lab, self._policy)

    def _leader_site(self, lost: SiteName) -> SiteName:
        wanted = self._settings.zookeeper_leader
        if wanted is None:
            return next(one.name for one in self._policy.sites if one.kind is SiteKind.WITNESS)
        return lost if wanted == ACTIVE else SiteName(wanted)

    def _whole(self) -> Whole:
        return wait_whole(self._policy, WHOLE_LIMIT_S)

    @contextmanager
    def _customers(self, workload: Workload, lost: SiteName, new: SiteName) -> Iterator[None]:
        """Customers in both sites, served, until the end of the block."""
        teams = standard_teams(lost, new, self._settings.load)
        self._tell("customers in both sites")
        try:
            workload.setup(new)
            for team in teams:
                workload.start(team)
            workload.wait_until_served(teams)
            jitter_s = PHASE_JITTER_S if self._settings.phase_jitter else 0.0
            time.sleep(STEADY_S + self._chance.uniform(0.0, jitter_s))
            yield
        finally:
            workload.stop()

    # ------------------------------------------------------------------ the fault

    def _slow_down(self, lost: SiteName, new: SiteName) -> None:
        """The link gets too slow for the load, and lag grows for a while."""
        rate = self._settings.throttle_bytes_s
        if rate is not None:
            self._tell(f"what PostgreSQL in {lost} sends to {new} is throttled to {rate} bytes/s")
            self._lab.faults.throttle(lost, new, rate)
            time.sleep(LAG_GROWS_S)

    def _trouble(self, workload: Workload) -> Trouble:
        """What this variant does besides the black hole, ready to strike."""
        name = claim_holder(self._policy, self._policy.clusters[0].name)
        if name is None:
            raise LabError("no host takes writes", todo="`failover status`")
        primary = self._lab.host(name)
        after = self._settings.after
        kind = CIRCUMSTANCES[after] if after else TROUBLES[self._settings.variant]
        if after:
            self._tell(f"before the loss: {after}")
        trouble = kind(self._lab, primary, workload)
        trouble.prepare()
        return trouble

    def _lose(self, lost: SiteName, workload: Workload, trouble: Trouble) -> _Fault:
        """Unplug, wait for the other site to answer, plug in, wait until all is whole again."""
        cluster = self._policy.clusters[0].name
        leader = zookeeper_leader(self._policy)
        problems: list[str] = []
        with watch_claim(self._policy, cluster, lost) as watch:
            self._tell(f"{lost} unplugged")
            try:
                trouble.strike()
                fault_s = boottime_s()
                self._lab.faults.unplug(lost)
                trouble.cut()
                if not self._answered(workload, lost, fault_s):
                    problems.append(f"no takeover within {TAKEOVER_LIMIT_S:g} s")
                    self._keep_journals(workload)
                trouble.taken_over()
                time.sleep(LINGER_S)
                if not self._lab.faults.active:
                    problems.append("somebody else healed the fault meanwhile")
            finally:
                self._lab.faults.heal()
        if watch.ended_s is None:
            problems.append("the end of the lease was not seen")
        healed_s = boottime_s()
        self._tell(f"{lost} plugged in again; waiting until it streams")
        whole = self._come_back(lost, problems)
        return _Fault(
            fault_s=fault_s,
            lease_end_s=watch.ended_s,
            transaction_s=watch.epoch_s,
            permit_s=watch.claimed_s,
            reinstated_s=whole.since_s - healed_s if whole else None,
            epoch=whole.state.epoch if whole else None,
            zookeeper_site=leader.site if leader else None,
            protection=str(whole.state.protection) if whole else "",
            problems=tuple(problems),
        )

    def _answered(self, workload: Workload, lost: SiteName, fault_s: float) -> bool:
        """Whether the other site acknowledges within the limit."""
        self._tell(f"{lost} is lost; waiting for the other site")
        while boottime_s() < fault_s + TAKEOVER_LIMIT_S:
            if any(
                one.outcome is Outcome.ACKED and one.server_site not in (lost, None)
                for one in workload.attempts()
                if one.ended_s > fault_s
            ):
                return True
            time.sleep(0.1)
        return False

    def _keep_journals(self, workload: Workload) -> None:
        """What controllers and database hosts said, beside the records of the run."""
        for role in (Role.CONTROLLER, Role.DATABASE):
            for host in self._lab.hosts(role):
                text = self._lab.journal(host.name, lines=JOURNAL_LINES)
                (workload.records / f"{host.name}.journal").write_text(text, encoding="utf-8")

    def _come_back(self, lost: SiteName, problems: list[str]) -> Whole | None:
        try:
            return self._whole()
        except NotWhole as error:
            problems.append(f"{lost} did not come back: {error}")
            return None

    # ------------------------------------------------------------------ after

    def _result(
        self,
        number: int,
        lost: SiteName,
        new: SiteName,
        fault: _Fault,
        attempts: Sequence[Attempt],
        report: Report,
    ) -> TakeoverRun:
        newly_lost = [one for one in report.lost if one.id not in self._memory.lost]
        self._memory.lost.update(one.id for one in newly_lost)
        gap = longest_gap(attempts, site=new, via=Via.PROXY, since_s=fault.fault_s)
        outcomes = [one.outcome for one in attempts]
        return TakeoverRun(
            run=number,
            lost_site=lost,
            new_site=new,
            zookeeper_leader_site=fault.zookeeper_site,
            netem=self._lab.netem,
            lease_s=self._policy.lease_s,
            protection=fault.protection,
            outage_s=rounded(gap.length_s if gap else None),
            lease_end_s=since(fault.lease_end_s, fault.fault_s),
            overhead_s=since(gap.to_s if gap else None, fault.lease_end_s),
            transaction_s=since(fault.transaction_s, fault.lease_end_s),
            permit_s=since(fault.permit_s, fault.lease_end_s),
            last_ack_old_site_s=since(last_ack_at(attempts, lost), fault.fault_s),
            first_ack_new_site_s=since(first_ack_at(attempts, new, fault.fault_s), fault.fault_s),
            acked=outcomes.count(Outcome.ACKED),
            lost=len(newly_lost),
            indeterminate=outcomes.count(Outcome.INDETERMINATE),
            acked_by_both=len(acked_by_both(attempts, new_site=new, since_s=fault.fault_s)),
            reinstated_s=rounded(fault.reinstated_s),
            epoch=fault.epoch,
            fault_s=rounded(fault.fault_s) or 0.0,
            lost_transactions=tuple(
                LostTransaction(one.id, one.kind, since(one.ended_s, fault.fault_s) or 0.0)
                for one in newly_lost
            ),
            problems=(*fault.problems, *report.problems),
        )


def last_ack_at(attempts: Sequence[Attempt], site: SiteName) -> float | None:
    """When a server of that site acknowledged for the last time."""
    acks = (one for one in attempts if one.outcome is Outcome.ACKED and one.server_site == site)
    return max((one.ended_s for one in acks), default=None)


def first_ack_at(attempts: Sequence[Attempt], site: SiteName, since_s: float) -> float | None:
    """When a server of that site acknowledged for the first time after ``since_s``."""
    acks = (one for one in attempts if one.outcome is Outcome.ACKED and one.server_site == site)
    return min((one.ended_s for one in acks if one.ended_s > since_s), default=None)
