"""What the controllers have on record of ways out, as an operator would see it: read-only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from failover.clock import boottime_s
from failover.coordination.residency import ledger_seen
from failover.coordination.store import Store
from failover.health.observation import decode_observation
from failover.model import HostName
from failover.policy import Policy
from failover.residency.findings import CutSeen, Finding
from failover.znode import GroupPaths

POLL_S = 0.1


class ResidencyRecord:
    """The ledger, and what the living scanners have cut."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._paths = GroupPaths(policy.group)

    def open_at(self, way: str) -> set[HostName]:
        """The hosts where a finding of this way stands."""
        return {finding.host for finding in self._open() if finding.way == way}

    def standing(self, host: HostName, address: str) -> list[str]:
        """Ways that stand open on a host: sessions from an address, and lines that let it in."""
        at_host = [finding for finding in self._open() if finding.host == host]
        ways = [finding.way for finding in at_host if finding.subject == address]
        return [*ways, *(finding.way for finding in at_host if finding.way == "hba_line")]

    def wait_open(self, host: HostName, ways: tuple[str, ...], limit_s: float) -> list[str]:
        """Those of the ways that are findings on a host; waits for all of them, up to a limit."""
        give_up_s = boottime_s() + limit_s
        while True:
            found = {finding.way for finding in self._open() if finding.host == host}
            if found.issuperset(ways) or boottime_s() > give_up_s:
                return [way for way in ways if way in found]
            time.sleep(POLL_S)

    def cuts(self, host: HostName, address: str) -> Counter[str]:
        """Per way how many sessions from an address were ended on a host, as scanners publish it;
        it is forgotten after some minutes."""
        sessions: Counter[str] = Counter()
        for cut in self._cuts(host, address):
            sessions[cut.way] += cut.sessions
        return sessions

    def wait_cut(
        self, host: HostName, address: str, before: Counter[str], limit_s: float
    ) -> Counter[str]:
        """What there is more of than before, as soon as there is; nothing after the limit."""
        give_up_s = boottime_s() + limit_s
        while True:
            more = self.cuts(host, address) - before
            if more or boottime_s() > give_up_s:
                return more
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
