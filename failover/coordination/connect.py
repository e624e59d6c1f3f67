"""Connections to the ensemble, for controllers and commands.

They list every server, the witness's too (only guards and Patroni leave it out), and say within
the limit that none answers, with the servers tried.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from failover.access import Role
from failover.coordination.kazoo_store import KazooStore
from failover.coordination.keys import ring_of
from failover.coordination.session import Server, SessionClient
from failover.coordination.store import StoreForbidden, StoreUnavailable
from failover.endpoints import endpoint
from failover.policy import Policy, ZooKeeperServer
from failover.timing import lease_timing


def servers_text(policy: Policy) -> str:
    """All servers of the ensemble for a human: name and address."""
    return ", ".join(
        f"{server.name} ({endpoint(server.address, server.client_port)})"
        for server in policy.zookeeper_servers
    )


@contextlib.contextmanager
def open_store(
    policy: Policy, timeout_s: float = 3.5, *, only: ZooKeeperServer | None = None
) -> Iterator[KazooStore]:
    """A store for one command. StoreUnavailable when nothing answers within ``timeout_s``.

    ``only``: this server, from its own host.
    """
    connection = Connection(policy, only=only)
    try:
        yield connection.wait(timeout_s)
    finally:
        connection.close()


# Without any handler Python prints kazoo's warnings on a command's stderr; ours say it better.
logging.getLogger("kazoo").addHandler(logging.NullHandler())


class Connection:
    """One client and its store, for as long as a process runs. Connects in the background."""

    def __init__(
        self, policy: Policy, *, only: ZooKeeperServer | None = None, role: Role | None = None
    ) -> None:
        """``role``: whose key is shown; None: every key that this user can read."""
        self._keys = ring_of(policy, role)
        timing = lease_timing(policy.lease_s)
        self._servers = servers_text(policy)
        self._client = SessionClient(
            [Server("127.0.0.1", only.client_port, only.identity)]
            if only is not None
            else [
                Server(str(s.address), s.client_port, s.identity) for s in policy.zookeeper_servers
            ],
            session_ms=timing.controller_session_ms,
            answer_limit_s=timing.answer_limit_s,
            keys=self._keys,
        )
        self._live: Any = self._client.start_async()
        self.store = KazooStore(
            self._client,
            servers=self._servers,
            limit_s=timing.answer_limit_s,
            drop_socket=self._client.drop_socket,
            keys=self._keys,
        )

    def wait(self, timeout_s: float) -> KazooStore:
        """The store once it is connected. StoreUnavailable after ``timeout_s``; StoreForbidden
        where there is no key to show."""
        if self._keys is not None and self._keys.problem:
            raise StoreForbidden(f"no key can be shown: {self._keys.problem}")
        if not self._live.wait(timeout_s):
            raise StoreUnavailable(
                f"no ZooKeeper server answered within {timeout_s:g} s; tried {self._servers}"
            )
        return self.store

    def close(self) -> None:
        """End the session, and with it this process's ephemeral znodes. Within a second."""
        if self._keys is not None:
            self._keys.stop()
        self._client.stop_aside()
