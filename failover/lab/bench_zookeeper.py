"""`failover bench zookeeper`: each ZooKeeper server lost for a while; the primary must not notice.

One run: one server black-holed (its host cut from everybody) or frozen, longer than any session
lives, while customers in both sites write through their proxies. Nothing is steered and the
automation is on; only a drifted leader is not moved back, because the bench puts it where the
next run wants it. Waits between runs are for conditions: all servers serve, the group is whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

from failover.clock import boottime_s
from failover.coordination.store import StoreUnavailable
from failover.lab.bench_zookeeper_result import Case, LeaderPlace, ServerFault, ZooKeeperRun
from failover.lab.errors import LabError
from failover.lab.faults import Kind
from failover.lab.hosts import Role
from failover.lab.lab import Lab
from failover.lab.standing import Harm, Standing, harm, standing, zookeeper_peers
from failover.lab.watch import NotWhole, Whole, wait_whole, zookeeper_leader
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import Gap, acks_of, judge, longest_gap
from failover.lab.workload.control import Team, Workload, WorkloadError
from failover.lab.zookeeper_leader import (
    NoSuchLeader,
    drift_not_corrected,
    move_zookeeper_leader,
    wait_for_ensemble,
)
from failover.model import SiteKind, SiteName
from failover.policy import Policy, ZooKeeperServer
from failover.state import StateError

FAULT_S = 10.0  # longer than any session: Patroni's lives for 8 s
WHOLE_LIMIT_S = 90.0
SERVED_LIMIT_S = 30.0
PHASE_JITTER_S = 1.0  # longer than the intervals of renewals, pings and Patroni's loop

CLIENTS, RATE = 4, 50.0
JOURNAL_LINES = 400
UNHARMED = Harm(False, False, False, ())


def cases(
    policy: Policy, leaders: Sequence[LeaderPlace], faults: Sequence[ServerFault], runs: int
) -> Iterator[Case]:
    """``runs`` of each server and fault. One server after the other, so that the clients, which
    have just fled from one server, are hit at the next one as well."""
    for leader in leaders:
        for number in range(1, runs + 1):
            for fault in faults:
                for server in policy.zookeeper_servers:
                    yield Case(leader, number, fault, server.name)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there was to see around one fault."""

    leader_after: SiteName | None
    gap: Gap | None
    acked: int
    fault_s: float
    recovered_s: float | None
    after: Standing | None  # None: it could not be told
    problems: tuple[str, ...]


class ZooKeeperBench:
    """Tries the cases in order, on a lab that is up. ``tell`` is given a line per phase."""

    def __init__(
        self, lab: Lab, todo: Sequence[Case], seed: int | None, tell: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._policy = lab.policy
        self._todo = todo
        self._tell = tell
        self._chance = random.Random(seed)
        self._last: Standing | None = None  # after the run before

    def runs(self) -> Iterator[ZooKeeperRun]:
        """Every run, as it ends. NotWhole, NoSuchLeader when the lab does not get ready."""
        with drift_not_corrected(self._lab, self._policy):
            for _, cases_of_round in groupby(self._todo, lambda case: (case.leader, case.number)):
                yield from self._round(tuple(cases_of_round))

    def _round(self, todo: Sequence[Case]) -> Iterator[ZooKeeperRun]:
        """One set of customers for several runs; the books are compared after the last one."""
        active = self._whole().state.active_site
        workload = Workload(self._lab, f"zookeeper-{time.time_ns() // 1_000_000}")
        with self._customers(workload, active):
            for case in todo[:-1]:
                yield self._run(case, workload)
            last = self._run(todo[-1], workload)
        self._tell("comparing acknowledgements with the database")
        yield replace(last, problems=(*last.problems, *self._books(workload, last)))

    def journals(self) -> str:
        """What the database hosts of the active site and the ZooKeeper servers last said."""
        active = self._whole().state.active_site
        hosts = [
            *self._lab.hosts(Role.DATABASE, active),
            *self._lab.hosts(Role.ZOOKEEPER),
        ]
        parts = [f"=== {h.name}\n{self._lab.journal(h.name, lines=JOURNAL_LINES)}" for h in hosts]
        return "\n".join(parts)

    @contextmanager
    def _customers(self, workload: Workload, active: SiteName) -> Iterator[None]:
        teams = [Team(site.name, "proxy", CLIENTS, RATE) for site in self._policy.data_sites]
        self._tell("customers in both sites")
        try:
            workload.setup(active)
            for team in teams:
                workload.start(team)
            workload.wait_until_served(teams)
            yield
        finally:
            workload.stop()

    # ------------------------------------------------------------------ one run

    def _run(self, case: Case, workload: Workload) -> ZooKeeperRun:
        server = next(one for one in self._policy.zookeeper_servers if one.name == case.server)
        before, problems = self._ready(case)
        primary = before.primaries[0].host
        peers = zookeeper_peers(self._lab, primary)
        time.sleep(self._chance.uniform(0.0, PHASE_JITTER_S))
        leader = zookeeper_leader(self._policy)
        if leader is None or leader.site != self._leader_site(case):
            problems = (*problems, f"ZooKeeper's leader was {leader.name if leader else 'unknown'}")
        seen = self._lose(case, server, workload, before)
        done = harm(before, seen.after) if seen.after else UNHARMED
        gap = seen.gap
        return ZooKeeperRun(
            leader=case.leader,
            number=case.number,
            fault=case.fault,
            server=server.name,
            server_site=server.site,
            zookeeper_leader_site_before=leader.site if leader else None,
            zookeeper_leader_site_after=seen.leader_after,
            primary_attached_to=peers,
            netem=self._lab.netem,
            lease_s=self._policy.lease_s,
            epoch=before.epoch,
            primary=primary,
            moved=done.moved,
            demoted=done.demoted,
            killed_by_guard=done.killed_by_guard,
            pause_s=round(gap.length_s, 3) if gap else None,
            pause_from_s=round(gap.from_s - seen.fault_s, 3) if gap else None,
            acked=seen.acked,
            recovered_s=seen.recovered_s,
            problems=(*problems, *done.words, *seen.problems),
        )

    def _ready(self, case: Case) -> tuple[Standing, tuple[str, ...]]:
        """Everything as this case wants it; what went wrong on the way is a problem of this run."""
        site = self._leader_site(case)
        self._tell(f"ZooKeeper's leader to {site}, and the group whole")
        wait_for_ensemble(self._policy)
        move_zookeeper_leader(self._lab, self._policy, site, self._tell)
        self._whole()
        now = standing(self._lab)
        since = harm(self._last, now) if self._last is not None else UNHARMED
        return now, tuple(f"before the fault: {word}" for word in since.words)

    def _leader_site(self, case: Case) -> SiteName:
        if case.leader is LeaderPlace.WITNESS:
            return next(one.name for one in self._policy.sites if one.kind is SiteKind.WITNESS)
        data_sites = self._policy.data_sites
        return data_sites[case.number % len(data_sites)].name

    def _lose(
        self, case: Case, server: ZooKeeperServer, workload: Workload, before: Standing
    ) -> _Seen:
        """The fault, its end, and the way back to a whole group."""
        problems: list[str] = []
        self._tell(f"{server.name}: {case.fault}")
        fault_s = boottime_s()
        kind = self._break(case.fault, server)
        try:
            time.sleep(max(0.0, fault_s + FAULT_S - boottime_s()))
            leader = zookeeper_leader(self._policy)
        finally:
            self._lab.faults.undo(kind, server.name)
        healed_s = boottime_s()
        self._tell(f"{server.name} is back; waiting until all is whole")
        recovered_s = self._recovered(healed_s, workload, problems)
        self._last = self._standing_after(problems)
        attempts = [one for one in workload.attempts() if one.ended_s > fault_s - FAULT_S]
        return _Seen(
            leader_after=leader.site if leader else None,
            gap=self._worst_gap(attempts, fault_s),
            acked=sum(o.outcome is Outcome.ACKED and o.ended_s > fault_s for o in attempts),
            fault_s=fault_s,
            recovered_s=recovered_s,
            after=self._last,
            problems=tuple(problems),
        )

    def _break(self, fault: ServerFault, server: ZooKeeperServer) -> Kind:
        if fault is ServerFault.BLACKHOLE:
            self._lab.faults.unplug(server.name)
            return Kind.UNPLUG
        self._lab.faults.freeze(server.name)
        return Kind.FREEZE

    # ------------------------------------------------------------------ after it

    def _recovered(self, healed_s: float, workload: Workload, problems: list[str]) -> float | None:
        """How long until everybody is served and all is whole; None, and a problem: it was not."""
        self._wait_served(healed_s, workload, problems)
        try:
            wait_for_ensemble(self._policy)
            whole = self._whole()
        except (NotWhole, NoSuchLeader) as error:
            problems.append(str(error))
            return None
        return round(max(0.0, whole.since_s - healed_s), 3)

    def _standing_after(self, problems: list[str]) -> Standing | None:
        try:
            return standing(self._lab)
        except (LabError, StoreUnavailable, StateError) as error:
            problems.append(str(error))
            return None

    def _wait_served(self, since_s: float, workload: Workload, problems: list[str]) -> None:
        """Every site's customers have an acknowledgement since: no pause is still open."""
        sites = [site.name for site in self._policy.data_sites]
        give_up_s = boottime_s() + SERVED_LIMIT_S
        waiting = sites
        while boottime_s() < give_up_s:
            recent = [one for one in workload.attempts() if one.ended_s > since_s]
            waiting = [site for site in sites if not acks_of(recent, site=site, via=Via.PROXY)]
            if not waiting:
                return
            time.sleep(0.1)
        problems.append(f"customers not served after the fault: {', '.join(waiting)}")

    def _worst_gap(self, attempts: Sequence[Attempt], fault_s: float) -> Gap | None:
        """Of the sites' longest gaps the longest; None where a site's was not seen."""
        gaps = [
            longest_gap(attempts, site=site.name, via=Via.PROXY, since_s=fault_s)
            for site in self._policy.data_sites
        ]
        known = [gap for gap in gaps if gap is not None]
        return max(known, key=lambda gap: gap.length_s) if len(known) == len(gaps) else None

    def _books(self, workload: Workload, last: ZooKeeperRun) -> tuple[str, ...]:
        """Of all runs of the round: nothing acknowledged is missing, and the money adds up."""
        site = self._policy.host(last.primary).site
        try:
            report = judge(list(workload.attempts()), workload.export(site))
        except WorkloadError as error:
            return (str(error),)
        lost = (f"{len(report.lost)} acknowledged transactions are missing",) if report.lost else ()
        return tuple(f"in this round: {word}" for word in (*lost, *report.problems))

    def _whole(self) -> Whole:
        return wait_whole(self._policy, WHOLE_LIMIT_S)
