"""The desk carries a permit out: when it waits, when it looks again, and when it says no."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_guard_desk import (  # noqa: F401  # its fixtures
    CLUSTER,
    GRANTED,
    Connection,
    connection,
    create,
    desk,
    lists,
    policy,
    prepared,
    said,
)

from failover.coordination.init import initialise
from failover.guard import desk as desk_module
from failover.guard.desk import SAME_PROMOTION_S, Desk
from failover.guard.messages import Answer, FromWorker, PermitAnswer, PermitAsk, Purpose
from failover.guard.permits import RefusalReason, WalEnd
from failover.model import GroupName, Lsn, SiteName, TimelineId
from failover.policy import Policy
from failover.state import decode_state, encode_state
from failover.znode import Committed, Delete, GroupPaths, Outcome, Set, Transaction

PATHS = GroupPaths(GroupName("marketplace"))
CLAIM = PATHS.writer(CLUSTER)
DOWN = replace(GRANTED, granted=False, server_alive=False, in_production=False)


class Asking:
    """A group that was begun, a lease, and one start that asks."""

    def __init__(self, desk: Desk, connection: Connection, said: list[FromWorker]) -> None:  # noqa: F811
        self.desk = desk
        self.connection = connection
        self._said = said
        create(connection, PATHS.session(connection.session_id or 0), b"")
        desk.status(DOWN)

    def ask(self, patience_s: float = 60.0) -> None:
        self.desk.ask(PermitAsk(1, Purpose.START, patience_s))

    def answers(self) -> list[tuple[Answer, str]]:
        """After one more round."""
        self.desk._round()
        return [(m.answer, m.reason) for m in self._said if isinstance(m, PermitAnswer)]

    def make_active(self, site: str) -> None:
        found = self.connection.read(PATHS.state)
        assert found is not None
        state = replace(decode_state(found.data, path=found.path), active_site=SiteName(site))
        self._set(encode_state(state), found.version)

    def write_state_anew(self) -> None:
        found = self.connection.read(PATHS.state)
        assert found is not None
        self._set(found.data, found.version)

    def _set(self, data: bytes, version: int) -> None:
        outcome = Connection.commit(self.connection, (Set(PATHS.state, data, version),))
        assert isinstance(outcome, Committed)


@pytest.fixture
def asking(
    policy: Policy,  # noqa: F811
    desk: Desk,  # noqa: F811
    connection: Connection,  # noqa: F811
    said: list[FromWorker],  # noqa: F811
) -> Asking:
    initialise(connection, policy, now_unix_s=1.0, by="test")  # type: ignore[arg-type]
    return Asking(desk, connection, said)


YES = (Answer.YES, "granted")


def test_a_permit_is_a_claim_that_stays_until_the_minder_knows_of_it(asking: Asking) -> None:
    asking.ask()
    assert asking.answers() == [YES]
    asking.desk._round()
    assert asking.connection.read(CLAIM) is not None, "the minder has yet to note it"
    asking.desk.status(replace(DOWN, permits_seen=1))
    asking.desk._round()
    assert asking.connection.read(CLAIM) is None, "it did, and has no grant"


def test_what_passes_by_itself_is_waited_for(asking: Asking) -> None:
    somebody = Connection(asking.connection._world, 0x2002)
    create(somebody, CLAIM, b"")
    asking.ask()
    assert asking.answers() == []
    assert isinstance(somebody.commit((Delete(CLAIM),)), Committed)
    assert asking.answers() == [YES]


def test_and_is_a_no_when_the_patience_is_over(asking: Asking) -> None:
    create(Connection(asking.connection._world, 0x2002), CLAIM, b"")
    asking.ask(patience_s=0.0)
    assert asking.answers() == [(Answer.NO, RefusalReason.CLAIM_HELD)]


def test_a_no_for_good_is_believed_only_after_a_sync(asking: Asking) -> None:
    """A follower that lags behind shows who was active before; a failed hook bars the host."""
    asking.make_active("makassar")
    asking.connection.on_sync = lambda: asking.make_active("jakarta")
    asking.ask()
    assert asking.answers() == [YES]


def test_then_it_is_one(asking: Asking) -> None:
    asking.make_active("makassar")
    asking.ask()
    assert asking.answers() == [(Answer.NO, RefusalReason.NOT_ACTIVE_SITE)]


@pytest.mark.parametrize("lost", [1, desk_module.COMMIT_TRIES])
def test_a_race_that_is_lost_is_run_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """The state is written between the read and the commit: once, or every time in this round."""
    left = [lost]

    def commit(transaction: Transaction) -> Outcome:
        if left[0]:
            left[0] -= 1
            asking.write_state_anew()
        return Connection.commit(asking.connection, transaction)

    monkeypatch.setattr(asking.connection, "commit", commit)
    asking.ask()
    in_the_next_round = lost == desk_module.COMMIT_TRIES
    assert asking.answers() == ([] if in_the_next_round else [YES])
    assert asking.answers() == [YES]


def test_the_end_of_a_running_servers_wal_is_asked_for_again_after_a_moment(
    desk: Desk,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = [WalEnd(Lsn(number), TimelineId(1)) for number in (100, 200)]
    now_s = 1000.0
    monkeypatch.setattr(desk_module, "ask_server", lambda *_: ends.pop(0))
    monkeypatch.setattr(desk_module, "boottime_s", lambda: now_s)
    assert [desk._running_end() for _ in range(2)] == [WalEnd(Lsn(100), TimelineId(1))] * 2
    now_s += SAME_PROMOTION_S + 0.1
    assert desk._running_end() == WalEnd(Lsn(200), TimelineId(1))
