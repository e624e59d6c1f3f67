"""Runs Patroni with a connection to ZooKeeper as impatient as the guard's, and little else changed.

kazoo alone, having lost a frozen server, dials it again as readily as another one: the frozen
host's kernel accepts, and the handshake is waited for as long as ``ttl`` / number of servers, 10 s.
Patroni demotes a healthy primary after ``retry_timeout``, 5 s (docs/decisions/0006). Patroni has
no setting for this, so the class of the connection is replaced before it is loaded.

Where ZooKeeper tells roles apart (decision 0019) it shows Patroni's key, and closes what it makes.

A reload takes the roles and passwords of ``patroni.env`` too (``rereading``): Patroni alone reads
its environment at its start only, and a restart for a password would not be nothing. Its password
file keeps the replication role before the present one (``knows_both``).

The other changes: how long Patroni waits for a connection to another PostgreSQL (a standby leader
whose WAL receiver is gone asks its upstream in every loop, black-holed or not, and notices only
then that its configuration names another one by now), and TLS at its REST interface
(``patroni_rest``).
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import kazoo.client
import kazoo.handlers.utils
from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

from failover.access import Role
from failover.coordination.keys import KeyRing
from failover.coordination.patroni_rest import seal
from failover.coordination.session import (
    PROBE_PAUSE_S,
    SEALED_PAUSE_S,
    ImpatientConnection,
    dial_sealed,
)
from failover.host_secrets import PATRONI_ENVIRONMENT, PATRONI_FILE, PATRONI_USERS, PLACE, TURNS
from failover.policy import DatabaseHost, Policy
from failover.znode import ScopePaths

logger = logging.getLogger(__name__)

ENVIRONMENT_FILE = Path("/") / PLACE / PATRONI_FILE
READ_AGAIN = PATRONI_ENVIRONMENT.keys() | PATRONI_USERS.keys()
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


class _Client(KazooClient):  # type: ignore[misc]
    """Patroni's client is made of this one: new keys are shown to it as they come."""

    keys: KeyRing | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.keys is not None:
            self.keys.watch(self)


def keys_of(policy: Policy, host: DatabaseHost) -> KeyRing | None:
    """Patroni's on this host; None: it shows none. ValueError where it could not close what it
    makes: it had better not start."""
    if not policy.access.position.shown:
        return None
    scope = policy.cluster(host.cluster).scope(host.site)
    root = ScopePaths(policy.patroni_namespace, scope).root
    keys = KeyRing(policy, Role.PATRONI, makes_at=root)
    try:
        keys.acl(root, ephemeral=True)
    except KeyError as error:
        raise ValueError(keys.problem or error.args[0]) from None
    return keys


def _impatient(keys: KeyRing | None) -> None:
    kazoo.client.ConnectionHandler = PatroniConnection
    kazoo.handlers.utils.create_tcp_connection = _connect
    if keys is not None:
        PatroniConnection.keys = _Client.keys = keys
        kazoo.client.KazooClient = _Client


def rereading(settings: Any, file: Path = ENVIRONMENT_FILE) -> None:
    """Patroni's module of settings: a reload finds the passwords that stand in ``file`` by then.

    They and their roles alone: nothing else of the environment may change without a start, which
    the barriers' check looks at. A file that cannot be read changes nothing.
    """
    reload = settings.Config.reload_local_configuration

    def reload_local_configuration(self: Any) -> Any:
        try:
            os.environ.update(_passwords(file))
            # A copy: the configuration in use may share its parts, and would not seem changed.
            environment = copy.deepcopy(self._Config__environment_configuration)
            settings.patch_config(environment, self._build_environment_configuration())
            self._Config__environment_configuration = environment
        except (OSError, UnicodeDecodeError, AttributeError) as error:  # another Patroni, perhaps
            logger.warning("passwords stay as they are: %s: %s", file, error)
        return reload(self)

    settings.Config.reload_local_configuration = reload_local_configuration


def _passwords(file: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in lines if name in READ_AGAIN and value}


def knows_both(handler: Any) -> None:
    """Patroni's handler of configurations: its password file keeps the replication role before.

    It writes the file first and reloads PostgreSQL after; a receiver that connects in between, as
    the role before, would find no password. The present role's line is the first.
    """
    if not isinstance(vars(handler).get("_pgpass_content"), staticmethod):
        # Another version of Patroni, which has to start all the same.
        logger.warning("this Patroni's password file has one role: who takes turns may be refused")
        return
    lines_of, known = handler._pgpass_content, dict[str, str]()

    def _pgpass_content(record: dict[str, Any]) -> str | None:
        user = record.get("user")
        if "password" not in record or user not in TURNS["replication"]:
            return lines_of(record)  # type: ignore[no-any-return]
        known[user] = record["password"]
        order = sorted(known, key=lambda each: each != user)
        return "".join(lines_of({**record, "user": u, "password": known[u]}) for u in order)

    handler._pgpass_content = staticmethod(_pgpass_content)


def run_patronictl(arguments: tuple[str, ...], keys: KeyRing | None) -> None:
    """``patronictl`` with Patroni's key, and with its access lists on what it makes."""
    _impatient(keys)
    sys.argv = ["patronictl", *arguments]
    importlib.import_module("patroni.ctl").ctl()


def run(config_file: str, keys: KeyRing | None = None) -> None:
    """Patroni's own main program. Returns or exits as it does."""
    _impatient(keys)
    rest: Any = importlib.import_module("patroni.api")
    seal(rest.RestApiServer)
    rereading(importlib.import_module("patroni.config"))
    knows_both(importlib.import_module("patroni.postgresql.config").ConfigHandler)
    databases: Any = importlib.import_module("patroni.postgresql.connection")
    databases.DEFAULT_CONNECT_TIMEOUT = CONNECT_LIMIT_S
    sys.argv = ["patroni", config_file]
    importlib.import_module("patroni.__main__").main()
