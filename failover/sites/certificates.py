"""Which certificate a server really shows, verified, and until when: `failover check` asks, and
controllers do every minute.

What is served counts and not what lies in a file: a renewal that nobody took shows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from failover.checks.found import CertificateFound
from failover.model import HostName
from failover.policy import Address, Policy
from failover.sealed import context_of
from failover.sites.haproxy import STATISTICS_PORT
from failover.sites.trouble import one_line
from failover.transport import Identity

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # PostgreSQL's manual: message formats


async def ask_certificates(policy: Policy, limit_s: float) -> tuple[CertificateFound, ...]:
    """Of every server of the wires that have TLS, all at once."""
    tls, asked = policy.tls, []
    if tls.zookeeper.served:
        for server in policy.zookeeper_servers:
            asked.append((server.name, "zookeeper", server.address, server.client_port, b""))
    for host in (host for cluster in policy.clusters for host in cluster.hosts):
        if tls.postgresql.served:
            where = (host.address, host.postgres_port)
            asked.append((host.name, "postgresql", *where, _SSL_REQUEST))
        if tls.patroni.served:
            asked.append((host.name, "patroni", host.address, host.patroni_port, b""))
        if tls.http.served:
            asked.append((host.name, "http", host.address, host.guard_port, b""))
    for one in (site.controller for site in policy.sites if tls.http.served):
        asked.append((one.name, "http", one.address, one.metrics_port, b""))
    for proxy in (proxy for site in policy.sites for proxy in site.proxies if tls.http.required):
        asked.append((proxy.name, "http", proxy.address, STATISTICS_PORT, b""))
    questions = (asyncio.to_thread(_ask, tls.identity, limit_s, *each) for each in asked)
    return tuple(await asyncio.gather(*questions))


def _ask(
    identity: Identity, limit_s: float, host: HostName, wire: str, *where: Address | int | bytes
) -> CertificateFound:
    address, port, first = where
    assert isinstance(port, int)
    assert isinstance(first, bytes)
    try:
        until_unix_s = _until_unix_s(identity, str(address), port, first, limit_s)
    except (ssl.SSLError, ValueError) as error:
        return CertificateFound(host, wire, None, one_line(error), answered=True)
    except OSError as error:
        return CertificateFound(host, wire, None, one_line(error), answered=False)
    return CertificateFound(host, wire, until_unix_s, "", answered=True)


def _until_unix_s(
    identity: Identity, address: str, port: int, first: bytes, limit_s: float
) -> float:
    """ValueError, ssl.SSLError: it answers, and proves nothing. OSError: no answer."""
    context = context_of(identity)
    with socket.create_connection((address, port), limit_s) as link:
        if first:
            link.sendall(first)
            if link.recv(1) != b"S":
                raise ValueError("it does not take TLS")
        with context.wrap_socket(link, server_hostname=address) as sealed:
            found = sealed.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found.get("notAfter", ""))))
