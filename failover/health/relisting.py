"""When a host that was dropped may be waited for again. Pure.

A standby that comes and goes would make commits stall for some seconds each time. Its first drop
in an hour costs it nothing; from the second on it waits, twice as long each time, up to a limit. So
the stalls by one host take a bounded part of the time, and one that keeps up for an hour is as any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from failover.model import HostName
from failover.state import Dropped

WAIT_S = 30.0  # after the second drop
WAIT_S_MAX = 600.0
FORGOTTEN_S = 3600.0  # what is longer ago was another story


def counted(
    before: Mapping[HostName, Dropped], hosts: Iterable[HostName], now_unix_s: float
) -> dict[HostName, Dropped]:
    """The record with these hosts dropped once more now, without what is forgotten."""
    lately = {host: seen for host, seen in before.items() if not _forgotten(seen, now_unix_s)}
    for host in hosts:
        times = lately[host].times + 1 if host in lately else 1
        lately[host] = Dropped(times, now_unix_s)
    return lately


def waits_s(dropped: Dropped | None, now_unix_s: float) -> float:
    """How much longer this host is not listed; 0: it may be."""
    if dropped is None or dropped.times < 2 or _forgotten(dropped, now_unix_s):
        return 0.0
    wait_s = min(WAIT_S * 2.0 ** min(dropped.times - 2, 16), WAIT_S_MAX)
    return min(wait_s, max(0.0, dropped.at_unix_s + wait_s - now_unix_s))


def _forgotten(dropped: Dropped, now_unix_s: float) -> bool:
    return now_unix_s - dropped.at_unix_s >= FORGOTTEN_S
