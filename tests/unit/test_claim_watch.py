"""When a lease ended, as the lab's watch tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from failover.clock import boottime_s
from failover.coordination.kazoo_store import KazooStore
from failover.lab.watch import ClaimWatch
from failover.model import ClusterName, Epoch, GroupName, HostName, SiteName
from failover.state import WriterClaim, encode_record
from failover.znode import GroupPaths, Znode

SHOP, JAKARTA, HOST = ClusterName("shop"), SiteName("jakarta"), HostName("jkt-db1")
PATHS = GroupPaths(GroupName("marketplace"))
CLAIM = encode_record(WriterClaim(HOST, JAKARTA, Epoch(1)))


class SlowStore:
    """Notices come never; the claim is gone while the third look at it is under way."""

    def __init__(self) -> None:
        self.looks = 0
        self.gone_s: float | None = None

    def wake_on(self, path: str, callback: Callable[[], None]) -> None: ...

    def read(self, path: str) -> Znode | None:
        if path != PATHS.writer(SHOP):
            return None
        self.looks += 1
        if self.looks < 3:
            return Znode(path, CLAIM, 0)
        self.gone_s = self.gone_s or boottime_s()
        return None


def test_a_lease_is_never_said_to_have_ended_before_it_did() -> None:
    store = SlowStore()
    watch = ClaimWatch(cast(KazooStore, store), PATHS, SHOP, JAKARTA, HOST)
    try:
        give_up_s = time.monotonic() + 30.0
        while watch.ended_s is None:
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
    finally:
        watch.stop()
    assert store.gone_s is not None
    assert watch.ended_s >= store.gone_s
