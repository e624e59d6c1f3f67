"""Every address of a name, by this host's resolver, within a limit. Never raises."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

from failover.policy import Address

RESOLVE_LIMIT_S = 2.0


async def resolve(name: str) -> tuple[Address, ...]:
    """Both families; empty where the resolver has none, fails, or is slow."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_LIMIT_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(ip_address(str(each[4][0])) for each in found))
