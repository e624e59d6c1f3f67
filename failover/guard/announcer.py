"""Tells the kernel of every renewal before it is sent: the worker's hand on the barrier.

Invariant: what it announces counts from before the renewal is sent. It opens nothing by itself:
which announced renewal counts the minder says, once it is committed. Where the kernel has no
barrier nothing is lost by going on: the minder finds that out, and says it.
"""

from __future__ import annotations

import structlog

from failover.guard.acknowledgement import Barrier
from failover.guard.nftables import KernelRefused, Nftables

log = structlog.get_logger(__name__)


class Announcer:
    """Of one worker, called by one thread."""

    def __init__(self, barrier: Barrier, deadline_s: float) -> None:
        self._barrier = barrier
        self._deadline_s = deadline_s
        self._nft: Nftables | None = None
        self._failing = False

    def announce(self, sent_s: float) -> None:
        """``sent_s``: boot time just read, of the renewal about to be sent. Never fails."""
        try:
            if self._nft is None:
                self._nft = Nftables()
            self._nft.run(self._barrier.announced(sent_s, self._deadline_s))
        except KernelRefused as refusal:
            if not self._failing:
                log.warning("renewal_not_announced", error=str(refusal))
            self._failing = True
        else:
            self._failing = False
