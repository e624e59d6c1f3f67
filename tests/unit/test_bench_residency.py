"""What counts as stopped when data is carried abroad, and that no limit can be missed silently."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from failover.lab.bench_residency_attempts import (
    PULLS,
    PUSHES,
    REFUSED_DDL,
    SERVERS,
    Place,
    local_sql,
)
from failover.lab.bench_residency_cost import cost_of
from failover.lab.bench_residency_result import (
    Around,
    Cost,
    Ended,
    Kind,
    Move,
    Outcome,
    Row,
    around_violations,
    as_json,
    outcome_of,
    passed,
    row_line,
    summary_lines,
    violations,
)
from failover.lab.errors import LabError
from failover.model import HostName
from failover.residency.ways import BY_CODE

DB1 = HostName("jkt-db1")
CUT = Row("pg_basebackup", Kind.WALSENDER, DB1, Outcome.CUT, 1.4, 400_000_000, "base_backup", "")
PREVENTED = Row("slot peek", Kind.CLIENT, DB1, Outcome.PREVENTED, 0.1, 1500, "hba_line", "")
PUSHED = Row("COPY TO PROGRAM", Kind.PUSH, DB1, Outcome.UNOBSERVABLE, 0.5, 65_000_000, "", "")


def around(**changes: object) -> Around:
    good = Around(firewall=False, netem=False, size_bytes=2**30, line_found_s={DB1: 1.2})
    good.costs = [Cost(DB1, 0.004, 0.003, 60.0)]
    good.write_pause_s = 0.2
    return replace(good, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "ended", "outcome"),
    [
        (Kind.WALSENDER, Ended(1, 1.4, 400_000_000, "", cut_sessions=1), Outcome.CUT),
        (Kind.WALSENDER, Ended(1, 1.4, 400_000_000, ""), Outcome.THROUGH),  # who ended it?
        (Kind.WALSENDER, Ended(0, 3.0, 1_000_000_000, ""), Outcome.THROUGH),
        (Kind.WALSENDER, Ended(0, 3.0, 1_000_000_000, "", cut_sessions=1), Outcome.THROUGH),
        (Kind.WALSENDER, Ended(124, 15.0, 16_000_000, ""), Outcome.THROUGH),
        (Kind.WALSENDER, Ended(124, 15.0, 0, ""), Outcome.PREVENTED),
        (Kind.CLIENT, Ended(2, 4.0, 0, "timeout expired"), Outcome.PREVENTED),
        (Kind.CLIENT, Ended(1, 0.1, 1500, "ERROR"), Outcome.PREVENTED),
        (Kind.DDL, Ended(0, 0.1, 0, ""), Outcome.THROUGH),
        (Kind.DDL, Ended(1, 0.1, 0, "is refused"), Outcome.PREVENTED),
        (Kind.PUSH, Ended(0, 0.5, 65_000_000, ""), Outcome.UNOBSERVABLE),
        (Kind.PUSH, Ended(1, 0.5, 0, "No route to host"), Outcome.PREVENTED),
        (Kind.PUSH, Ended(1, 0.5, 5_000_000, "broken pipe"), Outcome.THROUGH),
    ],
)
def test_what_an_attempt_came_to(kind: Kind, ended: Ended, outcome: Outcome) -> None:
    assert outcome_of(kind, ended) is outcome


def test_what_is_cut_prevented_or_said_to_be_unobservable_passes() -> None:
    rows = [CUT, PREVENTED, PUSHED]
    assert passed(rows, around())
    assert not passed([], around())
    assert not any("NOT KEPT" in line for line in summary_lines(rows, around()))


@pytest.mark.parametrize(
    "bad",
    [
        replace(CUT, seconds=5.1),
        replace(CUT, outcome=Outcome.THROUGH),
        replace(CUT, finding=""),
        replace(CUT, problems=("its slot is still there",)),
        replace(PUSHED, outcome=Outcome.PREVENTED, said="bash: not found"),
    ],
)
def test_one_bad_attempt_is_enough(bad: Row) -> None:
    assert not passed([CUT, bad, PREVENTED], around())
    assert any("NOT KEPT" in line for line in summary_lines([bad], around()))


@pytest.mark.parametrize(
    "bad",
    [
        around(line_found_s={}),
        around(line_found_s={DB1: 5.2}),
        around(line_found_s={DB1: None}),
        around(costs=[Cost(DB1, 0.006, 0.004, 60.0)]),
        around(problems=["something"]),
    ],
)
def test_one_limit_besides_the_attempts_is_enough(bad: Around) -> None:
    assert around_violations(bad)
    assert not passed([CUT, PREVENTED, PUSHED], bad)


def test_with_the_firewall_no_byte_leaves_and_all_else_works() -> None:
    loaded = around(firewall=True, moves=[Move("takeover", True, "run 1")])
    stopped = replace(CUT, outcome=Outcome.PREVENTED, bytes_left=0, finding="hba_line")
    proxy = Row("through HAProxy", Kind.PROXY, DB1, Outcome.PREVENTED, 0.1, 200, "", "")
    assert passed([stopped, proxy], loaded)
    assert not passed([replace(stopped, bytes_left=60), proxy], loaded)
    assert violations(replace(stopped, bytes_left=60), firewall=False) == ()
    for bad in (
        replace(loaded, moves=[]),
        replace(loaded, moves=[Move("takeover", False, "run 1")]),
        replace(loaded, write_pause_s=None),
        replace(loaded, write_pause_s=1.2),
    ):
        assert not passed([stopped, proxy], bad)


def test_the_document_and_the_table() -> None:
    document = json.loads(json.dumps(as_json([CUT, PUSHED], around())))
    first, second = document["attempts"]
    wanted = {"path", "from", "outcome", "seconds", "bytes_left", "finding"}
    assert wanted <= first.keys()
    assert (first["from"], first["outcome"], second["finding"]) == ("jkt-db1", "cut", None)
    assert document["passed"] is True
    assert row_line(CUT) == ("| pg_basebackup | jkt-db1 | cut | 1.4 | 400,000,000 | base_backup |")


# --------------------------------------------------------------------------- the attempts


def test_what_the_issue_names_is_tried() -> None:
    for path in ("streaming replication", "pg_basebackup"):
        assert {each.place for each in PULLS if each.path == path} == set(SERVERS)
    pushed = {each.path.partition(", ")[0] for each in PUSHES}
    assert pushed == {"foreign table", "dblink", "COPY TO PROGRAM"}
    assert all(each.kind is Kind.PUSH for each in PUSHES), "only these may be unobservable"
    assert not any(each.kind is Kind.PUSH for each in (*PULLS, *REFUSED_DDL))
    assert {each.place for each in PULLS if each.kind is Kind.PROXY} == {Place.PROXY}
    assert {way for each in PUSHES for way in each.raises} <= BY_CODE.keys()


def test_statements_are_quoted_for_the_shell() -> None:
    said = local_sql("select 'a b'", 'select "c"')
    assert said.endswith("""-c 'select '"'"'a b'"'"'' -c 'select "c"' marketplace""")


# --------------------------------------------------------------------------- what scanning costs


def stat(pid: int, *ticks: int) -> str:
    """A line of /proc/PID/stat with utime, stime, cutime, cstime."""
    said = " ".join(map(str, ticks))
    return f"{pid} (postgres: x) y) S 1 1 1 0 -1 0 1 2 3 4 {said} 20 0 1 0 99"


def test_the_cost_counts_sessions_that_stay_and_all_children_that_ended() -> None:
    before = [stat(1, 10, 10, 100, 100), stat(7, 50, 50, 0, 0), stat(8, 1, 1, 0, 0)]
    after = [stat(1, 11, 11, 104, 104), stat(7, 60, 55, 0, 0)]  # 8 ended: among the children
    cost = cost_of(DB1, 100, before, after, 60.0)
    assert cost == Cost(DB1, round(15 / 6000, 5), round(10 / 6000, 5), 60.0)
    assert cost.cores == round(25 / 6000, 5)


def test_a_host_that_nobody_scans_has_no_cost() -> None:
    with pytest.raises(LabError, match="no scanner"):
        cost_of(DB1, 100, [stat(1, 1, 1, 1, 1)], [stat(1, 1, 1, 1, 1)], 60.0)
    with pytest.raises(ValueError, match="not a line"):
        cost_of(DB1, 100, ["1 (x) S", "2 (y) S"], ["1 (x) S"], 60.0)
