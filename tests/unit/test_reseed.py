"""``failover reseed``: what refuses it, from where it copies, what it predicts, what it orders."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cli_world import CONFIG, POLICY, healthy, jakarta_returned
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.cli import look, reseed, reseeding
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.output import UserError
from failover.cli.reseeding import Order, Reseeding
from failover.coordination import connect
from failover.coordination.history import record
from failover.coordination.site_past import read_past
from failover.health.observation import NoAnswer, NoAnswerKind
from failover.health.view import build_view
from failover.model import ClusterName, Epoch, HostName, Lsn, ScopeName, TimelineId
from failover.planning.reseed import Reseed, judge_reseed
from failover.planning.site_past import SitePast, last_loss
from failover.sites import patroni, postgres
from failover.state import HistoryEntry, SalvagePhase, SalvageProgress, decode_record, encode_record
from failover.znode import Check, Create, GroupPaths, ScopePaths, Set
from tests.scenarios.language import build

PATHS = GroupPaths(POLICY.group)
ASK_SIZE = postgres.ask_size
NEVER_LOST = SitePast()
NOBODY_STREAMS = ("PostgreSQL on mks-db1 does not stream", "PostgreSQL on mks-db2 does not stream")


def judged(name: str, *lines: str):
    return judge_reseed(build(list(lines)).view(), HostName(name), NEVER_LOST)


def blocking(name: str, *lines: str) -> list[str]:
    return [gate.name for gate in judged(name, *lines).blocking]


# --------------------------------------------------------------------------- what refuses


def test_a_replica_whose_leader_streams_is_copied_from_it() -> None:
    found = judged("mks-db2", "PostgreSQL on mks-db2 does not stream").reseed
    assert found is not None
    assert (found.source.name, found.across, found.scope) == (
        "mks-db1",
        False,
        "marketplace-makassar",
    )
    assert found.end_of_wal == Lsn.parse("0/5000000")


def test_a_replica_whose_leader_lacks_the_wal_too_is_copied_from_the_active_primary() -> None:
    found = judged("mks-db2", *NOBODY_STREAMS).reseed
    assert found is not None
    assert (found.source.name, found.leader.name, found.across) == ("jkt-db1", "mks-db1", True)
    cascading = judged("mks-db2", "PostgreSQL on mks-db1 does not stream").reseed
    assert cascading is not None
    assert cascading.across


@pytest.mark.parametrize(
    ("name", "lines", "gates"),
    [
        ("jkt-db1", (), ["not_the_writer", "not_the_leader"]),
        ("mks-db1", (), ["not_the_leader"]),
        ("jkt-db2", (), ["not_the_last_standby"]),
        ("jkt-db2", ("PostgreSQL on jkt-db2 does not stream",), []),
        ("mks-db2", ("PostgreSQL on mks-db2 is a working primary",), ["not_the_writer"]),
        ("mks-db2", ("a switchover to makassar is frozen with 20 s left",), ["nothing_under_way"]),
        ("mks-db2", ("marketplace-makassar is paused",), ["not_paused"]),
        ("mks-db2", ("the guard on mks-db2 is silent",), ["no_grant"]),
        ("mks-db2", ("the guard on mks-db2 is not armed",), ["no_grant"]),
        ("mks-db2", ("Patroni on mks-db2 refuses",), ["patroni_answers"]),
        ("mks-db2", ("marketplace-makassar has no leader key",), ["not_the_leader"]),
        ("mks-db2", ("the claim of marketplace could not be read",), ["not_the_writer"]),
        ("mks-db2", ("PostgreSQL on mks-db2 is silent for 5 s",), ["not_the_writer"]),
        ("mks-db2", ("PostgreSQL on mks-db2 refuses for 5 s",), ["nothing_to_lose"]),
        ("mks-db2", ("PostgreSQL on jkt-db1 refuses for 3 s",), ["primary_works"]),
    ],
)  # fmt: skip
def test_gates(name: str, lines: tuple[str, ...], gates: list[str]) -> None:
    found = blocking(name, *lines)
    assert set(gates) <= set(found)
    assert bool(gates) == bool(found)
    assert (judged(name, *lines).reseed is None) == bool(gates)


LOST = SitePast(lost_in=Epoch(2))


@pytest.mark.parametrize(
    ("past", "passes"),
    [
        (NEVER_LOST, True),  # moved as planned: the other site had all of its WAL
        (LOST, False),
        (replace(LOST, salvaged_in=Epoch(1)), False),
        (replace(LOST, salvaged_in=Epoch(2)), True),
        (SitePast(unknown="the history does not say how epoch 3 began"), None),
    ],
)
def test_a_site_that_was_taken_over_is_salvaged_first(past: SitePast, passes: bool | None) -> None:
    inputs = healthy()  # epoch 3, timeline 3
    silent = {"mks-db1", "mks-db2"}
    observers = tuple(
        replace(
            o,
            observation=replace(
                o.observation,
                hosts=tuple(
                    replace(h, postgres=replace(h.postgres, receiver_streaming=False))
                    if h.host in silent
                    else h
                    for h in o.observation.hosts
                ),
            ),
        )
        for o in inputs.observers
    )
    view = build_view(POLICY, replace(inputs, observers=observers))
    found = judge_reseed(view, HostName("mks-db2"), past)
    gate = next(gate for gate in found.gates if gate.name == "nothing_to_lose")
    assert gate.passes is passes
    assert (found.reseed is not None) is (passes is True)
    if passes is None:
        assert "does not say" in gate.evidence


def began(epoch: int, event: str) -> HistoryEntry:
    return HistoryEntry(1_760_000_000.0, Epoch(epoch), event, "x", "controller@sby-ctl1", {})


@pytest.mark.parametrize(
    ("newest_first", "epoch", "active", "lost_in"),
    [
        ([], 1, False, None),
        ([began(2, "switchover")], 2, False, None),
        ([began(2, "takeover")], 2, False, 2),
        ([began(2, "takeover")], 2, True, None),  # it is the site that took over
        ([began(3, "promoted"), began(3, "switchover"), began(2, "takeover")], 3, True, 2),
        ([began(3, "switchover"), began(2, "takeover")], 3, False, None),
        ([began(3, "takeover_begun"), began(3, "takeover"), began(2, "switchover")], 3, False, 3),
        ([began(2, "group_armed")], 2, False, None),
        ([began(3, "switchover"), began(2, "group_armed")], 3, False, None),
        ([began(3, "group_armed"), began(2, "takeover")], 3, False, 2),  # of one of the two
        ([began(3, "group_armed"), began(2, "takeover")], 3, True, 2),
    ],
)
def test_the_history_says_when_a_site_was_lost(newest_first, epoch, active, lost_in) -> None:
    past = last_loss(iter(newest_first), Epoch(epoch), active)
    assert (past.lost_in, past.unknown) == (lost_in, "")


@pytest.mark.parametrize("newest_first", [[], [began(3, "switchover")], [began(2, "switchover")]])
def test_a_move_that_the_history_lacks_is_unknown(newest_first) -> None:
    past = last_loss(iter(newest_first), Epoch(3), False)
    assert "does not say how epoch" in past.unknown
    assert past.may_have_more is None


def test_nothing_is_deleted_in_quarantine_or_before_the_salvage() -> None:
    inputs = jakarta_returned()  # on timeline 3, the active site on 4
    (copying,) = inputs.salvage

    def gates(*salvage: SalvageProgress) -> set[str]:
        view = build_view(POLICY, replace(inputs, salvage=salvage))
        return {gate.name for gate in judge_reseed(view, copying.host, LOST).blocking}

    done = replace(copying, phase=SalvagePhase.DONE)
    assert {"not_quarantined", "nothing_to_lose"} <= gates()
    assert "nothing_to_lose" in gates(copying)
    assert "nothing_to_lose" in gates(replace(done, epoch=Epoch(3)))
    assert "nothing_to_lose" not in gates(done)
    assert "not_quarantined" in gates(done)


def test_the_same_timeline_number_is_no_proof_after_a_takeover() -> None:
    """Both sites may have promoted to it: a host that does not follow is salvaged first."""
    inputs = jakarta_returned()
    hosts = {h.host: h for h in inputs.observers[0].observation.hosts}
    seen = hosts["jkt-db1"]
    same = replace(seen, postgres=replace(seen.postgres, timeline=TimelineId(4)))
    observers = tuple(
        replace(
            o,
            observation=replace(
                o.observation,
                hosts=tuple(same if h.host == "jkt-db1" else h for h in o.observation.hosts),
            ),
        )
        for o in inputs.observers
    )
    view = build_view(POLICY, replace(inputs, observers=observers, salvage=()))
    found = judge_reseed(view, HostName("jkt-db1"), LOST)
    assert "nothing_to_lose" in [gate.name for gate in found.blocking]


def test_a_host_with_a_grant_is_not_touched() -> None:
    found = judge_reseed(build_view(POLICY, healthy()), HostName("jkt-db1"), NEVER_LOST)
    assert "no_grant" in [gate.name for gate in found.blocking]


def test_a_host_that_still_replays_may_have_more() -> None:
    before = replace(NEAR, host_end=Lsn(1))
    reseed._compare(before, before)
    reseed._compare(before, replace(before, host_end=None))
    with pytest.raises(UserError, match="still replays"):
        reseed._compare(before, replace(before, host_end=Lsn(2)))
    with pytest.raises(UserError, match="another host leads"):
        reseed._compare(before, replace(before, across=True))


def test_without_a_state_only_that_is_said() -> None:
    assert blocking("mks-db2", "there is no state") == ["state_readable"]


def test_an_unknown_host_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        judged("mks-db9")


# --------------------------------------------------------------------------- what it predicts


def entry(event: str, **details: str) -> HistoryEntry:
    return HistoryEntry(1_760_000_000.0, Epoch(1), event, "x", "root@ctl", details)


def test_the_rate_is_that_of_the_newest_reseed_that_was_large_enough() -> None:
    gib = str(1024**3)
    entries = [
        entry("reseeded", host="a", size_bytes=gib, took_s="15.0"),
        entry("reseeded", host="b", size_bytes=gib, took_s="25.0"),
        entry("reseeded", host="small", size_bytes="30000000", took_s="9.0"),
        entry("reseed_started", host="c", size_bytes=gib),
        entry("takeover", loss="3 bytes"),
    ]
    found = reseed.last_measured(entries)
    assert found == (1024**3 / 20, "measured when b was reseeded")
    assert reseed.last_measured(entries[2:]) is None


def test_rate_option() -> None:
    assert reseed._rate("40MiB") == reseed._rate("40MiB/s") == 40 * 1024**2
    for wrong in ("40", "fast", "0MiB"):
        with pytest.raises(UserError):
            reseed._rate(wrong)


# --------------------------------------------------------------------------- what it orders


HOST, LEADER, SOURCE = (POLICY.host(HostName(n)) for n in ("mks-db2", "mks-db1", "jkt-db1"))
NEAR = Reseed(
    HOST, LEADER, ClusterName("marketplace"), ScopeName("marketplace-makassar"), LEADER,
    Lsn(100), across=False, host_end=None,
)  # fmt: skip
ACROSS = replace(NEAR, source=SOURCE, across=True)
SCOPE = ScopePaths(POLICY.patroni_namespace, NEAR.scope)
ORDER = Order("ops@ctl", "its WAL is gone", Epoch(1), 0, 1000, 5.0)


class FakePatroni:
    """Answers as told, and remembers what was ordered while which guests were there."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.ordered: list[tuple[str, tuple[str, ...]]] = []
        self.answer: object = patroni.Ordered(True, "ok")
        self.seen = [self.member("running", "t0", 100)]

    @staticmethod
    def member(state: str, started: str | None, replayed: int | None, streams: bool = False):
        lsn = Lsn(replayed) if replayed is not None else None
        return patroni.MemberSeen("replica", state, started, streams, lsn)

    async def ask_member(self, _host: object) -> object:
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]

    async def ask_members(self, _host: object) -> tuple[str, ...]:
        return self._guests()

    async def reinitialize(self, host, _password: str) -> object:
        self.ordered.append((f"reinitialize {host.name}", self._guests()))
        return self.answer

    async def hand_over(self, leader, candidate, _password: str) -> object:
        self.ordered.append((f"{leader.name} to {candidate.name}", self._guests()))
        return patroni.Ordered(True, "ok")

    def _guests(self) -> tuple[str, ...]:
        return self.store.children("/service/marketplace-makassar/members")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> MemoryStore:
    found = world.session()
    found.commit(tuple(Create(path, b"") for path in (*PATHS.all_parents, PATHS.state)))
    parents = ("/service", "/service/marketplace-makassar", "/service/marketplace-makassar/members")
    found.commit(tuple(Create(path, b"") for path in parents))
    return found


@pytest.fixture
def fake(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> FakePatroni:
    found = FakePatroni(store)
    for name in ("ask_member", "ask_members", "reinitialize", "hand_over"):
        monkeypatch.setattr(patroni, name, getattr(found, name))
    monkeypatch.setattr(reseeding, "POLL_S", 0.0)
    monkeypatch.setattr(reseeding, "LEAVE_LIMIT_S", 0.0)
    return found


def events(store: MemoryStore) -> list[HistoryEntry]:
    found = [store.read(f"{PATHS.history}/{n}") for n in store.children(PATHS.history)]
    return [decode_record(HistoryEntry, z.data, path=z.path) for z in found if z is not None]


def test_on_record_before_it_is_ordered_and_when_it_streams(store, fake) -> None:
    work = Reseeding(POLICY, store, NEAR, ORDER, "secret")
    work.start()
    assert [e.event for e in events(store)] == ["reseed_started"]
    assert fake.ordered == [("reinitialize mks-db2", ())]
    fake.seen = [
        fake.member("running", "t0", 200, streams=True),  # the old server, still
        fake.member("creating replica", None, None),
        fake.member("running", "t1", 90, streams=True),  # not yet where the source was
        fake.member("running", "t1", 100),
        fake.member("running", "t1", 101, streams=True),
    ]
    told: list[str] = []
    assert work.follow(10.0, told.append) is not None
    assert any("creating replica" in line for line in told)
    done = events(store)[-1]
    assert (done.event, done.by) == ("reseeded", "ops@ctl")
    assert done.details["reason"] == "its WAL is gone"
    assert float(done.details["took_s"]) >= 0


def test_across_the_primary_is_a_guest_only_while_the_source_is_chosen(store, fake) -> None:
    work = Reseeding(POLICY, store, ACROSS, ORDER, "secret")
    work.start()
    assert fake.ordered == [("reinitialize mks-db2", ("jkt-db1",))]
    assert fake._guests() == ()
    guest = next(op for t in store.committed for op in t if "members/jkt-db1" in op.path)
    assert isinstance(guest, Create)
    assert guest.ephemeral
    tags = json.loads(guest.data)["tags"]
    assert tags["clonefrom"]
    assert tags["nofailover"]
    fake.seen = [
        fake.member("running", "t1", 100),
        fake.member("running", "t2", 120, streams=True),
        fake.member("stopped", None, None),  # who led before, from here on
        fake.member("running", "t3", 90),
    ]
    told: list[str] = []
    assert work.follow(10.0, told.append) is not None
    assert fake.ordered[1:] == [("mks-db1 to mks-db2", ())]
    work.await_former_leader(told.append)
    assert "mks-db1, which led before, is back as a replica" in told[-1]
    assert len(fake.seen) == 1


def test_a_former_leader_that_does_not_come_back_is_said(store, fake, monkeypatch) -> None:
    """The copy is done all the same."""
    monkeypatch.setattr(reseeding, "FORMER_LEADER_LIMIT_S", 0.01)
    work = Reseeding(POLICY, store, ACROSS, ORDER, "secret")
    work.start()
    fake.seen = [
        fake.member("running", "t1", 100),
        fake.member("running", "t2", 120, streams=True),
        NoAnswer(NoAnswerKind.REFUSED, "nobody listens"),
    ]
    told: list[str] = []
    assert work.follow(10.0, told.append) is not None
    assert events(store)[-1].event == "reseeded"
    work.await_former_leader(told.append)
    assert "mks-db1, which led before, is no replica yet: Patroni gives no answer" in told[-1]


GUEST = "/service/marketplace-makassar/members/jkt-db1"


def test_the_guest_of_another_reseed_stays(world, store, fake) -> None:
    """Without it that one's Patroni would copy from a leader that lacks the WAL."""
    other = world.session()
    other.commit((Create(GUEST, b"{}", ephemeral=True),))
    with pytest.raises(UserError, match="could not be named as the source"):
        Reseeding(POLICY, store, ACROSS, ORDER, "secret").start()
    assert fake.ordered == []
    assert fake._guests() == ("jkt-db1",)


def test_a_guest_that_came_after_the_session_had_ended_stays(world, store, fake) -> None:
    guest = reseeding._Guest(store, SCOPE, ACROSS)
    guest.enter(Check(PATHS.state, 0))
    store.expire()
    world.session().commit((Create(GUEST, b"{}", ephemeral=True),))  # its version is 0 as well
    guest.leave()
    assert fake._guests() == ("jkt-db1",)


def test_a_guest_of_a_lost_answer_leaves(store, fake) -> None:
    guest = reseeding._Guest(store, SCOPE, ACROSS)
    store.lose_answers = True
    with pytest.raises(UserError, match="answer lost"):
        guest.enter(Check(PATHS.state, 0))
    assert fake._guests() == ("jkt-db1",)
    guest.leave()
    assert fake._guests() == ()


def test_what_went_wrong_is_not_hidden_by_a_silent_ensemble(store, fake, monkeypatch) -> None:
    fake.answer = patroni.Ordered(False, "I am the leader, can not reinitialize")
    reinitialize = fake.reinitialize

    async def falls_silent(host: object, password: str) -> object:
        answer = await reinitialize(host, password)
        store.silent = True
        return answer

    monkeypatch.setattr(patroni, "reinitialize", falls_silent)
    with pytest.raises(UserError, match="can not reinitialize"):
        Reseeding(POLICY, store, ACROSS, ORDER, "secret").start()


def test_a_state_that_changed_since_refuses(store, fake) -> None:
    store.commit((Set(PATHS.state, b"another", 0),))
    with pytest.raises(UserError) as refused:
        Reseeding(POLICY, store, NEAR, ORDER, "secret").start()
    assert refused.value.exit_code == ExitCode.REFUSED
    assert fake.ordered == []


def test_patronis_refusal_is_passed_on_and_the_guest_leaves(store, fake) -> None:
    fake.answer = patroni.Ordered(False, "I am the leader, can not reinitialize")
    with pytest.raises(UserError, match="can not reinitialize"):
        Reseeding(POLICY, store, ACROSS, ORDER, "secret").start()
    assert fake._guests() == ()


def test_the_following_is_bounded(store, fake) -> None:
    work = Reseeding(POLICY, store, NEAR, ORDER, "secret")
    work.start()
    assert work.follow(0.05, lambda _: None) is None
    assert [e.event for e in events(store)] == ["reseed_started"]


def test_patronis_document() -> None:
    document = {
        "state": "running",
        "role": "replica",
        "postmaster_start_time": "2026-01-01 00:00:00+00:00",
        "replication_state": "streaming",
        "xlog": {"received_location": 7, "replayed_location": 7},
    }
    assert patroni.member_in(json.dumps(document).encode()) == patroni.MemberSeen(
        "replica", "running", "2026-01-01 00:00:00+00:00", True, Lsn(7)
    )
    creating = patroni.member_in(b'{"state": "creating replica", "role": "uninitialized"}')
    assert isinstance(creating, patroni.MemberSeen)
    assert creating.started is None


# --------------------------------------------------------------------------- the command


@pytest.fixture
def run(store, fake, monkeypatch, tmp_path):
    """The command in a world of scenario lines."""
    for name in ("observer", "patroni-rest"):
        (tmp_path / f"{name}.password").write_text("secret\n")

    async def size(_host, password_file):
        assert password_file == tmp_path / "observer.password"  # all that stands in it
        return 640 * 1024**2

    @contextmanager
    def open_store(_policy):
        yield store

    def settle(self) -> look.Seen:
        world = build(list(run.lines))
        inputs = world.inputs()
        inputs = replace(inputs, state=replace(inputs.state, version=0))
        return look.Seen.of(world.policy, inputs, 1.2)

    monkeypatch.setattr(connect, "open_store", open_store)
    monkeypatch.setattr(postgres, "ask_size", size)
    monkeypatch.setattr(look.Reader, "settle", settle)
    monkeypatch.setenv("FAILOVER_CONFIG", str(CONFIG))

    def run(*arguments: str, lines: tuple[str, ...] = (), **more: str):
        run.lines = lines
        command = ["reseed", "--secrets", str(tmp_path), *arguments]
        return CliRunner().invoke(cli, command, prog_name="failover", **more)

    return run


def test_dry_run_tells_what_it_costs_and_changes_nothing(run, fake, store) -> None:
    result = run("mks-db2", "--dry-run")
    assert result.exit_code == ExitCode.OK, result.output
    assert "640.0 MiB" in result.stdout
    assert "about 15 s" in result.stdout
    assert "assumed" in result.stdout
    assert fake.ordered == []
    assert events(store) == []
    document = json.loads(run("mks-db2", "--dry-run", "-o", "json", "--rate", "10MiB").stdout)
    assert document["outcome"] == "predicted"
    assert document["predicted_s"] == pytest.approx(69.0)
    assert document["rate_from"] == "as said with --rate"


def test_refused_with_all_reasons_at_once(run, fake) -> None:
    result = run("jkt-db1", "--yes", "--reason", "x")
    assert result.exit_code == ExitCode.REFUSED
    for gate in ("not_the_writer", "not_the_leader"):
        assert gate in result.stderr
    assert fake.ordered == []


def test_the_name_is_typed_or_nothing_happens(run, fake) -> None:
    assert run("mks-db2", "--reason", "x", input="mks-db1\n").exit_code == ExitCode.REFUSED
    assert run("mks-db2", "--reason", "x", input="").exit_code == ExitCode.REFUSED
    assert fake.ordered == []
    fake.seen = [
        fake.member("running", "t0", 0),
        fake.member("running", "t1", Lsn.parse("0/5000000").bytes, streams=True),
    ]
    result = run("mks-db2", "--reason", "x", input="mks-db2\n")
    assert result.exit_code == ExitCode.OK, result.output
    assert [name for name, _ in fake.ordered] == ["reinitialize mks-db2"]


def test_bad_input(run) -> None:
    assert run("mks-db9", "--dry-run").exit_code == ExitCode.BAD_INPUT
    assert "mks-db2" in run("mks-db9", "--dry-run").stderr
    assert run("mks-db2", "--yes").exit_code == ExitCode.BAD_INPUT  # no reason
    assert run("mks-db2", "--dry-run", "--rate", "fast").exit_code == ExitCode.BAD_INPUT


def test_a_size_that_is_not_known_refuses(run, monkeypatch) -> None:
    async def size(_host, _password_file):
        return NoAnswer(NoAnswerKind.REJECTED, "no pg_hba.conf entry")

    monkeypatch.setattr(postgres, "ask_size", size)
    result = run("mks-db2", "--dry-run")
    assert result.exit_code == ExitCode.REFUSED
    assert "controller's host" in result.stderr


def test_a_password_that_cannot_be_read_names_the_option(run, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(postgres, "ask_size", ASK_SIZE)
    (tmp_path / "observer.password").unlink()
    result = run("mks-db2", "--dry-run")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "not asked" in result.stderr
    assert "--secrets" in result.stderr


def test_ctrl_c_detaches_and_says_how_to_follow(run, fake, monkeypatch) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Reseeding, "follow", interrupted)
    result = run("mks-db2", "--yes", "--reason", "x")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "failover status --watch" in result.stderr
    assert [name for name, _ in fake.ordered] == ["reinitialize mks-db2"]


def test_what_stands_in_the_environment_goes_on_record_printable(
    run, fake, store, monkeypatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ops\x1b[2J\n")
    fake.seen = [
        fake.member("running", "t0", 0),
        fake.member("running", "t1", Lsn.parse("0/5000000").bytes, streams=True),
    ]
    result = run("mks-db2", "--yes", "--reason", "x")
    assert result.exit_code == ExitCode.OK, result.output
    assert {event.by.partition("@")[0] for event in events(store)} == {"ops?[2J?"}


def test_a_user_without_a_name_is_a_number(run, fake, store, monkeypatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr(Reseeding, "follow", lambda *_: 1.0)
    result = run("mks-db2", "--yes", "--reason", "x")
    assert result.exit_code == ExitCode.OK, result.output
    assert events(store)[0].by.startswith("uid ")


# --------------------------------------------------------------------------- what is on record


def test_the_past_of_a_host_is_read_from_the_history_and_its_salvages(store) -> None:
    record(store, PATHS, began(2, "takeover"))
    record(store, PATHS, began(2, "reinstated"))
    record(store, PATHS, began(3, "switchover"))
    state = healthy().state.state  # epoch 3, Jakarta is active: Makassar was active in 2
    assert read_past(store, PATHS, state, POLICY.host(HostName("mks-db1"))) == SitePast()
    moved = replace(state, active_site=POLICY.host(HostName("mks-db1")).site)
    jakarta = POLICY.host(HostName("jkt-db1"))
    assert read_past(store, PATHS, replace(moved, epoch=Epoch(2)), jakarta) == LOST
    (copying,) = jakarta_returned().salvage
    path = PATHS.salvaged(Epoch(2), jakarta.cluster, jakarta.name)
    store.commit((Create(path, b"?"),))
    assert read_past(store, PATHS, replace(moved, epoch=Epoch(2)), jakarta) == LOST
    done = replace(copying, host=jakarta.name, epoch=Epoch(2), phase=SalvagePhase.DONE)
    store.commit((Set(path, encode_record(done), 0),))
    salvaged = read_past(store, PATHS, replace(moved, epoch=Epoch(2)), jakarta)
    assert salvaged == replace(LOST, salvaged_in=Epoch(2))
    assert salvaged.may_have_more is False
