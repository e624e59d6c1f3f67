"""The summary of a bench: medians, worsts, limits, and what must not be hidden by an average."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from failover.health.change import SiteLost
from failover.lab.bench_receipt import EstimatedLoss, ReceiptRun
from failover.lab.bench_result import (
    LostTransaction,
    Spread,
    TakeoverRun,
    as_json,
    run_line,
    summarise,
    summary_lines,
    with_prediction,
)
from failover.model import SiteName
from failover.planning.what_if import foresee
from tests.scenarios.language import build

GOOD = TakeoverRun(
    run=1,
    lost_site=SiteName("jakarta"),
    new_site=SiteName("makassar"),
    zookeeper_leader_site=SiteName("surabaya"),
    netem=False,
    lease_s=6.0,
    outage_s=6.4,
    lease_end_s=6.1,
    overhead_s=0.3,
    transaction_s=0.05,
    permit_s=0.2,
    last_ack_old_site_s=3.9,
    acked=1000,
    lost=12,
    indeterminate=1,
    acked_by_both=0,
    reinstated_s=9.0,
    epoch=2,
    fault_s=1000.0,
    lost_transactions=(LostTransaction("id", "order", 3.9),),
    estimated_loss=EstimatedLoss(behind_bytes=900, behind_s=0.5, isolation_bytes=20_000),
    receipt=ReceiptRun(hosts=("jkt-db1",), exact=True, complete=True, transactions=12, acked=12),
)


def test_good_runs_pass() -> None:
    summary = summarise([GOOD, replace(GOOD, outage_s=7.4), replace(GOOD, outage_s=6.2)])
    assert summary.outage_s == Spread(median=6.4, worst=7.4)
    assert (summary.lost, summary.acked, summary.passed) == (36, 3000, True)


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, outage_s=7.6),
        replace(GOOD, outage_s=None),
        replace(GOOD, overhead_s=1.1),
        replace(GOOD, protection="max-availability"),
        replace(GOOD, receipt=replace(GOOD.receipt, problems=("one is missing",))),
        replace(GOOD, lost_transactions=(LostTransaction("id", "order", -0.6),)),
        replace(GOOD, lost_transactions=(LostTransaction("id", "order", 6.2),)),
        replace(GOOD, estimated_loss=EstimatedLoss()),
        replace(GOOD, overhead_s=None),
        replace(GOOD, acked_by_both=1),
        replace(GOOD, problems=("money: escrow: -5",)),
    ],
)
def test_one_bad_run_among_many_fails_all(bad: TakeoverRun) -> None:
    assert summarise([GOOD] * 20).passed
    assert not summarise([*[GOOD] * 20, bad]).passed


def test_after_something_else_only_what_was_lost_counts() -> None:
    held = replace(GOOD, after="standby-leader-changes", outage_s=20.3, overhead_s=13.3)
    assert summarise([held]).passed
    assert not summarise([replace(held, acked_by_both=1)]).passed


def test_median_has_its_own_limit() -> None:
    slow = replace(GOOD, outage_s=6.9)
    assert not summarise([GOOD, slow, slow]).outage_within_limits


def test_no_runs_is_not_a_success() -> None:
    assert not summarise([]).passed


def test_json_has_what_the_issue_names() -> None:
    document = json.loads(json.dumps(as_json([GOOD])))
    wanted = {
        "lease_s", "outage_s", "lease_end_s", "overhead_s", "acked", "lost", "acked_by_both",
        "zookeeper_leader_site", "netem", "lost_site",
    }  # fmt: skip
    assert wanted <= set(document["runs"][0])
    assert document["summary"]["outage_s"] == {"median": 6.4, "worst": 6.4}
    assert document["schema"] == 1


def test_text_says_when_a_limit_is_not_kept() -> None:
    text = "\n".join(summary_lines(summarise([replace(GOOD, outage_s=9.0)])))
    assert "NOT KEPT" in text
    assert "problem: money" in run_line(replace(GOOD, problems=("money: off",)))


# --------------------------------------------------------------------------- predictions

FORESEEN = replace(GOOD, predicted_decision="takeover", predicted_outage_s=6.27)


@pytest.mark.parametrize(
    ("run", "held"),
    [
        (GOOD, None),  # not asked
        (FORESEEN, True),
        (replace(FORESEEN, predicted_outage_s=7.7), False),
        (replace(FORESEEN, predicted_outage_s=5.1), False),
        (replace(FORESEEN, outage_s=None), False),
        (replace(FORESEEN, predicted_decision="writes_go_on"), False),
        (replace(FORESEEN, predicted_decision="hold", predicted_outage_s=None), False),
        (
            replace(FORESEEN, predicted_decision="hold", predicted_outage_s=None, outage_s=None),
            True,
        ),
    ],
)
def test_a_prediction_holds_in_its_decision_and_its_seconds(
    run: TakeoverRun, held: bool | None
) -> None:
    assert run.prediction_held is held


def test_the_summary_counts_predictions() -> None:
    late = replace(FORESEEN, predicted_outage_s=9.0)
    summary = summarise([FORESEEN, late, GOOD])
    assert (summary.predicted, summary.predictions_held) == (2, 1)
    assert "predictions: 1 of 2 held" in "\n".join(summary_lines(summary))
    assert "NOT HELD" in run_line(late)
    assert [run["prediction_held"] for run in as_json([FORESEEN, GOOD])["runs"]] == [True, None]


def test_what_was_foreseen_stands_beside_what_came() -> None:
    world = build([])
    foreseen = foresee(world.policy, world.inputs(), (SiteLost(SiteName("jakarta")),))
    run = with_prediction(GOOD, foreseen)
    assert (run.predicted_decision, run.predicted_outage_s) == ("takeover", 6.27)
    assert run.predicted_loss_bytes == 6 * 1024
    assert with_prediction(GOOD, None) is GOOD
