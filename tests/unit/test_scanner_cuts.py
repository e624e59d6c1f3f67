"""What one turn of a host's scan leaves, with a stand-in for the server."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

from failover.config import load
from failover.model import HostName
from failover.policy import Address
from failover.residency.facts import WALSENDER, HostFacts, Session
from failover.scanner import HostWatch
from failover.sites.residency_scan import Ended

SINGAPORE = ip_address("192.0.2.7")
POLICY = load(Path("deploy/failover.yaml"))


class Server:
    """Ends everything from an address at once, as ``failover.end_sessions`` does."""

    def __init__(self, *sessions: Session) -> None:
        self._sessions = sessions

    async def look(self) -> HostFacts:
        return HostFacts(sessions=self._sessions)

    async def end(
        self, address: Address | None, walsenders_only: bool, kept_slots: tuple[str, ...]
    ) -> tuple[Ended, ...]:
        ended = [each for each in self._sessions if each.address == address]
        self._sessions = tuple(each for each in self._sessions if each not in ended)
        return tuple(Ended(each.kind, each.role, each.slot, True, False) for each in ended)


def walsender(state: str) -> Session:
    return Session(WALSENDER, "replicator", False, "", SINGAPORE, state, "")


def test_a_copy_with_its_stream_of_wal_is_cut_once_and_no_finding_is_left() -> None:
    """pg_basebackup has two sessions: the second one was gone when it was to be ended, and stayed
    a finding for some time."""
    host = POLICY.host(HostName("jkt-db1"))
    watch = HostWatch(POLICY, host, None)
    watch._edge = Server(walsender("backup"), walsender("streaming"))  # type: ignore[assignment]
    asyncio.run(watch.turn())
    scan = watch.scan()
    assert scan.findings == ()
    assert [(cut.way, cut.sessions) for cut in scan.cuts] == [("base_backup", 2)]
