"""What a command does about Ctrl-C, a closed terminal and a kill while it must not just die."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextlib.contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """These signals go to ``handler`` while the block runs, and where they went before after it."""
    before = [signal.signal(number, handler) for number in NUMBERS]
    try:
        yield
    finally:
        for number, old in zip(NUMBERS, before, strict=True):
            signal.signal(number, old)


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """The first of these signals is a KeyboardInterrupt, so that what was changed is put right
    again; those after it are ignored meanwhile."""
    heard: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise KeyboardInterrupt

    with handled(interrupt):
        yield
