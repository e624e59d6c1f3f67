"""Tells the kernel of every renewal before it is sent: the worker's hand on the barrier.

Invariant: what it announces counts from before the renewal is sent. It opens nothing by itself:
which announced renewal counts the minder says, once it is committed. Where the kernel has no
barrier nothing is lost by going on: the minder finds that out, and says it.
"""

from __future__ import annotations

import structlog

from failover.clock import boottime_s
from failover.guard.acknowledgement import JIFFIES_S, Barrier
from failover.guard.nftables import KernelRefused, Nftables

log = structlog.get_logger(__name__)


class Announcer:
    """Of one worker, called by one thread."""

    def __init__(self, barrier: Barrier, deadline_s: float) -> None:
        self._barrier = barrier
        self._deadline_s = deadline_s
        self._nft: Nftables | None = None
        self._failing = False

    def announce(self, sent_s: float) -> bool:
        """``sent_s``: boot time of the renewal about to be sent. False: in vain.

        The kernel counts from now, the deadline from ``sent_s``: before it a session's token may
        have had to be made, which takes an answer of ZooKeeper's.
        """
        left_s = self._deadline_s - (boottime_s() - sent_s)
        if left_s <= JIFFIES_S:
            return False  # it would open nothing
        try:
            if self._nft is None:
                self._nft = Nftables()
            self._nft.run(self._barrier.announced(sent_s, left_s))
        except KernelRefused as refusal:
            if not self._failing:
                log.warning("renewal_not_announced", error=str(refusal))
            self._failing = True
            return False
        self._failing = False
        return True
