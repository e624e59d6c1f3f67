"""An address and a port in one text. Pure."""

from __future__ import annotations

from failover.policy import Address


def endpoint(address: Address | str, port: int) -> str:
    """``address:port``, with the brackets that IPv6 needs; ``address`` may be a host's name."""
    text = str(address)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
