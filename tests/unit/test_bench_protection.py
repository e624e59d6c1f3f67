"""What a bench of the protection modes makes of its attempts."""

from __future__ import annotations

from failover.lab.bench_protection import measured, run_line
from failover.lab.workload.attempt import Attempt, Outcome, Via
from failover.lab.workload.marketplace import Kind
from failover.model import ProtectionMode, SiteName

JAKARTA = SiteName("jakarta")


def attempt(ended_s: float, took_s: float, outcome: Outcome = Outcome.ACKED) -> Attempt:
    return Attempt(
        id=str(ended_s),
        run="run",
        client="client",
        site=JAKARTA,
        via=Via.PROXY,
        kind=next(iter(Kind)),
        started_s=ended_s - took_s,
        ended_s=ended_s,
        outcome=outcome,
        server="10.77.1.11",
        server_site=JAKARTA,
        backend_pid=1,
        session=1,
    )


def test_only_what_ended_in_time_counts_and_only_acknowledgements_have_a_latency() -> None:
    inside = [attempt(10 + i / 10, 0.001 * (i + 1)) for i in range(20)]
    others = [attempt(9.9, 1.0), attempt(12.0, 1.0), attempt(11.0, 5.0, Outcome.FAILED)]
    run = measured([*inside, *others], ProtectionMode.MAX_AVAILABILITY, 8, False, 10.0, 12.0)
    assert (run.acked, run.failed, run.transactions_s) == (20, 1, 10.0)
    assert (run.latency_median_ms, run.latency_p99_ms) == (10.5, 19.8)
    assert run_line(run) == "| max-availability | 8 | 10 | 10.5 | 19.1 | 19.8 |"


def test_nothing_acknowledged_has_no_latency() -> None:
    run = measured([], ProtectionMode.MAX_PROTECTION, 1, False, 0.0, 1.0)
    assert (run.acked, run.latency_median_ms, run.latency_p95_ms) == (0, None, None)
