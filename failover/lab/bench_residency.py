"""`failover bench residency`: a host abroad tries every known way to the customers' data.

At least 1 GB of data; lines of pg_hba.conf opened on purpose on every database host; then one
attempt after the other, each timed, with the bytes that arrived abroad. ``firewall``: with the
rendered rules loaded in the database hosts, and then the group is moved with them. What was opened
is closed at the end, whatever happened.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.lab.bench import Settings, TakeoverBench
from failover.lab.bench_residency_attempts import (
    MARK,
    OPENED,
    PULLS,
    PUSHES,
    REFUSED_DDL,
    SLOT,
    TABLE,
    TRIGGERS_OFF,
    TRIGGERS_ON,
    Attempt,
    Place,
    local_sql,
)
from failover.lab.bench_residency_cost import scanning_cost
from failover.lab.bench_residency_result import Around, Ended, Kind, Move, Row, outcome_of
from failover.lab.bench_result import run_line as takeover_line
from failover.lab.bench_switchover import SwitchoverBench
from failover.lab.bench_switchover import run_line as switchover_line
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.lab.image import tag
from failover.lab.lab import Lab
from failover.lab.residency_record import ResidencyRecord
from failover.lab.singapore import (
    ADDRESS,
    Singapore,
    Timed,
    join_ipv6,
    leave_ipv6,
    run_timed,
    said,
)
from failover.lab.stages import patroni
from failover.lab.watch import claim_holder, wait_whole
from failover.lab.workload.checker import longest_gap
from failover.lab.workload.control import Team, Workload
from failover.model import SiteName
from failover.replication.loss import PEAK_WINDOW_S

WHOLE_LIMIT_S = 180.0
ATTEMPT_LIMIT_S = 15.0
CUT_ON_RECORD_S = 3.0  # a scan is published with the next observation
LINE_LIMIT_S = 15.0
CATALOGUES_LIMIT_S = 30.0  # they are looked into every 20 s
COST_S = 60.0
STEADY_S = 3.0
FILL_ROWS = 65536  # of one transaction: about 64 MiB
CLIENTS, RATE = 2, 20.0
POLL_S = 0.1


LOAD = "nft -f /etc/failover/residency.nft"
UNLOAD = "nft delete table inet failover_residency"

# As what a session from abroad is found, by the kind of attempt.
SEEN_AS = {
    Kind.WALSENDER: ("walsender", "base_backup", "hba_line"),
    Kind.CLIENT: ("client", "hba_line"),
}


class ResidencyBench:
    """One campaign on a lab that is up. ``around``: what was measured besides the attempts."""

    def __init__(
        self, lab: Lab, size_bytes: int, firewall: bool, tell: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._size_bytes = size_bytes
        self._tell = tell
        self._singapore = Singapore(lab.containers, lab.directory / "secrets")
        self._lines_open = False
        self.around = Around(firewall, lab.netem)

    @property
    def wanted(self) -> int:
        """How many attempts there are."""
        return len(REFUSED_DDL) + len(PULLS) + len(PUSHES)

    def rows(self) -> Iterator[Row]:
        """Every attempt, as it ends. LabError, NotWhole when the lab is not ready for it."""
        self._tell("waiting until the group is whole")
        active = wait_whole(self._lab.policy, WHOLE_LIMIT_S).state.active_site
        places = self._places(active)
        with ExitStack() as undo, open_store(self._lab.policy) as store:
            record = ResidencyRecord(store, self._lab.policy)
            self._tell("a host abroad")
            undo.callback(self._singapore.remove)
            self._singapore.start(tag())
            undo.callback(self._forget_table)
            self._fill(places[Place.PRIMARY])
            self._tell(f"what scanning costs, over {COST_S:g} s")
            self.around.costs = scanning_cost(self._lab, COST_S)
            undo.callback(self._close_lines)
            self._open_lines(record)
            if self.around.firewall:
                self._tell("the rendered firewall, on every database host")
                undo.callback(self._on_databases, f"{UNLOAD} 2>/dev/null || true")
                self._on_databases(LOAD)
            yield from self._attempts(places, active, record)
            ended_s = boottime_s()
            self._close_lines()
            if self.around.firewall:
                self._move(ended_s)

    # ------------------------------------------------------------------ before

    def _places(self, active: SiteName) -> dict[Place, LabHost]:
        """Who is what now. Asked from here: no firewall is loaded yet."""
        lab, cluster = self._lab, self._lab.policy.clusters[0]
        primary = claim_holder(lab.policy, cluster.name)
        if primary is None:
            raise LabError("no host takes writes", todo="`failover status`")
        standby = lab.policy.other_data_site(active).name
        roles = {host.name: patroni(host) for host in cluster.at(standby)}
        leaders = [
            name
            for name, found in roles.items()
            if isinstance(found, dict) and found.get("role") == "standby_leader"
        ]
        replicas = [name for name in roles if name not in leaders]
        if len(leaders) != 1 or not replicas:
            raise LabError(f"{standby}: no standby leader with a replica", todo="`failover status`")
        return {
            Place.PRIMARY: lab.host(primary),
            Place.STANDBY_LEADER: lab.host(leaders[0]),
            Place.STANDBY_REPLICA: lab.host(replicas[0]),
            Place.PROXY: lab.hosts(Role.PROXY, active)[0],
        }

    def _fill(self, primary: LabHost) -> None:
        """A table of the customers, until it is as large as wanted, and everywhere."""
        self._tell(f"{self._size_bytes / 2**30:g} GiB of data")
        self._sql(
            primary,
            f"create table {TABLE} (id bigint, filler text) with (autovacuum_enabled = off)",
            f"alter table {TABLE} owner to marketplace",
        )
        while self._size(primary) < self._size_bytes:
            self._sql(
                primary,
                f"insert into {TABLE} select g, repeat(md5(g::text), 31) "
                f"from generate_series(1, {FILL_ROWS}) g",
            )
        self._sql(primary, "checkpoint")
        self.around.size_bytes = self._size(primary)
        wait_whole(self._lab.policy, WHOLE_LIMIT_S)

    def _size(self, primary: LabHost) -> int:
        return int(self._sql(primary, f"select pg_table_size('{TABLE}')"))

    def _open_lines(self, record: ResidencyRecord) -> None:
        """Into the file of every database host; loaded only when it has been found out."""
        self._tell("lines of pg_hba.conf are opened")
        self._lines_open = True
        opened_s = {}
        for host in self._lab.hosts(Role.DATABASE):
            self._on_host(host, f"echo '{OPENED} {MARK}' >> $(hba)")
            opened_s[host.name] = boottime_s()
        self.around.line_found_s = dict.fromkeys(opened_s, None)
        give_up_s = boottime_s() + LINE_LIMIT_S
        while None in self.around.line_found_s.values() and boottime_s() < give_up_s:
            for host_name in record.open_at("hba_line"):
                if host_name in opened_s and self.around.line_found_s[host_name] is None:
                    took_s = round(boottime_s() - opened_s[host_name], 2)
                    self.around.line_found_s[host_name] = took_s
            time.sleep(POLL_S)
        for host in self._lab.hosts(Role.DATABASE):
            self._on_host(host, "reload")

    # ------------------------------------------------------------------ attempts

    def _attempts(
        self, places: Mapping[Place, LabHost], active: SiteName, record: ResidencyRecord
    ) -> Iterator[Row]:
        primary = places[Place.PRIMARY]
        with self._customers(active):
            for attempt in REFUSED_DDL:
                yield self._attempt(attempt, primary, record)
            with ExitStack() as undo:
                undo.callback(leave_ipv6, self._lab.containers, primary.name)
                join_ipv6(self._lab.containers, primary.name)
                undo.callback(self._sql, primary, *TRIGGERS_ON)
                self._sql(primary, *TRIGGERS_OFF)
                for attempt in (*PULLS, *PUSHES):
                    yield self._attempt(attempt, places[attempt.place], record)

    @contextmanager
    def _customers(self, active: SiteName) -> Iterator[None]:
        """Customers of both sites; the longest pause at the active one is noted."""
        workload = Workload(self._lab, f"residency-{time.time_ns() // 1_000_000}")
        teams = [Team(s.name, "proxy", CLIENTS, RATE) for s in self._lab.policy.data_sites]
        try:
            workload.setup(active)
            for team in teams:
                workload.start(team)
            workload.wait_until_served(teams)
            since_s = boottime_s()
            yield
            time.sleep(STEADY_S)
            gap = longest_gap(workload.attempts(), site=active, since_s=since_s)
            self.around.write_pause_s = None if gap is None else round(gap.length_s, 2)
        finally:
            workload.stop()

    def _attempt(self, attempt: Attempt, host: LabHost, record: ResidencyRecord) -> Row:
        self._tell(f"{attempt.path} from {host.name}")
        before = record.cuts(host.name, str(ADDRESS))
        self._singapore.forget()
        timed = self._run(attempt, host)
        arrived = self._singapore.arrived_bytes()
        cut: Counter[str] = Counter()
        if attempt.kind in SEEN_AS and timed.exit_code != 0:
            cut = record.wait_cut(host.name, str(ADDRESS), before, CUT_ON_RECORD_S)
        ended = Ended(timed.exit_code, timed.took_s, arrived, timed.said, cut.total())
        found = [*cut]
        for way in record.standing(host.name, str(ADDRESS)):
            found += [way] if way in SEEN_AS.get(attempt.kind, ()) else []
        found += record.wait_open(host.name, attempt.raises, CATALOGUES_LIMIT_S)
        return Row(
            path=attempt.path,
            kind=attempt.kind,
            from_host=host.name,
            outcome=outcome_of(attempt.kind, ended),
            seconds=round(timed.took_s, 2),
            bytes_left=arrived,
            finding=", ".join(dict.fromkeys(found)),
            said=timed.said,
            problems=tuple(self._problems(attempt, host, timed)),
        )

    def _run(self, attempt: Attempt, host: LabHost) -> Timed:
        command = attempt.command.replace("{address}", str(host.address))
        if attempt.on_the_host:
            return run_timed(self._lab.containers, host.name, "", command, ATTEMPT_LIMIT_S)
        command = command.replace("{passfile}", self._singapore.passfile)
        command = command.replace("{port}", str(self._lab.policy.clusters[0].proxy_port))
        return self._singapore.run(command, ATTEMPT_LIMIT_S)

    def _problems(self, attempt: Attempt, host: LabHost, timed: Timed) -> Iterator[str]:
        """What makes an attempt prove nothing, and what was left behind."""
        if "no pg_hba.conf entry" in timed.said or "password authentication" in timed.said:
            yield f"it was not let in: {timed.said}"
        if attempt.kind is Kind.WALSENDER and self._slots(host):
            yield f"its slot is still there ({SLOT})"
            self._sql(host, f"select pg_drop_replication_slot('{SLOT}')")

    def _slots(self, host: LabHost) -> bool:
        query = f"select count(*) from pg_replication_slots where slot_name = '{SLOT}'"
        return self._sql(host, query) != "0"

    # ------------------------------------------------------------------ after

    def _move(self, attempts_ended_s: float) -> None:
        """One switchover and one takeover, the rules loaded.

        Whoever reads the table for the first time writes as much WAL (hint bits are logged), and a
        takeover is judged by the highest rate of the last minute: it would be held, and rightly.
        """
        self._tell("a switchover with the firewall loaded")
        wait_whole(self._lab.policy, WHOLE_LIMIT_S)
        for switched in SwitchoverBench(self._lab, 1, None, self._tell).runs():
            line = switchover_line(switched)
            self.around.moves.append(Move("switchover", switched.succeeded, line))
        time.sleep(max(0.0, attempts_ended_s + PEAK_WINDOW_S + STEADY_S - boottime_s()))
        self._tell("a takeover with the firewall loaded")
        for taken in TakeoverBench(self._lab, Settings(1), self._tell).runs():
            self.around.moves.append(Move("takeover", taken.succeeded, takeover_line(taken)))
        wait_whole(self._lab.policy, WHOLE_LIMIT_S)

    def _close_lines(self) -> None:
        """On every host, one that does not answer included: then the others come first."""
        if not self._lines_open:
            return
        with ExitStack() as all_of_them:
            for host in self._lab.hosts(Role.DATABASE):
                close = f"sed -i '/{MARK}$/d' $(hba); reload"
                all_of_them.callback(self._on_host, host, close)
        self._lines_open = False

    def _forget_table(self) -> None:
        name = claim_holder(self._lab.policy, self._lab.policy.clusters[0].name)
        if name is not None:
            self._sql(self._lab.host(name), f"drop table if exists {TABLE}")

    # ------------------------------------------------------------------ on hosts

    def _on_databases(self, script: str) -> None:
        for host in self._lab.hosts(Role.DATABASE):
            said(self._lab.containers, host.name, script)

    def _on_host(self, host: LabHost, script: str) -> None:
        """As the server's user; ``hba`` and ``reload`` are what they say."""
        functions = (
            "hba() { psql -h /run/postgresql -XtAc 'show hba_file' postgres; }\n"
            "reload() { psql -h /run/postgresql -Xqc 'select pg_reload_conf()' postgres; }\n"
        )
        said(self._lab.containers, host.name, f"set -e\n{functions}{script}", user="postgres")

    def _sql(self, host: LabHost, *statements: str) -> str:
        return said(self._lab.containers, host.name, local_sql(*statements), user="postgres")
