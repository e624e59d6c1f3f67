"""Which windows of `failover bench barrier-cost` count, and when a difference is none."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from failover.guard.acknowledgement import Barrier
from failover.lab.answer_time import answer_us_of
from failover.lab.barrier_seen import Rules, Seen, may_admin, metric_of, rules_of
from failover.lab.bench_barrier_cost_result import (
    Load,
    Verdict,
    Window,
    as_json,
    counted,
    decoded,
    figures,
    interval,
    load_of,
    order,
    pairs,
    passed,
    run_line,
    table_lines,
)
from failover.lab.errors import LabError
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.model import ClusterName, HostName, SiteName

BARRIER = Barrier(ClusterName("marketplace"), (5432,))
OF = {"family": "inet", "table": "failover-marketplace"}
ACCEPT: dict[str, Any] = {"accept": None}


def match(left: Any, right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


SPORT = {"payload": {"protocol": "tcp", "field": "sport"}}
FLAGS = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, "rst"]}


def ruleset(
    *, ports: Any = 5432, door: Sequence[Any] | None = None, first: Sequence[Any] = ()
) -> str:
    """As nft 1.1.3 prints the guard's own rules. ``first``: a rule of somebody else's."""
    leased = [match({"concat": [SPORT, 100000]}, "@lease"), ACCEPT]
    output: list[Any] = [
        *([list(first)] if first else []),
        [match({"meta": {"key": "oifname"}}, "lo"), ACCEPT],
        [match({"meta": {"key": "l4proto"}}, "tcp"), ACCEPT],
        [match(SPORT, ports), ACCEPT],
        [match(FLAGS, "rst"), ACCEPT],
        [{"jump": {"target": "door"}}],
        [{"counter": "unanswered"}, {"drop": None}],
    ]
    chains = {"door": [leased] if door is None else list(door), "output": output}
    entries: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.1.3"}},
        {"table": {"family": "inet", "name": "failover-marketplace"}},
        {"chain": {**OF, "name": "door"}},
        {"chain": {**OF, "name": "output", "hook": "output", "policy": "accept"}},
        {"set": {**OF, "name": "lease"}},
    ]
    entries += [
        {"rule": {**OF, "chain": chain, "expr": rule}}
        for chain, rules in chains.items()
        for rule in rules
    ]
    return json.dumps({"nftables": entries})


def test_a_door_under_a_lease_is_told_from_everything_that_only_looks_so() -> None:
    assert rules_of(ruleset(), BARRIER) == Rules(True, 100000)
    with_pooler = Barrier(BARRIER.cluster, (5432, 6432))
    assert rules_of(ruleset(ports={"set": [5432, 6432]}), with_pooler).generation == 100000
    held_by_nothing = [
        ruleset(door=()),  # shut
        ruleset(door=[[ACCEPT]]),  # free
        ruleset(first=[ACCEPT]),  # passed by, as an earlier bench did it
        ruleset(ports=6432),
        ruleset().replace('"hook"', '"hoax"'),
    ]
    assert [rules_of(one, BARRIER) for one in held_by_nothing] == [Rules(True, None)] * 5


def test_without_its_table_there_are_no_rules_whatever_else_the_kernel_has() -> None:
    other = ruleset().replace("failover-marketplace", "failover_residency")
    assert rules_of(other, BARRIER) == Rules(False, None)


def test_what_the_guard_says_and_may() -> None:
    page = 'failover_guard_acknowledgement_barrier{cluster="m",host="h"} 0.0\n'
    assert metric_of(f"# HELP failover_guard_acknowledgement_barrier 1 while\n{page}") == 0.0
    assert metric_of("# HELP failover_guard_acknowledgement_barrier 1 while\n") is None
    assert may_admin(["0000000000000000", "0000000000001000"])
    assert not may_admin(["0000000000000000", "ffffffffffffefff"])


def seen(barrier: bool, generation: int = 1) -> Seen:
    rules = Rules(barrier, generation if barrier else None)
    return Seen(rules, float(barrier), may=barrier, pids=(10, 11), writable=True)


def window(number: int, barrier: bool, rate: float = 800.0) -> Window:
    """``rate`` of the many; latencies follow from it."""
    return Window(
        number=number,
        protection="max-performance",
        host=HostName("jkt-db1"),
        barrier=barrier,
        before=seen(barrier, 1),
        after=seen(barrier, 2),
        busy=Load(1000, 0, rate, 16_000 / rate, 40_000 / rate),
        light=Load(500, 0, 100.0, 1_600 / rate, 6_000 / rate),
        others_cores=0.1,
        answer_us=80_000 / rate,
    )


WITH, WITHOUT = window(1, True), window(2, False)


def test_a_window_that_was_what_it_should_be_is_counted() -> None:
    assert counted([WITH, WITHOUT]) == [WITH, WITHOUT]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(WITHOUT, after=seen(True)), "has the barrier's table"),
        (replace(WITHOUT, before=replace(seen(False), metric=1.0)), "barrier is 1.0"),
        (replace(WITHOUT, before=replace(seen(False), metric=None)), "barrier is None"),
        (replace(WITHOUT, after=replace(seen(False), may=True)), "has CAP_NET_ADMIN"),
        (replace(WITH, before=seen(False)), "does not hold answers"),
        (replace(WITH, after=seen(True, 1)), "not renewed"),
        (replace(WITH, after=replace(seen(True, 2), pids=(10, 12))), "restarted"),
        (replace(WITH, after=replace(seen(True, 2), writable=False)), "takes no writes"),
        (replace(WITH, others_cores=1.05), "other work took 1.05 cores"),
        (replace(WITH, light=Load(0, 0, 0.0, None, None)), "nothing was acknowledged"),
    ],
)
def test_one_that_was_not_is_reported_and_left_out(wrong: Window, said: str) -> None:
    assert any(said in text for text in wrong.objections)
    assert counted([wrong]) == []
    assert f"NOT COUNTED: {wrong.objections[0]}" in run_line(wrong)


def test_the_order_gives_what_drifts_to_both_kinds_alike() -> None:
    kinds = order(4)
    assert kinds == [True, False, False, True, True, False, False, True]
    places = {kind: sum(n for n, one in enumerate(kinds) if one is kind) for kind in (True, False)}
    assert places[True] == places[False]


def attempt(started_s: float, ended_s: float, outcome: Outcome = Outcome.ACKED) -> Attempt:
    site = SiteName("jakarta")
    return Attempt(
        "id", "run", "c", site, Via.DIRECT, "buy", started_s, ended_s, outcome, "", site, 1, 1
    )


def test_a_load_has_what_ended_in_its_seconds() -> None:
    told = [attempt(9.98, 10.0), attempt(10.0, 10.03), attempt(11.99, 12.0)]
    failed = attempt(10.0, 10.9, Outcome.FAILED)
    assert load_of([*told, failed], 10.0, 12.0) == Load(2, 1, 1.0, 25.0, 29.9)
    assert load_of([], 10.0, 12.0) == Load(0, 0, 0.0, None, None)


def windows(cost: Callable[[float], float], spread: float, count: int = 12) -> list[Window]:
    """``cost``: the rate with the barrier, of one without."""
    chance = random.Random(1)
    found = []
    for number, barrier in enumerate(order(count), start=1):
        rate = 800.0 * (1 + chance.uniform(-spread, spread))
        found.append(window(number, barrier, cost(rate) if barrier else rate))
    return found


def test_no_cost_in_quiet_windows_is_within_noise() -> None:
    found = windows(lambda rate: rate, spread=0.03)
    assert {one.verdict for one in figures(found)} == {Verdict.WITHIN_NOISE, None}
    assert passed(found)
    assert "12 pairs of windows; of 24 windows 0 not counted." in table_lines(found)


@pytest.mark.parametrize("factor", [0.92, 1.08])
def test_a_difference_is_seen_in_either_direction(factor: float) -> None:
    found = windows(lambda rate: factor * rate, spread=0.03)
    assert figures(found)[0].verdict is Verdict.DIFFERS
    assert not passed(found)


def test_the_cost_of_one_answer_is_told_and_fails_nothing() -> None:
    found = [
        replace(one, answer_us=101.0 if one.barrier else 100.0)
        for one in windows(lambda rate: rate, spread=0.03)
    ]
    cost = figures(found)[-1]
    assert (cost.low, cost.high, cost.verdict) == (1.01, 1.01, None)
    assert passed(found)
    row = "| one answer, µs | 101 | 100 | +1.0 % (+1.0 % to +1.0 %) | 0.0 % |  |"
    assert row in table_lines(found)


PGBENCH = """transaction type: /dev/stdin
number of transactions actually processed: 30211
latency average = 0.099 ms
initial connection time = 5.214 ms
tps = 10088.412764 (without initial connection time)
"""


def test_the_time_of_an_answer_is_read_from_what_pgbench_prints() -> None:
    assert answer_us_of(PGBENCH) == 99.12
    with pytest.raises(LabError, match="no rate"):
        answer_us_of("pgbench: error: connection to server failed")


def test_noise_that_could_hide_a_cost_is_no_proof_of_none() -> None:
    found = windows(lambda rate: rate, spread=0.4)
    assert figures(found)[0].verdict is Verdict.TOO_NOISY
    assert not passed(found)


def test_too_few_windows_say_nothing() -> None:
    found = windows(lambda rate: rate, spread=0.03, count=10)
    assert passed(found)
    spoilt = [replace(found[0], after=seen(False)), *found[1:]]
    assert figures(spoilt) == ()
    assert not passed(spoilt)
    assert table_lines(spoilt)[-1].startswith("Too few")


def test_the_interval_has_the_ratio_in_it() -> None:
    found = [1.2 + 0.01 * ((7 * n) % 20 - 9.5) for n in range(20)]
    low, high = interval(found)
    assert 1.1 < low < 1.2 < high < 1.3
    assert interval(found) == (low, high), "the same windows, the same interval"


def test_a_machine_that_gets_slower_takes_both_windows_of_a_pair_with_it() -> None:
    """Within noise at half the speed too; the windows of one kind differ by twice as much."""
    found = windows(lambda rate: rate, spread=0.0)
    slower = [window(one.number, one.barrier, 800.0 / (1 + one.number // 2)) for one in found]
    pairs_alike = [replace(one, busy=slower[(one.number - 1) // 2 * 2].busy) for one in slower]
    (rate, *_) = figures(pairs_alike)
    assert (rate.ratio, rate.low, rate.high) == (1.0, 1.0, 1.0)


def test_a_pair_needs_both_its_windows() -> None:
    found = windows(lambda rate: rate, spread=0.03, count=2)
    assert [(one.number, two.number) for one, two in pairs(found)] == [(1, 2), (4, 3)]
    assert [(one.number, two.number) for one, two in pairs(found[1:])] == [(4, 3)]


def test_the_document_has_every_window_and_why_it_was_not_counted() -> None:
    wrong = replace(WITHOUT, after=seen(True))
    document = json.loads(json.dumps(as_json([WITH, wrong])))
    assert document["windows"][1]["objections"] == list(wrong.objections)
    assert (document["figures"], document["passed"]) == ([], False)
    whole = as_json(windows(lambda rate: rate, spread=0.03))
    assert whole["passed"]
    assert whole["figures"][0]["verdict"] == "within noise"


def test_a_campaign_reads_its_own_file() -> None:
    assert decoded(json.dumps(asdict(WITHOUT))) == WITHOUT
