"""When a list is proved to be in force, and who keeps up: looks and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from failover.config import load
from failover.coordination.sync_memory import (
    Look,
    Proof,
    Run,
    SyncKey,
    SyncMemory,
    advance,
    follow_run,
)
from failover.health.inputs import SyncSeen
from failover.health.listed import listed_hosts, names_text
from failover.health.observation import (
    HostObservation,
    NoAnswer,
    NoAnswerKind,
    PostgresSeen,
    SiteObservation,
    WalsenderSeen,
)
from failover.model import ClusterName, HostName, Lsn, SiteName, TimelineId

SHOP = ClusterName("marketplace")
SURABAYA, MAKASSAR = SiteName("surabaya"), SiteName("makassar")
PRIMARY, REPLICA, REMOTE = (HostName(n) for n in ("jkt-db1", "jkt-db2", "mks-db1"))
LISTED = (REPLICA, REMOTE)
TEXT = names_text(LISTED)
SILENT = NoAnswer(NoAnswerKind.TIMED_OUT, "no answer within 1 s")
KEY = SyncKey(
    holder=PRIMARY,
    claim_session_id=0x1001,
    claim_version=0,
    last_writer_version=2,
    config_version=4,
    text=TEXT,
    listed=LISTED,
    local=frozenset({PRIMARY, REPLICA}),
)


def rows(flushed: int, state: str = "streaming", sync: str = "sync") -> tuple[WalsenderSeen, ...]:
    return tuple(WalsenderSeen(host, state, Lsn(flushed), sync) for host in LISTED)


def server(*, primary: bool = False, end: int = 1000, flushed: int = 1000) -> PostgresSeen:
    return PostgresSeen(
        in_recovery=not primary,
        timeline=TimelineId(1),
        current_lsn=Lsn(end) if primary else None,
        received_lsn=None if primary else Lsn(flushed),
        replayed_lsn=None if primary else Lsn(flushed),
        receiver_streaming=None if primary else True,
        receiver_host=None,
        sync_names=TEXT,
        walsenders=rows(flushed) if primary else (),
        checkpointer_idle=True,
        started="1",
    )


def look(sequence: int, primary: PostgresSeen | None = None, **servers: PostgresSeen) -> Look:
    seen: dict[HostName, PostgresSeen | None] = {REPLICA: server(), REMOTE: server()}
    seen |= {HostName(name.replace("_", "-")): found for name, found in servers.items()}
    return Look(sequence, primary or server(primary=True), seen)


def after(*looks: Look) -> Proof:
    proof = Proof()
    for one in looks:
        proof = advance(proof, one, KEY)
    return proof


def test_proved_in_five_looks_and_not_sooner() -> None:
    """Held, half a second, the checkpointer, the mark, and what was before the mark has arrived."""
    done = [after(*(look(n) for n in range(1, last + 1))).done for last in range(1, 7)]
    assert done == [False, False, False, False, True, True]


def test_what_had_not_waited_must_have_arrived() -> None:
    behind = server(primary=True, end=2000, flushed=1999)
    proof = after(*(look(n, behind) for n in range(1, 9)))
    assert (proof.mark, proof.done) == (Lsn(2000), False)
    assert advance(proof, look(9, server(primary=True, end=9000, flushed=2000)), KEY).done


def test_the_mark_is_taken_after_the_checkpointer_was_seen_idle() -> None:
    """By one from before, a commit between the two that did not wait would count as arrived."""
    busy = replace(server(primary=True), checkpointer_idle=False)
    proof = after(*(look(n, busy) for n in range(1, 9)))
    assert (proof.idle, proof.mark) == (None, None)
    proof = advance(proof, look(9, server(primary=True, end=3000)), KEY)
    assert (proof.idle, proof.mark) == (9, None)
    assert advance(proof, look(10, server(primary=True, end=4000)), KEY).mark == Lsn(4000)


PRIMARY_WRONG = {
    "another list": {"sync_names": '1 ("jkt-db2")'},
    "a standby catches up": {"walsenders": rows(1000, state="catchup")},
    "a walsender has not read the list": {"walsenders": rows(1000, sync="async")},
    "a standby is not connected": {"walsenders": rows(1000)[:1]},
    "two walsenders by one name": {"walsenders": (*rows(1000), rows(1000)[0])},
    "another timeline": {"timeline": TimelineId(2)},
}


@pytest.mark.parametrize("what", PRIMARY_WRONG)
def test_a_look_that_does_not_bear_it_out_begins_it_anew(what: str) -> None:
    wrong = replace(server(primary=True), **PRIMARY_WRONG[what])
    assert after(*(look(n) for n in range(1, 5)), look(5, wrong)) == Proof()


@pytest.mark.parametrize(
    "servers",
    [
        {"jkt_db2": replace(server(), sync_names="")},
        {"mks_db1": replace(server(), timeline=TimelineId(2))},
    ],
    ids=["a replica that could be promoted has another list", "a standby on another branch"],
)
def test_the_standbys_themselves_are_looked_at(servers: dict[str, PostgresSeen]) -> None:
    assert after(*(look(n, **servers) for n in range(1, 9))) == Proof()


def test_a_replica_that_could_be_promoted_has_taken_the_list_in() -> None:
    busy = replace(server(), checkpointer_idle=False)
    assert after(*(look(n, jkt_db2=busy) for n in range(1, 9))).idle is None
    assert after(*(look(n, mks_db1=busy) for n in range(1, 9))).done


def test_a_primary_that_is_not_seen_proves_nothing() -> None:
    seen = {REPLICA: server(), REMOTE: server()}
    assert after(*(look(n) for n in range(1, 5)), Look(5, None, seen)) == Proof()


# --------------------------------------------------------------------------- which run is level


def remote(started: str, has: int, timeline: int = 1) -> PostgresSeen:
    return replace(server(flushed=has), started=started, timeline=TimelineId(timeline))


def followed(*looks: tuple[int, PostgresSeen | None]) -> Run | None:
    """Where the primary's WAL ended, and what was seen of mks-db1, look by look."""
    run = None
    for number, (end, seen) in enumerate(looks, start=1):
        servers = {REPLICA: server(), REMOTE: seen}
        run = follow_run(run, Look(number, server(primary=True, end=end), servers), REMOTE)
    return run


def test_a_run_is_level_when_it_has_what_the_primary_had_after_it_was_first_seen() -> None:
    first, then = (1000, remote("a", 1000)), (1100, remote("a", 1100))
    assert followed(first) == Run("a", 1)
    assert followed(first, then) == Run("a", 1, Lsn(1100), level=True)


def test_what_the_run_before_had_counts_for_nothing() -> None:
    """A copy that has as much as the primary had before the copy came up."""
    was = [(1000, remote("a", 1000)), (1100, remote("a", 1100))]
    anew = (1200, remote("b", 1100))
    assert followed(*was, anew) == Run("b", 3)
    assert followed(*was, anew, (1300, remote("b", 1200))) == Run("b", 3, Lsn(1300))
    caught_up = followed(*was, anew, (1300, remote("b", 1200)), (1400, remote("b", 1300)))
    assert caught_up == Run("b", 3, Lsn(1300), level=True)


@pytest.mark.parametrize(
    "seen", [None, remote("", 1100), remote("a", 1100, timeline=2), remote("a", 1099)]
)
def test_a_look_that_does_not_show_it_proves_nothing(seen: PostgresSeen | None) -> None:
    run = followed((1000, remote("a", 1000)), (1100, seen))
    assert run is None or not run.level


def test_the_run_that_was_seen_last_is_told() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=4)
    (seen,) = reader.memory.seen()
    assert {host.host: host.run for host in seen.hosts} == {
        REPLICA: "1",
        REMOTE: "1",
        HostName("mks-db2"): "",
    }


# --------------------------------------------------------------------------- the memory


class Reader:
    """Reads one observer's looks, half a second apart."""

    def __init__(self) -> None:
        self.memory = SyncMemory(load(Path("tests/open.yaml")))
        self.sequence, self.now_s = 0, 100.0
        self.memory.set_key(SHOP, KEY, self.now_s)

    def look(
        self,
        primary: PostgresSeen | NoAnswer,
        times: int = 1,
        replica: PostgresSeen | None = None,
        observer: SiteName = SURABAYA,
    ) -> SyncSeen:
        for _ in range(times):
            self.sequence += 1
            self.now_s += 0.5
            answers = {PRIMARY: primary, REPLICA: replica or server(), REMOTE: server()}
            self.memory.learn(
                SiteObservation(
                    observer=observer,
                    sequence=self.sequence,
                    taken_unix_s=0.0,
                    round_duration_s=0.1,
                    hosts=tuple(HostObservation(h, a, SILENT, SILENT) for h, a in answers.items()),
                    zookeeper=(),
                ),
                self.now_s,
            )
        (seen,) = self.memory.seen()
        return seen

    def host(self, name: HostName) -> tuple[float, float]:
        (seen,) = self.memory.seen()
        found = next(host for host in seen.hosts if host.host == name)
        return found.stalled_for_s, found.caught_up_for_s


HEALTHY = server(primary=True)


def test_the_first_look_of_an_observer_does_not_count() -> None:
    """It may have been under way before this reader knew what it was about."""
    reader = Reader()
    assert not reader.look(HEALTHY, times=5).in_force
    assert reader.look(HEALTHY).in_force


@pytest.mark.parametrize(
    "changed",
    [
        {"claim_session_id": 7},
        {"claim_version": 1},
        {"last_writer_version": 3},
        {"config_version": 5},
    ],
    ids=str,
)
def test_whatever_changes_begins_it_anew(changed: dict[str, int]) -> None:
    reader = Reader()
    assert reader.look(HEALTHY, times=9).in_force
    reader.memory.set_key(SHOP, replace(KEY, **changed), reader.now_s)
    assert not reader.look(HEALTHY, times=5).in_force
    assert reader.look(HEALTHY).in_force


def test_who_takes_in_no_list_gets_no_grace_by_another_one() -> None:
    """Else it would be listed and dropped for ever, and nobody would come on record."""
    reader = Reader()
    reader.look(HEALTHY, times=3)
    deaf = replace(server(), sync_names="")
    reader.look(HEALTHY, times=20, replica=deaf)
    assert unsettled_for_s(reader, REPLICA) == 10.0
    reader.memory.set_key(SHOP, replace(KEY, config_version=KEY.config_version + 1), reader.now_s)
    assert unsettled_for_s(reader, REPLICA) == 10.0
    assert unsettled_for_s(reader, REMOTE) == 0.0
    reader.look(HEALTHY)
    assert unsettled_for_s(reader, REPLICA) == 0.0


def unsettled_for_s(reader: Reader, name: HostName) -> float:
    (seen,) = reader.memory.seen()
    return next(host.unsettled_for_s for host in seen.hosts if host.host == name)


def test_another_process_of_the_observer_begins_it_anew() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=4)
    reader.sequence = 0
    assert not reader.look(HEALTHY, times=5).in_force


def test_without_a_claim_nothing_is_known() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=9)
    reader.memory.set_key(SHOP, None, reader.now_s)
    assert reader.memory.seen() == ()


def test_a_standby_stalls_while_commits_wait_for_it() -> None:
    """What the primary had two looks before must be there: it writes, and mks-db1 says nothing."""
    reader = Reader()
    reader.look(HEALTHY, times=6)
    assert reader.host(REMOTE) == (0.0, 2.5)
    stuck = (WalsenderSeen(REPLICA, "streaming", Lsn(2000), "sync"), rows(1000)[1])
    reader.look(replace(HEALTHY, current_lsn=Lsn(2000), walsenders=stuck), times=2)
    assert reader.host(REMOTE)[0] == 0.0
    reader.look(replace(HEALTHY, current_lsn=Lsn(2000), walsenders=stuck), times=4)
    assert reader.host(REMOTE) == (2.0, 0.0)
    assert reader.host(REPLICA)[0] == 0.0


def test_a_standby_that_is_not_connected_stalls_on_an_idle_primary_too() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=3)
    reader.look(replace(HEALTHY, walsenders=rows(1000)[:1]), times=4)
    assert reader.host(REMOTE) == (2.0, 0.0)


def test_who_has_not_reached_a_new_primary_has_not_kept_up_with_it() -> None:
    """After a local failover mks-db1 follows nobody until it is told whom."""
    reader, without = Reader(), replace(HEALTHY, walsenders=rows(1000)[:1])
    reader.look(HEALTHY, times=3)
    assert kept_up(reader, REMOTE)
    reader.memory.set_key(SHOP, replace(KEY, last_writer_version=3), reader.now_s)
    reader.look(without, times=5)
    assert (reader.host(REMOTE)[0], kept_up(reader, REMOTE)) == (2.0, False)
    reader.look(HEALTHY)
    assert kept_up(reader, REMOTE)
    reader.look(without, times=5)
    assert kept_up(reader, REMOTE)  # from now on it comes and goes


def kept_up(reader: Reader, name: HostName) -> bool:
    (seen,) = reader.memory.seen()
    return next(host.kept_up for host in seen.hosts if host.host == name)


def test_while_the_primary_is_not_seen_nobody_stalls() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=3)
    reader.look(SILENT, times=20)
    assert reader.host(REMOTE)[0] == 0.0


def test_who_lost_sight_of_the_primary_calls_nobody_good_by_what_was_before() -> None:
    """The way from Makassar is cut: its observer last saw less WAL than mks-db1 had told of."""
    reader = Reader()
    for observer in (SURABAYA, MAKASSAR):
        reader.look(HEALTHY, times=3, observer=observer)
    stuck = (WalsenderSeen(REPLICA, "streaming", Lsn(2000), "sync"), rows(1000)[1])
    waits = replace(HEALTHY, current_lsn=Lsn(2000), walsenders=stuck)
    for _ in range(3):
        reader.look(waits)
        reader.look(SILENT, observer=MAKASSAR)
    reader.look(waits, observer=MAKASSAR)  # the way is open again, the old connection is not
    reader.look(waits)
    reader.look(waits, observer=MAKASSAR)
    assert reader.host(REMOTE)[0] > 2.0
    reader.look(replace(waits, walsenders=rows(2000)), times=3, observer=MAKASSAR)
    assert reader.host(REMOTE)[0] == 0.0


@pytest.mark.parametrize("blind", [True, False])
def test_nobody_is_dropped_for_a_time_in_which_nobody_looked(blind: bool) -> None:
    """ZooKeeper elected a leader, or the primary answered nobody, for some seconds."""
    reader = Reader()
    for observer in (SURABAYA, MAKASSAR):
        reader.look(HEALTHY, times=3, observer=observer)
    if blind:
        for _ in range(4):
            reader.look(SILENT)
            reader.look(SILENT, observer=MAKASSAR)
    else:
        reader.now_s += 4.0
    for _ in range(6):
        for observer in (SURABAYA, MAKASSAR):
            reader.look(HEALTHY, observer=observer)
            assert reader.host(REMOTE)[0] == 0.0
    assert reader.host(REMOTE)[1] > 2.0


def test_who_stalled_before_nobody_looked_stalls_after_it() -> None:
    reader = Reader()
    reader.look(HEALTHY, times=3)
    stuck = (WalsenderSeen(REPLICA, "streaming", Lsn(2000), "sync"), rows(1000)[1])
    waits = replace(HEALTHY, current_lsn=Lsn(2000), walsenders=stuck)
    reader.look(waits, times=4)
    reader.look(SILENT, times=8)
    reader.look(waits, times=3)
    assert reader.host(REMOTE)[0] > 2.0


# --------------------------------------------------------------------------- the text


def test_the_text_requires_everybody_it_names() -> None:
    assert names_text((REMOTE, REPLICA)) == '2 ("jkt-db2","mks-db1")'
    assert listed_hosts('2 ("jkt-db2","mks-db1")') == (REPLICA, REMOTE)
    assert (names_text(()), listed_hosts("")) == ("", ())


@pytest.mark.parametrize(
    "text",
    ["*", "jkt-db2", 'ANY 1 ("a","b")', '1 ("a","b")', '2 ("a","a")', '2 ("a", "b")', '0 ("a")'],
)
def test_any_other_text_is_not_understood(text: str) -> None:
    assert listed_hosts(text) is None
