"""The wait of the ZooKeeper client's thread: the same answers as kazoo's own, at half the cost."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kazoo.handlers.threading import SequentialThreadingHandler

from failover.coordination.session import _Handler, _poll_ms

Select = Callable[..., tuple[list[object], list[object], list[object]]]
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["ours", "kazoo's"])
def select(request: pytest.FixtureRequest) -> Select:
    """Both have to pass: where ours differs from kazoo's, one of them fails here."""
    ours: Select = _Handler(1.0).select
    kazoos: Select = SequentialThreadingHandler().select
    return ours if request.param == "ours" else kazoos


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    yield here, there
    here.close()
    there.close()


def test_nothing_to_read_until_something_is_sent(select: Select, pair: Pair) -> None:
    here, there = pair
    assert select([here], [], [], 0.01) == ([], [], [])
    there.send(b"x")
    assert select([here], [], [], 5.0) == ([here], [], [])


def test_only_who_has_something_is_named(select: Select, pair: Pair) -> None:
    here, there = pair
    there.send(b"x")
    assert select([here, there], [], [], 5.0) == ([here], [], [])
    here.send(b"y")
    assert select([here, there], [], [], 5.0)[0] in ([here, there], [there, here])


def test_what_can_be_written(select: Select, pair: Pair) -> None:
    here, _ = pair
    assert select([], [here], [], 5.0) == ([], [here], [])
    here.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            here.send(b"x" * 65536)
    assert select([], [here], [], 0.01) == ([], [], [])


def test_the_end_of_a_connection_can_be_read(select: Select, pair: Pair) -> None:
    here, there = pair
    there.close()
    assert select([here], [], [], 5.0) == ([here], [], [])


def test_a_connection_that_is_shut_down_under_the_wait_ends_it(select: Select, pair: Pair) -> None:
    here, _ = pair
    here.shutdown(socket.SHUT_RDWR)  # what `drop_socket` does
    assert select([here], [], [], 5.0) == ([here], [], [])


def test_a_closed_socket_is_refused(select: Select, pair: Pair) -> None:
    here, _ = pair
    here.close()
    with pytest.raises(TypeError, match="-1"):
        select([here], [], [], 0.01)


def test_the_time_is_kept(select: Select, pair: Pair) -> None:
    here, _ = pair
    began_s = time.monotonic()
    select([here], [], [], 0.2)
    assert time.monotonic() - began_s >= 0.19


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_what_is_sent_during_the_wait_ends_it(
    select: Select, pair: Pair, timeout_s: float | None
) -> None:
    here, there = pair
    sender = threading.Timer(0.05, there.send, (b"x",))
    sender.start()
    assert select([here], [], [], timeout_s) == ([here], [], [])
    sender.join(10)


@pytest.mark.parametrize("shut", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_the_end_from_the_other_side_ends_the_wait(select: Select, pair: Pair, shut: int) -> None:
    here, there = pair
    closer = threading.Timer(0.05, there.shutdown, (shut,))
    closer.start()
    assert select([here], [], [], 60.0) == ([here], [], [])
    closer.join(10)


def test_the_socket_dropped_by_another_thread_ends_the_wait(select: Select, pair: Pair) -> None:
    here, _ = pair
    dropper = threading.Timer(0.05, here.shutdown, (socket.SHUT_RDWR,))  # `drop_socket`
    dropper.start()
    assert select([here], [], [], 60.0) == ([here], [], [])
    dropper.join(10)


def test_who_waits_to_write_is_told_of_a_hang_up(select: Select, pair: Pair) -> None:
    here, there = pair
    here.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            here.send(b"x" * 65536)
    there.close()
    assert select([], [here], [], 5.0) == ([], [here], [])


def test_a_refused_connection_can_be_read_and_written(select: Select) -> None:
    """POLLERR: kazoo reads, and gets the error."""
    with socket.socket() as port, socket.socket() as here:
        port.bind(("127.0.0.1", 0))
        here.setblocking(False)
        here.connect_ex(port.getsockname())  # nobody listens
        assert select([here], [], [], 5.0) == ([here], [], [])
        assert select([], [here], [], 5.0) == ([], [here], [])
        with pytest.raises(ConnectionRefusedError):
            here.recv(1)


def test_beyond_the_descriptors_that_select_knows(select: Select, pair: Pair) -> None:
    here, there = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2048:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    number = os.dup2(here.fileno(), 1500)
    try:
        there.send(b"x")
        assert select([number], [], [], 5.0) == ([number], [], [])
    finally:
        os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --------------------------------------------------------------------------- where ours differs


def test_a_descriptor_closed_under_its_socket_is_told_and_not_waited_for(pair: Pair) -> None:
    """POLLNVAL. kazoo's own raises ValueError, which ends its thread and with it the client; of
    ours the next read fails as a lost connection does."""
    here, _ = pair
    number = here.detach()
    os.close(number)
    assert _Handler(1.0).select([number], [], [], 60.0) == ([number], [], [])
    assert _Handler(1.0).select([], [number], [], 60.0) == ([], [number], [])


class _ClosedByAnother:
    """A socket that another thread closes while ours waits on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._asked = 0

    def fileno(self) -> int:
        self._asked += 1
        return self._sock.fileno() if self._asked == 1 else -1


def test_a_socket_that_is_closed_during_the_wait_does_not_end_the_thread(pair: Pair) -> None:
    here, there = pair
    closed = _ClosedByAnother(here)
    there.send(b"x")
    assert _Handler(1.0).select([closed], [], [], 5.0) == ([closed], [], [])


def test_asked_for_both_each_is_told_apart(pair: Pair) -> None:
    """kazoo's own tells of one only, and never asks for both."""
    here, there = pair
    assert _Handler(1.0).select([here], [here], [], 5.0) == ([], [here], [])
    there.send(b"x")
    assert _Handler(1.0).select([here], [here], [], 5.0) == ([here], [here], [])


def test_a_time_that_is_over_ends_at_once_and_never_waits_for_ever(pair: Pair) -> None:
    here, there = pair
    assert _Handler(1.0).select([here], [], [], -1.0) == ([], [], [])
    there.send(b"x")
    assert _Handler(1.0).select([here], [], [], -1.0) == ([here], [], [])


@pytest.mark.parametrize(
    ("timeout_s", "ms"),
    [
        (None, None),
        (0.0, 0),
        (-0.001, 0),
        (-math.inf, 0),
        (1e-9, 1),  # never a busy loop
        (0.0001, 1),
        (0.001, 1),
        (0.0011, 2),
        (2, 2000),
        (1e12, 86_400_000),
        (math.inf, 86_400_000),
    ],
)
def test_milliseconds_are_rounded_up_and_kept_inside_what_poll_takes(
    timeout_s: float | None, ms: int | None
) -> None:
    assert _poll_ms(timeout_s) == ms


@pytest.mark.parametrize("timeout", ["1", math.nan])
def test_what_is_no_time_is_refused(timeout: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        _Handler(1.0).select([], [], [], timeout)  # type: ignore[arg-type]
