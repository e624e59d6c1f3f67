"""How answers, and the many kinds of none, become observations."""

from __future__ import annotations

import errno
from typing import Any

import aiohttp
import psycopg
import pytest
from pydantic import TypeAdapter

from failover.health.observation import (
    GuardSeen,
    NoAnswer,
    NoAnswerKind,
    PatroniSeen,
    SlotSeen,
    WalsenderSeen,
    ZooKeeperMode,
    ZooKeeperSeen,
)
from failover.model import Epoch, Lsn
from failover.sites import guard_http, patroni, postgres, zookeeper_status
from failover.sites.trouble import no_answer

STANDBY: dict[str, Any] = {
    "in_recovery": True,
    "current_lsn": None,
    "current_timeline_hex": None,
    "received_lsn": "0/3000148",
    "replayed_lsn": "0/3000100",
    "receiver_status": "streaming",
    "sender_host": "10.77.1.11",
    "received_tli": 2,
    "wal_tli": None,
    "recovery_tli": 1,
    "checkpoint_tli": 1,
    "system_identifier": "7",
    "kept": [["failover_makassar", "0/2000000"]],
    "sync_names": "",
    "walsenders": [],
    "checkpointer_idle": None,
    "started": "1800000000.123456",
}


def test_a_standby() -> None:
    seen = postgres.seen(STANDBY)
    assert (seen.in_recovery, seen.timeline, seen.receiver_streaming) == (True, 2, True)
    assert (seen.received_lsn, seen.replayed_lsn) == (Lsn(0x3000148), Lsn(0x3000100))
    assert seen.kept == (SlotSeen("failover_makassar", Lsn(0x2000000)),)
    assert seen.started == "1800000000.123456"


def test_a_standby_that_never_streamed() -> None:
    row = STANDBY | {"received_lsn": None, "receiver_status": None, "received_tli": None}
    seen = postgres.seen(row | {"sender_host": None})
    assert (seen.received_lsn, seen.receiver_streaming, seen.timeline) == (None, False, 1)


def test_a_standby_that_lost_its_upstream_knows_its_timeline_from_its_files() -> None:
    """Its control file is older: after a local failover it may stay so for minutes."""
    row = STANDBY | {"receiver_status": None, "received_tli": None, "wal_tli": 2}
    assert postgres.seen(row).timeline == 2


def test_a_primary_reads_its_timeline_from_the_file_it_writes() -> None:
    row = STANDBY | {
        "in_recovery": False,
        "current_lsn": "1/0",
        "current_timeline_hex": "0000000B",
        "receiver_status": None,
    }
    seen = postgres.seen(row)
    assert (seen.timeline, seen.current_lsn, seen.receiver_streaming) == (11, Lsn(1 << 32), None)


def test_a_primary_shows_whom_it_waits_for_and_what_they_have() -> None:
    row = STANDBY | {
        "in_recovery": False,
        "current_lsn": "1/0",
        "current_timeline_hex": "0000000B",
        "receiver_status": None,
        "sync_names": '1 ("mks-db1")',
        "walsenders": [["mks-db1", "streaming", "0/F0", "sync"], ["", "startup", None, None]],
        "checkpointer_idle": True,
    }
    seen = postgres.seen(row)
    assert seen.sync_names == '1 ("mks-db1")'
    assert seen.checkpointer_idle is True
    assert seen.walsenders == (
        WalsenderSeen("mks-db1", "streaming", Lsn(0xF0), "sync"),
        WalsenderSeen("", "startup", None, ""),
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("connection failed: Connection refused\nIs the server running?", NoAnswerKind.REFUSED),
        ("connection failed: FATAL:  the database system is starting up", NoAnswerKind.REJECTED),
        ("server closed the connection unexpectedly", NoAnswerKind.REJECTED),
        ("connection failed: No route to host", NoAnswerKind.TIMED_OUT),
        ("could not receive data from server: Connection timed out", NoAnswerKind.TIMED_OUT),
        ("something new", NoAnswerKind.TIMED_OUT),
    ],
)
def test_failures_to_connect_are_told_by_libpqs_words(text: str, kind: NoAnswerKind) -> None:
    found = postgres.no_answer_of(psycopg.OperationalError(text), 1.0)
    assert found.kind is kind
    assert "\n" not in found.detail


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), NoAnswerKind.TIMED_OUT),
        (aiohttp.ServerTimeoutError(), NoAnswerKind.TIMED_OUT),
        (OSError(errno.ECONNREFUSED, "refused"), NoAnswerKind.REFUSED),
        (OSError(errno.ECONNRESET, "reset"), NoAnswerKind.REJECTED),
        (OSError(errno.EHOSTUNREACH, "no route"), NoAnswerKind.TIMED_OUT),
        (OSError(errno.EMFILE, "too many open files"), NoAnswerKind.TIMED_OUT),  # ours, not theirs
        (PermissionError(errno.EACCES, "denied"), NoAnswerKind.TIMED_OUT),
        (ValueError("not JSON"), NoAnswerKind.MALFORMED),
    ],
)
def test_only_a_refused_connection_says_that_nobody_is_there(
    error: Exception, kind: NoAnswerKind
) -> None:
    assert no_answer(error, 1.0).kind is kind


def test_patroni() -> None:
    seen = patroni.seen(
        {"state": "running", "role": "standby_leader", "timeline": 3, "tags": {"nofailover": True}}
    )
    assert not isinstance(seen, NoAnswer)
    assert (seen.role, seen.timeline, seen.paused, seen.nofailover) == (
        "standby_leader",
        3,
        False,
        True,
    )
    paused = patroni.seen({"state": "stopped", "role": "replica", "pause": True})
    assert not isinstance(paused, NoAnswer)
    assert (paused.paused, paused.timeline) == (True, None)
    assert isinstance(patroni.seen(["no"]), NoAnswer)


@pytest.mark.parametrize("status", [b"200 OK", b"503 Service Unavailable"])
def test_patroni_answers_with_the_same_document_whatever_its_state(status: bytes) -> None:
    body = b'{"state": "running", "role": "replica", "timeline": 4}'
    found = patroni.seen_in(b"HTTP/1.0 " + status + b"\r\nServer: x\r\n\r\n" + body)
    assert isinstance(found, PatroniSeen)
    assert (found.role, found.timeline) == ("replica", 4)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n\r\n{}", b"HTTP/1.0 200 OK\r\nServer: x"])
def test_what_is_no_http_is_no_answer_of_patroni(answer: bytes) -> None:
    found = patroni.seen_in(answer)
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.REJECTED


def test_half_a_document_is_not_understood() -> None:
    found = patroni.seen_in(b'HTTP/1.0 200 OK\r\n\r\n{"state": "runn')
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.MALFORMED


def test_a_guard_that_says_a_thing_twice_has_said_nothing() -> None:
    """Readers of JSON take the last one, or the first."""
    said = GuardSeen(True, True, True, True, True, Epoch(4), 3.0, None)
    whole = TypeAdapter(GuardSeen).dump_json(said)
    assert isinstance(guard_http.seen(whole), GuardSeen)
    twice = guard_http.seen(whole.replace(b"{", b'{"granted":false,', 1))
    assert isinstance(twice, NoAnswer)
    assert "granted: it is given twice" in twice.detail


def test_a_guard_of_another_version_is_not_guessed() -> None:
    found = guard_http.seen(b'{"armed": true, "novel": 1}')
    assert isinstance(found, NoAnswer)
    assert found.kind is NoAnswerKind.MALFORMED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Zookeeper version: 3.9\nZxid: 0x500000003\nMode: leader\nNode count: 9",
            ZooKeeperSeen(ZooKeeperMode.LEADER, 5),
        ),
        ("Zxid: 0x1\nMode: follower\n", ZooKeeperSeen(ZooKeeperMode.FOLLOWER, 0)),
        (
            "This ZooKeeper instance is not currently serving requests\n",
            ZooKeeperSeen(ZooKeeperMode.NO_QUORUM),
        ),
    ],
)
def test_zookeeper(text: str, expected: ZooKeeperSeen) -> None:
    assert zookeeper_status.seen(text) == expected


def test_zookeeper_without_the_permission_to_ask_is_not_understood() -> None:
    found = zookeeper_status.seen("srvr is not executed because it is not in the whitelist.")
    assert isinstance(found, NoAnswer)
