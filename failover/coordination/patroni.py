"""Runs Patroni with a connection to ZooKeeper as impatient as the guard's, and little else changed.

kazoo alone, having lost a frozen server, dials it again as readily as another one: the frozen
host's kernel accepts, and the handshake is waited for as long as ``ttl`` / number of servers, 10 s.
Patroni demotes a healthy primary after ``retry_timeout``, 5 s (docs/decisions/0006). Patroni has
no setting for this, so the class of the connection is replaced before it is loaded.

The other changes: how long Patroni waits for a connection to another PostgreSQL (a standby leader
whose WAL receiver is gone asks its upstream in every loop, black-holed or not, and notices only
then that its configuration names another one by now), and TLS at its REST interface
(``patroni_rest``).
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import kazoo.client
import kazoo.handlers.utils
from kazoo.retry import KazooRetry

from failover.coordination.patroni_rest import seal
from failover.coordination.session import (
    PROBE_PAUSE_S,
    SEALED_PAUSE_S,
    ImpatientConnection,
    dial_sealed,
)

CONNECT_LIMIT_S = 2  # the least that libpq knows; Patroni has 3


class PatroniConnection(ImpatientConnection):
    """Asks again at once which server serves, instead of after a growing pause."""

    def __init__(
        self, client: Any, retry_sleeper: KazooRetry, logger: Any = None, sasl_options: Any = None
    ) -> None:
        retry_sleeper.delay = SEALED_PAUSE_S if client.use_ssl else PROBE_PAUSE_S
        retry_sleeper.backoff = 1
        retry_sleeper.max_jitter = 0.0
        super().__init__(client, retry_sleeper, logger, sasl_options)


_connect_plainly = kazoo.handlers.utils.create_tcp_connection


def _connect(module: Any, *args: Any, **kwargs: Any) -> Any:
    """With TLS as the guard does, the address verified too, for which Patroni has no word."""
    if kwargs.get("use_ssl"):
        return dial_sealed(**kwargs)
    return _connect_plainly(module, *args, **kwargs)


def run(config_file: str) -> None:
    """Patroni's own main program. Returns or exits as it does."""
    kazoo.client.ConnectionHandler = PatroniConnection
    kazoo.handlers.utils.create_tcp_connection = _connect
    rest: Any = importlib.import_module("patroni.api")
    seal(rest.RestApiServer)
    databases: Any = importlib.import_module("patroni.postgresql.connection")
    databases.DEFAULT_CONNECT_TIMEOUT = CONNECT_LIMIT_S
    sys.argv = ["patroni", config_file]
    importlib.import_module("patroni.__main__").main()
