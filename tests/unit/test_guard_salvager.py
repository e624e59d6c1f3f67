"""What is copied before a rewind, and what is told of it (invariant I3)."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from guard_world import Host, control_bytes
from memory_store import MemoryStore, World

from failover.config import load
from failover.guard.control_file import DbState
from failover.guard.permits import Member
from failover.guard.salvage import read_done
from failover.guard.salvager import Salvager
from failover.guard.wal_end import segment_name
from failover.model import (
    WAL_SEGMENT_BYTES,
    Automation,
    Epoch,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.policy import Policy
from failover.state import ClusterState, GroupState, StandbyScope, encode_state
from failover.znode import Create, GroupPaths, ScopePaths, Set

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")
REWIND = 1  # a request that a rewind barrier waits for


def at(segments: float) -> Lsn:
    return Lsn(int(segments * WAL_SEGMENT_BYTES))


class Old:
    """A returned host of Jakarta whose branch, timeline 1, was left in segment 3; it ends in 4."""

    def __init__(self, policy: Policy, root: Path) -> None:
        self.host = Host(root)
        self.store = MemoryStore(World(), 0x77)
        self.policy = policy
        db = policy.host(HostName("jkt-db1"))
        self.cluster = policy.cluster(db.cluster)
        self.me = Member(db.name, db.site, db.cluster, GroupPaths(policy.group))
        self.salvager = Salvager(
            self.me,
            policy,
            self.host.places,
            self.store,  # type: ignore[arg-type]
            lambda message: None,
        )
        self.host.places.control_file.write_bytes(
            control_bytes(DbState.IN_PRODUCTION, at(4.1).bytes)
        )
        self.segments = [self.segment(number) for number in (2, 3, 4)]
        self.write(f"{self.me.paths.salvage}/x", b"")  # the folder
        scope = ScopePaths(policy.patroni_namespace, self.cluster.scope(MAKASSAR))
        self.write(scope.history, json.dumps([[1, at(3.5).bytes, "takeover"]]).encode())

    def segment(self, number: int) -> str:
        name = segment_name(1, number)
        page = struct.pack("<HHIQ", 0xD116, 2, 1, number * WAL_SEGMENT_BYTES)
        (self.host.places.wal / name).write_bytes(page.ljust(8192, b"\0"))
        return name

    def write(self, path: str, data: bytes) -> None:
        for parent in [str(parent) for parent in PurePosixPath(path).parents][-2::-1]:
            if self.store.read(parent) is None:
                self.store.commit((Create(parent, b""),))
        before = self.store.read(path)
        self.store.commit(
            (Create(path, data) if before is None else Set(path, data, before.version),)
        )

    def record(self, state: GroupState) -> None:
        self.write(self.me.paths.state, encode_state(state))

    def state(self, epoch: int, active: SiteName, min_lsn: Lsn) -> GroupState:
        recorded = ClusterState(min_lsn, TimelineId(1), True, StandbyScope.FOLLOWING)
        return GroupState(
            group=self.policy.group,
            epoch=Epoch(epoch),
            active_site=active,
            clusters={self.cluster.name: recorded},
            protection=ProtectionMode.MAX_PERFORMANCE,
            in_sync=False,
            automation=Automation.AUTO,
        )


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(Path(__file__).parents[2] / "deploy" / "failover.yaml")


@pytest.fixture
def old(policy: Policy, tmp_path: Path) -> Old:
    return Old(policy, tmp_path)


def test_before_a_rewind_the_state_is_read_anew(old: Old) -> None:
    """A worker that has just started, or was cut off, knows of no takeover: there may be one."""
    before = old.state(1, JAKARTA, at(0))
    old.record(before)
    old.salvager._state = before
    old.record(old.state(2, MAKASSAR, at(3.4)))
    answer = old.salvager._salvage(REWIND)
    assert answer.ok
    done = read_done(old.host.places, Epoch(2))
    assert done is not None
    assert {f.name for f in done.directory.iterdir()} >= set(old.segments[1:])
    assert old.store.read(old.me.paths.salvaged(Epoch(2), old.cluster.name, old.me.host))


def test_a_host_that_was_away_for_several_epochs_salvages_its_own_branch(old: Old) -> None:
    """The newest epoch begins far beyond the end of its WAL: nothing of it would be copied."""
    old.record(old.state(4, MAKASSAR, at(9)))
    assert old.salvager._salvage(REWIND).ok
    done = read_done(old.host.places, Epoch(4))
    assert done is not None
    assert done.from_lsn == at(3.5)
    assert {f.name for f in done.directory.iterdir()} >= set(old.segments[1:])


def test_without_the_history_everything_is_copied_before_the_rewind(old: Old) -> None:
    scope = ScopePaths(old.policy.patroni_namespace, old.cluster.scope(MAKASSAR))
    old.write(scope.history, b"[]")
    old.record(old.state(4, MAKASSAR, at(9)))
    assert old.salvager._salvage(REWIND).ok
    copies = {file.name for file in old.host.places.salvage.glob("local-*/*")}
    assert copies >= set(old.segments)


def test_what_this_epochs_salvage_has_is_not_copied_twice(old: Old) -> None:
    quarantined = old.state(2, MAKASSAR, at(3.4))
    old.record(quarantined)
    old.salvager._state = quarantined
    assert old.salvager._salvage(0).ok
    assert old.salvager._salvage(REWIND).ok
    assert not list(old.host.places.salvage.glob("local-*"))


def test_a_salvage_that_failed_is_repeated_in_the_same_place(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half copies in ever new places would fill the disk by themselves."""
    old.record(old.state(1, JAKARTA, at(0)))
    now = iter(range(10))
    monkeypatch.setattr(time, "strftime", lambda *_: str(next(now)))
    old.salvager._policy = replace(old.policy, salvage_bytes_max=1)
    assert not old.salvager._salvage(REWIND).ok
    assert not old.salvager._salvage(REWIND).ok
    old.salvager._policy = old.policy
    assert old.salvager._salvage(REWIND).ok
    assert [place.name for place in old.host.places.salvage.glob("local-*")] == ["local-0"]
