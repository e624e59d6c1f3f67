"""When the worker gives its claim back, and what it believes of what is not there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from test_guard_desk import (  # noqa: F401  # its fixtures
    CLUSTER,
    GRANTED,
    Connection,
    claims_read,
    connection,
    create,
    desk,
    lists,
    policy,
    prepared,
    said,
)

from failover.guard.desk import Desk
from failover.guard.messages import (
    Answer,
    FromWorker,
    LeaderRead,
    MinderStatus,
    PermitAnswer,
    PermitAsk,
    Purpose,
)
from failover.guard.permits import RefusalReason, Refuse
from failover.guard.records import Places
from failover.model import GroupName, SiteName
from failover.policy import Policy
from failover.znode import GroupPaths, ScopePaths

PATHS = GroupPaths(GroupName("marketplace"))
CLAIM = PATHS.writer(CLUSTER)
DOWN = replace(GRANTED, granted=False, server_alive=False, in_production=False)
DEMOTED = replace(DOWN, server_alive=True, demoted=True)


@pytest.fixture
def held(connection: Connection) -> Connection:  # noqa: F811
    """This session's token and claim."""
    create(connection, PATHS.session(connection.session_id or 0), b"")
    create(connection, CLAIM, b"")
    return connection


@contextmanager
def a_process_lives(places: Places) -> Iterator[None]:
    """It has inherited the server's lock."""
    descriptor = os.open(places.lock, os.O_RDONLY | os.O_CREAT, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class TestGivingBack:
    def is_held_after(self, desk: Desk, held: Connection, status: MinderStatus) -> bool:  # noqa: F811
        desk.status(status)
        desk._round()
        return held.read(CLAIM) is not None

    def test_once_no_process_has_the_lock(self, desk: Desk, held: Connection) -> None:  # noqa: F811
        with a_process_lives(desk._places):
            assert self.is_held_after(desk, held, DOWN)
        assert not self.is_held_after(desk, held, DOWN)

    @pytest.mark.parametrize(
        ("status", "stays"),
        [
            pytest.param(DEMOTED, False, id="a standby again"),
            pytest.param(replace(DEMOTED, demoted=False), True, id="not known as one"),
            pytest.param(replace(DEMOTED, in_production=True), True, id="out of recovery"),
            pytest.param(GRANTED, True, id="under a grant"),
        ],
    )
    def test_beside_a_running_server_only_of_a_standby(
        self,
        desk: Desk,  # noqa: F811
        held: Connection,
        status: MinderStatus,
        stays: bool,
    ) -> None:
        with a_process_lives(desk._places):
            assert self.is_held_after(desk, held, status) is stays

    def test_never_past_a_permit_that_the_minder_has_yet_to_note(
        self,
        desk: Desk,  # noqa: F811
        held: Connection,
    ) -> None:
        desk._last_yes = 3
        assert self.is_held_after(desk, held, DOWN)
        assert not self.is_held_after(desk, held, replace(DOWN, permits_seen=3))

    def test_never_while_a_permit_is_asked_for(self, desk: Desk, held: Connection) -> None:  # noqa: F811
        desk.ask(PermitAsk(1, Purpose.START, 30.0))
        desk._try_permit = lambda waiting, seen: None  # type: ignore[method-assign]  # it waits
        assert self.is_held_after(desk, held, DOWN)

    def test_of_another_session_never(self, desk: Desk, connection: Connection) -> None:  # noqa: F811
        somebody = Connection(connection._world, 0x2002)
        create(somebody, CLAIM, b"")
        assert self.is_held_after(desk, connection, DOWN)


def leader_key(policy: Policy) -> str:  # noqa: F811
    scope = policy.cluster(CLUSTER).scope(SiteName("jakarta"))
    return ScopePaths(policy.patroni_namespace, scope).leader


class TestWhatIsMissing:
    """A follower that lags behind must not cost a healthy primary."""

    def test_is_a_lost_claim_only_after_a_sync(
        self,
        policy: Policy,  # noqa: F811
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
    ) -> None:
        create(connection, leader_key(policy), b"jkt-db1")  # which would else be synced for
        connection.on_sync = lambda: (
            create(connection, CLAIM, b"") if connection.read(CLAIM) is None else None
        )
        desk._round()
        assert claims_read(said) == [True]

    def test_is_a_lost_key_only_after_a_sync(
        self,
        policy: Policy,  # noqa: F811
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
    ) -> None:
        key = leader_key(policy)
        connection.on_sync = lambda: (
            create(connection, key, b"jkt-db1") if connection.read(key) is None else None
        )
        desk._round()
        assert [m for m in said if isinstance(m, LeaderRead)] == [
            LeaderRead("jkt-db1", False, True)
        ]


def test_without_zookeeper_whose_patience_is_over_is_told_so(
    desk: Desk,  # noqa: F811
    said: list[FromWorker],  # noqa: F811
) -> None:
    desk.ask(PermitAsk(1, Purpose.START, 0.0))
    desk.ask(PermitAsk(2, Purpose.START, 60.0))
    desk._refuse_late(Refuse(RefusalReason.NO_ANSWER, "silent"))
    answers = [m for m in said if isinstance(m, PermitAnswer)]
    assert [(m.request, m.answer, m.reason) for m in answers] == [
        (1, Answer.NO, RefusalReason.NO_ANSWER)
    ]
    assert set(desk._waiting) == {2}
