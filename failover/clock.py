"""The one clock that ages and deadlines are counted on. Everything pure gets it as an argument."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds since the kernel started, suspended time included; nobody sets it (CLOCK_BOOTTIME).

    The hosts of the lab share a kernel, so there it is comparable between them too.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
