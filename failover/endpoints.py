"""A port of an address in the one way that every client reads. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address


def endpoint(address: IPv4Address | IPv6Address, port: int) -> str:
    """``address:port``, with the brackets that IPv6 needs."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
