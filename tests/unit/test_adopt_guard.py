"""A guard whose group is not armed: it holds nothing, and gives back what it held, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_guard_acknowledgement import ARMED, GRANTED, STANDBY
from test_guard_desk import (  # noqa: F401  # its fixtures
    CLUSTER,
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
from test_guard_permits import CLAIM_PATH, LIVES, ME, SESSION, at, claim_of, inputs, state

from failover.guard.acknowledgement import FREE, SHUT, wanted
from failover.guard.desk import Desk
from failover.guard.logic import Guard, KillReason, Nothing, ServerSeen, decide
from failover.guard.messages import (
    Answer,
    FromWorker,
    PermitAnswer,
    PermitAsk,
    Purpose,
    StateRead,
    StoodDown,
)
from failover.guard.permits import Refuse, Unarmed, decide_permit, stand_down
from failover.guard.records import GuardRecord, Places, read_record, write_record
from failover.model import GroupName
from failover.state import decode_state, encode_state
from failover.znode import Check, Create, Delete, GroupPaths, Set
from tests.scenarios.world import World as Seen

NOT_ARMED = at(state(armed=False))
PATHS = GroupPaths(GroupName("marketplace"))


# --------------------------------------------------------------------------- the record


def test_what_is_armed_is_written_as_before() -> None:
    """Guards of an earlier version read it."""
    assert b"armed" not in encode_state(state())
    assert decode_state(encode_state(state())).armed
    assert not decode_state(encode_state(state(armed=False))).armed


# --------------------------------------------------------------------------- permits


def test_a_guard_that_never_held_anything_lets_everything_pass() -> None:
    assert isinstance(decide_permit(ME, inputs(state=NOT_ARMED, armed=False)), Unarmed)


def test_an_armed_one_takes_no_read_for_it() -> None:
    """A follower that lags behind shows the state of before the group was armed."""
    assert isinstance(decide_permit(ME, inputs(state=NOT_ARMED)), Refuse)


def test_the_claim_is_given_back_only_while_the_group_is_not_armed() -> None:
    is_so = Check(NOT_ARMED.path, NOT_ARMED.version)
    assert stand_down(ME, NOT_ARMED, None, SESSION) == (is_so,)
    assert stand_down(ME, NOT_ARMED, claim_of(0x2000, "jkt-db2"), SESSION) == (is_so,)
    own = stand_down(ME, NOT_ARMED, claim_of(SESSION), SESSION)
    assert own == (is_so, LIVES, Delete(CLAIM_PATH, 2))


# --------------------------------------------------------------------------- the minder's half


def test_nothing_is_killed_for_it() -> None:
    running = ServerSeen(alive=True, in_production=True, note=None, around=7)
    after = replace(GRANTED, killing=KillReason.CLAIM_LOST, adopted=7).stood_down()
    assert (after.armed, after.grant, after.killing, after.adopted) == (False, None, None, None)
    assert after.renewals == GRANTED.renewals
    assert decide(after, running, 1e9)[1] == Nothing()
    assert wanted(after, running, SHUT) == FREE


@pytest.mark.parametrize(("adopted", "door"), [(7, FREE), (8, SHUT), (None, SHUT)])
def test_a_standby_that_ran_when_it_was_armed_answers_readers(
    adopted: int | None, door: object
) -> None:
    around = ServerSeen(alive=True, in_production=False, note=None, around=7)
    assert wanted(replace(ARMED, adopted=adopted), around, FREE) == door
    promoted = replace(around, in_production=True)
    assert wanted(replace(ARMED, adopted=adopted), promoted, FREE) == SHUT
    assert wanted(replace(ARMED, adopted=adopted), STANDBY, SHUT) == FREE


def test_which_one_that_was_outlives_the_guard(tmp_path: Path) -> None:
    places = Places(CLUSTER, tmp_path, run_dir=tmp_path, durable_dir=tmp_path)
    write_record(places, GuardRecord("boot", armed=True, adopted=7))
    assert read_record(places, "boot").adopted == 7
    assert read_record(places, "another boot").adopted is None
    write_record(places, GuardRecord("boot", armed=True))  # as a guard of before reads it
    assert b"adopted" not in places.record.read_bytes()
    assert read_record(places, "boot") == GuardRecord("boot", armed=True)


# --------------------------------------------------------------------------- the desk


class TestTheDesk:
    def put(self, connection: Connection, *, armed: bool) -> None:  # noqa: F811
        whole = Seen.healthy().state
        assert whole is not None
        data, found = encode_state(replace(whole, armed=armed)), connection.read(PATHS.state)
        if found is None:
            create(connection, PATHS.state, data)
        else:
            connection.commit((Set(PATHS.state, data, found.version),))

    def test_stands_down_once_and_says_nothing_of_a_lost_claim(
        self,
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
    ) -> None:
        self.put(connection, armed=False)
        create(connection, PATHS.session(connection.session_id or 0), b"")
        create(connection, PATHS.writer(CLUSTER), b"")
        desk._round()
        assert connection.read(PATHS.writer(CLUSTER)) is None
        assert [type(each) for each in said if isinstance(each, StoodDown)] == [StoodDown]
        assert claims_read(said) == []
        assert [each.exists for each in said if isinstance(each, StateRead)] == [False]

    @pytest.mark.parametrize("armed", [False, True])
    def test_a_state_that_cannot_be_read_arms_nobody_and_disarms_nobody(
        self,
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
        armed: bool,
    ) -> None:
        desk._armed = armed
        create(connection, PATHS.state, b"{}")
        desk.ask(PermitAsk(1, Purpose.START, 0.0))
        desk._round()
        assert [(e.exists, e.epoch) for e in said if isinstance(e, StateRead)] == [(armed, None)]
        assert [e.answer for e in said if isinstance(e, PermitAnswer)] == [Answer.NO]

    def test_not_on_a_state_that_is_old(
        self,
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
    ) -> None:
        self.put(connection, armed=False)
        create(connection, PATHS.session(connection.session_id or 0), b"")
        create(connection, PATHS.writer(CLUSTER), b"")
        before = connection.commit

        def armed_meanwhile(transaction: tuple[Create, ...]) -> object:
            connection.commit = before  # type: ignore[method-assign]
            self.put(connection, armed=True)
            return before(transaction)

        connection.commit = armed_meanwhile  # type: ignore[method-assign,assignment]
        desk._round()
        assert connection.read(PATHS.writer(CLUSTER)) is not None
        assert not any(isinstance(each, StoodDown) for each in said)

    @pytest.mark.parametrize("armed_meanwhile", [False, True])
    def test_lets_pass_what_nobody_armed_while_it_was_asked(
        self,
        desk: Desk,  # noqa: F811
        connection: Connection,  # noqa: F811
        said: list[FromWorker],  # noqa: F811
        armed_meanwhile: bool,
    ) -> None:
        """A read alone may be of before: a follower that lags, a leader that is cut off."""
        desk._armed = False
        self.put(connection, armed=False)
        old = desk._reads.read()
        if armed_meanwhile:
            self.put(connection, armed=True)
        desk.ask(PermitAsk(request=1, purpose=Purpose.PRE_PROMOTE, patience_s=5.0))
        desk._try_permit(desk._waiting[1], old)
        answers = [each.answer for each in said if isinstance(each, PermitAnswer)]
        assert (Answer.UNARMED in answers) is not armed_meanwhile


def test_an_unarmed_guard_is_a_plain_one() -> None:
    assert Guard(ARMED.limits).stood_down() == Guard(ARMED.limits)
