"""How a guard's or a controller's HTTP door is asked: its address, and TLS where it has it."""

from __future__ import annotations

import ssl

from failover.endpoints import endpoint
from failover.policy import ControllerHost, DatabaseHost
from failover.sealed import context_of


def door(host: DatabaseHost | ControllerHost, path: str) -> str:
    """The URL; ``path`` begins with a slash."""
    port = host.guard_port if isinstance(host, DatabaseHost) else host.metrics_port
    scheme = "https" if host.http_identity else "http"
    return f"{scheme}://{endpoint(host.address, port)}{path}"


def proof(host: DatabaseHost | ControllerHost) -> ssl.SSLContext | bool:
    """What aiohttp takes for ``ssl``. OSError where this process's own files cannot be used."""
    return context_of(host.http_identity) if host.http_identity else True
