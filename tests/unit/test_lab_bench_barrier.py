"""What counts as a violation in `failover bench barrier`, and how a campaign goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from failover.lab.bench_barrier import cases
from failover.lab.bench_barrier_result import (
    BarrierRun,
    Case,
    Fault,
    as_json,
    decoded,
    passed,
    run_line,
    table_lines,
)
from failover.model import HostName, SiteName

RUN = BarrierRun(
    case=Case("max-availability", Fault.HOST_FROZEN, 1),
    host=HostName("jkt-db1"),
    site=SiteName("jakarta"),
    active_after=SiteName("jakarta"),
    barrier=True,
    sessions=16,
    lease_end_s=6.1,
    last_ack_s=0.2,
    acked_late=0,
    answers_held_back=31,
    acked=812,
    lost=0,
)


def test_a_run_in_which_nothing_came_late_is_right() -> None:
    assert RUN.margin_s == 5.9
    assert RUN.violations == ()
    assert passed([RUN])
    assert not passed([])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(RUN, acked_late=2), "I1: 2"),
        (replace(RUN, lost=3), "I3: 3"),
        (replace(RUN, lease_end_s=None), "never ended"),
        (replace(RUN, last_ack_s=None), "nothing at all"),
        (replace(RUN, problems=("money: 1 IDR is missing",)), "money"),
    ],
    ids=["late", "lost", "no-lease-end", "no-ack", "problem"],
)
def test_what_must_never_be_is_said(wrong: BarrierRun, said: str) -> None:
    assert any(said in line for line in wrong.violations)
    assert "VIOLATION" in run_line(wrong)
    assert not passed([RUN, wrong])


def test_an_asynchronous_failover_inside_the_site_may_lose() -> None:
    case = replace(RUN.case, protection="max-performance")
    assert replace(RUN, case=case, lost=3).violations == ()


def test_a_campaign_has_some_of_each_early_and_reads_its_own_file() -> None:
    todo = cases(["max-availability", "max-performance"], tuple(Fault), 2)
    assert len(todo) == len(set(todo)) == 16
    assert {case.fault for case in todo[:4]} == set(Fault)
    assert decoded(json.dumps(asdict(RUN))) == RUN


def test_the_table_has_a_row_per_mode_and_fault() -> None:
    late = replace(RUN, case=replace(RUN.case, number=2), acked_late=1, last_ack_s=6.3)
    lines = table_lines([RUN, late])
    assert "| max-availability | host-frozen | 2 | 1 | 1 | 0 | 6.100 s | -0.200 s |" in lines
    assert lines[-1] == "2 runs, 1 with a violation."
    assert as_json([RUN])["tallies"][0]["margin_s_least"] == 5.9
