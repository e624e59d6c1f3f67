"""Which Patroni scopes stand below a namespace of an ensemble that is not ours. Reads only."""

from __future__ import annotations

from collections.abc import Iterable

from failover.coordination.kazoo_store import KazooStore
from failover.coordination.session import Server, SessionClient
from failover.coordination.store import StoreUnavailable

SESSION_MS = 4000
LIMIT_S = 3.0


def scopes_below(servers: Iterable[tuple[str, int]], namespace: str) -> tuple[str, ...]:
    """Names; a session is opened and closed again. StoreUnavailable without an answer."""
    listed = [Server(address, port) for address, port in servers]
    client = SessionClient(listed, session_ms=SESSION_MS, answer_limit_s=LIMIT_S)
    live = client.start_async()
    names = ", ".join(str(each) for each in listed)
    try:
        if not live.wait(LIMIT_S):
            raise StoreUnavailable(f"no ZooKeeper server answered within {LIMIT_S:g} s: {names}")
        store = KazooStore(client, servers=names, limit_s=LIMIT_S, drop_socket=client.drop_socket)
        return store.children(namespace)
    finally:
        client.stop_aside()
