"""`failover bench cost`: what each controller costs, left alone and scraped.

Windows without and with scrapes by turns, so that what the machine does besides falls on both. The
time of the CPU is what the kernel counts for the process, its children included. The scrapes come
from this machine, every 5 s, with Prometheus's own headers (the page is compressed for it).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from statistics import median
from typing import Any

from failover.clock import boottime_s
from failover.lab.bench_result import SCHEMA
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.watch import wait_whole
from failover.model import HostName
from failover.sealed import dial
from failover.transport import Identity

CPU_PERCENT_MAX = 3.0  # of one core (issue 8)
SCRAPED_EXTRA_PERCENT_MAX = 0.5
RESIDENT_MB_MAX = 120.0
SCRAPE_INTERVAL_S = 5.0
WHOLE_LIMIT_S = 180.0
METRICS_PORT = 9187
TICKS_A_SECOND = 100  # of /proc/PID/stat, on every Linux that the lab runs on
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """A process at one moment."""

    at_s: float  # boot time
    cpu_s: float  # since its start
    resident_mb: float  # the most that it ever had, in 10^6 bytes


@dataclass(frozen=True, slots=True)
class CostRun:
    """One controller over one window."""

    window: int
    host: HostName
    leads: bool
    scraped: bool
    seconds: float
    cpu_percent: float  # of one core
    resident_mb: float


class CostBench:
    """Windows on a lab that is up and whole, without customers."""

    def __init__(self, lab: Lab, windows: int, seconds: float, tell: Callable[[str], None]) -> None:
        self._hosts = lab.hosts(Role.CONTROLLER)
        self._lab = lab
        self._identity = lab.policy.tls.http_identity
        self._windows = windows
        self._seconds = seconds
        self._tell = tell

    def runs(self) -> Iterator[CostRun]:
        """Every controller of every window, as it ends. NotWhole, LabError."""
        wait_whole(self._lab.policy, WHOLE_LIMIT_S)
        for window in range(1, self._windows + 1):
            for scraped in (False, True):
                self._tell(f"window {window} of {self._windows}{', scraped' * scraped}")
                yield from self._window(window, scraped)

    def _window(self, window: int, scraped: bool) -> list[CostRun]:
        with scraping(self._hosts if scraped else (), self._identity):
            before = [self._usage(host) for host in self._hosts]
            time.sleep(self._seconds)
            after = [self._usage(host) for host in self._hosts]
        return [
            run_of(window, host.name, self._leads(host), scraped, first, last)
            for host, first, last in zip(self._hosts, before, after, strict=True)
        ]

    def _usage(self, host: LabHost) -> Usage:
        unit = "failover-controller.service"
        text = self._lab.shell(
            host.name,
            f"pid=$(systemctl show -P MainPID {unit}); cat /proc/$pid/stat; "
            "grep VmHWM /proc/$pid/status",
        )
        return usage_of(text, boottime_s())

    def _leads(self, host: LabHost) -> bool:
        _, text = _page(host, {}, self._identity)
        return any(line.startswith("failover_leader{") and line.endswith(" 1.0") for line in text)


def usage_of(text: str, at_s: float) -> Usage:
    """From a process's ``stat`` and its line VmHWM."""
    stat, peak = text.strip().splitlines()
    fields = stat.rpartition(")")[2].split()  # the name before it may have spaces
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, and those of its children
    return Usage(at_s, ticks / TICKS_A_SECOND, int(peak.split()[1]) * 1024 / 1e6)


def run_of(
    window: int, host: HostName, leads: bool, scraped: bool, first: Usage, last: Usage
) -> CostRun:
    seconds = last.at_s - first.at_s
    return CostRun(
        window=window,
        host=host,
        leads=leads,
        scraped=scraped,
        seconds=round(seconds, 1),
        cpu_percent=round(100 * (last.cpu_s - first.cpu_s) / seconds, 2),
        resident_mb=round(last.resident_mb, 1),
    )


@contextmanager
def scraping(hosts: Sequence[LabHost], identity: Identity | None) -> Iterator[None]:
    """Each host's metrics are read every 5 s meanwhile. LabError at the end where one was not."""
    stop = threading.Event()

    def scrape(host: LabHost) -> None:
        while not stop.wait(SCRAPE_INTERVAL_S):
            code, _ = _page(host, HEADERS, identity)
            if code != 200:
                raise LabError(f"{host.name}: /metrics answers {code}")

    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        running = [pool.submit(scrape, host) for host in hosts]
        try:
            yield
        finally:
            stop.set()
        for one in running:
            one.result()


def _page(
    host: LabHost, headers: dict[str, str], identity: Identity | None
) -> tuple[int, list[str]]:
    address = str(host.address)
    link = HTTPConnection(address, METRICS_PORT, timeout=5.0)
    try:
        if identity is not None:
            link.sock = dial(address, METRICS_PORT, identity, 5.0)
        link.request("GET", "/metrics", headers=headers)
        answer = link.getresponse()
        body = answer.read()
        return answer.status, body.decode(errors="replace").splitlines()
    except OSError as error:
        raise LabError(f"{address}: /metrics does not answer: {error}") from None
    finally:
        link.close()


# --------------------------------------------------------------------------- what it comes to


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one controller, medians over the windows."""

    host: HostName
    led: bool  # in one window at least
    cpu_percent: float
    scraped_extra_percent: float
    resident_mb: float

    @property
    def kept(self) -> bool:
        """Whether every bound of the issue is kept."""
        return (
            self.cpu_percent <= CPU_PERCENT_MAX
            and self.scraped_extra_percent <= SCRAPED_EXTRA_PERCENT_MAX
            and self.resident_mb <= RESIDENT_MB_MAX
        )


def costs(runs: Sequence[CostRun]) -> list[Cost]:
    """Per controller, where there are windows of both kinds."""
    found = []
    for host in dict.fromkeys(run.host for run in runs):
        own = [run for run in runs if run.host == host]
        alone = [run.cpu_percent for run in own if not run.scraped]
        scraped = [run.cpu_percent for run in own if run.scraped]
        if alone and scraped:
            extra = round(median(scraped) - median(alone), 2)
            peak = max(run.resident_mb for run in own)
            led = any(run.leads for run in own)
            found.append(Cost(host, led, round(median(alone), 2), extra, peak))
    return found


def run_line(run: CostRun) -> str:
    """One line for people."""
    return (
        f"window {run.window}: {run.host}{' (leads)' * run.leads}, {run.seconds:g} s"
        f"{', scraped' * run.scraped}: {run.cpu_percent:.2f} % of a core, {run.resident_mb:.1f} MB"
    )


def summary_lines(runs: Sequence[CostRun]) -> list[str]:
    """A table for people."""
    lines = [
        "| controller | CPU, of a core | scraping adds | memory, most |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.host}{' (led)' * one.led} | {one.cpu_percent:.2f} % | "
        f"{one.scraped_extra_percent:+.2f} % | {one.resident_mb:.1f} MB |"
        for one in costs(runs)
    ]
    bounds = f"{CPU_PERCENT_MAX:g} %, {SCRAPED_EXTRA_PERCENT_MAX:g} %, {RESIDENT_MB_MAX:g} MB"
    return [*lines, f"bounds: {bounds}"]


def passed(runs: Sequence[CostRun]) -> bool:
    found = costs(runs)
    return bool(found) and all(one.kept for one in found)


def as_json(runs: Sequence[CostRun]) -> dict[str, Any]:
    """The document of ``-o json``."""
    return {
        "schema": SCHEMA,
        "runs": [asdict(run) for run in runs],
        "controllers": [{**asdict(one), "kept": one.kept} for one in costs(runs)],
    }
