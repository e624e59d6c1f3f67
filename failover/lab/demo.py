"""`failover demo`: the story of a lost site, on the real parts, told while it happens.

Nothing is staged: the demo unplugs the active site and then only watches. Every number is taken
from what customers were told, or from ZooKeeper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.bench_result import seconds
from failover.lab.demo_screen import HEALTHY, Screen, Show, SiteTraffic, title
from failover.lab.evidence import EvidenceReader, evidence_reader
from failover.lab.lab import Lab
from failover.lab.watch import Whole, clear_cooldown, wait_whole, watch_claim
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import Report, acked_by_both, judge, longest_gap
from failover.lab.workload.control import Workload, standard_teams
from failover.model import SiteName

WHOLE_LIMIT_S = 180.0
TAKEOVER_LIMIT_S = 60.0
CALM_S = 6.0
AFTER_S = 6.0
FRAME_S = 0.15
RATE_OVER_S = 2.0
LOST_SHOWN_MOST = 8


class DemoFailed(Exception):
    """The story did not go as it should. The message says where it stopped."""


class Demo:
    """One telling, on a lab that is up."""

    def __init__(self, lab: Lab, screen: Screen) -> None:
        self._lab = lab
        self._policy = lab.policy
        self._screen = screen
        self._workload = Workload(lab, f"demo-{int(time.time())}")
        self._fault_s = 0.0
        self._lease_end_s: float | None = None

    def tell(self) -> None:
        """The whole story. DemoFailed, or NotWhole, when something does not happen in time."""
        lost = self._whole().state.active_site
        new = self._policy.other_data_site(lost).name
        try:
            with evidence_reader(self._policy, without=lost) as reader:
                self._money_flows(lost, new, reader)
                try:
                    self._lose(lost, new, reader)
                    self._flowing_again(lost, new, reader)
                finally:
                    self._lab.faults.heal()
                self._come_back(lost, new, reader)
        finally:
            self._workload.stop()
        self._count(lost, new)

    # ------------------------------------------------------------------ acts

    def _money_flows(self, lost: SiteName, new: SiteName, reader: EvidenceReader) -> None:
        self._screen.heading(f"Money flows: {title(lost)} is active, {title(new)} follows")
        with open_store(self._policy) as store:
            clear_cooldown(store, self._policy, by="demo")
        teams = standard_teams(lost, new)
        with self._screen.waiting("opening the shop"):
            self._workload.setup(new)
            for team in teams:
                self._workload.start(team)
            self._workload.wait_until_served(teams)
        self._screen.say(
            "Customers in both sites buy through the HAProxy of their site; in "
            f"{title(lost)} some also have sessions straight to the database hosts."
        )
        with self._screen.moving() as show:
            self._show_for(CALM_S, reader, show)

    def _lose(self, lost: SiteName, new: SiteName, reader: EvidenceReader) -> None:
        self._screen.heading(f"{title(lost)} is unplugged: a black hole, no polite refusal")
        cluster = self._policy.clusters[0].name
        with watch_claim(self._policy, cluster, lost) as watch:
            self._fault_s = boottime_s()
            self._lab.faults.unplug(lost)
            with self._screen.moving(self._fault_s) as show:
                self._show_until(
                    lambda: self._acked_by(new),
                    TAKEOVER_LIMIT_S,
                    f"{new} did not take over",
                    reader,
                    show,
                )
            self._lease_end_s = watch.ended_s

    def _flowing_again(self, lost: SiteName, new: SiteName, reader: EvidenceReader) -> None:
        self._screen.heading(f"{title(new)} has taken over, money flows again")
        with self._screen.moving(self._fault_s) as show:
            self._show_for(AFTER_S, reader, show)
        attempts = self._workload.attempts()
        gap = longest_gap(attempts, site=new, via=Via.PROXY, since_s=self._fault_s)
        last_s = max((one.ended_s for one in _acked(attempts, by=lost)), default=None)
        self._screen.facts(
            (f"last acknowledgement by {title(lost)}", self._after_fault(last_s)),
            ("its lease ended", self._after_fault(self._lease_end_s)),
            (
                f"first acknowledgement by {title(new)}",
                self._after_fault(gap.to_s if gap else None),
            ),
            (f"customers in {title(new)} waited", seconds(gap.length_s if gap else None)),
        )

    def _come_back(self, lost: SiteName, new: SiteName, reader: EvidenceReader) -> None:
        self._screen.heading(f"{title(lost)} is plugged in again and comes back as standby")
        healed_s = boottime_s()
        with self._screen.moving(healed_s) as show:
            self._show_until(
                lambda: reader.look().verdict.code == HEALTHY,
                WHOLE_LIMIT_S,
                f"{lost} did not come back",
                reader,
                show,
            )
        whole = self._whole()
        self._screen.say(
            f"{title(lost)} streams from {title(new)} again, "
            f"{seconds(whole.since_s - healed_s)} after it was plugged in. Nothing was rewound "
            "before the WAL that only it had was copied."
        )

    def _count(self, lost: SiteName, new: SiteName) -> None:
        self._screen.heading("What was lost, counted against the acknowledgements")
        with self._screen.waiting("comparing every acknowledgement with the database"):
            attempts = list(self._workload.attempts())
            report = judge(attempts, self._workload.export(new))
        both = acked_by_both(attempts, new_site=new, since_s=self._fault_s)
        self._screen.facts(
            ("transactions acknowledged", str(report.acked)),
            ("acknowledged and lost", str(len(report.lost))),
            (f"acknowledged by {title(lost)} after {title(new)} had begun", str(len(both))),
            ("cut off during COMMIT, outcome not known to the customer", str(report.indeterminate)),
            ("money", "adds up" if report.money_adds_up else "DOES NOT ADD UP"),
        )
        self._tell_lost(lost, report)
        if both or report.problems:
            raise DemoFailed("; ".join(report.problems) or "two sites acknowledged at once")

    def _tell_lost(self, lost: SiteName, report: Report) -> None:
        if not report.lost:
            return
        self._screen.say(
            f"Replication is asynchronous in this lab ({self._policy.protection}), so what "
            f"{title(lost)} acknowledged while nobody could receive it is not there. Each one "
            "is known:"
        )
        for one in report.lost[:LOST_SHOWN_MOST]:
            self._screen.say(f"    {one.id}  {one.kind:17}  {self._after_fault(one.ended_s)}")
        if len(report.lost) > LOST_SHOWN_MOST:
            more = len(report.lost) - LOST_SHOWN_MOST
            self._screen.say(f"    and {more} more; the records are in {self._workload.records}")

    # ------------------------------------------------------------------ watching

    def _whole(self) -> Whole:
        with self._screen.waiting("waiting until every part is in its place") as words:
            return wait_whole(self._policy, WHOLE_LIMIT_S, tell=words)

    def _show_for(self, length_s: float, reader: EvidenceReader, show: Show) -> None:
        until_s = boottime_s() + length_s
        while boottime_s() < until_s:
            show(reader.look(), self._traffic())
            time.sleep(FRAME_S)

    def _show_until(
        self,
        happened: Callable[[], bool],
        limit_s: float,
        otherwise: str,
        reader: EvidenceReader,
        show: Show,
    ) -> None:
        """Show what is concluded until it happened. DemoFailed, with the verdict, otherwise."""
        give_up_s = boottime_s() + limit_s
        while True:
            evidence = reader.look()
            show(evidence, self._traffic())
            if happened():
                return
            if boottime_s() > give_up_s:
                verdict = evidence.verdict
                raise DemoFailed(
                    f"{otherwise} within {limit_s:g} s; verdict {verdict.code}: {verdict.sentence}"
                )
            time.sleep(FRAME_S)

    def _traffic(self) -> list[SiteTraffic]:
        since_s = boottime_s() - RATE_OVER_S
        recent = [one for one in self._workload.attempts() if one.ended_s > since_s]
        return [_site_traffic(site.name, recent) for site in self._policy.data_sites]

    def _acked_by(self, site: SiteName) -> bool:
        acks = _acked(self._workload.attempts(), by=site)
        return any(one.ended_s > self._fault_s for one in acks)

    def _after_fault(self, at_s: float | None) -> str:
        return "–" if at_s is None else f"{at_s - self._fault_s:+.3f} s after the fault"


def _acked(attempts: Sequence[Attempt], *, by: SiteName) -> list[Attempt]:
    return [one for one in attempts if one.outcome is Outcome.ACKED and one.server_site == by]


def _site_traffic(site: SiteName, recent: Sequence[Attempt]) -> SiteTraffic:
    acks = [one for one in recent if one.outcome is Outcome.ACKED and one.site == site]
    latest = max(acks, key=lambda one: one.ended_s, default=None)
    return SiteTraffic(site, len(acks) / RATE_OVER_S, latest.server_site if latest else None)
