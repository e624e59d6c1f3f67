"""`failover bench chaos`: a random fault, or two, under load; healed; and everything held against
the customers' own records.

Nothing is steered: what the controllers, the guards and Patroni make of it is what is judged. Which
faults are tried follows from the seed alone; the moments are chance.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.residency import ledger_seen
from failover.lab.bench_chaos_result import Case, ChaosRun
from failover.lab.chaos import FAULTS, Roles
from failover.lab.errors import LabError
from failover.lab.hosts import Role
from failover.lab.lab import ROOT, Lab
from failover.lab.mode import protect
from failover.lab.watch import (
    NotWhole,
    Whole,
    clear_cooldown,
    forget_drops,
    wait_whole,
    zookeeper_leader,
)
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import acked_around_another, acked_by_both, judge, longest_gap
from failover.lab.workload.control import Team, Workload, standard_teams
from failover.lab.workload.receipt_check import check_receipts
from failover.model import HostName, ProtectionMode, SiteKind, SiteName
from failover.receipt.document import Receipt, ReceiptError, decode_receipt
from failover.state import HistoryEntry, decode_record, decode_state
from failover.znode import GroupPaths

WHOLE_LIMIT_S = 180.0
LEADER_LOOK_S = 0.5
LOOKED_AGAIN_LIMIT_S = 30.0  # every database is looked into every 20 s
STEADY_S = 2.0
PHASE_JITTER_S = 3.0  # longer than every interval in the system
LASTS_S_MIN = 2.0  # a hiccup; up to longer than a takeover takes
SECOND_AFTER_S = 8.0  # at most
PAIRS = 0.25  # of the runs have two faults
JOURNAL_LINES = 20_000  # of the run alone
SALVAGE = "/var/lib/failover/salvage"
AND = " + "  # between two faults
EPOCH_BEGINS = ("takeover", "switchover")  # events in the history
COMMANDS = (["failover", "status"], ["failover", "explain"], ["failover", "history"])


def cases(modes: Sequence[str], runs: int, seed: int, only: Sequence[str] = ()) -> list[Case]:
    """``runs`` of each mode: every fault by turns, in a random order, and pairs of them.

    What a mode gets follows from seed and mode alone: more runs, or another mode, go on from there.

    ``only``: these by turns, in this order, and no pairs but those that are named ``A + B``.
    """
    if only:
        turns = [tuple(name.split(AND)) for name in only]
        numbers = range(1, runs + 1)
        return [Case(mode, n, *turns[(n - 1) % len(turns)]) for mode in modes for n in numbers]
    found = []
    for mode in modes:
        chance = random.Random(f"{seed} {mode}")
        pack: list[str] = []
        for number in range(1, runs + 1):
            if not pack:
                pack = sorted(FAULTS)
                chance.shuffle(pack)
            if chance.random() < PAIRS:
                found.append(Case(mode, number, *chance.sample(sorted(FAULTS), 2)))
            else:
                found.append(Case(mode, number, pack.pop()))
    return found


def unknown_faults(only: Sequence[str]) -> tuple[str, ...]:
    """Those that are no fault, and no two."""
    return tuple(
        name
        for name in only
        if len(name.split(AND)) > 2 or any(one not in FAULTS for one in name.split(AND))
    )


def degraded_before(entries: Sequence[HistoryEntry], sites: Mapping[HostName, SiteName]) -> bool:
    """Whether a site was given up while it was on record that it alone may have something.

    ``entries``: those of a run that began in sync; ``sites``: of every host. Inside a site nothing
    may be lost whatever is on record: only hosts that have everything get a permit there.
    """
    in_sync = True
    for entry in entries:
        if entry.event in EPOCH_BEGINS:
            if not in_sync:
                return True
            in_sync = False  # who has everything of the new one is found out anew
        for key, names in entry.details.items():
            cluster, _, what = key.rpartition(".")
            if what == "have":
                primary = sites[HostName(entry.details[f"{cluster}.primary"])]
                in_sync = any(
                    sites.get(HostName(one), primary) != primary for one in names.split(", ")
                )
    return False


def commit() -> str:
    """What is measured, as git names it, ``-dirty`` where something is not committed."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is on record at one moment."""

    epoch: int
    active: SiteName
    entries: tuple[HistoryEntry, ...]  # the history, in order
    receipts: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Struck:
    struck_s: float
    second_after_s: float | None
    healed_s: float
    whole: Whole | None
    problems: tuple[str, ...]


class ChaosBench:
    """Cases one after the other on a lab that is up. It ends where the group stays broken."""

    def __init__(
        self,
        lab: Lab,
        todo: Sequence[Case],
        seed: int,
        tell: Callable[[str], None],
        lasts_s_max: float,
    ) -> None:
        self._lab = lab
        self._policy = lab.policy
        self._todo = todo
        self._seed = seed
        self._lasts_s_max = lasts_s_max
        self._commit = commit()
        self._tell = tell
        self._chance = random.Random(f"{seed} {time.time_ns()}")
        self._name = f"chaos-{time.time_ns() // 1_000_000}"
        self._attempts: list[Attempt] = []
        self._lost: set[str] = set()
        self._began_unix_s = time.time()
        self._case: Case | None = None  # that of the last run, as what follows
        self._records: Path | None = None

    def runs(self) -> Iterator[ChaosRun]:
        """Every run, as it ends. NotWhole when the lab does not get ready for the next one."""
        for case in self._todo:
            run = self._run(case)
            yield run
            if run.recovered_s is None:
                raise NotWhole("the group did not become whole by itself")

    def journals(self) -> str:
        """What the operator's commands say now, and every host's journal of the last run. That of a
        host that lost power begins when it came back."""
        asked = self._lab.hosts(Role.CONTROLLER)[-1].name
        said = [("run", f"seed {self._seed}, {self._case}, records in {self._records}\n")]
        said += [(f"{asked}: {' '.join(c)}", self._lab.exec(asked, c).out) for c in COMMANDS]
        roles = (Role.CONTROLLER, Role.DATABASE, Role.ZOOKEEPER, Role.PROXY)
        hosts = [host.name for role in roles for host in self._lab.hosts(role)]
        said += [
            (name, self._lab.journal(name, None, JOURNAL_LINES, self._began_unix_s))
            for name in hosts
        ]
        return "\n".join(f"==== {title}\n{text}" for title, text in said)

    def _run(self, case: Case) -> ChaosRun:
        self._tell("waiting until the group is whole")
        self._case, self._began_unix_s, began_s = case, time.time(), boottime_s()
        with open_store(self._policy) as store:
            clear_cooldown(store, self._policy, by="bench")
            forget_drops(store, self._policy, by="bench")
        active = self._ready(ProtectionMode(case.protection)).state.active_site
        other = self._policy.other_data_site(active).name
        before = self._known()
        workload = Workload(self._lab, f"{self._name}-{case.protection}-{case.number}")
        self._records = workload.records
        teams = standard_teams(active, other)
        try:
            workload.setup(active)
            for team in teams:
                workload.start(team)
            workload.wait_until_served(teams)
            time.sleep(STEADY_S + self._chance.uniform(0.0, PHASE_JITTER_S))
            struck = self._strike_and_heal(case, active)
            struck = self._served_again(workload, teams, struck)
            time.sleep(STEADY_S)  # a late acknowledgement would come now
        finally:
            workload.stop()
        return replace(
            self._judged(case, before, workload, struck), took_s=round(boottime_s() - began_s, 3)
        )

    def _ready(self, mode: ProtectionMode) -> Whole:
        """Whole in this mode, and ZooKeeper's leader moved back to the witness, by the controllers:
        elsewhere a cut link costs the active site its lease (a known limitation)."""
        whole = protect(self._lab, mode)
        if self._leader_is_back():
            return whole
        self._tell("waiting until ZooKeeper's leader is back on the witness")
        give_up_s = boottime_s() + WHOLE_LIMIT_S
        while not self._leader_is_back():
            if boottime_s() > give_up_s:
                raise NotWhole(f"ZooKeeper's leader is not back within {WHOLE_LIMIT_S:g} s")
            time.sleep(LEADER_LOOK_S)
        return protect(self._lab, mode)

    def _leader_is_back(self) -> bool:
        leader = zookeeper_leader(self._policy)
        return leader is not None and self._policy.site(leader.site).kind is SiteKind.WITNESS

    def _strike_and_heal(self, case: Case, active: SiteName) -> _Struck:
        roles = Roles.now(self._lab, active, self._chance)
        struck_s = boottime_s()
        second_s: float | None = None
        self._tell(f"{case.fault}{', then ' + case.then if case.then else ''}")
        try:
            FAULTS[case.fault].strike(roles)
            if case.then:
                time.sleep(self._chance.uniform(0.0, SECOND_AFTER_S))
                second_s = boottime_s()
                self._second(case.then, roles)
            time.sleep(self._chance.uniform(LASTS_S_MIN, self._lasts_s_max))
        finally:
            self._lab.faults.heal()
        healed_s = boottime_s()
        after_s = None if second_s is None else round(second_s - struck_s, 3)
        self._tell("healed; waiting until all is whole")
        try:
            whole = wait_whole(self._policy, WHOLE_LIMIT_S)
        except NotWhole as error:
            return _Struck(struck_s, after_s, healed_s, None, (str(error),))
        return _Struck(struck_s, after_s, healed_s, whole, ())

    def _second(self, fault: str, roles: Roles) -> None:
        """The first one may have left nothing to break: a process of a host without power."""
        try:
            FAULTS[fault].strike(roles)
        except LabError as error:
            self._tell(f"nothing left to break: {error}")

    def _served_again(self, workload: Workload, teams: Sequence[Team], struck: _Struck) -> _Struck:
        """A whole group serves the customers of both sites. Those of a site that was without power
        are gone with it; straight to the hosts of a site that is not active nobody is served."""
        if struck.whole is None:
            return struck
        self._tell("whole; waiting until customers are served")
        shop = [team for team in teams if team.via == Via.PROXY]
        waiting = workload.wait_served_again(shop, struck.whole.since_s)
        if not waiting:
            return struck
        return replace(struck, problems=(f"not served again: {', '.join(waiting)}",))

    # ------------------------------------------------------------------ judged

    def _judged(self, case: Case, before: _Known, workload: Workload, struck: _Struck) -> ChaosRun:
        self._tell("comparing acknowledgements with the database and the receipts")
        after = self._known()
        attempts = list(workload.attempts())
        survivors = workload.export(after.active)
        receipts = self._receipts(after.receipts - before.receipts)
        still_there = [one for one in self._attempts if one.id not in self._lost]
        checked = check_receipts([*still_there, *attempts], survivors, receipts)
        self._attempts.extend(attempts)
        report = judge(self._attempts, survivors)
        lost = {one.id for one in report.lost} - self._lost
        self._lost |= lost
        entries = after.entries[len(before.entries) :]
        sites = {host.name: host.site for host in self._lab.hosts(Role.DATABASE)}
        outcomes = [one.outcome for one in attempts]
        gap = longest_gap(attempts, site=before.active, since_s=struck.struck_s)
        whole = struck.whole
        return ChaosRun(
            case=case,
            seed=self._seed,
            commit=self._commit,
            began_unix_s=round(self._began_unix_s, 3),
            pause_s_max=None
            if case.then
            else FAULTS[case.fault].pause_s_max(ProtectionMode(case.protection)),
            netem=self._lab.netem,
            active_before=before.active,
            active_after=after.active,
            second_after_s=struck.second_after_s,
            lasted_s=round(struck.healed_s - struck.struck_s, 3),
            recovered_s=round(max(0.0, whole.since_s - struck.healed_s), 3) if whole else None,
            pause_s=round(gap.length_s, 3) if gap else None,
            acked=outcomes.count(Outcome.ACKED),
            indeterminate=outcomes.count(Outcome.INDETERMINATE),
            acked_by_both=self._by_both(attempts, before.active, after.active, struck.struck_s),
            acked_around_another=len(acked_around_another(attempts)),
            lost=len(lost),
            silently_lost=len(checked.unlisted),
            degraded=degraded_before(entries, sites),
            takeovers=sum(entry.event in EPOCH_BEGINS for entry in entries),
            epochs=after.epoch - before.epoch,
            findings=self._findings(),
            problems=(*struck.problems, *report.problems),
        )

    def _by_both(
        self, attempts: Sequence[Attempt], before: SiteName, after: SiteName, since_s: float
    ) -> int:
        """Where the active site stayed, the other one must have acknowledged nothing at all."""
        if before == after:
            return sum(
                one.outcome is Outcome.ACKED and one.server_site not in (before, None)
                for one in attempts
            )
        return len(acked_by_both(attempts, new_site=after, since_s=since_s))

    def _known(self) -> _Known:
        paths = GroupPaths(self._policy.group)
        with open_store(self._policy) as store:
            store.sync()
            found = store.read(paths.state)
            entries = self._entries(store, paths.history)
        if found is None:
            raise LabError("there is no state", todo="`failover status`")
        state = decode_state(found.data, path=paths.state)
        return _Known(state.epoch, state.active_site, entries, self._receipt_paths())

    def _entries(self, store: KazooStore, path: str) -> tuple[HistoryEntry, ...]:
        found = store.read_many([f"{path}/{name}" for name in sorted(store.children(path) or ())])
        znodes = (znode for znode in found.values() if znode)
        return tuple(decode_record(HistoryEntry, one.data, path=one.path) for one in znodes)

    def _receipt_paths(self) -> frozenset[str]:
        """Host and path of every receipt there is."""
        script = f"ls {SALVAGE}/*/receipt.json 2>/dev/null; true"
        return frozenset(
            f"{host.name}:{path}"
            for host in self._lab.hosts(Role.DATABASE)
            for path in self._lab.shell(host.name, script).split()
        )

    def _receipts(self, places: frozenset[str]) -> list[Receipt]:
        found = []
        for place in sorted(places):
            host, _, path = place.partition(":")
            try:
                found.append(decode_receipt(self._lab.shell(host, f"cat {path}").encode()))
            except ReceiptError:
                continue  # what is lost and in no receipt that can be read is lost silently
        return found

    def _findings(self) -> tuple[str, ...]:
        """What stands open once every database could be looked at again: one that nobody could look
        into under the fault is a finding too, and ends with the next look."""
        give_up_s = boottime_s() + LOOKED_AGAIN_LIMIT_S
        with open_store(self._policy) as store:
            while True:
                found = ledger_seen(store.read(GroupPaths(self._policy.group).residency)).ledger
                if not found.open or boottime_s() > give_up_s:
                    return tuple(f"I4: {each.finding}" for each in found.open)
                time.sleep(LEADER_LOOK_S)
