"""Ending connections from this side, by ``ss -K``, and whether this kernel can do that at all.

A kernel without CONFIG_INET_DIAG_DESTROY, or whose part for it cannot be loaded, destroys nothing,
and ss says nothing of it and ends with 0. What is left afterwards does not tell: before Linux 6.11
a socket that nobody holds stays listed with nothing more to say. So it is tried, once, on a
connection of our own.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys

_SS_LIMIT_S = 2.0
_LOOPBACK = "127.0.0.1"


def destroy(*which: str) -> None:
    """Every TCP connection that this filter of ss names; both ends hear of it by an RST.

    OSError, SubprocessError: it was not done, or not surely.
    """
    command = ("ss", "-H", "-t", "-K", "state", "connected", *which)
    done = subprocess.run(command, check=True, timeout=_SS_LIMIT_S, capture_output=True)
    if done.stderr:  # without the right to it, too, it ends with 0
        raise OSError(f"ss: {done.stderr.decode(errors='replace').strip()}")


def try_it() -> None:
    """On a connection over loopback. OSError, SubprocessError: this kernel destroys none."""
    with (
        socket.create_server((_LOOPBACK, 0)) as door,
        socket.create_connection(door.getsockname(), _SS_LIMIT_S) as mine,
        door.accept()[0],
    ):
        destroy("sport", "=", f":{mine.getsockname()[1]}")
        mine.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # it lives, and nobody has said anything
            try:
                mine.recv(1)
            except ConnectionError:
                return
    raise OSError("this kernel destroys no connection (CONFIG_INET_DIAG_DESTROY)")


if __name__ == "__main__":  # deploy/containers/end-connections
    try:
        try_it()
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(str(error))
