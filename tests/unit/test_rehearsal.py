"""failover rehearse: what is measured, how it is judged, what is written, and where it stops."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cli_world import (
    CLUSTER,
    CONFIG,
    HOSTS,
    JAKARTA,
    MAKASSAR,
    POLICY,
    STATE,
    guard,
    healthy,
    observer,
    patroni,
    primary,
    scope,
    standby,
)
from click.testing import CliRunner
from memory_store import MemoryStore, World

from failover.cli import rehearse
from failover.cli.exit_codes import ExitCode
from failover.cli.look import Seen
from failover.cli.main import cli
from failover.cli.moves import Ended
from failover.cli.output import UserError
from failover.cli.rehearsing import Hands, Moved, Order, Rehearsal
from failover.cli.report_files import usable_directory, write
from failover.clock import boottime_s
from failover.coordination import connect
from failover.coordination.init import initialise
from failover.coordination.sign_off import sign_off
from failover.coordination.stopped_watch import StoppedWatch
from failover.coordination.store import StoreUnavailable
from failover.health.inputs import ClaimSeen, LsnSample, StateSeen, ViewInputs
from failover.health.observation import HostObservation
from failover.health.view import build_view
from failover.model import Epoch, HostName, Lsn, SiteName, TimelineId
from failover.rehearsal import text
from failover.rehearsal.judgement import PAUSE_S_MAX, STREAMS_AGAIN_S_MAX, shortcomings
from failover.rehearsal.pause import Pause, Yes, pause_of
from failover.rehearsal.record import OnRecord, on_record
from failover.rehearsal.report import Report, clusters_seen, file_stem, steps
from failover.sites.writable import watching_writable
from failover.state import (
    HistoryEntry,
    OperatorRequest,
    StopKind,
    StoppedProof,
    WriterClaim,
    decode_record,
    encode_record,
)
from failover.znode import Create, GroupPaths

# --------------------------------------------------------------------------- the pause


def yes(host: str, sent_s: float, took_s: float = 0.01) -> Yes:
    return Yes(POLICY.host(HostName(host)), sent_s, round(sent_s + took_s, 3))


def test_the_pause_is_from_the_last_yes_to_the_next() -> None:
    said = [yes("jkt-db1", 1.0), yes("jkt-db1", 1.025), yes("mks-db1", 1.6), yes("mks-db1", 1.625)]
    assert pause_of(reversed(said), CLUSTER, MAKASSAR) == Pause(0.585, both_sites=False)


def test_a_local_failover_on_the_way_counts() -> None:
    said = [yes("jkt-db1", 1.0), yes("jkt-db2", 3.0), yes("mks-db1", 3.5)]
    assert pause_of(said, CLUSTER, MAKASSAR).length_s == 2.01


@pytest.mark.parametrize("hosts", [[], ["jkt-db1"], ["mks-db1", "mks-db2"]])
def test_a_pause_without_an_end_is_not_measured(hosts: list[str]) -> None:
    said = [yes(host, 1.0 + number) for number, host in enumerate(hosts)]
    assert pause_of(said, CLUSTER, MAKASSAR) == Pause(None, both_sites=False)


def test_two_sites_that_say_yes_are_seen() -> None:
    """Asked after the new site had answered, the old one still said yes."""
    said = [yes("jkt-db1", 1.0), yes("mks-db1", 1.5), yes("jkt-db1", 1.52)]
    assert pause_of(said, CLUSTER, MAKASSAR).both_sites
    assert not pause_of(said[:2], CLUSTER, MAKASSAR).both_sites


# --------------------------------------------------------------------------- the record


def entry(event: str, at_unix_s: float, epoch: int, **details: str) -> HistoryEntry:
    return HistoryEntry(at_unix_s, Epoch(epoch), event, event, "controller at surabaya", details)


HISTORY = [
    entry("switchover_begun", 90.0, 2, plan="s-old"),
    entry("switchover", 90.4, 3, plan="s-old"),
    entry("promoted", 90.6, 3),
    entry("switchover_begun", 100.0, 3, plan="s-1"),
    entry(
        "switchover", 100.5, 4, plan="s-1", **{"marketplace.stopped": "jkt-db1 shut_down at 0/5"}
    ),
    entry("promoted", 100.7, 4),
    entry("promoted", 100.9, 4),
    entry("promoted", 200.0, 5),
]


def test_the_moments_of_one_plan_are_taken_from_the_history() -> None:
    record = on_record(HISTORY, "s-1")
    assert (record.frozen_unix_s, record.committed_unix_s) == (100.0, 100.5)
    assert record.promoted_unix_s == 100.9, "of the last cluster"
    assert record.evidence["marketplace.stopped"] == "jkt-db1 shut_down at 0/5"
    assert on_record(HISTORY, "s-2") == OnRecord()


def test_every_step_has_the_time_since_the_last_known_one() -> None:
    record = on_record(HISTORY, "s-1")
    found = steps(record, stopped_unix_s=None, streams_unix_s=103.0, healthy_unix_s=104.5)
    assert [(step.step, step.took_s) for step in found] == [
        ("plan_frozen", None),
        ("stopped_proof", None),
        ("commit", 0.5),
        ("promoted", 0.4),
        ("streams_again", 2.1),
        ("healthy", 1.5),
    ]
    assert {step.source for step in found} == {"on record", "observed"}


# --------------------------------------------------------------------------- a group that moves


def in_makassar() -> ViewInputs:
    """Moved there in epoch 4: everything as it should be, Jakarta streams."""
    moved = replace(STATE, epoch=Epoch(4), active_site=MAKASSAR)
    seen = {
        "mks-db1": (primary("0/6000000"), patroni("primary"), guard(writable=True)),
        "mks-db2": (standby("0/6000000"), patroni("replica"), guard()),
        "jkt-db1": (standby("0/6000000"), patroni("standby_leader"), guard()),
        "jkt-db2": (standby("0/6000000"), patroni("replica"), guard()),
    }
    hosts = {
        name: HostObservation(
            HostName(name),
            replace(postgres, timeline=TimelineId(4)),
            role,
            guard_seen,
        )
        for name, (postgres, role, guard_seen) in seen.items()
    }
    claim = WriterClaim(HostName("mks-db1"), MAKASSAR, Epoch(4))
    return replace(
        healthy(),
        state=StateSeen(moved, version=13),
        claims=(ClaimSeen(CLUSTER, claim, unchanged_for_s=30.0, session_id=0x3000),),
        scopes=(scope(JAKARTA, "jkt-db1", upstream="10.77.2.11"), scope(MAKASSAR, "mks-db1")),
        observers=tuple(observer(site.name, hosts) for site in POLICY.sites),
        samples=(
            LsnSample(CLUSTER, HostName("mks-db1"), 0.5, Lsn.parse("0/6000000"), TimelineId(4)),
        ),
    )


def home_again() -> ViewInputs:
    """Back in Jakarta, epoch 5, on the timeline after Makassar's."""
    state = replace(STATE, epoch=Epoch(5))
    hosts = {
        name: replace(seen, postgres=replace(seen.postgres, timeline=TimelineId(5)))
        for name, seen in HOSTS.items()
    }
    claim = WriterClaim(HostName("jkt-db1"), JAKARTA, Epoch(5))
    samples = tuple(replace(one, timeline=TimelineId(5)) for one in healthy().samples)
    return replace(
        healthy(),
        state=StateSeen(state, version=15),
        claims=(ClaimSeen(CLUSTER, claim, unchanged_for_s=30.0, session_id=0x2000),),
        observers=tuple(observer(site.name, hosts) for site in POLICY.sites),
        samples=samples,
    )


def not_healthy(inputs: ViewInputs) -> ViewInputs:
    """One pair of eyes is missing."""
    return replace(inputs, observers=inputs.observers[1:])


def seen(inputs: ViewInputs) -> Seen:
    return Seen.of(POLICY, inputs, 1.2)


class Group:
    """Moves when it is asked to; time passes only while somebody waits for it."""

    def __init__(self) -> None:
        self.worlds = [healthy(), in_makassar(), home_again()]
        self.at = 0
        self.now_unix_s = 1000.0
        self.outcomes: list[str | Exception] = ["done", "done"]
        self.stop_after: int | None = None
        self.unwell: set[int] = set()
        self.pause_s = 0.4
        self.said: list[str] = []
        self.asked: list[OperatorRequest] = []

    def look(self) -> Seen:
        world = self.worlds[self.at]
        return seen(not_healthy(world) if self.at in self.unwell else world)

    def move(self, from_site: SiteName, request: OperatorRequest) -> Moved:
        self.asked.append(request)
        outcome = self.outcomes[len(self.asked) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        self.at += outcome == "done"
        epoch = 3 + self.at if outcome == "done" else None
        reasons = () if outcome == "done" else ("claim_released: still held",)
        self.now_unix_s += 1.0
        begun_unix_s = self.now_unix_s
        record = OnRecord(begun_unix_s - 1.0, begun_unix_s - 0.6, begun_unix_s - 0.3)
        ended = Ended(request.id, outcome, from_site, request.to_site, epoch, 0.7, reasons)
        return Moved(ended, record, begun_unix_s - 0.8, {CLUSTER: Pause(self.pause_s, False)})

    def sleep(self, seconds: float) -> None:
        self.now_unix_s += seconds

    def hands(self) -> Hands:
        return Hands(
            look=self.look,
            glance=self.look,
            move=self.move,
            say=self.said.append,
            stop_asked=lambda: self.stop_after is not None and len(self.asked) >= self.stop_after,
            now_unix_s=lambda: self.now_unix_s,
            sleep=self.sleep,
        )


ORDER = Order(
    id="r-17",
    by="sari@sby-ctl1",
    reason="before the rainy season",
    limit_s=15.0,
    healthy_limit_s=30.0,
    measured_at="sby-ctl1",
    interval_s=0.025,
)


def run(group: Group) -> Report:
    return Rehearsal(POLICY, ORDER, group.hands()).run()


def test_there_and_back() -> None:
    group = Group()
    report = run(group)
    assert shortcomings(report) == ()
    assert [request.to_site for request in group.asked] == [MAKASSAR, JAKARTA]
    assert group.asked[0].reason == "rehearsal r-17: before the rainy season"
    assert (report.home_site, report.active_site, report.epoch) == (JAKARTA, JAKARTA, 5)
    there, back = report.moves
    assert (there.epoch_before, there.epoch_after, back.epoch_after) == (3, 4, 5)
    (cluster,) = there.clusters
    assert (cluster.primary_before, cluster.primary_after) == ("jkt-db1", "mks-db1")
    assert (cluster.timeline_before, cluster.timeline_after) == (3, 4)
    assert (cluster.lag_bytes, cluster.pause_s) == (328, 0.4)
    assert there.took_s("stopped_proof") == 0.2
    assert there.took_s("healthy") is not None


@pytest.mark.parametrize(
    ("spoil", "active", "why"),
    [
        (lambda g: g.outcomes.__setitem__(0, "gone_back"), JAKARTA, "ended as gone_back"),
        (lambda g: g.outcomes.__setitem__(1, "gone_back"), MAKASSAR, "ended as gone_back"),
        (lambda g: g.outcomes.__setitem__(1, "refused"), MAKASSAR, "was refused"),
        (lambda g: g.outcomes.__setitem__(0, StoreUnavailable("silent")), JAKARTA, "silent"),
        (
            lambda g: g.outcomes.__setitem__(1, UserError("busy", code=ExitCode.REFUSED)),
            MAKASSAR,
            "busy",
        ),
        (lambda g: g.unwell.add(1), MAKASSAR, "not healthy within 30 s: controller_lost"),
        (lambda g: g.unwell.add(2), JAKARTA, "not healthy within 30 s: controller_lost"),
        (lambda g: setattr(g, "stop_after", 1), MAKASSAR, "stopped by a signal"),
    ],
)
def test_it_stops_where_it_is_and_says_so(
    spoil: Callable[[Group], object], active: SiteName, why: str
) -> None:
    group = Group()
    spoil(group)
    report = run(group)
    assert why in shortcomings(report)[0]
    assert report.active_site == active
    assert report.todo.startswith(f"{active} is active")
    assert ("failover switchover --to jakarta" in report.todo) is (active == MAKASSAR)
    assert len(report.moves) == len(group.asked) or report.moves[-1].outcome == "done"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda g: g.unwell.add(0), "not healthy: controller_lost"),
        (lambda g: g.outcomes.__setitem__(0, "refused"), "claim_released"),
        (lambda g: g.outcomes.__setitem__(0, UserError("busy", code=ExitCode.REFUSED)), "busy"),
        (lambda g: setattr(g, "stop_after", 0), "stopped by a signal"),
    ],
)
def test_refused_before_anything_was_touched(spoil: Callable[[Group], object], why: str) -> None:
    group = Group()
    spoil(group)
    with pytest.raises(UserError, match=why) as refused:
        run(group)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert group.at == 0


def test_it_says_what_it_waits_for_once() -> None:
    group = Group()
    group.unwell.add(1)
    run(group)
    waits = [line for line in group.said if line.startswith("waiting: ")]
    assert waits == ["waiting: controller_lost: A controller is silent: one pair of eyes less"]


# --------------------------------------------------------------------------- judged and written


def spoiled(report: Report, **fields: object) -> Report:
    """The same with its first move's only cluster changed."""
    there, back = report.moves
    (cluster,) = there.clusters
    return replace(report, moves=(replace(there, clusters=(replace(cluster, **fields),)), back))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pause_s": PAUSE_S_MAX + 0.2}, "writes paused for 1.20 s, 1 s are allowed"),
        ({"pause_s": None}, "the pause of writes could not be measured"),
        ({"both_sites_writable": True}, "said writable after one of the new site had"),
        ({"timeline_after": 3}, "timeline 3 after 3"),
        ({"timeline_after": None}, "timeline unknown after 3"),
    ],
)
def test_what_is_outside_a_limit_or_unknown_fails(fields: dict[str, object], why: str) -> None:
    (reason,) = shortcomings(spoiled(run(Group()), **fields))
    assert reason.startswith("jakarta to makassar: ")
    assert why in reason


def test_a_site_that_streams_too_late_fails() -> None:
    report = run(Group())
    there, back = report.moves
    late = tuple(
        replace(one, took_s=STREAMS_AGAIN_S_MAX + 1) if one.step == "streams_again" else one
        for one in there.steps
    )
    never = replace(back, steps=back.steps[:4])
    reasons = shortcomings(replace(report, moves=(replace(there, steps=late), never)))
    assert "streamed again after 16.0 s" in reasons[0]
    assert "not seen to stream again" in reasons[1]


def test_the_report_says_everything_in_both_forms() -> None:
    report = run(Group())
    document = json.loads(json.dumps(text.document(report, ())))
    assert (document["schema"], document["result"], document["reasons"]) == (1, "passed", [])
    assert document["limits"] == {"pause_s": 1.0, "streams_again_s": 15.0}
    assert document["moves"][0]["steps"][0]["step"] == "plan_frozen"
    markdown = text.as_markdown(report, ())
    for words in (
        "# Rehearsal of group marketplace: passed",
        "sari@sby-ctl1",
        "before the rainy season",
        "## 1. jakarta to makassar: done",
        "| marketplace | jkt-db1 to mks-db1 | 3 to 4 | 328 bytes, 1.0 s | 0.400 s |",
        "GET /writable",
        "report_sha256",
    ):
        assert words in markdown, words
    failed = text.as_markdown(report, ("it rained",))
    assert "FAILED" in failed
    assert "* it rained" in failed
    assert report.todo in failed


def test_the_history_has_the_durations_and_why_it_failed() -> None:
    report = run(Group())
    details = text.history_details(report, ())
    assert (details["result"], details["rehearsal"]) == ("passed", "r-17")
    assert details["to_makassar.marketplace.pause_s"] == "0.400"
    assert details["to_jakarta.commit_s"] == "0.200"
    assert "writes paused for 0.40 s at most" in text.history_summary(report, ())
    failed = text.history_details(report, ("it rained",))
    assert (failed["result"], failed["failed.1"]) == ("failed", "it rained")
    assert text.history_summary(report, ("it rained",)) == "rehearsal failed: it rained"


def test_what_nobody_saw_is_unknown() -> None:
    view = build_view(POLICY, replace(healthy(), samples=(), observers=()))
    (cluster,) = clusters_seen(view)
    assert (cluster.primary, cluster.timeline, cluster.lag_bytes) == (None, None, None)


# --------------------------------------------------------------------------- files and sign-off


def test_earlier_reports_stay(tmp_path: Path) -> None:
    stem = file_stem(run(Group()))
    assert stem == "rehearsal-marketplace-19700101T001640Z"
    first = write(tmp_path, stem, "{}\n", "one\n")
    second = write(tmp_path, stem, "{}\n", "two\n")
    assert [one.path.name for one in (*first, *second)] == [
        f"{stem}.json",
        f"{stem}.md",
        f"{stem}-2.json",
        f"{stem}-2.md",
    ]
    assert first[1].path.read_text() == "one\n"
    assert first[0].sha256 == hashlib.sha256(b"{}\n").hexdigest()


def test_a_directory_that_is_not_there_is_found_out_beforehand(tmp_path: Path) -> None:
    assert usable_directory(tmp_path) == tmp_path
    with pytest.raises(UserError, match="no report can be written"):
        usable_directory(tmp_path / "reports")


@pytest.fixture
def store() -> MemoryStore:
    store = World().session()
    initialise(store, POLICY, now_unix_s=1.0, by="test")
    return store


PATHS = GroupPaths(POLICY.group)


def events(store: MemoryStore) -> list[str]:
    found = [store.read(f"{PATHS.history}/{name}") for name in store.children(PATHS.history)]
    return [decode_record(HistoryEntry, z.data, path=z.path).event for z in found if z is not None]


@pytest.mark.parametrize("lose_answers", [False, True])
def test_it_is_signed_off_once(store: MemoryStore, lose_answers: bool) -> None:
    store.lose_answers = lose_answers
    sign_off(store, PATHS, entry("rehearsed", 5.0, 3, rehearsal="r-17"))
    assert events(store) == ["initialised", "rehearsed"]


def test_without_an_answer_it_is_not_signed_off(store: MemoryStore) -> None:
    store.silent = True
    with pytest.raises(StoreUnavailable, match="not on record"):
        sign_off(store, PATHS, entry("rehearsed", 5.0, 3, rehearsal="r-17"))


def test_the_proof_of_this_plan_is_noticed(store: MemoryStore) -> None:
    watch = StoppedWatch(store, PATHS, [CLUSTER], "s-1")
    watch.look()
    assert watch.all_unix_s is None
    proof = StoppedProof(
        plan_id="s-1",
        host=HostName("jkt-db1"),
        site=JAKARTA,
        kind=StopKind.SHUT_DOWN,
        end_of_wal=Lsn.parse("0/5000148"),
        timeline=TimelineId(3),
    )
    store.commit((Create(PATHS.stopped(CLUSTER), encode_record(proof)),))
    watch.look()
    assert watch.all_unix_s is not None
    other = StoppedWatch(store, PATHS, [CLUSTER], "s-2")
    other.look()
    assert other.all_unix_s is None


# --------------------------------------------------------------------------- asking the guards


class Guard(BaseHTTPRequestHandler):
    """Says whether ``writable`` is asked for and this host takes writes."""

    yes = True

    def do_GET(self) -> None:
        says = self.path == "/writable" and self.yes
        self.send_response(200 if says else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_only_a_yes_is_kept_and_silence_is_none() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        local = ip_address("127.0.0.1")
        there = replace(POLICY.host(HostName("jkt-db1")), address=local)
        answers = replace(there, guard_port=server.server_port)
        silent = replace(there, name=HostName("jkt-db2"), guard_port=1)
        with watching_writable([answers, silent]) as watch:
            assert within(lambda: len(watch.said) >= 3)
            Guard.yes = False
            assert within(lambda: boottime_s() - watch.said[-1].answered_s > 0.3)
        server.shutdown()
    assert {one.host.name for one in watch.said} == {"jkt-db1"}
    assert all(one.sent_s <= one.answered_s for one in watch.said)


def within(holds: Callable[[], bool], limit_s: float = 5.0) -> bool:
    give_up_s = boottime_s() + limit_s
    while not holds() and boottime_s() < give_up_s:
        time.sleep(0.01)
    return holds()


# --------------------------------------------------------------------------- the command


@pytest.fixture
def command(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., object]:
    @contextmanager
    def opened(_policy: object, timeout_s: float = 3.5) -> Iterator[MemoryStore]:
        yield store

    monkeypatch.setattr(connect, "open_store", opened)
    words = ["--config", str(CONFIG), "rehearse", "--report", str(tmp_path)]
    return lambda *more: CliRunner().invoke(cli, [*words, *more])


def test_without_a_leader_it_is_refused(command, store, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: False)
    before = len(store.committed)
    done = command("--yes")
    assert done.exit_code == ExitCode.REFUSED
    assert "no controller leads" in done.output
    assert "systemctl start failover-controller" in done.output
    assert (len(store.committed), list(tmp_path.iterdir())) == (before, [])


def test_a_group_that_is_not_healthy_is_refused_with_every_reason(
    command, store, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: True)
    before = len(store.committed)
    done = command("--yes")
    assert done.exit_code == ExitCode.REFUSED, done.output
    for words in ("the group is not healthy", "claim_held", "guards_work", "rehearsal.md"):
        assert words in done.output
    assert (len(store.committed), list(tmp_path.iterdir())) == (before, [])


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    group = Group()
    monkeypatch.setattr(rehearse, "somebody_leads", lambda _policy, _store: True)
    monkeypatch.setattr(rehearse, "_hands", lambda _policy, _store, _stop: group.hands())
    return group


def test_the_name_of_the_group_is_asked_for(command, group) -> None:
    done = command()
    assert (done.exit_code, group.asked) == (ExitCode.REFUSED, [])
    assert "Type marketplace to go on" in done.output


@pytest.mark.parametrize(("pause_s", "code"), [(0.4, ExitCode.OK), (1.4, ExitCode.FINDINGS)])
def test_the_report_is_signed_off_in_the_history(
    command, group, store, tmp_path, pause_s: float, code: ExitCode
) -> None:
    group.pause_s = pause_s
    done = command("--yes", "--reason", "quarterly", "-o", "json")
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    files = {Path(one["path"]): one["sha256"] for one in document.pop("files")}
    on_disk = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert files == on_disk
    name = store.children(PATHS.history)[-1]
    found = store.read(f"{PATHS.history}/{name}")
    signed = decode_record(HistoryEntry, found.data, path=name)
    assert (signed.event, signed.epoch) == ("rehearsed", 5)
    assert signed.details["result"] == document["result"] == ("failed" if code else "passed")
    by_name = {path.name: sha256 for path, sha256 in on_disk.items()}
    assert signed.details["report_sha256"] == by_name[signed.details["report"]]
    assert signed.details["text_sha256"] == by_name[signed.details["text"]]
    assert json.loads((tmp_path / signed.details["report"]).read_text()) == document
