"""The worker of a dead minder: how long it renews, what ends that, what a successor learns."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.guard.logic import Limits, Renewals
from failover.guard.messages import (
    ClaimRead,
    FromWorker,
    LeaderRead,
    Renewed,
    SessionOpened,
    StateRead,
    WorkerAlive,
)
from failover.guard.records import (
    LeaseRecord,
    Places,
    StandInRecord,
    latest_renewals,
    write_lease,
    write_stand_in,
)
from failover.guard.stand_in import RENEWS_S, StandIn, heard
from failover.model import ClusterName
from failover.timing import lease_timing

LIMITS = Limits(tick_s=0.5, deadline_s=4.5)
NOW_S, SESSION, BOOT, HOST = 100.0, 0x77, "this boot", "jkt-db1"


def begun(deadline_s: float = NOW_S + 4.0, before_until_s: float | None = None) -> StandIn:
    found = StandIn.begun(SESSION, deadline_s, LIMITS, NOW_S, before_until_s)
    assert found is not None
    return found


def test_it_begins_with_the_deadline_of_the_minders_last_word() -> None:
    assert begun().deadline_s == NOW_S + 4.0
    assert begun().renews(NOW_S)


@pytest.mark.parametrize(("session_id", "deadline_s"), [(None, 104.0), (SESSION, None)])
def test_without_a_lease_there_is_nothing_to_go_on_with(
    session_id: int | None, deadline_s: float | None
) -> None:
    assert StandIn.begun(session_id, deadline_s, LIMITS, NOW_S, None) is None


def test_the_deadline_counts_from_the_last_renewal_but_one() -> None:
    one = begun().renewed(SESSION, NOW_S + 0.5)
    assert one.deadline_s == NOW_S + 4.0
    assert one.renewed(SESSION, NOW_S + 1.0).deadline_s == NOW_S + 0.5 + 4.5


def test_it_renews_for_a_while_and_no_longer() -> None:
    standing = begun()
    for half_s in range(2 * int(RENEWS_S) + 4):
        standing = standing.renewed(SESSION, NOW_S + half_s / 2)
    assert standing.renews(NOW_S + RENEWS_S - 0.01)
    assert not standing.renews(NOW_S + RENEWS_S)
    assert not standing.ended


def test_that_while_is_one_lease() -> None:
    assert lease_timing(6.0).lease_s == RENEWS_S


@pytest.mark.parametrize(
    ("before_until_s", "renews"),
    [(NOW_S - 20.0, True), (NOW_S - 6.5, True), (NOW_S - 6.4, False), (NOW_S, False)],
)
def test_a_guard_that_dies_again_and_again_gets_no_other_one(
    before_until_s: float, renews: bool
) -> None:
    """The minder's own lease (its renewal at 99.5 s) began long enough after the last one's end."""
    assert begun(before_until_s=before_until_s).renews(NOW_S) is renews


def test_what_is_left_of_the_last_one_goes_on() -> None:
    assert begun(before_until_s=NOW_S + 1.0).renews(NOW_S + 0.9)
    assert not begun(before_until_s=NOW_S + 1.0).renews(NOW_S + 1.0)


def test_it_renews_nothing_whose_deadline_has_passed() -> None:
    assert not begun(NOW_S + 1.0).renews(NOW_S + 1.0)


ENDS: dict[str, FromWorker] = {
    "another session": SessionOpened(0x78, "00"),
    "a renewal of another session": Renewed(0x78, NOW_S + 0.5),
    "a renewal that the kernel was not told of": Renewed(SESSION, NOW_S + 0.5, announced=False),
    "the claim is gone": ClaimRead(own=False),
    "Patroni's key names another": LeaderRead("jkt-db2", paused=False, synced=True),
    "Patroni's key is gone": LeaderRead(None, paused=False, synced=True),
    "no state": StateRead(exists=False, epoch=None, plan_here=False),
    "a plan forbids this site to write": StateRead(exists=True, epoch=1, plan_here=True),
    "a plan has it stopped": StateRead(exists=True, epoch=1, plan_here=False, stop_here=True),
}
GOES_ON: dict[str, FromWorker] = {
    "its own session": SessionOpened(SESSION, "00"),
    "its own claim": ClaimRead(own=True),
    "its own key": LeaderRead(HOST, paused=False, synced=False),
    "a paused scope": LeaderRead("jkt-db2", paused=True, synced=True),
    "no plan": StateRead(exists=True, epoch=1, plan_here=False),
    "a sign of life": WorkerAlive(),
}


@pytest.mark.parametrize("message", ENDS.values(), ids=ENDS)
def test_what_would_have_the_minder_act_ends_it_for_good(message: FromWorker) -> None:
    found = heard(begun(), message, HOST)
    assert found.ended
    assert not found.renews(NOW_S)
    assert found.deadline_s == NOW_S + 4.0
    assert found.left is None
    again = heard(found, ClaimRead(own=True), HOST)
    assert again.ended == found.ended


@pytest.mark.parametrize("message", GOES_ON.values(), ids=GOES_ON)
def test_what_a_healthy_primary_reads_does_not(message: FromWorker) -> None:
    assert heard(begun(), message, HOST) == begun()


def test_a_server_that_is_gone_ends_it() -> None:
    assert begun().server_seen(alive=True) == begun()
    gone = begun().server_seen(alive=False)
    assert gone.server_gone
    assert not gone.renews(NOW_S)


def places(directory: Path) -> Places:
    return Places(ClusterName("marketplace"), directory, run_dir=directory, durable_dir=directory)


@pytest.mark.parametrize(
    ("lease", "stood_in", "expected"),
    [
        (Renewals(SESSION, 10.0, 9.5), None, Renewals(SESSION, 10.0, 9.5)),
        (
            Renewals(SESSION, 10.0, 9.5),
            Renewals(SESSION, 12.0, 11.5),
            Renewals(SESSION, 12.0, 11.5),
        ),
        (
            Renewals(SESSION, 14.0, 13.5),
            Renewals(SESSION, 12.0, 11.5),
            Renewals(SESSION, 14.0, 13.5),
        ),
        (Renewals(0x78, 10.0, 9.5), Renewals(SESSION, 12.0, 11.5), Renewals(0x78, 10.0, 9.5)),
        (None, Renewals(SESSION, 12.0, 11.5), None),
    ],
    ids=["nobody stood in", "later", "long ago", "another session", "no lease before it"],
)
def test_a_new_minder_goes_on_with_the_later_renewals(
    tmp_path: Path, lease: Renewals | None, stood_in: Renewals | None, expected: Renewals | None
) -> None:
    here = places(tmp_path)
    write_lease(here, LeaseRecord(BOOT, 101, lease))
    if stood_in is not None:
        write_stand_in(here, StandInRecord(BOOT, 106.0, stood_in))
    assert latest_renewals(here, BOOT) == expected


def test_what_was_written_in_another_boot_is_no_lease(tmp_path: Path) -> None:
    here = places(tmp_path)
    write_lease(here, LeaseRecord(BOOT, 101, Renewals(SESSION, 10.0, 9.5)))
    write_stand_in(here, StandInRecord("before", 106.0, Renewals(SESSION, 12.0, 11.5)))
    assert latest_renewals(here, BOOT) == Renewals(SESSION, 10.0, 9.5)
    assert latest_renewals(here, "the next boot") is None
