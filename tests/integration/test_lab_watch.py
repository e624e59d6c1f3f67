"""The lab's own eyes, on a real ZooKeeper server."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from policies import JAKARTA, MAKASSAR, policy
from single_container import ZooKeeperContainer

from failover.clock import boottime_s
from failover.coordination.connect import open_store
from failover.coordination.init import initialise
from failover.coordination.kazoo_store import KazooStore
from failover.lab.watch import (
    NotWhole,
    clear_cooldown,
    forget_drops,
    look,
    wait_whole,
    watch_claim,
    zookeeper_mode,
)
from failover.model import ClusterName, Epoch, HostName, SiteName
from failover.policy import Policy
from failover.state import Dropped, WriterClaim, decode_state, encode_record, encode_state
from failover.znode import Committed, Create, Delete, GroupPaths, Set

pytestmark = pytest.mark.lab

SHOP = ClusterName("shop")


@pytest.fixture
def group(zookeeper: ZooKeeperContainer) -> Policy:
    return policy(f"g{uuid.uuid4().hex[:8]}", zookeeper.address)


@pytest.fixture
def store(group: Policy) -> Iterator[KazooStore]:
    with open_store(group) as opened:
        initialise(opened, group, now_unix_s=time.time(), by="test")
        yield opened


def claim(group: Policy, site: SiteName) -> Create:
    record = WriterClaim(HostName(f"{site}-db1"), site, Epoch(1))
    return Create(GroupPaths(group.group).writer(SHOP), encode_record(record), ephemeral=True)


def test_end_of_lease_is_when_the_claim_is_gone(group: Policy, store: KazooStore) -> None:
    assert isinstance(store.commit((claim(group, JAKARTA),)), Committed)
    with watch_claim(group, SHOP, JAKARTA) as watch:
        time.sleep(0.3)
        assert watch.ended_s is None
        before_s = boottime_s()
        store.commit((Delete(GroupPaths(group.group).writer(SHOP)),))
        after_s = boottime_s()
        _wait_until_ended(watch)
    assert watch.ended_s is not None
    assert before_s <= watch.ended_s <= after_s + 0.05


def test_claim_of_the_other_site_ends_the_lease_as_well(group: Policy, store: KazooStore) -> None:
    """Deleted and made by the other site between two looks."""
    store.commit((claim(group, JAKARTA),))
    path = GroupPaths(group.group).writer(SHOP)
    with watch_claim(group, SHOP, JAKARTA) as watch:
        time.sleep(0.1)
        assert isinstance(store.commit((Delete(path), claim(group, MAKASSAR))), Committed)
        _wait_until_ended(watch)
    assert watch.ended_s is not None


def test_claim_taken_over_within_the_site_does_not_end_it(group: Policy, store: KazooStore) -> None:
    store.commit((claim(group, JAKARTA),))
    with watch_claim(group, SHOP, JAKARTA) as watch:
        time.sleep(0.1)
        path = GroupPaths(group.group).writer(SHOP)
        assert isinstance(store.commit((Delete(path), claim(group, JAKARTA))), Committed)
        time.sleep(0.3)
        assert watch.ended_s is None
        store.commit((Delete(path),))
        _wait_until_ended(watch)


def _wait_until_ended(watch: object) -> None:
    until_s = time.monotonic() + 2
    while getattr(watch, "ended_s", None) is None:
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_cooldown_is_ended_once_and_on_record(group: Policy, store: KazooStore) -> None:
    paths = GroupPaths(group.group)
    found = store.read(paths.state)
    assert found is not None
    cooling = replace(decode_state(found.data), cooldown_until_unix_s=time.time() + 3600)
    store.commit((Set(paths.state, encode_state(cooling), found.version),))
    assert clear_cooldown(store, group, by="test") is True
    assert clear_cooldown(store, group, by="test") is False
    after = store.read(paths.state)
    assert after is not None
    assert decode_state(after.data) == replace(cooling, cooldown_until_unix_s=0.0)
    assert len(store.children(paths.history)) == 2


def test_drops_are_forgotten_once_and_on_record(group: Policy, store: KazooStore) -> None:
    paths = GroupPaths(group.group)
    found = store.read(paths.state)
    assert found is not None
    before = decode_state(found.data)
    dropped = {HostName("mks-db1"): Dropped(5, time.time())}
    unsteady = before.with_cluster(SHOP, replace(before.clusters[SHOP], dropped=dropped))
    store.commit((Set(paths.state, encode_state(unsteady), found.version),))
    assert forget_drops(store, group, by="test") is True
    assert forget_drops(store, group, by="test") is False
    after = store.read(paths.state)
    assert after is not None
    assert decode_state(after.data) == before


def test_what_is_missing_is_said(group: Policy, store: KazooStore) -> None:
    seen = look(store, group)
    assert "shop: nobody holds the writer claim" in seen.missing
    assert "jakarta: its controller publishes nothing" in seen.missing
    with pytest.raises(NotWhole, match="nobody holds the writer claim"):
        wait_whole(group, 0.3)


def test_four_letter_words(zookeeper: ZooKeeperContainer, group: Policy) -> None:
    (server,) = group.zookeeper_servers
    assert zookeeper_mode(server) == "standalone"
