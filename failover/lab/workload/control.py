"""Starts, watches and stops customers in the client hosts, from the machine that runs the lab.

A *team* is one process in one client host: its site, its way to the database, its rate. Records
of all teams of a run lie in one directory under .lab/, which the client hosts see as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from failover.lab.workload.attempt import Attempt, Outcome, RecordReader, Via
from failover.lab.workload.survivors import Survivors, decode_survivors
from failover.model import HostName, SiteName

MOUNTED_AT = Path("/var/lib/failover-lab")  # where client hosts see the directory of the lab
PYTHON = "/opt/failover/venv/bin/python"
ENVIRONMENT = "PYTHONPATH=/opt/failover/src PYTHONPYCACHEPREFIX=/opt/failover/pycache"

# The client hosts. Only the lab knows them: they are customers, no part of the sites.
CLIENT_HOSTS: dict[SiteName, HostName] = {
    SiteName("jakarta"): HostName("jkt-client"),
    SiteName("makassar"): HostName("mks-client"),
}

PAUSE = "pause"  # while this file is among the records, its customers do nothing
START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0


class Ended(Protocol):
    """How a command ended in a host."""

    @property
    def code(self) -> int: ...

    @property
    def out(self) -> str: ...


class Hosts(Protocol):
    """What is needed of the lab."""

    @property
    def directory(self) -> Path:
        """The lab's directory on this machine, mounted in client hosts."""

    def exec(self, host: HostName, command: list[str]) -> Ended:
        """Run a command in a host and wait for it."""


class WorkloadError(Exception):
    """The customers could not be started, read or stopped. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Team:
    site: SiteName
    via: str  # proxy, direct (any database host of the site) or direct:HOST
    clients: int = 4
    rate: float = 50.0

    @property
    def name(self) -> str:
        return f"{self.site}-{self.via.replace(':', '-')}"


class Workload:
    """All teams of one run."""

    def __init__(self, hosts: Hosts, run: str) -> None:
        self.run = run
        self._hosts = hosts
        self._readers: dict[str, RecordReader] = {}
        self._attempts: list[Attempt] = []

    @property
    def records(self) -> Path:
        """The directory of this run's records on this machine."""
        return self._hosts.directory / "records" / self.run

    def setup(self, site: SiteName) -> None:
        """Create the empty shop where it is not there yet, through the proxy of ``site``."""
        self._call(site, f"setup --site {site}")

    def start(self, team: Team) -> None:
        """Start a team in the background. It stays until stopped, or its host is gone."""
        inside = MOUNTED_AT / "records" / self.run / team.name
        command = (
            f"run --site {team.site} --via {team.via} --clients {team.clients} "
            f"--rate {team.rate:g} --run {self.run} --record {inside}.jsonl "
            f"--pid-file {inside}.pid --pause-file {inside.with_name(PAUSE)} --until-stopped"
        )
        self.records.mkdir(parents=True, exist_ok=True)
        self._shell(
            team.site,
            f"{ENVIRONMENT} setsid {PYTHON} -m failover.lab.workload {command} "
            f">{inside}.log 2>&1 </dev/null &",
        )

    def stop(self) -> None:
        """Stop every team of this run that is still there, and wait until it is gone."""
        left = {path: _site_of(path) for path in self.records.glob("*.pid")}
        for path, site in left.items():
            if not self._signal(path, site, "TERM"):  # its host was without power meanwhile
                path.unlink(missing_ok=True)
        give_up_s = time.monotonic() + STOP_LIMIT_S
        while any(path.exists() for path in left) and time.monotonic() < give_up_s:
            time.sleep(0.1)
        for path, site in left.items():
            if path.exists():
                self._signal(path, site, "KILL")
                path.unlink(missing_ok=True)

    def pause(self) -> None:
        """All customers keep their sessions and do nothing, until ``go_on``."""
        (self.records / PAUSE).touch()

    def go_on(self) -> None:
        """Customers that pause go on within some milliseconds."""
        (self.records / PAUSE).unlink(missing_ok=True)

    def teams(self) -> tuple[str, ...]:
        """The names of the teams that run."""
        return tuple(sorted(path.stem for path in self.records.glob("*.pid")))

    def attempts(self) -> Sequence[Attempt]:
        """Everything recorded so far, in no particular order across teams."""
        for path in self.records.glob("*.jsonl"):
            reader = self._readers.setdefault(path.name, RecordReader(path))
            self._attempts.extend(reader.new_attempts())
        return self._attempts

    def wait_until_served(self, teams: Iterable[Team], *, acks: int = 20) -> None:
        """Return once each team has so many acknowledgements. WorkloadError when it has not."""
        give_up_s = time.monotonic() + START_LIMIT_S
        waiting = list(teams)
        while waiting:
            waiting = [team for team in waiting if self._acks(team) < acks]
            if waiting and time.monotonic() > give_up_s:
                names = ", ".join(team.name for team in waiting)
                raise WorkloadError(
                    f"no acknowledgements within {START_LIMIT_S:g} s for {names}; their words "
                    f"are in {self.records}/*.log"
                )
            time.sleep(0.1)

    def wait_served_again(self, teams: Iterable[Team], since_s: float) -> tuple[str, ...]:
        """Wait until each of these teams that is still there has an acknowledgement for something
        begun after ``since_s`` (boot time). Those that have none within the limit."""
        give_up_s = time.monotonic() + START_LIMIT_S
        waiting = [team for team in teams if self._lives(team)]
        while waiting and time.monotonic() < give_up_s:
            waiting = [team for team in waiting if not self._acks(team, since_s)]
            time.sleep(0.1 if waiting else 0.0)
        return tuple(team.name for team in waiting)

    def export(self, site: SiteName) -> Survivors:
        """What the database has, read through the proxy of ``site``. WorkloadError without."""
        name = f"export-{time.time_ns()}.json"
        inside, here = MOUNTED_AT / "records" / self.run / name, self.records / name
        self._call(site, f"export --site {site} --out {inside}")
        try:
            return decode_survivors(here.read_text(encoding="utf-8"))
        finally:
            here.unlink(missing_ok=True)

    def _lives(self, team: Team) -> bool:
        path = self.records / f"{team.name}.pid"
        return path.exists() and self._signal(path, team.site, "0")

    def _acks(self, team: Team, since_s: float = 0.0) -> int:
        via = Via(team.via.partition(":")[0])
        return sum(
            one.outcome is Outcome.ACKED
            and one.site == team.site
            and one.via is via
            and one.started_s > since_s
            for one in self.attempts()
        )

    def _call(self, site: SiteName, arguments: str) -> None:
        self._shell(site, f"{ENVIRONMENT} {PYTHON} -m failover.lab.workload {arguments} 2>&1")

    def _signal(self, path: Path, site: SiteName, name: str) -> bool:
        """Whether the team was there. After a reboot of its host its pid may be somebody else's."""
        try:
            pid = int(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False  # it ended meanwhile
        inside = MOUNTED_AT / "records" / self.run / path.name
        script = f"grep -qsF {inside} /proc/{pid}/cmdline && kill -{name} {pid}"
        return self._hosts.exec(CLIENT_HOSTS[site], ["sh", "-c", script]).code == 0

    def _shell(self, site: SiteName, script: str) -> None:
        """Run a script in the client host of a site. WorkloadError when it fails."""
        host = CLIENT_HOSTS[site]
        ended = self._hosts.exec(host, ["sh", "-c", script])
        if ended.code != 0:
            raise WorkloadError(f"{host}: {script}: {ended.out.strip() or f'exit {ended.code}'}")


def _site_of(pid_file: Path) -> SiteName:
    return SiteName(pid_file.stem.partition("-")[0])


def standard_teams(
    lost_site: SiteName, new_site: SiteName, rate: float | None = None
) -> tuple[Team, ...]:
    """Customers for the loss of a site. ``rate``: transactions a second of those in the new one.

    In the site that stays and in the one that is lost through HAProxy; and in the lost one
    sessions straight to its database hosts, opened before the loss, which must never be told
    "done" after the other site has begun to say so.
    """
    return (
        Team(new_site, "proxy", clients=4, rate=rate or 50),
        Team(lost_site, "proxy", clients=2, rate=10),
        Team(lost_site, "direct", clients=2, rate=20),
    )
