"""What scanning costs the databases: processor time of its backends, from the hosts' own /proc.

An upper bound. The sessions that look every second are told by their name; those that look into the
databases come and go, so the postmaster's own time and that of all its children that ended
meanwhile is counted, whoever they worked for.
"""

from __future__ import annotations

import time

from failover.clock import boottime_s
from failover.lab.bench_residency_result import Cost, childrens_ticks, own_ticks
from failover.lab.containers import in_parallel
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.singapore import said
from failover.model import HostName

# The backend that is asked has ended before the first look at the postmaster; none is there after.
_FIRST = """
set -e
psql -h /run/postgresql -XtA postgres > /tmp/pids <<END
select pid from pg_stat_activity where application_name = 'failover residency'
END
directory=$(psql -h /run/postgresql -XtAc 'show data_directory' postgres)
postmaster=$(head -1 "$directory/postmaster.pid")
sleep 0.2
getconf CLK_TCK
cat /proc/$postmaster/stat
for pid in $(cat /tmp/pids); do cat /proc/$pid/stat; done
"""
_AGAIN = "for pid in {pids}; do cat /proc/$pid/stat 2>/dev/null; done; true\n"


def scanning_cost(lab: Lab, seconds: float) -> list[Cost]:
    """Of every database host, over so many seconds. LabError where nobody scans."""
    hosts = lab.hosts(Role.DATABASE)
    before = in_parallel(lambda host: _lines(lab, host, _FIRST), hosts)
    from_s = boottime_s()
    time.sleep(seconds)
    scripts = [_AGAIN.format(pids=" ".join(_by_pid(lines[1:]))) for lines in before]
    after = in_parallel(lambda one: _lines(lab, *one), zip(hosts, scripts, strict=True))
    took_s = boottime_s() - from_s
    pairs = zip(hosts, before, after, strict=True)
    return [cost_of(host.name, int(b[0]), b[1:], a, took_s) for host, b, a in pairs]


def cost_of(
    host: HostName, ticks_s: int, before: list[str], after: list[str], seconds: float
) -> Cost:
    """From lines of /proc/PID/stat, the postmaster's first. A session that has ended meanwhile is
    among the postmaster's children. LabError where there was none."""
    if len(before) < 2:
        raise LabError(f"{host}: no scanner has a session there", todo="`failover status`")
    first, again, spent = _by_pid(before[1:]), _by_pid(after[1:]), ticks_s * seconds
    looks = sum(own_ticks(again[pid]) - own_ticks(first[pid]) for pid in first.keys() & again)
    others = _postmaster_ticks(after[0]) - _postmaster_ticks(before[0])
    return Cost(host, round(looks / spent, 5), round(others / spent, 5), round(seconds, 1))


def _postmaster_ticks(line: str) -> int:
    return own_ticks(line) + childrens_ticks(line)


def _by_pid(lines: list[str]) -> dict[str, str]:
    return {line.split()[0]: line for line in lines}


def _lines(lab: Lab, host: LabHost, script: str) -> list[str]:
    return said(lab.containers, host.name, script, user="postgres").splitlines()
