"""Who was dropped is not waited for again at once: how long, and until when that counts."""

from __future__ import annotations

import pytest

from failover.health.relisting import FORGOTTEN_S, WAIT_S_MAX, counted, waits_s
from failover.model import HostName
from failover.state import Dropped

HOST, OTHER = HostName("mks-db1"), HostName("mks-db2")


@pytest.mark.parametrize(
    ("times", "waits"), [(1, 0.0), (2, 30.0), (3, 60.0), (6, 480.0), (7, 600.0), (99, 600.0)]
)
def test_twice_as_long_each_time_up_to_a_limit(times: int, waits: float) -> None:
    assert waits_s(Dropped(times, 1000.0), 1000.0) == waits
    assert waits_s(Dropped(times, 1000.0), 1000.0 + WAIT_S_MAX) == 0.0


def test_it_ends_by_itself() -> None:
    assert waits_s(Dropped(2, 1000.0), 1010.0) == 20.0
    assert waits_s(Dropped(2, 1000.0), 1031.0) == 0.0
    assert waits_s(None, 1000.0) == 0.0


def test_a_clock_that_is_behind_makes_it_no_longer() -> None:
    """Another controller's, which judges now; its hour may be wrong by more than the wait."""
    assert waits_s(Dropped(2, 1000.0), 0.0) == 30.0


def test_drops_are_counted_for_an_hour() -> None:
    once = counted({}, [HOST], 1000.0)
    assert once == {HOST: Dropped(1, 1000.0)}
    twice = counted(once, [HOST], 1000.0 + FORGOTTEN_S - 1)
    assert twice[HOST].times == 2
    assert counted(twice, [OTHER], 1000.0 + 3 * FORGOTTEN_S) == {
        OTHER: Dropped(1, 1000.0 + 3 * FORGOTTEN_S)
    }


def test_the_stalls_by_one_host_are_few() -> None:
    """One that falls behind whenever it is listed: of an hour it takes a handful of stalls."""
    now_s, stalls, dropped = 0.0, 0, {}
    while now_s < FORGOTTEN_S:
        now_s += 10.0 + waits_s(dropped.get(HOST), now_s)  # keeps up, is listed, falls behind
        dropped, stalls = counted(dropped, [HOST], now_s), stalls + 1
    assert stalls == 12
