"""What a chaos campaign tries, and what it says of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.lab.bench_chaos import PAIRS, cases, degraded_before, unknown_faults
from failover.lab.bench_chaos_result import (
    Case,
    ChaosRun,
    decoded,
    passed,
    run_line,
    table_lines,
    tallies,
)
from failover.lab.chaos import FAULTS
from failover.lab.results_file import appender, read_runs
from failover.model import Epoch, HostName, ProtectionMode, SiteName
from failover.state import HistoryEntry

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")
MODES = ("max-performance", "max-availability")
GOOD = ChaosRun(
    case=Case("max-performance", 1, "witness unplugged"),
    seed=1,
    commit="d605454",
    began_unix_s=1.8e9,
    pause_s_max=1.0,
    netem=False,
    active_before=JAKARTA,
    active_after=JAKARTA,
    lasted_s=9.0,
    recovered_s=2.5,
    pause_s=0.2,
    acked=1000,
    indeterminate=0,
    acked_by_both=0,
    acked_around_another=0,
    lost=0,
    silently_lost=0,
    degraded=False,
    takeovers=0,
    epochs=0,
)
IN_SYNC = replace(GOOD, case=Case("max-availability", 2, "active site unplugged"), pause_s_max=None)


def test_every_fault_has_its_turn_in_every_mode_and_some_come_in_pairs() -> None:
    tried = cases(MODES, 100, seed=1)
    assert len(set(tried)) == 200
    for mode in MODES:
        of_mode = [case for case in tried if case.protection == mode]
        assert {case.fault for case in of_mode} == set(FAULTS)
        pairs = [case for case in of_mode if case.then]
        assert len(pairs) == pytest.approx(100 * PAIRS, abs=15)
        assert all(case.fault != case.then for case in pairs)
    assert tried == cases(MODES, 100, seed=1) != cases(MODES, 100, seed=2)


def test_writes_wait_only_for_who_was_waited_for() -> None:
    limits = {
        mode: {n: f.pause_s_max(ProtectionMode(mode)) for n, f in FAULTS.items()} for mode in MODES
    }
    assert limits["max-performance"]["standby site unplugged"] == 1.0
    assert limits["max-availability"]["standby site unplugged"] == 6.0
    assert {limits[mode]["witness unplugged"] for mode in MODES} == {1.0}
    assert {limits[mode]["active site unplugged"] for mode in MODES} == {None}


def test_only_what_is_named_is_tried_by_turns() -> None:
    only = ("guard killed", "Patroni stopped + witness unplugged")
    assert cases(MODES[:1], 3, seed=1, only=only) == [
        Case(MODES[0], 1, "guard killed"),
        Case(MODES[0], 2, "Patroni stopped", "witness unplugged"),
        Case(MODES[0], 3, "guard killed"),
    ]
    assert unknown_faults((*only, "x", "guard killed + y", "guard killed + x + y")) == (
        "x",
        "guard killed + y",
        "guard killed + x + y",
    )


def test_a_longer_campaign_begins_as_the_shorter_one() -> None:
    """So a campaign that was stopped can go on with more runs, or another mode."""
    assert cases(MODES[:1], 50, seed=1) == cases(MODES[:1], 80, seed=1)[:50]
    longer = cases(MODES, 80, seed=1)
    assert (
        cases(MODES[1:], 50, seed=1) == [one for one in longer if one.protection == MODES[1]][:50]
    )
    assert {one.fault for one in longer if one.number <= 40} == set(FAULTS)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (replace(GOOD, acked_by_both=1), "I1: 1 acknowledged by two sites"),
        (replace(GOOD, acked_around_another=2), "I1: 2 acknowledged while another server did"),
        (replace(GOOD, epochs=1), "I2: 1 epochs and 0 takeovers on record"),
        (replace(GOOD, lost=3, silently_lost=2), "I3: 2 of 3 lost are in no receipt"),
        (replace(IN_SYNC, lost=3), "I3: 3 lost in sync"),
        (replace(GOOD, findings=("I4: x",)), "I4: x"),
        (
            replace(GOOD, active_after=MAKASSAR, epochs=1, takeovers=1),
            "I8: the active site changed",
        ),
        (replace(GOOD, pause_s=1.5), "I8: writes paused for 1.500 s (limit 1 s)"),
        (replace(GOOD, pause_s=None), "I8: writes paused for – (limit 1 s)"),
        (replace(GOOD, recovered_s=None), "the group did not become whole by itself"),
    ],
)
def test_what_must_never_be(run: ChaosRun, said: str) -> None:
    assert run.violations == (said,)
    assert said in run_line(run)
    assert not passed([GOOD, run])


@pytest.mark.parametrize(
    "run",
    [
        replace(GOOD, lost=3),  # asynchronously, and in the receipts
        replace(IN_SYNC, lost=3, degraded=True),
        replace(IN_SYNC, active_after=MAKASSAR, epochs=1, takeovers=1, pause_s=7.0),
        replace(GOOD, pause_s_max=6.0, pause_s=5.5),
    ],
)
def test_what_may_be(run: ChaosRun) -> None:
    assert run.violations == ()
    assert passed([run])


def entry(event: str, have: str = "", primary: str = "jkt-db1") -> HistoryEntry:
    details = {"shop.have": have, "shop.primary": primary} if have else {}
    return HistoryEntry(1.0, Epoch(1), event, "", "test", details)


@pytest.mark.parametrize(
    ("entries", "excused"),
    [
        ([], False),
        ([entry("degraded", "jkt-db2")], False),  # nothing was given up
        ([entry("degraded", "jkt-db2"), entry("takeover")], True),
        ([entry("degraded", "mks-db1"), entry("takeover")], False),  # only the local replica left
        (
            [entry("degraded", "nobody"), entry("in_sync", "mks-db1, jkt-db2"), entry("takeover")],
            False,
        ),
        ([entry("takeover"), entry("degraded", "nobody", "mks-db1")], False),
        ([entry("switchover"), entry("takeover")], True),
        ([entry("switchover"), entry("in_sync", "jkt-db1", "mks-db1"), entry("takeover")], False),
    ],
)
def test_a_loss_is_excused_only_by_what_was_on_record_before(
    entries: list[HistoryEntry], excused: bool
) -> None:
    sites = {
        HostName(f"{s[0]}-db{n}"): s[1]
        for s in (("jkt", JAKARTA), ("mks", MAKASSAR))
        for n in (1, 2)
    }
    assert degraded_before(entries, sites) is excused


def test_a_campaign_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "results" / "chaos.jsonl"
    append = appender(path)
    append(GOOD)
    append(IN_SYNC)
    assert read_runs(path, decoded) == [GOOD, IN_SYNC]


def test_the_seed_is_that_of_the_file(tmp_path: Path) -> None:
    """Another one would draw other cases, and never come to the end of this campaign."""
    path, run = tmp_path / "chaos.jsonl", CliRunner().invoke
    appender(path)(GOOD)
    ended = run(cli, ["bench", "chaos", "--resume", str(path), "--seed", "2"])
    assert ended.exit_code == ExitCode.BAD_INPUT
    assert "the runs of seed 1" in ended.output


def test_a_campaign_that_is_done_needs_no_lab(tmp_path: Path) -> None:
    path = tmp_path / "chaos.jsonl"
    appender(path)(GOOD)
    arguments = ["--protection", "max-performance", "--runs", "1", "--fault", GOOD.case.fault]
    ended = CliRunner().invoke(cli, ["bench", "chaos", "--resume", str(path), *arguments])
    assert ended.exit_code == 0
    assert "1 runs, 0 with a violation." in ended.output


def test_the_table_has_a_row_for_every_fault_and_one_for_pairs() -> None:
    pair = replace(GOOD, case=Case("max-performance", 4, "guard killed", "Patroni stopped"))
    slow = replace(GOOD, case=Case("max-performance", 5, "witness unplugged"), recovered_s=9.0)
    runs = [GOOD, slow, pair, IN_SYNC]
    rows = [(t.protection, t.fault, t.runs, t.recovered_s_worst) for t in tallies(runs)]
    assert rows == [
        ("max-performance", "witness unplugged", 2, 9.0),
        ("max-performance", "two faults at once", 1, 2.5),
        ("max-availability", "active site unplugged", 1, 2.5),
    ]
    assert table_lines(runs)[-1] == "4 runs, 0 with a violation."
