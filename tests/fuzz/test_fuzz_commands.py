"""Command lines, variables of the environment, files that a command reads, and the two doors.

Whatever is said: an exit code that is documented and words for a human, never a traceback, and no
record but a sane one. At the doors: an answer, or none, and the guard goes on as it was.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from cli_world import CONFIG, POLICY, STATE
from click.testing import CliRunner
from hostile import as_bytes, fuzzed, in_time, json_texts, near, texts
from hypothesis import example, given
from hypothesis import strategies as st
from memory_store import MemoryStore, World
from prometheus_client import CollectorRegistry, Counter

from failover.cli import options
from failover.cli.exit_codes import ExitCode
from failover.cli.main import cli
from failover.cli.output import console
from failover.cli.reseed import last_measured
from failover.cli.settings import operator
from failover.console.door import application
from failover.coordination import connect
from failover.coordination.init import initialise
from failover.guard import doors
from failover.guard.grant_keeper import Reply
from failover.lab import bench_barrier_result, bench_chaos_result, bench_zookeeper_result
from failover.lab.results_file import ResultsError, read_runs
from failover.lab.workload.attempt import RecordError, decode_attempt
from failover.phases import moves
from failover.rebuild.server import ServerError, ZooKeeperHost
from failover.residency.report.record import told
from failover.sites.observer_connection import PasswordUnread
from failover.state import HistoryEntry, decode_state
from failover.znode import GroupPaths

CODES = {int(code) for code in ExitCode}


def words(*usual: str) -> st.SearchStrategy[str]:
    """What can stand on a command line: no NUL, and what is no UTF-8 as Python hands it on."""
    said = st.sampled_from([*usual, "\udcff", "-1", "nan", "inf", "1e999", "0", "9" * 5000])
    return said | texts().map(lambda text: text.replace("\0", "").replace("\ud800", "\udc80"))


# None may get as far as a network: a site that there is would start a controller of it, and what
# the deployed file names may be running on this machine.
LINES: tuple[tuple[str, ...], ...] = (
    ("pause", "--for={}", "--reason=x"),
    ("pause", "--for=2h", "--reason={}"),
    ("automation", "observe", "--reason={}"),
    ("acknowledge", "--reason={}"),
    ("protection", "max-availability", "--reason={}"),
    ("history", "--limit={}"),
    ("history", "verify", "--head={}"),
    ("loss", "show", "{}"),
    ("loss", "export", "--", "{}"),
    ("residency", "report", "--from={}", "--to=2026-01-01"),
    ("residency", "report", "--from=2026-01-01", "--to={}"),
    ("switchover", "--to=nowhere", "--limit={}"),
    ("switchover", "--to=nowhere", "--reason={}"),
    ("guard", "wait", "--host=jkt-db1", "--limit={}x"),
    ("guard", "status", "--host={}"),
    ("controller", "--site=not-{}"),
    ("check", "--only={}"),
    ("explain", "--what-if={}"),
    ("takeover", "--to=nowhere", "--reason={}"),
    ("takeover", "--to={}x", "--reason=x"),
    ("takeover", "--to=nowhere", "--i-have-fenced={}", "--reason=x"),
    ("rehearse", "--to={}"),
    ("reseed", "not-{}"),
    ("break-glass", "quorum", "--i-have-fenced={}", "--reason=x"),
    ("residency", "check", "--output={}"),
    ("pki", "show", "--dir={}"),
    ("pki", "issue", "not-{}", "--dir=nowhere"),
    ("pki", "show-file", "{}"),
    ("secrets", "{}"),
    ("zookeeper", "acl", "{}"),
    ("adopt", "look", "--from={}"),
    ("adopt", "draft", "--from={}", "--to=nowhere"),
    ("config", "check", "{}"),
    ("completion", "{}"),
    ("{}",),
)
USUAL = ("2h", "2026-01-01", "9999-12-31", "0001-01-01", "local-20260101T000000Z", "3")


@pytest.fixture(scope="module")
def store() -> Iterator[MemoryStore]:
    made = World().session()
    initialise(made, POLICY, now_unix_s=1.0, by="test")

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[MemoryStore]:
        yield made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "open_store", opened)
        yield made


def called(*arguments: str, **environment: str) -> str:
    with in_time(5.0):
        result = CliRunner().invoke(
            cli, ["--config", str(CONFIG), *arguments], prog_name="failover", env=environment
        )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in CODES, result.output
    return result.output


@pytest.mark.parametrize("line", LINES, ids=" ".join)
@given(words(*USUAL))
@example("9" * 5000)
@example("nan")
@example("\udcff")
@example("9999-12-31")
@fuzzed(1)
def test_a_command_line(store: MemoryStore, line: tuple[str, ...], word: str) -> None:
    called(*(each.format(word) for each in line))
    found = store.read(GroupPaths(POLICY.group).state)
    assert found is not None
    decode_state(found.data)


@given(st.sampled_from(["COLUMNS", "LINES", "FAILOVER_SITE", "FAILOVER_LOG_FORMAT"]), words())
@example("COLUMNS", "²")
@example("COLUMNS", "999999999")
@fuzzed(2)
def test_a_variable(store: MemoryStore, name: str, word: str) -> None:
    called("history", **{name: word})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, word)
        assert console().width < 10_000


@given(words("root"))
@fuzzed(2)
def test_who_gives_a_command(word: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGNAME", word)
        who = operator()
    assert who.isprintable()
    assert len(who) <= options.WORDS_LENGTH_MAX
    who.encode()


@given(st.sampled_from(["nan", "inf", "-inf", "1e999", "٣", "-1", "0", "5"]) | texts())
@fuzzed(4)
def test_seconds(text: str) -> None:
    """NaN is in every range that click knows."""
    kind = options.Number(min=2.0, max=300.0)
    try:
        found = kind.convert(text, None, None)
    except options.click.BadParameter:
        return
    assert 2.0 <= found <= 300.0


# --------------------------------------------------------------------------- files


def contents() -> st.SearchStrategy[bytes]:
    return st.binary(max_size=40) | json_texts().map(lambda text: as_bytes(text + "\n"))


DECODERS = (bench_barrier_result, bench_chaos_result, bench_zookeeper_result)


@pytest.mark.parametrize("module", DECODERS, ids=lambda each: each.__name__.rpartition(".")[2])
@given(contents())
@example(b"\xff\n")
@example(b"[" * 100_000 + b"\n")
@example(b"[]\n")
@fuzzed(1)
def test_a_file_of_runs(tmp_path_factory: pytest.TempPathFactory, module: Any, data: bytes) -> None:
    path = tmp_path_factory.mktemp("r") / "runs.jsonl"
    path.write_bytes(data)
    with in_time():
        try:
            assert read_runs(path, module.decoded) == []
        except ResultsError as error:
            said = str(error)
        else:
            said = ""
    assert path.read_bytes() == data, "what cannot be read is left as it is"
    assert said or not data.endswith(b"\n") or not data.strip()


@given(contents())
@example(b"[" * 100_000)
@fuzzed(3)
def test_an_attempt_of_a_client(line: bytes) -> None:
    with in_time(), pytest.raises(RecordError):
        decode_attempt(line)


@given(contents())
@example(b"\xff")
@fuzzed(1)
def test_files_of_a_host(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("h")
    for name in ("zoo.cfg", "myid", "site", "secret"):
        (directory / name).write_bytes(data)
    host = ZooKeeperHost(directory / "zoo.cfg", directory / "myid")
    for ask in (lambda: host.config, lambda: host.myid, lambda: host.data_dir):
        try:
            ask()
        except ServerError as error:
            assert str(directory) in str(error)  # noqa: PT017 - any of them may read it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "SITE_FILE", directory / "site")
        options._site_of_this_host()


def test_a_password_that_is_no_text(tmp_path: Path) -> None:
    from failover.sites.postgres import PostgresProbe

    (tmp_path / "p").write_bytes(b"\xff\xfe")
    probe = PostgresProbe(POLICY.clusters[0].hosts[0], password_file=tmp_path / "p", limit_s=0.1)
    with pytest.raises(PasswordUnread):
        probe._connection._passwords()


# --------------------------------------------------------------------------- words of the history

DETAILS = {
    **{"size_bytes": "64", "took_s": "9.5", "host": "a", "claim of x": "gone for 6.1 s"},
    **{"more": "3", "gap a": "for 9 s: why", "found subscription a b": "c", "cut x a b": "c"},
}


@given(near(DETAILS), st.sampled_from(["reseeded", "takeover", "residency"]))
@example('{"more": "²"}', "residency")
@example('{"claim of x": "gone for ' + "9" * 400 + ' s"}', "takeover")
@example('{"gap a": "for ' + "9" * 400 + ' s: why"}', "residency")
@example('{"size_bytes": "' + "9" * 400 + '", "took_s": "30"}', "reseeded")
@example('{"size_bytes": "999999999999", "took_s": "inf"}', "reseeded")
@fuzzed(8)
def test_details_of_an_entry(text: str, event: str) -> None:
    try:
        details = {str(key): str(value) for key, value in json.loads(text).items()}
        entry = HistoryEntry(1_800_000_000.0, STATE.epoch, event, "s", "b", details)
    except (ValueError, AttributeError):
        return  # not an entry at all
    with in_time():
        measured = last_measured([entry])
        assert measured is None or 0 < measured[0] < float("inf")
        for move in moves([entry]):
            assert all(each.begun_unix_s > 0 for each in move.phases)
        for gap in told([entry]).gaps:
            assert gap.from_unix_s > 0


# --------------------------------------------------------------------------- the doors


class _Minder:
    """Notes what the door asks of it."""

    def __init__(self) -> None:
        self.patience_s: list[float] = []

    async def permit(self, _purpose: object, patience_s: float) -> Reply:
        self.patience_s.append(patience_s)
        return Reply(False, "no")

    @property
    def grants(self) -> _Minder:
        return self

    single = leave_recovery = salvage = None


async def _ask_door(question: bytes) -> tuple[_Minder, bytes]:
    minder = _Minder()
    reader = asyncio.StreamReader()
    reader.feed_data(question)
    said = bytearray()

    class Writer:
        def write(self, data: bytes) -> None:
            said.extend(data)

        async def drain(self) -> None:
            """There is room."""

        def close(self) -> None:
            """Nothing to close."""

    asking = asyncio.ensure_future(doors._serve(minder, reader, Writer()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    if b"\n" not in question:
        reader.feed_eof()
    await asyncio.wait_for(asking, 5.0)
    return minder, bytes(said)


@given(
    texts().map(lambda text: f"permit start {text}\n")
    | texts().map(lambda text: f"permit {text} 1\n")
    | texts().map(lambda text: f"{text}\n")
)
@example("permit start nan\n")
@example("permit start -inf\n")
@example("x" * 200_000 + "\n")
@fuzzed(6)
def test_a_question_of_a_barrier(question: str) -> None:
    words = question.split()
    if words[:1] in (["single"], ["recovery_end"], ["salvage"], ["ping"], ["status"]):
        return
    minder, said = asyncio.run(_ask_door(as_bytes(question)))
    assert not said.startswith(b"yes")
    assert said.count(b"\n") <= 1, "one line is the answer"
    assert all(0 <= patience_s <= 60 for patience_s in minder.patience_s)


@given(texts())
@example("nan")
@example("inf")
@fuzzed(4)
def test_how_long_a_health_check_waits(text: str) -> None:
    assert doors._seconds(text) >= 0


def _requests() -> st.SearchStrategy[tuple[str, str, dict[str, str]]]:
    clean = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    accept = st.sampled_from(["*/*", "application/openmetrics-text;version=x;escaping=y", ";;,=q"])
    return st.tuples(
        st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "BREW"]),
        st.sampled_from(["/metrics", "/", "/console.json"]) | clean.map(lambda t: "/" + t),
        st.fixed_dictionaries({"Accept": accept | clean}),
    )


def test_requests_to_a_controller() -> None:
    """One door for all of them; a request that cannot be answered is the client's mistake."""
    registry = CollectorRegistry()
    Counter("failover_x", "x", registry=registry)

    async def all_of_them() -> None:
        async with TestClient(TestServer(application(registry, "jakarta", [], dict))) as client:

            @given(_requests())
            @example(("GET", "/metrics", {"Accept": "application/openmetrics-text;version=²"}))
            @fuzzed(8)
            def one(request: tuple[str, str, dict[str, str]]) -> None:
                asked.append(request)

            asked: list[tuple[str, str, dict[str, str]]] = []
            one()
            for method, path, headers in asked:
                async with client.request(method, path, headers=headers) as answer:
                    assert answer.status < 500, (method, path, headers)
                    assert method in ("GET", "HEAD") or answer.status in (400, 404, 405)

    asyncio.run(all_of_them())
    assert os.environ.get("COLUMNS", "80").isascii()
