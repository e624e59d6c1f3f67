"""ZooKeeper's multiRead on the wire: bytes as ZooKeeper 3.9 sends them."""

from __future__ import annotations

import struct

import pytest
from kazoo.exceptions import MarshallingError, NoAuthError, NoNodeError, ZookeeperError

from failover.coordination.multi_read import MultiRead

END = struct.pack("!iBi", -1, 1, -1)
STAT = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def found(data: bytes | None) -> bytes:
    length = -1 if data is None else len(data)
    stat = struct.pack("!qqqqiiiqiiq", *STAT)
    return struct.pack("!iBii", 4, 0, 0, length) + (data or b"") + stat


def refused(code: int) -> bytes:
    return struct.pack("!iBii", -1, 0, code, code)


def test_the_request_names_every_path_and_sets_no_watch() -> None:
    one = struct.pack("!iBi", 4, 0, -1) + struct.pack("!i", 2) + b"/a" + b"\0"
    two = struct.pack("!iBi", 4, 0, -1) + struct.pack("!i", 3) + b"/bc" + b"\0"
    assert bytes(MultiRead(("/a", "/bc")).serialize()) == one + two + END


def test_the_answer_has_data_or_a_refusal_for_each_in_order() -> None:
    sent = found(b"one") + refused(-101) + found(b"") + refused(-102) + found(None) + END
    answers = MultiRead.deserialize(b"before" + sent, 6)
    one, missing, empty, forbidden, null = answers
    assert one == (b"one", STAT)
    assert one[1].version == 5
    assert isinstance(missing, NoNodeError)
    assert (empty[0], null[0]) == (b"", None)
    assert isinstance(forbidden, NoAuthError)


def test_nothing_asked_nothing_answered() -> None:
    assert MultiRead.deserialize(END, 0) == ()


def test_a_refusal_that_nobody_knows_is_one_all_the_same() -> None:
    (answer,) = MultiRead.deserialize(refused(-9999) + END, 0)
    assert isinstance(answer, ZookeeperError)
    assert "-9999" in str(answer)


@pytest.mark.parametrize("cut", [1, 8, 12, 40, 90])
def test_an_answer_that_ends_early_is_none(cut: int) -> None:
    sent = found(b"some data") + found(b"more") + END
    with pytest.raises(MarshallingError):
        MultiRead.deserialize(sent[:-cut], 0)


def test_what_was_not_asked_for_is_no_answer() -> None:
    with pytest.raises(MarshallingError, match="type 8"):
        MultiRead.deserialize(struct.pack("!iBi", 8, 0, 0) + END, 0)
