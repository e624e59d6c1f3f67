"""What a reader knows of what standbys told a primary: seen by its own probes, and by others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from failover.config import load
from failover.coordination.memory import HostMemory
from failover.health.observation import (
    FlushSeen,
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PostgresSeen,
    SiteObservation,
    WalsenderSeen,
)
from failover.model import HostName, Lsn, SiteName, TimelineId

JAKARTA, SURABAYA = SiteName("jakarta"), SiteName("surabaya")
PRIMARY, REMOTE = HostName("jkt-db1"), HostName("mks-db1")
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "")


def told(lsn: int, timeline: int = 1, host: HostName = REMOTE) -> FlushSeen:
    return FlushSeen(host, Lsn(lsn), TimelineId(timeline))


def primary(flushed: int, timeline: int = 1) -> PostgresSeen:
    rows = (WalsenderSeen(REMOTE, "streaming", Lsn(flushed), "async"),)
    return PostgresSeen(
        *(False, TimelineId(timeline), Lsn(9000), None, None, None, None), walsenders=rows
    )


def look(
    observer: SiteName, found: PostgresSeen | NoAnswer = SILENT, *, told: tuple[FlushSeen, ...] = ()
) -> SiteObservation:
    hosts = (HostObservation(PRIMARY, found, SILENT, SILENT),)
    return SiteObservation(observer, 1, 1.0, 0.1, hosts, (), told=told)


def memory() -> HostMemory:
    return HostMemory(load(Path("tests/open.yaml")))


def test_who_was_started_later_is_told_by_an_observer_who_saw_it() -> None:
    reader = memory()
    reader.learn(look(JAKARTA, told=(told(7000),)), 10.0)
    assert reader.flushed() == (told(7000),)


def test_of_several_the_newest_timeline_and_the_furthest_counts() -> None:
    reader = memory()
    reader.learn(look(JAKARTA, told=(told(7000),)), 10.0)
    reader.learn(look(SURABAYA, primary(6000)), 11.0)
    assert reader.flushed() == (told(7000),)
    reader.learn(look(SURABAYA, primary(5000, timeline=2)), 12.0)
    reader.learn(look(JAKARTA, told=(told(7000),)), 13.0)
    assert reader.flushed() == (told(5000, timeline=2),)


def test_what_is_told_others_is_what_primaries_showed_to_anybody() -> None:
    """Not what others told: all would tell one another for ever what nobody has seen since."""
    reader = memory()
    reader.learn(look(JAKARTA, primary(5000), told=(told(7000),)), 10.0)
    reader.learn(look(SURABAYA, primary(6000)), 11.0)
    assert reader.shown() == (told(6000),)


def test_of_a_cluster_that_was_made_anew_nothing_of_before_is_kept() -> None:
    reader = memory()
    old = told(7000, timeline=7)
    reader.learn(look(JAKARTA, primary(6000, timeline=7), told=(old,)), 10.0)
    assert reader.flushed() == (old,)
    reader.learn(look(SURABAYA, replace(primary(100), system_identifier="another")), 11.0)
    assert reader.flushed() == (replace(told(100), system_identifier="another"),)


def test_hosts_of_another_group_are_passed_over() -> None:
    reader = memory()
    reader.learn(look(JAKARTA, told=(told(7000, host=HostName("elsewhere")),)), 10.0)
    assert reader.flushed() == ()


def test_the_timeline_of_the_last_answer_is_kept_when_a_host_falls_silent() -> None:
    reader = memory()
    reader.learn(look(JAKARTA, primary(5000, timeline=3)), 10.0)
    reader.learn(look(JAKARTA), 11.0)
    late = replace(look(SURABAYA, primary(5000, timeline=2)), round_duration_s=1.2)
    reader.learn(late, 11.0)  # it was begun before the others
    kept = {silence.host: silence.timeline for silence in reader.silences(12.0)}
    assert kept[PRIMARY] == 3
    assert kept[REMOTE] is None
