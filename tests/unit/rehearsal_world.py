"""A group that is rehearsed: it moves when it is asked to, and time passes while somebody waits."""

from __future__ import annotations

from dataclasses import replace

from cli_world import (
    CLUSTER,
    HOSTS,
    JAKARTA,
    MAKASSAR,
    POLICY,
    STATE,
    guard,
    healthy,
    observer,
    patroni,
    primary,
    scope,
    standby,
)

from failover.cli.look import Seen
from failover.cli.moves import Ended
from failover.cli.rehearsing import Hands, Moved, Order, Rehearsal
from failover.health.inputs import ClaimSeen, LsnSample, StateSeen, ViewInputs
from failover.health.observation import HostObservation
from failover.model import Epoch, HostName, Lsn, SiteName, TimelineId
from failover.rehearsal.pause import Pause
from failover.rehearsal.record import OnRecord
from failover.rehearsal.report import Report
from failover.state import (
    HistoryEntry,
    OperatorRequest,
    WriterClaim,
)


def entry(event: str, at_unix_s: float, epoch: int, **details: str) -> HistoryEntry:
    return HistoryEntry(at_unix_s, Epoch(epoch), event, event, "controller at surabaya", details)


def in_makassar() -> ViewInputs:
    """Moved there in epoch 4: everything as it should be, Jakarta streams."""
    moved = replace(STATE, epoch=Epoch(4), active_site=MAKASSAR)
    seen = {
        "mks-db1": (primary("0/6000000"), patroni("primary"), guard(writable=True)),
        "mks-db2": (standby("0/6000000"), patroni("replica"), guard()),
        "jkt-db1": (standby("0/6000000"), patroni("standby_leader"), guard()),
        "jkt-db2": (standby("0/6000000"), patroni("replica"), guard()),
    }
    hosts = {
        name: HostObservation(
            HostName(name),
            replace(postgres, timeline=TimelineId(4)),
            role,
            guard_seen,
        )
        for name, (postgres, role, guard_seen) in seen.items()
    }
    claim = WriterClaim(HostName("mks-db1"), MAKASSAR, Epoch(4))
    return replace(
        healthy(),
        state=StateSeen(moved, version=13),
        claims=(ClaimSeen(CLUSTER, claim, unchanged_for_s=30.0, session_id=0x3000),),
        scopes=(scope(JAKARTA, "jkt-db1", upstream="10.77.2.11"), scope(MAKASSAR, "mks-db1")),
        observers=tuple(observer(site.name, hosts) for site in POLICY.sites),
        samples=(
            LsnSample(CLUSTER, HostName("mks-db1"), 0.5, Lsn.parse("0/6000000"), TimelineId(4)),
        ),
    )


def home_again() -> ViewInputs:
    """Back in Jakarta, epoch 5, on the timeline after Makassar's."""
    state = replace(STATE, epoch=Epoch(5))
    hosts = {
        name: replace(seen, postgres=replace(seen.postgres, timeline=TimelineId(5)))
        for name, seen in HOSTS.items()
    }
    claim = WriterClaim(HostName("jkt-db1"), JAKARTA, Epoch(5))
    samples = tuple(replace(one, timeline=TimelineId(5)) for one in healthy().samples)
    return replace(
        healthy(),
        state=StateSeen(state, version=15),
        claims=(ClaimSeen(CLUSTER, claim, unchanged_for_s=30.0, session_id=0x2000),),
        observers=tuple(observer(site.name, hosts) for site in POLICY.sites),
        samples=samples,
    )


def not_healthy(inputs: ViewInputs) -> ViewInputs:
    """One pair of eyes is missing."""
    return replace(inputs, observers=inputs.observers[1:])


def seen(inputs: ViewInputs) -> Seen:
    return Seen.of(POLICY, inputs, 1.2)


class Group:
    """Moves when it is asked to; time passes only while somebody waits for it."""

    def __init__(self) -> None:
        self.worlds = [healthy(), in_makassar(), home_again()]
        self.at = 0
        self.now_unix_s = 1000.0
        self.outcomes: list[str | Exception] = ["done", "done"]
        self.stop_after: int | None = None
        self.unwell: set[int] = set()
        self.pause_s = 0.4
        self.said: list[str] = []
        self.asked: list[OperatorRequest] = []

    def look(self) -> Seen:
        world = self.worlds[self.at]
        return seen(not_healthy(world) if self.at in self.unwell else world)

    def move(self, from_site: SiteName, request: OperatorRequest) -> Moved:
        self.asked.append(request)
        outcome = self.outcomes[len(self.asked) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        self.at += outcome == "done"
        epoch = 3 + self.at if outcome == "done" else None
        reasons = () if outcome == "done" else ("claim_released: still held",)
        self.now_unix_s += 1.0
        begun_unix_s = self.now_unix_s
        record = OnRecord(begun_unix_s - 1.0, begun_unix_s - 0.6, begun_unix_s - 0.3)
        ended = Ended(request.id, outcome, from_site, request.to_site, epoch, 0.7, reasons)
        return Moved(ended, record, begun_unix_s - 0.8, {CLUSTER: Pause(self.pause_s, False)})

    def sleep(self, seconds: float) -> None:
        self.now_unix_s += seconds

    def hands(self) -> Hands:
        return Hands(
            look=self.look,
            glance=self.look,
            move=self.move,
            say=self.said.append,
            stop_asked=lambda: self.stop_after is not None and len(self.asked) >= self.stop_after,
            now_unix_s=lambda: self.now_unix_s,
            sleep=self.sleep,
        )


ORDER = Order(
    id="r-17",
    by="sari@sby-ctl1",
    reason="before the rainy season",
    limit_s=15.0,
    healthy_limit_s=30.0,
    measured_at="sby-ctl1",
    interval_s=0.025,
)


def run(group: Group) -> Report:
    return Rehearsal(POLICY, ORDER, group.hands()).run()
