"""The wait of the ZooKeeper client's thread: the same answers as kazoo's own, at half the cost."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from kazoo.handlers.threading import SequentialThreadingHandler

from failover.coordination.session import _Handler

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
