"""How logs are written, and that docs/logs.md has what they say."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import golden
import pytest
import structlog
from controller_world import MAKASSAR, Group
from notification_world import POLICY, entry
from structlog.testing import capture_logs

from failover import logs
from failover.coordination.history import record
from failover.coordination.recent_history import RecentHistory
from failover.events import EventLog
from failover.history import head_seen
from failover.history_events import EVENTS, LEVEL
from failover.logs import LogFormat, configure

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "logs.md"
BEGIN, END = "<!-- events: made by tests/unit/test_logs.py -->", "<!-- end of events -->"
ELSEWHERE = ("lab", "simulation", "cli")
LEVELS = ("info", "warning", "error", "exception")


# --------------------------------------------------------------------------- the page


@pytest.mark.reference
def test_the_table_of_the_historys_events_is_current() -> None:
    rows = "".join(
        f"| `{event.name}` | {LEVEL[event.severity]} | {event.kind or ''} | {event.meaning} |\n"
        for event in EVENTS
    )
    made = f"| event | level | notification | meaning |\n|---|---|---|---|\n{rows}"
    golden.check_part("logs.md", BEGIN, END, made)


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted((ROOT / "failover").rglob("*.py")):
        if path.relative_to(ROOT / "failover").parts[0] not in ELSEWHERE:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_every_event_of_the_logs_is_on_the_page_with_its_level() -> None:
    said: dict[str, set[str]] = defaultdict(set)
    for _path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called, first = node.func, node.args[0] if node.args else None
            of = ast.unparse(called.value)
            if called.attr in LEVELS and of in ("log", "self._log"):
                assert isinstance(first, ast.Constant), ast.unparse(node)
                said[first.value].add(called.attr.replace("exception", "error"))
    said["verdict"] = {"info", "warning"}  # by whether it pages
    page = PAGE.read_text(encoding="utf-8").replace(BEGIN, "\0").replace(END, "\0")
    own = "".join(page.split("\0")[::2])
    told = {
        name: set(levels.split(", "))
        for name, levels in re.findall(r"^\| `(\w+)` \| ((?:info|warning|error|, )+) \|", own, re.M)
    }
    assert told == dict(said)


def test_events_are_single_words_like_those_of_the_history() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z_]*", name)] == []


def test_every_event_that_is_put_on_record_is_in_the_table() -> None:
    """Names stand in the source as the event of an entry, or of an operator's setting."""
    known = {event.name for event in EVENTS}
    found = set()
    for path in (ROOT / "failover").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            given = [keyword.value for keyword in node.keywords if keyword.arg == "event"]
            if called in ("set_in_state", "Setting", "_record"):
                given += node.args[:1]
            if called == "history" and len(node.args) > 3:
                given.append(node.args[3])
            found |= {each.value for each in given if isinstance(each, ast.Constant)}
    assert found >= {"takeover", "promoted", "reinstated", "residency", "paused", "reseeded"}
    assert {name for name in found if isinstance(name, str)} - known == set()


# --------------------------------------------------------------------------- the lines


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stdout=stream, stderr=stream))
    handlers = logging.getLogger().handlers[:]
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def fail() -> None:
    raise ValueError("two\nlines")


def test_one_event_is_one_line_of_json_with_its_traceback_inside(written: io.StringIO) -> None:
    configure()
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("scanner_failed", host="jkt-db1")
    logging.getLogger("kazoo.client").warning("a library's\nwarning")
    ours, theirs = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (ours["event"], ours["level"], ours["host"]) == ("scanner_failed", "error", "jkt-db1")
    assert "ValueError: two" in ours["exception"]
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["logger"]) == ("a library's\nwarning", "kazoo.client")


@pytest.mark.parametrize(
    ("terminal", "said", "json_lines"),
    [
        (False, "", True),
        (True, "", False),
        (True, "json", True),
        (False, "console", False),
        (False, "nonsense", True),
    ],
)
def test_json_unless_somebody_looks(
    written: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    said: str,
    json_lines: bool,
) -> None:
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    monkeypatch.setenv("FAILOVER_LOG_FORMAT", said)
    configure()
    structlog.get_logger().info("permit", yes=True)
    assert written.getvalue().startswith("{") == json_lines
    assert "permit" in written.getvalue()


def test_a_setting_in_the_program_goes_first(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILOVER_LOG_FORMAT", "console")
    configure(log_format=LogFormat.JSON)
    structlog.get_logger().info("permit")
    assert json.loads(written.getvalue())["event"] == "permit"


# --------------------------------------------------------------------------- the history


def test_every_site_logs_what_is_new_in_the_history_under_its_own_name() -> None:
    group = Group(POLICY)
    recent = RecentHistory(group.stores[MAKASSAR], group.paths)
    log = EventLog(site=MAKASSAR)

    def read() -> list[tuple[str, str]]:
        recent.read(head_seen(group.guard.read(group.paths.history_head)))
        with capture_logs() as said:
            log.history_read(recent.entries)
        return [(line["event"], line["log_level"]) for line in said]

    assert read() == [], "what was there before is in the logs of those that ran then"
    record(group.guard, group.paths, entry("takeover"))
    record(group.guard, group.paths, entry("promoted"))
    assert read() == [("takeover", "error"), ("promoted", "warning")]
    assert read() == []
    record(group.guard, group.paths, entry("reinstated"))
    assert read() == [("reinstated", "info")]
