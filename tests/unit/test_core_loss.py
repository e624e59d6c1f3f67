"""The loss estimate: what the standby is behind and the isolation window, or an honest unknown."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from failover.health.inputs import LastWriterSeen, LsnSample
from failover.model import HostName, Lsn, TimelineId
from failover.replication.loss import (
    NOTHING_TO_LOSE,
    LossEstimate,
    LossUnknown,
    cluster_loss,
    estimate,
    loss_at_stop,
    peak_bytes_per_s,
)
from tests.scenarios.language import build

MIB = 1024 * 1024


def samples(*ends: tuple[float, int]) -> tuple[LsnSample, ...]:
    """(age in seconds, end of WAL in bytes), newest first."""
    return tuple(
        LsnSample("marketplace", "jkt-db1", age_s, Lsn(end), TimelineId(1)) for age_s, end in ends
    )


def loss(
    ends: tuple[tuple[float, int], ...], received: int, lost_for_s: float = 0.0
) -> LossEstimate | LossUnknown:
    return estimate(samples(*ends), Lsn(received), lease_s=6.0, lost_for_s=lost_for_s)


def known(found: LossEstimate | LossUnknown) -> LossEstimate:
    assert isinstance(found, LossEstimate)
    return found


def test_an_idle_primary_has_no_lag() -> None:
    found = known(loss(tuple((float(age_s), 5000) for age_s in range(60)), received=5000))
    assert (found.behind_bytes, found.behind_s, found.isolation_bytes) == (0, 0.0, 0)


def test_behind_in_bytes_and_in_seconds_of_the_primary() -> None:
    found = known(loss(((0.5, 9000), (1.5, 8000), (2.5, 7000), (3.5, 6000)), received=7500))
    assert found.behind_bytes == 1500
    assert found.behind_s == pytest.approx(2.0)
    assert found.unseen_s == pytest.approx(2.0)  # samples are a second apart


def test_a_standby_that_stopped_receiving_falls_behind_honestly() -> None:
    lags = []
    for now in range(10, 60, 10):
        ends = tuple((float(age_s), 1000 * (now - age_s)) for age_s in range(now + 1))
        lags.append(known(loss(ends, received=5000)).behind_s)
    assert lags == [5.0, 15.0, 25.0, 35.0, 45.0]


def test_behind_the_oldest_sample_is_behind_without_end() -> None:
    assert known(loss(((0.5, 9000), (1.5, 8000)), received=100)).behind_s == inf


def test_a_standby_ahead_of_the_last_sample_lacks_at_most_what_none_has_seen() -> None:
    """A sample's time is when it was read, and the primary wrote on after the last one."""
    found = known(loss(((0.5, 9000), (0.9, 8500), (1.6, 8000)), received=9500))
    assert (found.behind_bytes, found.behind_s) == (0, 0.0)
    assert found.unseen_s == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("ends", "unseen_s"),
    [
        (((0.5, 9000), (1.0, 9000), (6.0, 9000), (7.0, 8000)), 1.0),
        (((0.5, 9000), (6.5, 9000), (7.0, 9000)), 2.0),
    ],
    ids=["idle", "one sample of late"],
)
def test_an_idle_primary_may_write_just_before_it_is_lost(
    ends: tuple[tuple[float, int], ...], unseen_s: float
) -> None:
    assert known(loss(ends, received=9500)).unseen_s == pytest.approx(unseen_s)


def test_the_pause_of_a_local_failover_is_no_gap() -> None:
    before = samples((8.0, 9000), (8.5, 8800), (9.0, 8600), (9.5, 8400), (10.0, 8200))
    after = samples((0.5, 9900), (1.0, 9700), (1.6, 9400), (2.1, 9200))
    promoted = tuple(replace(sample, host=HostName("jkt-db2")) for sample in after)

    def unseen_s(*seen: LsnSample) -> float:
        return known(estimate(seen, Lsn(9900), lease_s=6.0, lost_for_s=0.0)).unseen_s

    assert unseen_s(*promoted, *before) == pytest.approx(1.2)
    assert unseen_s(promoted[0], *before) == pytest.approx(1.0)


def test_isolation_window_is_the_lease_at_the_peak_rate() -> None:
    found = known(loss(((0.0, 8 * MIB), (1.0, 7 * MIB), (2.0, 2 * MIB), (3.0, MIB)), 8 * MIB))
    assert found.isolation_s == 6.0
    assert found.isolation_bytes == 6 * 5 * MIB
    assert found.bytes == found.isolation_bytes


def test_peak_looks_back_a_minute_and_over_a_second() -> None:
    old_burst = samples((0.0, 100), (1.0, 90), (70.0, 80), (71.0, 0))
    assert peak_bytes_per_s(old_burst) == pytest.approx(10.0)
    flush = samples((0.0, 1000), (0.1, 500), (1.0, 400))
    assert peak_bytes_per_s(flush) == pytest.approx(600.0)


def test_a_new_primary_that_starts_lower_is_no_negative_rate() -> None:
    assert peak_bytes_per_s(samples((0.0, 100), (1.0, 500))) == 0.0


@pytest.mark.parametrize("host", ["jkt-db1", "jkt-db2"])
def test_a_jump_to_the_next_segment_at_a_promotion_is_no_rate(host: str) -> None:
    """Seen on the lab: 11 MiB that nobody had written, and automation held for a minute."""
    old = samples(*((4.0 + age_s, 5 * MIB - age_s * MIB) for age_s in range(3)))
    new = tuple(
        replace(s, host=HostName(host), timeline=TimelineId(2))
        for s in samples((0.2, 18 * MIB), (1.2, 16 * MIB))
    )
    assert peak_bytes_per_s((*new, *old)) == pytest.approx(2 * MIB)
    assert peak_bytes_per_s((new[1], *old)) == pytest.approx(MIB)
    found = known(estimate((new[1], *old), Lsn(18 * MIB), lease_s=6.0, lost_for_s=0.0))
    assert found.isolation_bytes == 6 * MIB


def test_no_samples_is_unknown() -> None:
    assert isinstance(loss((), 0), LossUnknown)


@pytest.mark.parametrize("pairs", [((0.0, 100),), ((0.0, 900 * MIB), (0.5, 0))], ids=["one", "two"])
def test_too_few_samples_are_no_idle_primary(pairs: tuple[tuple[float, int], ...]) -> None:
    """How fast it writes is not known, and unknown holds; an idle one is known after a second."""
    found = loss(pairs, 900 * MIB)
    assert isinstance(found, LossUnknown)
    assert "how fast" in found.reason
    assert known(loss(((0.0, 100), (1.0, 100)), 100)).isolation_bytes == 0


def test_right_after_a_local_failover_the_old_primary_s_rate_counts() -> None:
    """It took so long that the old one is not in the last minute; its clients come back at once."""
    old = samples(*((100.0 + age_s, 50 * MIB - age_s * MIB) for age_s in range(10)))
    new = tuple(replace(s, host="jkt-db2") for s in samples((0.2, 51 * MIB)))
    found = known(estimate((*new, *old), Lsn(51 * MIB), lease_s=6.0, lost_for_s=0.0))
    assert found.isolation_bytes == 6 * MIB
    alone = estimate((*new, *old[:1]), Lsn(51 * MIB), lease_s=6.0, lost_for_s=0.0)
    assert isinstance(alone, LossUnknown)


@pytest.mark.parametrize(
    ("age_s", "lost_for_s", "is_known"),
    [
        (10.9, 0.0, True),  # the lease may be running out: 6 s, and 5 s between samples
        (11.1, 0.0, False),
        (40.0, 30.0, True),  # the last sample stands after the loss
        (42.0, 30.0, False),
    ],
)
def test_age_of_the_last_sample(age_s: float, lost_for_s: float, is_known: bool) -> None:
    found = loss(((age_s, 100), (age_s + 1, 100)), 100, lost_for_s)
    assert isinstance(found, LossEstimate) is is_known


def test_in_sync_loses_nothing_whatever_the_samples_say() -> None:
    lines = ["protection is max-availability, in sync", "no samples of the primary's WAL"]
    view = build(lines).view()
    assert cluster_loss(view, view.clusters[0]) is NOTHING_TO_LOSE


def test_max_performance_is_never_in_sync() -> None:
    lines = ["protection is max-performance, in sync", "no samples of the primary's WAL"]
    view = build(lines).view()
    assert isinstance(cluster_loss(view, view.clusters[0]), LossUnknown)


def test_without_a_standby_leader_the_loss_is_unknown() -> None:
    view = build(["marketplace-makassar has no leader key"]).view()
    assert isinstance(cluster_loss(view, view.clusters[0]), LossUnknown)


# --------------------------------------------------------------------------- measured at a stop

KILLED = "jkt-db1 is killed under the plan, its WAL ends at {}, idle for {} s"
PLAN = ["a takeover to makassar is frozen with 9 s left", "the last sample is 12 s old"]


def at_stop(end: str, idle_s: float = 11.0, *more: str) -> LossEstimate | LossUnknown:
    """Killed 0.1 s ago; the other site has received and replayed up to 0/5000000."""
    view = build([*PLAN, *more, KILLED.format(end, idle_s)]).view()
    stopped = view.clusters[0].stopped
    assert stopped is not None
    assert stopped.proof is not None
    return loss_at_stop(view, view.clusters[0], stopped.proof)


def test_whoever_has_received_up_to_its_end_loses_nothing() -> None:
    assert at_stop("0/5000000") == NOTHING_TO_LOSE
    assert at_stop("0/4FFFF00", 0.0, "no samples of the primary's WAL") == NOTHING_TO_LOSE


def test_files_that_end_before_what_was_seen_of_it_tell_nothing() -> None:
    found = at_stop("0/4FFFF00")
    assert isinstance(found, LossUnknown)
    assert "was seen at 0/5000000" in found.reason


@pytest.mark.parametrize(
    ("idle_s", "seconds"),
    [
        (12.0, 0.9),  # written before the silence began: an observation may be a second older
        (8.0, 4.9),
        (0.0, 12.9),  # … or until the end: nobody saw when
        (40.0, 0.0),  # the sample is younger than the last write
    ],
)
def test_what_no_sample_has_seen_is_as_old_as_the_last_write(idle_s: float, seconds: float) -> None:
    found = known(at_stop("0/5000800", idle_s))
    assert (found.behind_bytes, found.isolation_bytes) == (2048, 0)
    assert found.seconds == pytest.approx(seconds)


def test_what_the_samples_have_seen_comes_on_top() -> None:
    received = "PostgreSQL on mks-db1 has received 0/4FFF000, replayed 0/4FFF000"
    found = known(at_stop("0/5000800", 12.0, received))
    assert found.behind_bytes == 4096 + 2048
    assert found.behind_s == pytest.approx(4.0 + 0.9)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no samples of the primary's WAL", "no samples"),
        ("mks-db1 gone for 9 s", "nobody in makassar"),
    ],
)
def test_it_is_unknown_where_nobody_can_tell(line: str, reason: str) -> None:
    found = at_stop("0/5000800", 11.0, line)
    assert isinstance(found, LossUnknown)
    assert reason in found.reason


def test_in_sync_nothing_that_is_missing_was_acknowledged() -> None:
    assert at_stop("0/5000800", 0.0, "protection is max-availability, in sync") == NOTHING_TO_LOSE


IN_SYNC = "protection is max-availability, in sync"
OTHER_LEADER = [
    "Patroni on mks-db1 says replica",
    "Patroni on mks-db2 says standby_leader",
    "the leader key of marketplace-makassar names mks-db2",
]


def in_sync_loss(*lines: str) -> LossEstimate | LossUnknown:
    view = build([IN_SYNC, *lines]).view()
    return cluster_loss(view, view.clusters[0])


def test_in_sync_the_leader_must_be_who_has_everything() -> None:
    behind = "PostgreSQL on mks-db2 has received 0/4FFFFF8, replayed 0/4FFFFF8"
    assert in_sync_loss(*OTHER_LEADER) == NOTHING_TO_LOSE
    found = in_sync_loss(*OTHER_LEADER, behind)
    assert isinstance(found, LossUnknown)
    assert "mks-db1" in found.reason


@pytest.mark.parametrize("others", [[], OTHER_LEADER], ids=["it leads", "it is a neighbour"])
def test_in_sync_a_server_that_was_started_anew_proves_nothing(others: list[str]) -> None:
    """It may have come up from an older disk or a copy; its position tells nothing of that."""
    found = in_sync_loss(*others, "the server on mks-db1 was started anew")
    assert isinstance(found, LossUnknown)
    assert "started anew" in found.reason


@pytest.mark.parametrize(
    ("told", "is_known"),
    [
        ("0/5000000, on timeline 1", True),
        ("0/5000001, on timeline 1", False),
        ("0/5000000, on timeline 2", False),
        ("0/9000000, on timeline 0", True),
    ],
)
def test_in_sync_whoever_has_less_than_it_told_the_primary_proves_nothing(
    told: str, *, is_known: bool
) -> None:
    """A whole machine that was set back, memory and disk: the same run, and older."""
    found = in_sync_loss(f"mks-db1 has told the primary that it has {told}")
    assert (found == NOTHING_TO_LOSE) is is_known


@pytest.mark.parametrize(
    "unknown",
    [
        "PostgreSQL on mks-db1 has received nothing, replayed 0/100",
        "PostgreSQL on mks-db1 is on timeline 2",
        "mks-db1 gone for 3 s",
    ],
)
def test_a_host_on_record_that_does_not_know_what_it_has_is_no_measure(unknown: str) -> None:
    """After a restart it has replayed less than it has."""
    assert isinstance(in_sync_loss(*OTHER_LEADER, unknown), LossUnknown)


PERMITTED_SINCE = (
    "timeline 5 is promised to jkt-db2",
    "the primary was last seen on timeline 4",
    "PostgreSQL on mks-db1 is on timeline 4",
)


@pytest.mark.parametrize(
    ("line", "known_where"),
    [
        ("jkt-db2 was last seen on timeline 4", True),
        ("jkt-db2 was last seen on timeline 3", False),  # what its branch brings back is not here
        ("jkt-db2 was last seen on timeline 5", False),  # nothing says where that one began
        ("jkt-db2 was never seen", False),
        ("PostgreSQL on mks-db1 is on timeline 5", True),  # it has that branch already
    ],
)
def test_who_had_the_last_permit_stood_on_the_sampled_timeline(
    line: str, known_where: bool
) -> None:
    view = build([*PERMITTED_SINCE, line]).view()
    assert isinstance(cluster_loss(view, view.clusters[0]), LossEstimate) is known_where


@pytest.mark.parametrize(("host", "known_where"), [("jkt-db1", True), ("jkt-db2", False)])
def test_who_was_started_in_place_is_who_was_sampled(host: str, known_where: bool) -> None:
    """A start in place promises no number, and takes the last promise off the record."""
    lines = (*PERMITTED_SINCE[1:], f"{host} was last seen on timeline 3", f"{host} wrote last")
    view = build(lines).view()
    assert isinstance(cluster_loss(view, view.clusters[0]), LossEstimate) is known_where


def test_a_record_of_the_last_permit_that_cannot_be_understood_is_doubt() -> None:
    (cluster,) = build([]).view().clusters
    damaged = replace(cluster, last_writer=LastWriterSeen(cluster.name, None, 2))
    assert isinstance(cluster_loss(build([]).view(), cluster), LossEstimate)
    assert isinstance(cluster_loss(build([]).view(), damaged), LossUnknown)
