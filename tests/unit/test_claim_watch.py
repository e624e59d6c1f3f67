"""When a lease ended, as the lab's watch tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from failover.clock import boottime_s
from failover.coordination.kazoo_store import KazooStore
from failover.lab.bench_barrier import told_apart
from failover.lab.watch import ClaimWatch, Span
from failover.model import ClusterName, Epoch, GroupName, HostName, SiteName
from failover.state import WriterClaim, encode_record
from failover.znode import GroupPaths, Znode

SHOP, JAKARTA, HOST = ClusterName("shop"), SiteName("jakarta"), HostName("jkt-db1")
PATHS = GroupPaths(GroupName("marketplace"))
CLAIM = encode_record(WriterClaim(HOST, JAKARTA, Epoch(1)))


class Store:
    """Notices come never. The claim is gone while the third look at it is under way, is the same
    host's again at the sixth, and is gone for good at the ninth."""

    def __init__(self) -> None:
        self.looks = 0
        self.gone_s: float | None = None
        self.again_s: float | None = None

    def wake_on(self, path: str, callback: Callable[[], None]) -> None: ...

    def read(self, path: str) -> Znode | None:
        if path != PATHS.writer(SHOP):
            return None
        self.looks += 1
        if self.looks < 3:
            return Znode(path, CLAIM, 0)
        self.gone_s = self.gone_s or boottime_s()
        if not 6 <= self.looks < 9:
            return None
        self.again_s = self.again_s or boottime_s()
        return Znode(path, CLAIM, 0)


def watched(until: Callable[[ClaimWatch], bool]) -> tuple[Store, ClaimWatch]:
    store = Store()
    watch = ClaimWatch(cast(KazooStore, store), PATHS, SHOP, JAKARTA, HOST)
    try:
        give_up_s = time.monotonic() + 30.0
        while not until(watch):
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
    finally:
        watch.stop()
    return store, watch


def test_a_lease_is_never_said_to_have_ended_before_it_did() -> None:
    store, watch = watched(lambda watch: watch.ended_s is not None)
    assert store.gone_s is not None
    assert watch.ended_s is not None
    assert watch.ended_s >= store.gone_s


def test_the_next_lease_of_the_same_host_is_another_one() -> None:
    store, watch = watched(lambda watch: len(watch.without) == 2)
    first, second = watch.without
    assert first.from_s == watch.ended_s
    assert store.again_s is not None
    assert first.to_s is not None
    assert first.to_s >= store.again_s
    assert second.from_s > first.to_s
    assert second.to_s is None


def test_what_a_host_acknowledges_between_two_leases_is_late() -> None:
    without = [Span(10.0, 20.0), Span(30.0)]
    before, late = told_apart([9.0, 10.0, 10.1, 19.9, 21.0, 29.0, 31.0], without)
    assert before == [9.0, 10.0]
    assert late == [10.1, 19.9, 31.0]
    assert told_apart([1.0], []) == ([1.0], [])
