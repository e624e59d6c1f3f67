"""What the controllers have on record of ways out, as an operator would see it: read-only."""

from __future__ import annotations

import time
from collections.abc import Iterator

from failover.clock import boottime_s
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.residency import ledger_seen
from failover.health.observation import decode_observation
from failover.model import HostName
from failover.policy import Policy
from failover.residency.findings import CutSeen, Finding
from failover.znode import GroupPaths

POLL_S = 0.1


class ResidencyRecord:
    """The ledger, and what the living scanners have cut."""

    def __init__(self, store: KazooStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._paths = GroupPaths(policy.group)

    def open_at(self, way: str) -> set[HostName]:
        """The hosts where a finding of this way stands."""
        return {finding.host for finding in self._open() if finding.way == way}

    def ways_of(self, host: HostName, address: str, cut: bool) -> list[str]:
        """What stands because of an address: cuts, sessions, and the lines that let it in."""
        ways = [each.way for each in self._cuts(host, address)] if cut else []
        at_host = [finding for finding in self._open() if finding.host == host]
        ways += [finding.way for finding in at_host if finding.subject == address]
        return [*ways, *(finding.way for finding in at_host if finding.way == "hba_line")]

    def wait_open(self, host: HostName, ways: tuple[str, ...], limit_s: float) -> list[str]:
        """Those of the ways that are findings on a host; waits for all of them, up to a limit."""
        give_up_s = boottime_s() + limit_s
        while True:
            found = {finding.way for finding in self._open() if finding.host == host}
            if found.issuperset(ways) or boottime_s() > give_up_s:
                return [way for way in ways if way in found]
            time.sleep(POLL_S)

    def cut_sessions(self, host: HostName, address: str) -> int:
        """How many sessions from an address were ended on a host, as scanners publish it."""
        return sum(cut.sessions for cut in self._cuts(host, address))

    def wait_cut(self, host: HostName, address: str, before: int, limit_s: float) -> int:
        """The same, once there are more of them than before, or after the limit."""
        give_up_s = boottime_s() + limit_s
        while True:
            sessions = self.cut_sessions(host, address)
            if sessions > before or boottime_s() > give_up_s:
                return sessions
            time.sleep(POLL_S)

    def _open(self) -> tuple[Finding, ...]:
        self._store.sync()
        seen = ledger_seen(self._store.read(self._paths.residency))
        return tuple(each.finding for each in seen.ledger.open)

    def _cuts(self, host: HostName, address: str) -> Iterator[CutSeen]:
        self._store.sync()
        for site in self._policy.sites:
            found = self._store.read(self._paths.observer(site.name))
            if found is None:
                continue
            for scan in decode_observation(found.data, path=found.path).residency:
                yield from (c for c in scan.cuts if (c.host, c.subject) == (host, address))
