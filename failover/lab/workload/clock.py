"""One clock for the host and every container: they share a kernel, so boot time is comparable."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds since the kernel started, suspended time included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
