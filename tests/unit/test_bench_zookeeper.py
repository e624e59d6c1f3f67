"""What a campaign of ZooKeeper faults says of its runs, and how it goes on after a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from failover.config import load
from failover.lab.bench_zookeeper import cases
from failover.lab.bench_zookeeper_result import (
    LeaderPlace,
    ServerFault,
    ZooKeeperRun,
    as_json,
    decoded,
    passed,
    run_line,
    still_to_do,
    tallies,
    tally_lines,
)
from failover.lab.results_file import ResultsError, appender, read_runs
from failover.lab.standing import Primary, Standing, harm
from failover.model import ClusterName, Epoch, HostName, SiteName

JAKARTA, SURABAYA = SiteName("jakarta"), SiteName("surabaya")
POLICY = load(Path(__file__).parents[2] / "tests" / "open.yaml")

GOOD = ZooKeeperRun(
    leader=LeaderPlace.WITNESS,
    number=1,
    fault=ServerFault.FREEZE,
    server=HostName("jkt-zk1"),
    server_site=JAKARTA,
    zookeeper_leader_site_before=SURABAYA,
    zookeeper_leader_site_after=SURABAYA,
    primary_attached_to=(HostName("jkt-zk1"), HostName("jkt-zk1")),
    netem=False,
    lease_s=6.0,
    epoch=1,
    primary=HostName("jkt-db1"),
    moved=False,
    demoted=False,
    killed_by_guard=False,
    pause_s=0.08,
    pause_from_s=1.2,
    acked=1300,
    recovered_s=0.2,
)
STANDING = Standing(
    Epoch(1),
    JAKARTA,
    (Primary(ClusterName("marketplace"), HostName("jkt-db1"), 7, "12 started 1000"),),
    ((HostName("jkt-db1"), 0.0),),
)


def test_a_run_without_harm_violates_nothing() -> None:
    assert GOOD.violations == ()
    assert passed([GOOD])
    assert "VIOLATION" not in run_line(GOOD)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (replace(GOOD, moved=True), "the active site changed"),
        (replace(GOOD, demoted=True), "a healthy primary was demoted"),
        (replace(GOOD, killed_by_guard=True), "a healthy primary was killed by its guard"),
        (replace(GOOD, pause_s=1.001), "write pause 1.001 s"),
        (replace(GOOD, pause_s=None), "write pause –"),
        (replace(GOOD, problems=("money: 1 missing",)), "money: 1 missing"),
    ],
)
def test_what_must_never_be_is_said(run: ZooKeeperRun, said: str) -> None:
    assert run.violations == (said,)
    assert not passed([GOOD, run])
    assert f"VIOLATION: {said}" in run_line(run)


def test_a_pause_that_was_not_seen_makes_the_worst_unknown() -> None:
    runs = [GOOD, replace(GOOD, number=2, pause_s=None)]
    (tally,) = tallies(runs)
    assert (tally.runs, tally.violating, tally.pause_s_worst) == (2, 1, None)
    assert as_json(runs)["summary"]["pause_s_worst"] is None
    assert tally_lines(runs)[-1].startswith("all: 1 of 2 runs right")


def test_no_runs_are_no_success() -> None:
    assert not passed([])
    assert as_json([])["summary"]["passed"] is False


# --------------------------------------------------------------------------- a campaign


def test_every_server_is_hit_by_turns_and_as_often_as_wanted() -> None:
    wanted = list(cases(POLICY, list(LeaderPlace), list(ServerFault), 5))
    assert len(wanted) == len(set(wanted)) == 2 * 2 * 3 * 5
    assert [case.server for case in wanted[:3]] == ["jkt-zk1", "mks-zk1", "sby-zk1"]


def test_a_campaign_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "results" / "campaign.jsonl"
    append = appender(path)
    append(GOOD)
    bad = replace(GOOD, server=HostName("mks-zk1"), demoted=True, problems=("demoted",))
    append(bad)
    with path.open("a") as file:
        file.write(json.dumps({"leader": "witness"})[:-3])  # cut off by a crash
    assert read_runs(path, decoded) == [GOOD, bad]
    appender(path)(replace(GOOD, number=2))
    assert read_runs(path, decoded) == [GOOD, bad, replace(GOOD, number=2)]
    wanted = list(cases(POLICY, [LeaderPlace.WITNESS], [ServerFault.FREEZE], 2))
    left = still_to_do(wanted, read_runs(path, decoded))
    assert [(case.number, case.server) for case in left] == [
        (1, "sby-zk1"),
        (2, "mks-zk1"),
        (2, "sby-zk1"),
    ]


def test_a_damaged_file_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    path.write_text('{"leader": "nowhere"}\n')
    with pytest.raises(ResultsError, match="line 1"):
        read_runs(path, decoded)


# --------------------------------------------------------------------------- harm


def test_nothing_changed_is_no_harm() -> None:
    assert harm(STANDING, STANDING).words == ()


def test_a_server_started_anew_was_demoted_though_it_leads_again() -> None:
    (primary,) = STANDING.primaries
    again = replace(STANDING, primaries=(replace(primary, postmaster="44 started 1010"),))
    found = harm(STANDING, again)
    assert (found.moved, found.demoted, found.killed_by_guard) == (False, True, False)
    assert found.words == ("marketplace: the server on jkt-db1 was started anew",)


def test_a_claim_of_another_session_is_told() -> None:
    (primary,) = STANDING.primaries
    found = harm(STANDING, replace(STANDING, primaries=(replace(primary, session_id=8),)))
    assert found.words == ("marketplace: jkt-db1 lost its claim and took it again",)
    assert not found.demoted


def test_kills_are_counted_and_a_new_guard_begins_at_zero() -> None:
    killed = replace(STANDING, kills=((HostName("jkt-db1"), 1.0),))
    assert harm(STANDING, killed).killed_by_guard
    assert not harm(killed, STANDING).killed_by_guard
    assert not harm(STANDING, replace(STANDING, kills=((HostName("jkt-db1"), None),))).words


def test_another_epoch_is_a_move() -> None:
    found = harm(STANDING, replace(STANDING, epoch=Epoch(2)))
    assert found.moved
