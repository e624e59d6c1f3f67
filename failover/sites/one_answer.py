"""One question over a connection of its own, and everything that comes back until it is closed.

For the two that end it anyway: ZooKeeper's four-letter words and Patroni's REST interface. It is
asked several times a second by every controller, so it goes without transports and streams.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from failover.policy import Address
from failover.sealed import Question
from failover.transport import Identity

ANSWER_BYTES_MAX = 1 << 20
CHUNK_BYTES = 65536


async def answer_to(
    question: bytes,
    address: Address,
    port: int,
    identity: Identity | None = None,
    *,
    resumes: bool = False,
) -> bytes:
    """All bytes of the answer, none where it was closed without one. OSError; ValueError above a
    megabyte. Bounded in time by the caller alone. ``identity``: with TLS. ``resumes``: where the
    other end takes TLS sessions up again."""
    kept_at = port if resumes else None
    sealed = Question(identity, str(address), question, port=kept_at) if identity else None
    loop = asyncio.get_running_loop()
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    answer = bytearray()
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        # Not sock_connect: uvloop has every address looked up by a thread of its own, numeric
        # ones too. Sending waits until there is a connection, and says why there is none.
        begun = sock.connect_ex((str(address), port))
        if begun not in (0, errno.EINPROGRESS):
            raise OSError(begun, os.strerror(begun))
        await loop.sock_sendall(sock, sealed.begin() if sealed else question)
        while part := await loop.sock_recv(sock, CHUNK_BYTES):
            if sealed is None:
                answer += part
            else:
                if more := sealed.received(part):
                    await loop.sock_sendall(sock, more)
                answer = sealed.answer
                if sealed.over:  # Patroni says so, and then waits for the connection's end
                    break
            if len(answer) > ANSWER_BYTES_MAX:
                raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(answer)
