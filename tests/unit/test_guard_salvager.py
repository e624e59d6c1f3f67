"""What is copied before a rewind, and what is told of it (invariant I3)."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from guard_world import Host, control_bytes
from memory_store import MemoryStore, World
from wal_files import SEGMENT_BYTES, write_segment

from failover.config import load
from failover.guard.control_file import DbState
from failover.guard.permits import Member
from failover.guard.receipt import RECEIPT
from failover.guard.salvage import Copied, read_done
from failover.guard.salvager import Salvager
from failover.model import (
    Automation,
    Epoch,
    HostName,
    Lsn,
    ProtectionMode,
    SiteName,
    TimelineId,
)
from failover.policy import Policy
from failover.receipt.compose import Origin
from failover.receipt.document import KeysState, Receipt, decode_receipt
from failover.state import (
    ClusterState,
    GroupState,
    ReceiptRecord,
    SalvagePhase,
    SalvageProgress,
    StandbyScope,
    decode_record,
    encode_record,
    encode_state,
)
from failover.znode import Create, GroupPaths, ScopePaths, Set

JAKARTA, MAKASSAR = SiteName("jakarta"), SiteName("makassar")
REWIND = 1  # a request that a rewind barrier waits for


def at(segments: float) -> Lsn:
    return Lsn(int(segments * SEGMENT_BYTES))


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
            receipt_limit_s=0.5,
            socket_dir=str(root),  # there is no server
        )
        self.host.places.control_file.write_bytes(
            control_bytes(DbState.IN_PRODUCTION, at(4.1).bytes)
        )
        self.segments = [self.segment(number) for number in (2, 3, 4)]
        self.write(f"{self.me.paths.salvage}/x", b"")  # the folder
        scope = ScopePaths(policy.patroni_namespace, self.cluster.scope(MAKASSAR))
        self.write(scope.history, json.dumps([[1, at(3.5).bytes, "takeover"]]).encode())

    def segment(self, number: int) -> str:
        return write_segment(self.host.places.wal, 1, number)

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

    def progress(self, path: str) -> SalvageProgress:
        found = self.store.read(path)
        assert found is not None
        return decode_record(SalvageProgress, found.data, path=path)

    def wal_says(self, *lines: str) -> None:
        """What pg_waldump prints, and that it ends where this host's WAL does."""
        dump = self.host.places.bin_dir / "pg_waldump"
        said = "\n".join(lines)
        end = f"error in WAL record at {at(4.05)}: invalid record length at {at(4.1)}"
        dump.write_text(f"#!/bin/sh\necho '{said}'\necho '{end}' >&2\nexit 1\n")

    def receipt(self, name: str) -> Receipt:
        return decode_receipt((self.host.places.salvage / name / RECEIPT).read_bytes())

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
    return load(Path(__file__).parents[2] / "tests" / "open.yaml")


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


# --------------------------------------------------------------------------- the receipt


def commit(xid: int, lsn: Lsn) -> str:
    return (
        f"rmgr: Transaction len (rec/tot):     34/    34, tx: {xid:>10}, lsn: {lsn}, prev 0/0, "
        "desc: COMMIT 2026-11-26 05:25:02.050893 UTC"
    )


def test_a_takeover_leaves_a_receipt_beside_the_copy_and_counts_in_zookeeper(old: Old) -> None:
    """740 committed before this branch was left (3.5): the new site has it."""
    old.wal_says(commit(740, at(3.4)), commit(741, at(3.6)))
    old.record(old.state(2, MAKASSAR, at(3.3)))
    assert old.salvager._salvage(REWIND).ok
    receipt = old.receipt("2")
    assert [one.xid for one in receipt.lost] == [741]
    assert (receipt.from_lsn, receipt.end_of_wal, receipt.complete) == (at(3.5), at(4.1), True)
    path = old.host.places.salvage / "2" / RECEIPT
    assert path.stat().st_mode & 0o777 == 0o600
    told = old.progress(old.me.paths.salvaged(Epoch(2), old.cluster.name, old.me.host))
    assert told.phase is SalvagePhase.DONE
    assert told.receipt is not None
    assert (told.receipt.transactions, told.receipt.exact) == (1, True)


def test_without_the_new_branchs_beginning_the_receipt_says_that_it_may_list_too_much(
    old: Old,
) -> None:
    scope = ScopePaths(old.policy.patroni_namespace, old.cluster.scope(MAKASSAR))
    old.write(scope.history, b"[]")
    old.wal_says(commit(740, at(3.4)), commit(741, at(3.6)))
    quarantined = old.state(2, MAKASSAR, at(3.3))
    old.record(quarantined)
    old.salvager._state = quarantined
    assert old.salvager._salvage(0).ok
    receipt = old.receipt("2")
    assert [one.xid for one in receipt.lost] == [740, 741]
    assert "some of what is listed may not be missing" in receipt.problems[0]


def test_a_timeline_younger_than_the_last_checkpoint_is_the_one_that_counts(old: Old) -> None:
    """Promoted in its site at 3.2, and lost before its first checkpoint on timeline 2."""
    scope = ScopePaths(old.policy.patroni_namespace, old.cluster.scope(MAKASSAR))
    switches = [[1, at(3.2).bytes, "failover"], [2, at(3.5).bytes, "takeover"]]
    old.write(scope.history, json.dumps(switches).encode())
    write_segment(old.host.places.wal, 2, 4)
    old.wal_says(commit(740, at(3.4)), commit(741, at(3.6)))
    old.record(old.state(2, MAKASSAR, at(3.3)))
    assert old.salvager._salvage(REWIND).ok
    receipt = old.receipt("2")
    assert {one.xid for one in receipt.lost} == {741}
    assert receipt.from_lsn == at(3.5)


def test_the_new_branchs_beginning_is_waited_for(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is taken before the new site's Patroni has put its switch on record."""
    answers = iter([None, None, at(3.5)])
    monkeypatch.setattr(Salvager, "_branch_left", lambda *_: next(answers, at(3.5)))
    old.wal_says(commit(740, at(3.4)), commit(741, at(3.6)))
    quarantined = old.state(2, MAKASSAR, at(3.3))
    old.record(quarantined)
    old.salvager._state = quarantined
    old.salvager._receipt_limit_s = 2.0
    assert old.salvager._salvage(0).ok
    assert [one.xid for one in old.receipt("2").lost] == [741]


def test_no_server_to_ask_is_said_and_holds_a_rewind_up_for_nothing(old: Old) -> None:
    old.wal_says(commit(741, at(3.6)))
    old.record(old.state(2, MAKASSAR, at(3.3)))
    old.salvager._receipt_limit_s = 60.0
    began_s = time.monotonic()
    assert old.salvager._salvage(REWIND).ok
    assert time.monotonic() - began_s < 20
    assert "does not answer" in old.receipt("2").problems[0]


def test_a_receipt_that_cannot_be_written_does_not_keep_the_copy_from_counting(old: Old) -> None:
    (old.host.places.bin_dir / "pg_waldump").unlink()
    old.record(old.state(2, MAKASSAR, at(3.3)))
    assert old.salvager._salvage(REWIND).ok
    told = old.progress(old.me.paths.salvaged(Epoch(2), old.cluster.name, old.me.host))
    assert (told.phase, told.receipt) == (SalvagePhase.DONE, None)


def test_a_receipt_is_written_once(old: Old) -> None:
    """After the rewind the server has other rows, under the same ids of transactions."""
    old.wal_says(commit(741, at(3.6)))
    old.record(old.state(2, MAKASSAR, at(3.3)))
    assert old.salvager._salvage(REWIND).ok
    receipt = old.host.places.salvage / "2" / RECEIPT
    before = receipt.stat()
    old.salvager._published.clear()
    assert old.salvager._salvage(REWIND).ok
    after = receipt.stat()  # looking at it changes its atime
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_whole_receipt_is_not_replaced_by_half_of_one(old: Old) -> None:
    """Asked again for keys while the host is busy: the list of transactions is worth more."""
    old.wal_says(commit(741, at(3.6)))
    state = old.state(2, MAKASSAR, at(3.3))
    old.record(state)
    assert old.salvager._salvage(REWIND).ok
    whole = old.receipt("2")
    dump = old.host.places.bin_dir / "pg_waldump"
    dump.write_text("#!/bin/sh\nkill -9 $$\n")
    old.salvager._without_keys = Epoch(2)
    old.salvager._ask_for_keys(state)
    assert old.receipt("2") == whole
    assert whole.complete


def test_a_rewind_inside_the_site_leaves_a_receipt_too(old: Old) -> None:
    scope = ScopePaths(old.policy.patroni_namespace, old.cluster.scope(JAKARTA))
    old.write(scope.history, json.dumps([[1, at(3.5).bytes, "failover"]]).encode())
    old.wal_says(commit(741, at(3.6)))
    old.record(old.state(1, JAKARTA, at(0)))
    assert old.salvager._salvage(REWIND).ok
    (directory,) = old.host.places.salvage.glob("local-*")
    assert [one.xid for one in old.receipt(directory.name).lost] == [741]
    paths = old.me.paths
    path = paths.salvaged_locally(Epoch(1), old.cluster.name, old.me.host, directory.name)
    told = old.progress(path)
    assert told.receipt is not None
    assert told.receipt.transactions == 1


class Writer:
    """In the place of what asks the server: keys are missing until the server answers."""

    def __init__(self) -> None:
        self.answers = False
        self.wrote = 0

    def write(self, origin: Origin, copied: Copied, *_: object) -> ReceiptRecord:
        self.wrote += 1
        state = KeysState.READ if self.answers else KeysState.MISSING
        return ReceiptRecord(
            str(copied.directory), at(3), at(4), True, True, 1, 0, 0, 1, state.value, 0, 0
        )


class TestKeysThatCome:
    """A server that takes its time, in a quarantine that lasts."""

    @pytest.fixture
    def writer(self, old: Old, monkeypatch: pytest.MonkeyPatch) -> Writer:
        monkeypatch.setattr("failover.guard.salvager._KEYS_AGAIN_S", 0.0)
        state = old.state(2, MAKASSAR, at(3.3))
        cluster = replace(state.clusters[old.cluster.name], standby=StandbyScope.QUARANTINE)
        self.state = state.with_cluster(old.cluster.name, cluster)
        old.record(self.state)
        writer = Writer()
        old.salvager._receipts = writer  # type: ignore[assignment]
        return writer

    def seen(self, old: Old) -> int:
        """How many questions the state's being seen leads to; each is answered."""
        old.salvager.state_seen(self.state)
        asked = 0
        while not old.salvager._asked.empty():
            request = old.salvager._asked.get()
            assert old.salvager._salvage(request).ok
            old.salvager._known.discard(request)
            asked += 1
        return asked

    def keys(self, old: Old) -> str:
        path = old.me.paths.salvaged(Epoch(2), old.cluster.name, old.me.host)
        receipt = old.progress(path).receipt
        assert receipt is not None
        return receipt.keys_state

    def test_are_asked_for_again(self, old: Old, writer: Writer) -> None:
        assert self.seen(old) == 1
        assert self.keys(old) == KeysState.MISSING
        writer.answers = True
        assert self.seen(old) == 1
        assert self.keys(old) == KeysState.READ
        assert self.seen(old) == 0
        assert writer.wrote == 2

    def test_are_not_looked_for_once_a_rewind_has_passed(self, old: Old, writer: Writer) -> None:
        """The ids of transactions are used again on the other branch."""
        assert self.seen(old) == 1
        assert old.salvager._salvage(REWIND).ok
        wrote = writer.wrote
        assert self.seen(old) == 0
        assert writer.wrote == wrote


def test_a_mistake_in_a_receipt_does_not_hold_the_rewind_up(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(Writer, "write", mistaken)
    old.salvager._receipts = Writer()  # type: ignore[assignment]
    old.record(old.state(2, MAKASSAR, at(3.3)))
    assert old.salvager._salvage(REWIND).ok


class TestOthers:
    """Hosts of one site that are salvaged at the same time."""

    def record(self, old: Old, phase: SalvagePhase, end: Lsn) -> None:
        path = old.me.paths.salvaged(Epoch(2), old.cluster.name, HostName("jkt-db2"))
        theirs = SalvageProgress(
            HostName("jkt-db2"), JAKARTA, Epoch(2), phase, at(3), end, 1, 1, "/d"
        )
        old.write(path, encode_record(theirs))

    @pytest.mark.parametrize(
        ("phase", "end", "waits"),
        [
            (SalvagePhase.COPYING, 5.0, True),
            (SalvagePhase.COPYING, 4.0, False),
            (SalvagePhase.COPYING, 4.1, False),  # jkt-db1 goes first
            (SalvagePhase.DONE, 5.0, False),
            (SalvagePhase.FAILED, 5.0, False),
        ],
    )
    def test_the_one_with_more_wal_is_waited_for(
        self, old: Old, phase: SalvagePhase, end: float, waits: bool
    ) -> None:
        self.record(old, phase, at(end))
        assert old.salvager._records.others_copying(Epoch(2), at(4.1)) is waits

    def test_for_a_while(self, old: Old) -> None:
        self.record(old, SalvagePhase.COPYING, at(9))
        quarantined = old.state(2, MAKASSAR, at(3.3))
        old.record(quarantined)
        old.salvager._state = quarantined
        assert old.salvager._salvage(0).ok
        told = old.progress(old.me.paths.salvaged(Epoch(2), old.cluster.name, old.me.host))
        assert told.phase is SalvagePhase.DONE
