"""What a bench of a controller's costs makes of what the kernel says."""

from __future__ import annotations

from failover.lab.bench_cost import CostRun, costs, passed, run_of, summary_lines, usage_of
from failover.model import HostName

HOST = HostName("sby-ctl1")
STAT = "77 (a (b) c) S 1 77 77 0 -1 4194560 9 0 0 0 {user} {system} 10 5 20 0 7 0 12 9 9 1\n"
PEAK = "VmHWM:\t   50000 kB\n"


def run(cpu_percent: float, *, scraped: bool, resident_mb: float = 60.0) -> CostRun:
    return CostRun(1, HOST, False, scraped, 60.0, cpu_percent, resident_mb)


def test_the_time_of_a_process_and_its_children_and_its_largest_size() -> None:
    first = usage_of(STAT.format(user=200, system=100) + PEAK, at_s=10.0)
    last = usage_of(STAT.format(user=260, system=160) + PEAK, at_s=70.0)
    assert (first.cpu_s, first.resident_mb) == (3.15, 51.2)
    made = run_of(2, HOST, True, False, first, last)
    assert (made.seconds, made.cpu_percent, made.resident_mb) == (60.0, 2.0, 51.2)


def test_scraping_costs_the_difference_of_the_medians() -> None:
    runs = [run(p, scraped=False) for p in (2.0, 9.0, 2.2)]
    runs += [run(p, scraped=True) for p in (2.4, 2.6, 2.5)]
    (cost,) = costs(runs)
    assert (cost.cpu_percent, cost.scraped_extra_percent) == (2.2, 0.3)
    assert passed(runs)
    assert "| sby-ctl1 | 2.20 % | +0.30 % | 60.0 MB |" in summary_lines(runs)


def test_each_bound_is_held() -> None:
    fine = run(2.0, scraped=False), run(2.1, scraped=True)
    assert passed(fine)
    assert not passed((run(3.1, scraped=False), run(3.1, scraped=True)))
    assert not passed((run(2.0, scraped=False), run(2.6, scraped=True)))
    assert not passed((run(2.0, scraped=False, resident_mb=121), run(2.0, scraped=True)))
    assert not passed(fine[:1])
