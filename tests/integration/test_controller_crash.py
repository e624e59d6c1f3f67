"""The leading controller killed, for good, in the middle of a takeover and of a reinstatement.

Each drill kills whoever leads the moment something appears in ZooKeeper; another controller goes
on. One that dies before, at and after every single step is in tests/simulation; this is the same
on the real parts, where a moment has a width.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from drill import Roles, history, state_of, wait_until, whole

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.lab.faults import Kind
from failover.lab.lab import Lab
from failover.lab.processes import Process
from failover.lab.watch import without_servers_of
from failover.lab.workload.attempt import Outcome, Via
from failover.lab.workload.checker import acked_by_both, judge, longest_gap
from failover.lab.workload.control import Workload, standard_teams
from failover.model import Epoch, SiteName
from failover.state import (
    GroupState,
    HistoryEntry,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    decode_record,
    decode_state,
)
from failover.znode import GroupPaths

pytestmark = pytest.mark.lab

POLL_S = 0.005
LEASE_STILL_HELD_S = 5.0
TAKEOVER_LIMIT_S = 40.0
REINSTATED_LIMIT_S = 90.0


@dataclass(frozen=True)
class Seen:
    """What ZooKeeper has at one moment."""

    watched_s: float  # since the drill's fault
    epoch: Epoch  # the one that the drill began in
    state: GroupState
    claimed: bool
    salvage: tuple[SalvageProgress, ...]  # of the next epoch

    @property
    def moved(self) -> bool:
        return self.state.epoch == self.epoch + 1


Moment = Callable[[Seen], bool]

# Of a takeover.


def the_lease_is_about_to_end(seen: Seen) -> bool:
    """Nobody leads then: another has to see first that the leader is gone."""
    return seen.watched_s > LEASE_STILL_HELD_S


def the_lease_ends(seen: Seen) -> bool:
    return not seen.claimed


def the_takeover_is_committed(seen: Seen) -> bool:
    return seen.moved


def the_promotion_is_on_record(seen: Seen) -> bool:
    return seen.moved and all(cluster.promoted for cluster in seen.state.clusters.values())


# Of a reinstatement.


def the_salvage_begins(seen: Seen) -> bool:
    return bool(seen.salvage)


def the_salvage_is_done(seen: Seen) -> bool:
    return any(record.phase is SalvagePhase.DONE for record in seen.salvage)


def the_reinstatement_is_committed(seen: Seen) -> bool:
    return seen.moved and all(
        cluster.standby is StandbyScope.FOLLOWING for cluster in seen.state.clusters.values()
    )


@pytest.mark.parametrize(
    ("in_takeover", "in_reinstatement"),
    [
        (the_lease_is_about_to_end, the_salvage_begins),
        (the_lease_ends, the_salvage_is_done),
        (the_takeover_is_committed, the_reinstatement_is_committed),
        (the_promotion_is_on_record, the_salvage_begins),
    ],
)
def test_another_finishes(lab: Lab, in_takeover: Moment, in_reinstatement: Moment) -> None:
    roles = Roles.now(lab)
    lost, new = roles.active, roles.standby
    workload = Workload(lab, f"crash-{time.time_ns()}")
    with customers_of_both(workload, lost, new):
        killer = Killer(lab, roles.state.epoch, lost)
        with killer.at(in_takeover):
            lost_s = boottime_s()
            lab.faults.unplug(lost)
            killer.wait(TAKEOVER_LIMIT_S)
        wait_until("customers are served", lambda: served(workload, new, lost_s), TAKEOVER_LIMIT_S)
        wait_until("it is on record", lambda: promoted(lab), TAKEOVER_LIMIT_S)
        first = killer.victim
        lab.faults.undo(Kind.KILL_FOR_GOOD, f"{first}:{Process.CONTROLLER}")
        with killer.at(in_reinstatement):
            lab.faults.undo(Kind.UNPLUG, lost)
            killer.wait(REINSTATED_LIMIT_S)
        wait_until("it is reinstated", lambda: reinstated(lab), REINSTATED_LIMIT_S)
        lab.faults.heal()
        state = whole(lab)
    print(
        f"killed {first} when {in_takeover.__name__}, {killer.victim} when "
        f"{in_reinstatement.__name__}"
    )
    attempts = list(workload.attempts())
    gap = longest_gap(attempts, site=new, via=Via.PROXY, since_s=lost_s)
    print(f"outage {gap.length_s if gap else None} s")
    assert (state.epoch, state.active_site) == (roles.state.epoch + 1, new)
    assert not acked_by_both(attempts, new_site=new, since_s=lost_s)
    assert not judge(attempts, workload.export(new)).problems
    on_record = Counter(entry.event for entry in history_of(lab, state.epoch))
    assert on_record["takeover"] == on_record["promoted"] == on_record["reinstated"] == 1
    for entry in history_of(lab, state.epoch):
        print(f"{entry.event} by {entry.by}: {entry.summary}")


# --------------------------------------------------------------------------- the killer


class Killer:
    """Kills the leading controller the moment something is seen in ZooKeeper."""

    def __init__(self, lab: Lab, epoch: Epoch, lost: SiteName) -> None:
        self._lab = lab
        self._epoch = epoch
        self._policy = without_servers_of(lab.policy, lost)
        self._paths = GroupPaths(lab.policy.group)
        self._killed = threading.Event()
        self.victim = ""

    @contextmanager
    def at(self, moment: Moment) -> Iterator[None]:
        """In the block it watches. Whoever is killed stays dead until healed."""
        self._killed.clear()
        stop = threading.Event()
        # Prepared before, so that the kill is one step: who might lead, and its process.
        pids = {}
        for site in self._lab.policy.sites:
            host = site.controller.name
            self._lab.faults.doom(host, Process.CONTROLLER)
            pids[site.name] = (host, self._pid(host))
        thread = threading.Thread(target=self._watch, args=(moment, pids, stop), daemon=True)
        with open_store(self._policy) as store:
            self._store = store
            self._since_s = boottime_s()
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(timeout=5)
                for host, _ in pids.values():
                    if host != self.victim:
                        self._lab.faults.undo(Kind.KILL_FOR_GOOD, f"{host}:{Process.CONTROLLER}")

    def wait(self, limit_s: float) -> None:
        assert self._killed.wait(limit_s), f"not seen within {limit_s:g} s"

    def _pid(self, host: str) -> str:
        """Of the controller there, once it runs."""
        ask = "systemctl show -P MainPID failover-controller"
        wait_until(f"{host} runs", lambda: self._lab.shell(host, ask).strip() != "0")
        return self._lab.shell(host, ask).strip()

    def _watch(
        self, moment: Moment, pids: dict[SiteName, tuple[str, str]], stop: threading.Event
    ) -> None:
        while not stop.wait(POLL_S):
            try:
                leader, seen = self._look(self._store)
            except StoreUnavailable:
                continue
            if moment(seen) and leader in pids:
                host, pid = pids[leader]
                self._lab.shell(host, f"kill -KILL {pid}")
                self.victim = host
                self._killed.set()
                return

    def _look(self, store: KazooStore) -> tuple[SiteName | None, Seen]:
        cluster = self._lab.policy.clusters[0].name
        lock = f"{self._paths.leadership}/leader"
        state, writer = self._paths.state, self._paths.writer(cluster)
        found = store.read_many([lock, state, writer])
        record, leader = found[state], found[lock]
        assert record is not None
        names = store.children(self._paths.salvage)
        of_next = [n for n in names if n.startswith(f"{self._epoch + 1}.")]
        salvage = store.read_many([f"{self._paths.salvage}/{name}" for name in of_next])
        return (
            SiteName(leader.data.decode()) if leader else None,
            Seen(
                watched_s=boottime_s() - self._since_s,
                epoch=self._epoch,
                state=decode_state(record.data),
                claimed=found[writer] is not None,
                salvage=tuple(
                    decode_record(SalvageProgress, z.data, path=z.path)
                    for z in salvage.values()
                    if z is not None
                ),
            ),
        )


# --------------------------------------------------------------------------- the group


@contextmanager
def customers_of_both(workload: Workload, lost: SiteName, new: SiteName) -> Iterator[None]:
    teams = standard_teams(lost, new)
    workload.setup(new)
    try:
        for team in teams:
            workload.start(team)
        workload.wait_until_served(teams)
        yield
    finally:
        workload.stop()


def served(workload: Workload, new: SiteName, since_s: float) -> bool:
    return any(
        one.outcome is Outcome.ACKED and one.server_site == new and one.ended_s > since_s
        for one in list(workload.attempts())
    )


def promoted(lab: Lab) -> bool:
    return all(cluster.promoted for cluster in state_of(lab).clusters.values())


def reinstated(lab: Lab) -> bool:
    clusters = state_of(lab).clusters.values()
    return all(cluster.standby is StandbyScope.FOLLOWING for cluster in clusters)


def history_of(lab: Lab, epoch: Epoch) -> list[HistoryEntry]:
    return [entry for entry in history(lab) if entry.epoch == epoch]
