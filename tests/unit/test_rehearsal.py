"""failover rehearse: what is measured, how it is judged, what is said of it, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cli_world import (
    CLUSTER,
    JAKARTA,
    MAKASSAR,
    POLICY,
    healthy,
)
from rehearsal_world import Group, entry, run

from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError
from failover.coordination.store import StoreUnavailable
from failover.health.view import build_view
from failover.model import HostName, SiteName
from failover.rehearsal import text
from failover.rehearsal.judgement import PAUSE_S_MAX, STREAMS_AGAIN_S_MAX, shortcomings
from failover.rehearsal.pause import Pause, Yes, pause_of
from failover.rehearsal.record import OnRecord, on_record
from failover.rehearsal.report import Report, clusters_seen, steps

# --------------------------------------------------------------------------- the pause


def yes(host: str, sent_s: float, took_s: float = 0.01) -> Yes:
    return Yes(POLICY.host(HostName(host)), sent_s, round(sent_s + took_s, 3))


def test_the_pause_is_from_the_last_yes_to_the_next() -> None:
    said = [yes("jkt-db1", 1.0), yes("jkt-db1", 1.025), yes("mks-db1", 1.6), yes("mks-db1", 1.625)]
    assert pause_of(reversed(said), CLUSTER, MAKASSAR) == Pause(0.585, both_sites=False)


def test_a_local_failover_on_the_way_counts() -> None:
    said = [yes("jkt-db1", 1.0), yes("jkt-db2", 3.0), yes("mks-db1", 3.5)]
    assert pause_of(said, CLUSTER, MAKASSAR).length_s == 2.01


@pytest.mark.parametrize("hosts", [[], ["jkt-db1"], ["mks-db1", "mks-db2"]])
def test_a_pause_without_an_end_is_not_measured(hosts: list[str]) -> None:
    said = [yes(host, 1.0 + number) for number, host in enumerate(hosts)]
    assert pause_of(said, CLUSTER, MAKASSAR) == Pause(None, both_sites=False)


def test_two_sites_that_say_yes_are_seen() -> None:
    """Asked after the new site had answered, the old one still said yes."""
    said = [yes("jkt-db1", 1.0), yes("mks-db1", 1.5), yes("jkt-db1", 1.52)]
    assert pause_of(said, CLUSTER, MAKASSAR).both_sites
    assert not pause_of(said[:2], CLUSTER, MAKASSAR).both_sites


# --------------------------------------------------------------------------- the record


HISTORY = [
    entry("switchover_begun", 90.0, 2, plan="s-old"),
    entry("switchover", 90.4, 3, plan="s-old"),
    entry("promoted", 90.6, 3),
    entry("switchover_begun", 100.0, 3, plan="s-1"),
    entry(
        "switchover", 100.5, 4, plan="s-1", **{"marketplace.stopped": "jkt-db1 shut_down at 0/5"}
    ),
    entry("promoted", 100.7, 4),
    entry("promoted", 100.9, 4),
    entry("promoted", 200.0, 5),
]


def test_the_moments_of_one_plan_are_taken_from_the_history() -> None:
    record = on_record(HISTORY, "s-1")
    assert (record.frozen_unix_s, record.committed_unix_s) == (100.0, 100.5)
    assert record.promoted_unix_s == 100.9, "of the last cluster"
    assert record.evidence["marketplace.stopped"] == "jkt-db1 shut_down at 0/5"
    assert on_record(HISTORY, "s-2") == OnRecord()


def test_every_step_has_the_time_since_the_last_known_one() -> None:
    record = on_record(HISTORY, "s-1")
    found = steps(record, stopped_unix_s=None, streams_unix_s=103.0, healthy_unix_s=104.5)
    assert [(step.step, step.took_s) for step in found] == [
        ("plan_frozen", None),
        ("stopped_proof", None),
        ("commit", 0.5),
        ("promoted", 0.4),
        ("streams_again", 2.1),
        ("healthy", 1.5),
    ]
    assert {step.source for step in found} == {"on record", "observed"}


# --------------------------------------------------------------------------- there and back


def test_there_and_back() -> None:
    group = Group()
    report = run(group)
    assert shortcomings(report) == ()
    assert [request.to_site for request in group.asked] == [MAKASSAR, JAKARTA]
    assert group.asked[0].reason == "rehearsal r-17: before the rainy season"
    assert (report.home_site, report.active_site, report.epoch) == (JAKARTA, JAKARTA, 5)
    there, back = report.moves
    assert (there.epoch_before, there.epoch_after, back.epoch_after) == (3, 4, 5)
    (cluster,) = there.clusters
    assert (cluster.primary_before, cluster.primary_after) == ("jkt-db1", "mks-db1")
    assert (cluster.timeline_before, cluster.timeline_after) == (3, 4)
    assert (cluster.lag_bytes, cluster.pause_s) == (328, 0.4)
    assert there.took_s("stopped_proof") == 0.2
    assert there.took_s("healthy") is not None


@pytest.mark.parametrize(
    ("spoil", "active", "why"),
    [
        (lambda g: g.outcomes.__setitem__(0, "gone_back"), JAKARTA, "ended as gone_back"),
        (lambda g: g.outcomes.__setitem__(1, "gone_back"), MAKASSAR, "ended as gone_back"),
        (lambda g: g.outcomes.__setitem__(1, "refused"), MAKASSAR, "was refused"),
        (lambda g: g.outcomes.__setitem__(0, StoreUnavailable("silent")), JAKARTA, "silent"),
        (
            lambda g: g.outcomes.__setitem__(1, UserError("busy", code=ExitCode.REFUSED)),
            MAKASSAR,
            "busy",
        ),
        (lambda g: g.unwell.add(1), MAKASSAR, "not healthy within 30 s: controller_lost"),
        (lambda g: g.unwell.add(2), JAKARTA, "not healthy within 30 s: controller_lost"),
        (lambda g: setattr(g, "stop_after", 1), MAKASSAR, "stopped by a signal"),
    ],
)
def test_it_stops_where_it_is_and_says_so(
    spoil: Callable[[Group], object], active: SiteName, why: str
) -> None:
    group = Group()
    spoil(group)
    report = run(group)
    assert why in shortcomings(report)[0]
    assert report.active_site == active
    assert report.todo.startswith(f"{active} is active")
    assert ("failover switchover --to jakarta" in report.todo) is (active == MAKASSAR)
    assert len(report.moves) == len(group.asked) or report.moves[-1].outcome == "done"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda g: g.unwell.add(0), "not healthy: controller_lost"),
        (lambda g: g.outcomes.__setitem__(0, "refused"), "claim_released"),
        (lambda g: g.outcomes.__setitem__(0, UserError("busy", code=ExitCode.REFUSED)), "busy"),
        (lambda g: setattr(g, "stop_after", 0), "stopped by a signal"),
    ],
)
def test_refused_before_anything_was_touched(spoil: Callable[[Group], object], why: str) -> None:
    group = Group()
    spoil(group)
    with pytest.raises(UserError, match=why) as refused:
        run(group)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert group.at == 0


def test_it_says_what_it_waits_for_once() -> None:
    group = Group()
    group.unwell.add(1)
    run(group)
    waits = [line for line in group.said if line.startswith("waiting: ")]
    assert waits == ["waiting: controller_lost: A controller is silent: one pair of eyes less"]


# --------------------------------------------------------------------------- judged and written


def spoiled(report: Report, **fields: object) -> Report:
    """The same with its first move's only cluster changed."""
    there, back = report.moves
    (cluster,) = there.clusters
    return replace(report, moves=(replace(there, clusters=(replace(cluster, **fields),)), back))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pause_s": PAUSE_S_MAX + 0.2}, "writes paused for 1.20 s, 1 s are allowed"),
        ({"pause_s": None}, "the pause of writes could not be measured"),
        ({"both_sites_writable": True}, "said writable after one of the new site had"),
        ({"timeline_after": 3}, "timeline 3 after 3"),
        ({"timeline_after": None}, "timeline unknown after 3"),
    ],
)
def test_what_is_outside_a_limit_or_unknown_fails(fields: dict[str, object], why: str) -> None:
    (reason,) = shortcomings(spoiled(run(Group()), **fields))
    assert reason.startswith("jakarta to makassar: ")
    assert why in reason


def test_a_site_that_streams_too_late_fails() -> None:
    report = run(Group())
    there, back = report.moves
    late = tuple(
        replace(one, took_s=STREAMS_AGAIN_S_MAX + 1) if one.step == "streams_again" else one
        for one in there.steps
    )
    never = replace(back, steps=back.steps[:4])
    reasons = shortcomings(replace(report, moves=(replace(there, steps=late), never)))
    assert "streamed again after 16.0 s" in reasons[0]
    assert "not seen to stream again" in reasons[1]


def test_the_report_says_everything_in_both_forms() -> None:
    report = run(Group())
    document = json.loads(json.dumps(text.document(report, ())))
    assert (document["schema"], document["result"], document["reasons"]) == (1, "passed", [])
    assert document["limits"] == {"pause_s": 1.0, "streams_again_s": 15.0}
    assert document["moves"][0]["steps"][0]["step"] == "plan_frozen"
    markdown = text.as_markdown(report, ())
    for words in (
        "# Rehearsal of group marketplace: passed",
        "sari@sby-ctl1",
        "before the rainy season",
        "## 1. jakarta to makassar: done",
        "| marketplace | jkt-db1 to mks-db1 | 3 to 4 | 328 bytes, 1.0 s | 0.400 s |",
        "GET /writable",
        "report_sha256",
    ):
        assert words in markdown, words
    failed = text.as_markdown(report, ("it rained",))
    assert "FAILED" in failed
    assert "* it rained" in failed
    assert report.todo in failed


def test_the_history_has_the_durations_and_why_it_failed() -> None:
    report = run(Group())
    details = text.history_details(report, ())
    assert (details["result"], details["rehearsal"]) == ("passed", "r-17")
    assert details["to_makassar.marketplace.pause_s"] == "0.400"
    assert details["to_jakarta.commit_s"] == "0.200"
    assert "writes paused for 0.40 s at most" in text.history_summary(report, ())
    failed = text.history_details(report, ("it rained",))
    assert (failed["result"], failed["failed.1"]) == ("failed", "it rained")
    assert text.history_summary(report, ("it rained",)) == "rehearsal failed: it rained"


def test_what_nobody_saw_is_unknown() -> None:
    view = build_view(POLICY, replace(healthy(), samples=(), observers=()))
    (cluster,) = clusters_seen(view)
    assert (cluster.primary, cluster.timeline, cluster.lag_bytes) == (None, None, None)
