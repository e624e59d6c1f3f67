"""What one turn of a host's scan leaves, with a stand-in for the server."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from failover.config import load
from failover.model import HostName
from failover.policy import Address
from failover.residency.facts import WALSENDER, Catalogues, HostFacts, Session, SharedFacts
from failover.scanner import HostWatch
from failover.sites.residency_scan import Ended

SINGAPORE = ip_address("192.0.2.7")
POLICY = load(Path("tests/open.yaml"))


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


class Catalogue:
    """Reads what it is told to, and notes when it was asked."""

    def __init__(self, unread: tuple[tuple[str, str], ...]) -> None:
        self.unread = unread
        self.asked_s: list[float] = []
        self.now_s = 0.0

    async def look_into(self) -> Catalogues:
        self.asked_s.append(self.now_s)
        return Catalogues(SharedFacts(), (), self.unread)


@pytest.mark.parametrize(
    ("unread", "looks"),
    [((), [0.0, 20.0, 40.0]), ((("shop", "restarting"),), [0.0, 5.0, 10.0, 15.0, 35.0])],
)
def test_a_database_that_was_not_read_is_looked_into_soon_again_and_not_for_ever(
    unread: tuple[tuple[str, str], ...], looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = HostWatch(POLICY, POLICY.host(HostName("jkt-db1")), None)
    catalogue = Catalogue(unread)
    watch._edge = catalogue  # type: ignore[assignment]
    monkeypatch.setattr("failover.scanner.boottime_s", lambda: catalogue.now_s)
    for second in range(45):
        catalogue.now_s = float(second)
        asyncio.run(watch.turn_into())
    assert catalogue.asked_s == looks
