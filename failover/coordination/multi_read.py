"""ZooKeeper's ``multiRead`` (since 3.6), which kazoo does not have: many znodes by one request.

A turn of a controller reads some thirty znodes. Asked for one by one, each costs a request, an
answer, and a hand-over between two threads, for the client as for the server.

Invariant: what is said of each znode is what ``getData`` says of it, its refusal included; a
refusal of one does not touch the others. No more of a snapshot than requests one by one are.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

from kazoo.exceptions import EXCEPTIONS, MarshallingError, ZookeeperError
from kazoo.protocol.serialization import (
    GetData,
    MultiHeader,
    int_struct,
    read_buffer,
    stat_struct,
)
from kazoo.protocol.states import ZnodeStat

_ERROR = -1  # a result that is a refusal, and the type of the header that ends the list
_END = MultiHeader(_ERROR, True, -1).serialize()
_NEXT = MultiHeader(GetData.type, False, -1).serialize()


class MultiRead(namedtuple("MultiRead", "paths")):
    """A request like kazoo's own, which are tuples too. Give it to ``KazooClient._call``."""

    __slots__ = ()
    type = 22  # ZooDefs.OpCode.multiRead

    def serialize(self) -> bytes:
        out = bytearray()
        for path in self.paths:
            out += _NEXT
            out += GetData(path, None).serialize()
        return bytes(out + _END)

    @classmethod
    def deserialize(cls, data: bytes, offset: int) -> tuple[Any, ...]:
        """Per path kazoo's (data, stat), or its exception. MarshallingError: not such an answer."""
        try:
            return tuple(_results(data, offset))
        except struct.error as error:
            raise MarshallingError(f"multiRead: the answer ends early ({error})") from None


def _results(data: bytes, offset: int) -> Iterator[Any]:
    header, offset = MultiHeader.deserialize(data, offset)
    while not header.done:
        if header.type == _ERROR:
            (code,) = int_struct.unpack_from(data, offset)
            offset += int_struct.size
            yield EXCEPTIONS[code]() if code in EXCEPTIONS else ZookeeperError(f"code {code}")
        elif header.type == GetData.type:
            value, offset = read_buffer(data, offset)
            yield value, ZnodeStat._make(stat_struct.unpack_from(data, offset))
            offset += stat_struct.size
        else:
            raise MarshallingError(f"multiRead: a result of type {header.type}")
        header, offset = MultiHeader.deserialize(data, offset)
