"""The lease arithmetic (decision 0002): from one number, ``lease``, to every time-out.

Invariant: deadline + time to kill + margin < session, and an election of the ensemble fits
between two renewals and the deadline. docs/decisions/ has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

TICK_MS = 500
SYNC_LIMIT_TICKS = (
    3  # so long a follower waits for its leader; an election for nothing harms nobody
)
INIT_LIMIT_TICKS = 20
NOTIFICATION_MS_MIN = 100
NOTIFICATION_MS_MAX = 400
TCP_RETRIES = 5  # about 12 s
PATRONI_SESSION_MS_MAX = 8000
WATCHDOG_S = 20  # far above what a busy disk holds systemd up; acknowledgements end at the deadline
WATCHDOG_LEASE_S_MIN = 20.0  # from here Patroni holds the watchdog device, and no other can
HOOK_QUESTION_S = 2.0  # one more question once the claim can have ended


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """All times that follow from the lease. Seconds unless the name says otherwise."""

    lease_s: float
    session_ms: int  # the guard's ZooKeeper session
    deadline_s: float  # after the sending of the last renewal but one
    renewal_interval_s: float
    hook_limit_s: float  # pre_promote waits so long for a claim of somebody else to end
    answer_limit_s: float  # an unanswered request, or connection attempt, this old is given up
    controller_session_ms: int
    patroni_loop_wait_s: int
    patroni_retry_timeout_s: int
    patroni_ttl_s: int
    zookeeper_tick_ms: int
    zookeeper_sync_limit_ticks: int
    zookeeper_session_ms_max: int
    zookeeper_notification_ms_min: int  # who looks for a leader says so again after it,
    zookeeper_notification_ms_max: int  # then twice that, at the most after so long
    zookeeper_tcp_retries: int  # of packets without an answer, before a connection is made anew
    wal_receiver_timeout_s: int
    watchdog_s: int | None  # of a host's device, held by systemd; None: Patroni holds it


def lease_timing(lease_s: float) -> LeaseTiming:
    """Every time-out for one lease. ValueError where the arithmetic cannot hold (below 6 s)."""
    if lease_s < 6.0:
        raise ValueError(
            f"lease: {lease_s:g}s is too short; losing one ZooKeeper server would stop a healthy "
            "primary (an election takes up to 3.1 s). The least is 6s."
        )
    session_ms = int(lease_s * 1000) // TICK_MS * TICK_MS
    return LeaseTiming(
        lease_s=lease_s,
        session_ms=session_ms,
        deadline_s=session_ms / 1000 - 1.5,
        renewal_interval_s=TICK_MS / 1000,
        # A claim that was renewed at the moment of the question: its session and two ticks.
        hook_limit_s=(session_ms + 2 * TICK_MS) / 1000 + HOOK_QUESTION_S,
        answer_limit_s=1.0,
        controller_session_ms=4000,
        patroni_loop_wait_s=1,
        patroni_retry_timeout_s=5,
        patroni_ttl_s=20,
        zookeeper_tick_ms=TICK_MS,
        zookeeper_sync_limit_ticks=SYNC_LIMIT_TICKS,
        zookeeper_session_ms_max=max(PATRONI_SESSION_MS_MAX, session_ms),
        zookeeper_notification_ms_min=NOTIFICATION_MS_MIN,
        zookeeper_notification_ms_max=NOTIFICATION_MS_MAX,
        zookeeper_tcp_retries=TCP_RETRIES,
        # Longer than any lease, an election with it: see the rendered patroni.yml.
        wal_receiver_timeout_s=int(2 * lease_s) + 3,
        watchdog_s=None if lease_s >= WATCHDOG_LEASE_S_MIN else WATCHDOG_S,
    )
