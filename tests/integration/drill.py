"""What every drill on the lab needs: customers, what is concluded meanwhile, and waiting.

A drill breaks something and waits for conditions; nothing here waits for seconds to pass.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from click.testing import CliRunner

from failover.cli.main import cli
from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.health.verdict import Consequence
from failover.lab.errors import LabError
from failover.lab.evidence import Evidence, EvidenceReader, evidence_reader
from failover.lab.lab import Lab
from failover.lab.watch import wait_whole
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import Report, acks_of, judge, longest_gap
from failover.lab.workload.control import Team, Workload
from failover.model import HostName, SiteName
from failover.planning.plan import Plan, StepName
from failover.policy import DatabaseHost
from failover.state import GroupState, HistoryEntry, decode_record, decode_state
from failover.znode import GroupPaths

WHOLE_LIMIT_S = 120.0
PAUSE_MOST_S = 1.0  # of writes, where nothing may happen to them (I8)
POLL_S = 0.1


def wait_until(what: str, holds: Callable[[], bool], limit_s: float = 30.0) -> float:
    """When it was first seen to hold (boot time)."""
    give_up_s = boottime_s() + limit_s
    while not holds():
        assert boottime_s() < give_up_s, f"not within {limit_s:g} s: {what}"
        time.sleep(POLL_S)
    return boottime_s()


def state_of(lab: Lab) -> GroupState:
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read(GroupPaths(lab.policy.group).state)
    assert found is not None
    return decode_state(found.data)


def history(lab: Lab) -> list[HistoryEntry]:
    """What is on record, oldest first."""
    path = GroupPaths(lab.policy.group).history
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read_many([f"{path}/{name}" for name in sorted(store.children(path))])
    return [decode_record(HistoryEntry, z.data, path=z.path) for z in found.values() if z]


def whole(lab: Lab) -> GroupState:
    """The group's state once all is as it should be again, by itself."""
    return wait_whole(lab.policy, WHOLE_LIMIT_S, tell=print).state


def explained(lab: Lab) -> dict[str, object]:
    """What ``failover explain -o json`` says."""
    ended = CliRunner().invoke(cli, ["--config", str(lab.config), "explain", "-o", "json"])
    assert ended.stdout, ended.output
    document: dict[str, object] = json.loads(ended.stdout)
    return document


def explains(lab: Lab, code: str, limit_s: float = 20.0) -> dict[str, object]:
    """The explanation once its verdict has this name."""
    give_up_s = boottime_s() + limit_s
    while True:
        document = explained(lab)
        verdict = document["verdict"]
        assert isinstance(verdict, dict)
        if verdict["code"] == code:
            return document
        assert boottime_s() < give_up_s, f"explain says {verdict['code']}, expected {code}"


# --------------------------------------------------------------------------- conclusions


@dataclass
class Conclusions:
    """What a controller beside the others concludes, look after look."""

    looks: list[Evidence] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        """The verdicts in order, without repetitions."""
        codes = [look.verdict.code for look in self.looks]
        return [code for i, code in enumerate(codes) if i == 0 or codes[i - 1] != code]

    def never_took_over(self) -> bool:
        wanted = all(one.verdict.consequence is not Consequence.TAKEOVER for one in self.looks)
        return wanted and not any(begins_takeover(one) for one in self.looks)

    def wait_for(self, code: str, limit_s: float = 20.0) -> float:
        """When the verdict was given (boot time)."""
        wait_until(f"verdict {code}; there were {self.codes}", lambda: code in self.codes, limit_s)
        return next(look.at_s for look in self.looks if look.verdict.code == code)


def begins_takeover(look: Evidence) -> bool:
    step = look.next_step
    return isinstance(step, Plan) and step.step is StepName.BEGIN_TAKEOVER


@contextmanager
def concluding(lab: Lab) -> Iterator[Conclusions]:
    """Conclusions of the whole block, without a pause."""
    found = Conclusions()
    stop = threading.Event()

    def look(reader: EvidenceReader) -> None:
        while not stop.wait(POLL_S):
            found.looks.append(reader.look())

    with evidence_reader(lab.policy) as reader:
        reader.look()
        thread = threading.Thread(target=look, args=(reader,), daemon=True)
        thread.start()
        try:
            yield found
        except BaseException:
            last = found.looks[-1]
            print(last.verdict)
            print(*(gate for gate in last.gates if gate.passes is not True), sep="\n")
            raise
        finally:
            stop.set()
            thread.join(timeout=10)
            print("verdicts:", *found.codes)


# --------------------------------------------------------------------------- customers


@dataclass
class Customers:
    lab: Lab
    site: SiteName
    workload: Workload

    def attempts(self) -> list[Attempt]:
        return list(self.workload.attempts())

    def at(self, site: SiteName) -> Customers:
        """The same, as those of another site see it."""
        return replace(self, site=site)

    def acked_since(self, since_s: float, count: int = 20) -> bool:
        """They have been served again and again after this moment."""
        acks = acks_of(self.attempts(), site=self.site, via=Via.PROXY)
        return sum(at_s > since_s for at_s in acks) >= count

    def wait_served(self, since_s: float | None = None, limit_s: float = 30.0) -> None:
        since_s = boottime_s() if since_s is None else since_s
        wait_until("customers are served", lambda: self.acked_since(since_s), limit_s)

    def pause_s(self, since_s: float) -> float:
        """The longest time without an acknowledgement through HAProxy."""
        gap = longest_gap(self.attempts(), site=self.site, via=Via.PROXY, since_s=since_s)
        return 0.0 if gap is None else round(gap.length_s, 3)

    def last_ack_s(self, server: DatabaseHost) -> float:
        """When this host acknowledged for the last time."""
        return max(
            (
                one.ended_s
                for one in self.attempts()
                if one.outcome is Outcome.ACKED and one.server == str(server.address)
            ),
            default=0.0,
        )

    def first_ack_s(self, server: DatabaseHost, since_s: float) -> float | None:
        return min(
            (
                one.ended_s
                for one in self.attempts()
                if one.outcome is Outcome.ACKED
                and one.server == str(server.address)
                and one.ended_s > since_s
            ),
            default=None,
        )

    def report(self) -> Report:
        """Every acknowledgement against the database as it is now."""
        return self.report_at(self.site)

    def report_at(self, site: SiteName) -> Report:
        """The same, through the HAProxy of another site."""
        return judge(self.attempts(), self.workload.export(site))


@contextmanager
def customers(
    lab: Lab, site: SiteName, *others: SiteName, rate: float = 50.0
) -> Iterator[Customers]:
    """Customers in a site, through its HAProxy and straight to its hosts, served by now; and in
    other sites, through theirs."""
    workload = Workload(lab, f"drill-{time.time_ns()}")
    teams = (
        Team(site, "proxy", 4, rate),
        Team(site, "direct", 2, 20.0),
        *(Team(other, "proxy", 4, rate) for other in others),
    )
    workload.setup(site)
    try:
        for team in teams:
            workload.start(team)
        workload.wait_until_served(teams)
        yield Customers(lab, site, workload)
    finally:
        workload.stop()


# --------------------------------------------------------------------------- hosts


@dataclass(frozen=True)
class Roles:
    """Who is what at this moment."""

    state: GroupState
    active: SiteName
    standby: SiteName
    primary: DatabaseHost
    replica: DatabaseHost  # the other host of the active site
    standby_leader: DatabaseHost

    @classmethod
    def now(cls, lab: Lab) -> Roles:
        state = state_of(lab)
        cluster = lab.policy.clusters[0]
        writable = lab.writable_host()
        assert writable is not None
        primary = lab.policy.host(writable.name)
        (replica,) = (h for h in cluster.at(state.active_site) if h.name != primary.name)
        standby = lab.policy.other_data_site(state.active_site).name
        return cls(
            state, state.active_site, standby, primary, replica, standby_leader(lab, standby)
        )


def standby_leader(lab: Lab, site: SiteName) -> DatabaseHost:
    """The host that holds Patroni's leader key of a site."""
    cluster = lab.policy.clusters[0]
    path = f"{lab.policy.patroni_namespace.rstrip('/')}/{cluster.scope(site)}/leader"
    with open_store(lab.policy) as store:
        store.sync()
        found = store.read(path)
    assert found is not None, path
    return lab.policy.host(HostName(found.data.decode()))


def writable_at(lab: Lab, host: DatabaseHost) -> bool:
    found = lab.writable_host()
    return found is not None and found.name == host.name


def streams_from(lab: Lab, leader: DatabaseHost, primary: DatabaseHost) -> bool:
    query = "select sender_host from pg_stat_wal_receiver where status = 'streaming'"
    try:
        return sql(lab, leader.name, query) == str(primary.address)
    except LabError:  # it is being started again, after a rewind
        return False


def segment_is_whole(lab: Lab, standby: DatabaseHost, primary: DatabaseHost) -> bool:
    """It receives the primary's timeline, and has its segment up to what was replayed before.

    On a new timeline the receiver begins again at the start of the segment.
    """
    received = (
        "select upper(lpad(to_hex(received_tli), 8, '0')) from pg_stat_wal_receiver "
        "where pg_last_wal_receive_lsn() >= pg_last_wal_replay_lsn()"
    )
    written = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
    try:
        return sql(lab, standby.name, received) == sql(lab, primary.name, written)
    except LabError:  # it is being started again, after a rewind
        return False


def sql(lab: Lab, host: str, query: str) -> str:
    """The answer of a host's own server to its superuser."""
    command = f'cd /; psql -h /run/postgresql -d postgres -qXAtc "{query}"'
    return lab.shell(host, command, user="postgres").strip()


def logged_at(lab: Lab, host: str, words: str, since_unix_s: float) -> float | None:
    """When the server of a host first logged these words after a moment (wall clock)."""
    lines = lab.shell(
        host, f"journalctl -u patroni -o short-unix --no-pager -q --since=@{since_unix_s:.0f}"
    )
    for line in lines.splitlines():
        at = line.split(" ", 1)[0]
        if words in line and float(at) > since_unix_s:
            return float(at)
    return None
