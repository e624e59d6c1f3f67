"""What counts as a violation when a site is isolated, and that none hides in a tally."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_bench_result import GOOD

from failover.cli.bench import CIRCUMSTANCES as CIRCUMSTANCE_NAMES
from failover.cli.bench import VARIANTS
from failover.lab.bench_isolation import IsolationRun, as_json, passed, run_line, tallies
from failover.lab.circumstance import CIRCUMSTANCES, Circumstance
from failover.lab.trouble import TROUBLES, Variant

RUN = IsolationRun(Variant.PATRONI_DEAD, replace(GOOD, first_ack_new_site_s=6.4))


def test_the_variants_are_named_in_one_way() -> None:
    assert tuple(Variant) == VARIANTS
    assert set(TROUBLES) == set(Variant)
    assert tuple(Circumstance) == CIRCUMSTANCE_NAMES
    assert set(CIRCUMSTANCES) == set(Circumstance)


def test_a_good_run_passes_with_its_margin() -> None:
    assert (RUN.margin_s, RUN.violations) == (2.5, ())
    assert passed([RUN])
    assert not passed([])


@pytest.mark.parametrize(
    "bad",
    [
        replace(RUN.takeover, acked_by_both=1),
        replace(RUN.takeover, first_ack_new_site_s=None),
        replace(RUN.takeover, first_ack_new_site_s=3.9),
        replace(RUN.takeover, last_ack_old_site_s=None),
        replace(RUN.takeover, problems=("money: escrow: -5",)),
        replace(RUN.takeover, protection="max-availability", lost=1),
    ],
)
def test_one_violation_among_good_runs_is_enough(bad: object) -> None:
    violating = replace(RUN, takeover=bad)
    assert not passed([RUN, violating, RUN])
    (tally,) = tallies([RUN, violating, RUN])
    assert (tally.runs, tally.violating) == (3, 1)
    assert "VIOLATION" in run_line(violating)


def test_the_document() -> None:
    idle = replace(RUN, variant=Variant.LOCAL_ZOOKEEPER_IDLE)
    document = json.loads(json.dumps(as_json([RUN, idle])))
    assert [row["outage_s"] for row in document["runs"]] == [6.4, None]
    assert [row["variant"] for row in document["variants"]] == [
        "patroni-dead",
        "local-zookeeper-idle",
    ]
    assert document["passed"] is True
