"""The record of attempts: what is written is what is read, torn or damaged lines included."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.lab.workload.attempt import (
    Attempt,
    Outcome,
    Recorder,
    RecordError,
    RecordReader,
    Via,
    encode_attempt,
    read_attempts,
)
from failover.model import SiteName


def attempt(number: int) -> Attempt:
    return Attempt(
        id=str(number),
        run="r",
        client="makassar/proxy/1",
        site=SiteName("makassar"),
        via=Via.PROXY,
        kind="order",
        started_s=float(number),
        ended_s=number + 0.5,
        outcome=Outcome.INDETERMINATE,
        server=None,
        server_site=None,
        backend_pid=None,
        session=1,
        detail="a “quoted”\nword",
    )


def test_written_and_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "deep" / "a.jsonl") as recorder:
        recorder.append(attempt(2))
    with Recorder(tmp_path / "b.jsonl") as recorder:
        recorder.append(attempt(1))
    assert read_attempts(tmp_path) == [attempt(1), attempt(2)]


def test_appends_to_what_is_there(tmp_path: Path) -> None:
    for number in (1, 2):
        with Recorder(tmp_path / "a.jsonl") as recorder:
            recorder.append(attempt(number))
    assert read_attempts(tmp_path) == [attempt(1), attempt(2)]


def test_torn_last_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first, second = encode_attempt(attempt(1)), encode_attempt(attempt(2))
    path.write_bytes(first + second[:20])
    reader = RecordReader(path)
    assert list(reader.new_attempts()) == [attempt(1)]
    assert list(reader.new_attempts()) == []
    path.write_bytes(first + second)
    assert list(reader.new_attempts()) == [attempt(2)]


def test_no_file_yet(tmp_path: Path) -> None:
    assert list(RecordReader(tmp_path / "none.jsonl").new_attempts()) == []


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"outcome":"maybe","via":"proxy"}\n'])
def test_damaged_line_is_refused_with_its_place(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line)
    with pytest.raises(RecordError, match=r"a\.jsonl"):
        list(RecordReader(path).new_attempts())
