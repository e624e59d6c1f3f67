"""The checker must find what was planted, and only that."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.checker import acked_around_another, acked_by_both, judge, longest_gap
from failover.lab.workload.survivors import Survivors
from failover.model import SiteName

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")
NUMBERS = count(1)


def attempt(
    ended_s: float,
    outcome: Outcome = Outcome.ACKED,
    *,
    server_site: SiteName | None = JAKARTA,
    site: SiteName = MAKASSAR,
    via: Via = Via.PROXY,
) -> Attempt:
    number = next(NUMBERS)
    return Attempt(
        id=f"id-{number}",
        run="planted",
        client=f"{site}/{via}/1",
        site=site,
        via=via,
        kind="order",
        started_s=ended_s - 0.01,
        ended_s=ended_s,
        outcome=outcome,
        server=None,
        server_site=server_site,
        backend_pid=1,
        session=1,
    )


def survivors(*kept: Attempt, taken_s: float = 100.0, **money: int) -> Survivors:
    return Survivors(taken_s, "10.77.2.11", {one.id: 1 for one in kept}, money)


def test_nothing_lost() -> None:
    history = [attempt(1), attempt(2)]
    report = judge(history, survivors(*history))
    assert (report.acked, report.lost, report.problems) == (2, (), ())
    assert report.money_adds_up


def test_acknowledged_and_missing_is_lost_oldest_first() -> None:
    first, second, third = attempt(1), attempt(3), attempt(2)
    report = judge([first, second, third], survivors(first))
    assert report.lost == (third, second)
    assert report.problems == ()  # a loss is counted, whether it is allowed is not for here to say


def test_indeterminate_is_neither_lost_nor_kept() -> None:
    kept, gone = attempt(1, Outcome.INDETERMINATE), attempt(2, Outcome.INDETERMINATE)
    report = judge([kept, gone], survivors(kept))
    assert (report.indeterminate_found, report.indeterminate_missing) == (1, 1)
    assert report.lost == ()
    assert report.problems == ()


def test_told_no_and_yet_there() -> None:
    refused = attempt(1, Outcome.FAILED)
    report = judge([refused], survivors(refused))
    assert report.appeared == (refused.id,)
    assert report.problems


def test_there_twice() -> None:
    one = attempt(1)
    twice = Survivors(100.0, "", {one.id: 2}, {})
    assert judge([one], twice).duplicated == (one.id,)


def test_recorded_twice() -> None:
    one = attempt(1)
    assert judge([one, one], survivors(one)).duplicated == (one.id,)


def test_money_that_does_not_add_up() -> None:
    report = judge([], survivors(escrow=-5, total=0))
    assert report.money_problems == ("escrow: -5",)
    assert not report.money_adds_up
    assert report.problems == ("money: escrow: -5",)


def test_what_ended_after_the_database_was_read_is_not_judged() -> None:
    late = attempt(100.001)
    report = judge([late], survivors())
    assert (report.attempts, report.lost) == (0, ())


class TestAckedByBoth:
    def late(self, *history: Attempt, since_s: float = 10.0) -> tuple[Attempt, ...]:
        return acked_by_both(history, new_site=MAKASSAR, since_s=since_s)

    def test_one_after_the_other(self) -> None:
        assert self.late(attempt(11), attempt(17, server_site=MAKASSAR)) == ()

    def test_late_acknowledgement_of_the_old_site(self) -> None:
        late = attempt(17.001, site=JAKARTA, via=Via.DIRECT)
        assert self.late(attempt(17, server_site=MAKASSAR), late, attempt(12)) == (late,)

    def test_late_failure_is_no_acknowledgement(self) -> None:
        refused = attempt(18, Outcome.FAILED)
        doubtful = attempt(18, Outcome.INDETERMINATE)
        assert self.late(attempt(17, server_site=MAKASSAR), refused, doubtful) == ()

    def test_unknown_server_counts_against_the_old_site(self) -> None:
        unknown = attempt(18, server_site=None)
        assert self.late(attempt(17, server_site=MAKASSAR), unknown) == (unknown,)

    def test_before_the_fault_the_new_site_was_the_old_one(self) -> None:
        before = attempt(5, server_site=MAKASSAR)
        assert self.late(before, attempt(6), attempt(17, server_site=MAKASSAR)) == ()

    def test_new_site_never_answered(self) -> None:
        assert self.late(attempt(11), attempt(12)) == ()


class TestLongestGap:
    def test_across_the_fault(self) -> None:
        history = [attempt(at) for at in (1, 2, 9.9, 16.2, 17)]
        gap = longest_gap(history, site=MAKASSAR, since_s=10.0)
        assert gap is not None
        assert (gap.from_s, gap.to_s) == (9.9, 16.2)
        assert gap.length_s == pytest.approx(6.3)

    def test_longer_gap_before_the_fault_does_not_count(self) -> None:
        gap = longest_gap([attempt(at) for at in (1, 9.9, 11, 12)], site=MAKASSAR, since_s=10.0)
        assert gap is not None
        assert gap.length_s == pytest.approx(1.1)

    def test_failures_do_not_end_a_gap(self) -> None:
        history = [attempt(1), attempt(2, Outcome.FAILED), attempt(4)]
        gap = longest_gap(history, site=MAKASSAR)
        assert gap is not None
        assert gap.length_s == 3

    def test_other_clients_do_not_end_a_gap(self) -> None:
        elsewhere, around = attempt(2, site=JAKARTA), attempt(2, via=Via.DIRECT)
        gap = longest_gap([attempt(1), elsewhere, around, attempt(4)], site=MAKASSAR)
        assert gap is not None
        assert gap.length_s == 3

    def test_never_answered_again(self) -> None:
        assert longest_gap([attempt(1), attempt(2)], site=MAKASSAR, since_s=10.0) is None


# --------------------------------------------------------------------------- two writers


def ack_of(server: str, session: int, ended_s: float, client: str = "makassar/proxy/1") -> Attempt:
    return replace(attempt(ended_s), server=server, session=session, client=client)


def test_an_answer_on_an_old_session_after_another_server_answered() -> None:
    """Two hosts of one site, too: the old primary was thawed, and still had an answer to give."""
    late = ack_of("10.77.1.11", 1, 5.0, client="jakarta/direct/1")
    history = [
        ack_of("10.77.1.11", 1, 1.0),
        ack_of("10.77.1.11", 1, 1.0, client="jakarta/direct/1"),
        ack_of("10.77.1.12", 2, 4.0),
        late,
        ack_of("10.77.1.12", 2, 6.0),
    ]
    assert acked_around_another(history) == (late,)


def test_a_server_that_is_promoted_again_answers_on_new_sessions() -> None:
    history = [
        ack_of("10.77.1.11", 1, 1.0),
        ack_of("10.77.2.11", 2, 4.0),
        ack_of("10.77.1.11", 3, 8.0),
        ack_of("10.77.1.11", 3, 9.0),
    ]
    assert acked_around_another(history) == ()


def test_one_session_is_one_of_one_client_and_run() -> None:
    first = ack_of("10.77.1.11", 1, 1.0)
    other = ack_of("10.77.1.11", 1, 5.0, client="makassar/proxy/2")
    assert acked_around_another([first, ack_of("10.77.2.11", 2, 4.0), other]) == ()
