"""What every bench does around its runs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from failover.cli.bench_run import measured
from failover.lab import borrow
from failover.lab.lab import Lab


def test_a_bench_that_is_told_to_end_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    @contextlib.contextmanager
    def borrowed(*_: Any, **__: Any) -> Iterator[None]:
        try:
            yield
        finally:
            done.append("the lab is given back")

    def measure(_lab: Lab, _tell: Callable[[str], None]) -> Iterator[int]:
        try:
            yield 1
            os.kill(os.getpid(), signal.SIGTERM)
            yield 2
        finally:
            done.append("its customers are stopped")

    monkeypatch.setattr(borrow, "borrowed", borrowed)
    with pytest.raises(KeyboardInterrupt):
        measured("a test", measure, str)
    assert done == ["its customers are stopped", "the lab is given back"]
