"""Before a local promotion: the WAL that only the other site has, streamed from there.

A primary sends its WAL to the replica of its site and to the other site at once, and dies somewhere
between the two. A replica that is promoted without the surplus loses what was acknowledged, and the
other site, being ahead, cannot follow before it is rewound. So the replica streams the surplus from
the other site's standby leader first. Never waits for long, and never keeps a promotion from going
on without: where the other site is not seen, or does not answer, all is as if this were not here.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from failover.coordination.kazoo_store import KazooStore
from failover.coordination.store import StoreUnavailable
from failover.guard.local_connection import SOCKET_DIR, Connection, connected_locally
from failover.guard.permits import Member, WalEnd
from failover.guard.wal_end import ask_server
from failover.health.observation import (
    PatroniSeen,
    PostgresSeen,
    SiteObservation,
    decode_observation,
)
from failover.model import HostName, Lsn
from failover.policy import Cluster, DatabaseHost
from failover.state import GroupState, StandbyScope, StateError

TIDY_S = 5.0  # for taking back what was set, at most
LIMIT_S = 3.0  # PostgreSQL takes a second to look for another sender
POLL_S = 0.01
_UNESCAPED_COLON = re.compile(r"(?<!\\):")  # an IPv6 address has escaped ones

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Surplus:
    """A standby of the other site has WAL up to ``end``, which this host does not have."""

    host: HostName
    end: Lsn


def surplus(
    me: Member,
    cluster: Cluster,
    state: GroupState,
    seen: Iterable[SiteObservation],
    own: WalEnd,
) -> Surplus | None:
    """What observers last saw of the other site's leader, where it is ahead on our own timeline."""
    if not _one_primary(me, state):
        return None
    others = {host.name for host in cluster.hosts if host.site != me.site}
    best: Surplus | None = None
    for observation in seen:
        for host in observation.hosts:
            postgres, patroni = host.postgres, host.patroni
            if host.host not in others or not isinstance(postgres, PostgresSeen):
                continue
            leads = isinstance(patroni, PatroniSeen) and patroni.role == "standby_leader"
            received = postgres.received_lsn
            if not leads or received is None or postgres.timeline != own.timeline:
                continue
            if received > own.lsn and (best is None or received > best.end):
                best = Surplus(host.host, received)
    return best


def _one_primary(me: Member, state: GroupState) -> bool:
    """Both are standbys of one primary: the record says that the other site follows, and that
    this site's last promotion is done."""
    recorded = state.clusters.get(me.cluster)
    if recorded is None or state.active_site != me.site:
        return False
    return recorded.promoted and recorded.standby is StandbyScope.FOLLOWING


class CatchUp:
    """Looks what observers saw, and streams the surplus to this host's running standby."""

    def __init__(
        self, me: Member, cluster: Cluster, store: KazooStore, port: int, run_dir: Path
    ) -> None:
        self._me = me
        self._cluster = cluster
        self._store = store
        self._port = port
        self._passfile = run_dir / "catch-up.pgpass"

    def before_promotion(self, state: GroupState) -> None:
        """Call it once per promotion, before the permit. Takes at most ``LIMIT_S`` and a little."""
        if not _one_primary(self._me, state):
            return  # a promotion that the controllers have decided on waits for nothing
        own = ask_server(SOCKET_DIR, self._port)
        found = surplus(self._me, self._cluster, state, self._seen(), own) if own else None
        if own is None or found is None:
            return
        source = next(host for host in self._cluster.hosts if host.name == found.host)
        there = self.stream(source, found.end)
        log.warning("caught_up", source=source.name, bytes=found.end - own.lsn, everything=there)

    def _seen(self) -> list[SiteObservation]:
        """What every observer published last; one that cannot be read says nothing."""
        seen = []
        with suppress(StoreUnavailable):
            for name in self._store.children(self._me.paths.observers):
                found = self._store.read(f"{self._me.paths.observers}/{name}")
                with suppress(StateError):
                    if found is not None:
                        seen.append(decode_observation(found.data, path=found.path))
        return seen

    def stream(self, source: DatabaseHost, end: Lsn, limit_s: float = LIMIT_S) -> bool:
        """Whether this host has received everything up to ``end`` within the limit."""
        try:
            with connected_locally(SOCKET_DIR, self._port, limit_s=limit_s + TIDY_S) as connection:
                connection.autocommit = True  # ALTER SYSTEM wants it so
                return self._stream(connection, source, end, time.monotonic() + limit_s)
        except (psycopg.Error, OSError, ValueError, IndexError) as error:
            log.warning("not_caught_up", source=source.name, error=str(error).strip())
            return False
        finally:
            self._passfile.unlink(missing_ok=True)

    def _stream(
        self,
        connection: Connection,
        source: DatabaseHost,
        end: Lsn,
        until_s: float,
    ) -> bool:
        """What is set is taken back whatever comes of it; Patroni removes it as well at a start."""
        conninfo = self._conninfo(_setting(connection, "primary_conninfo"), source)
        try:
            _set(connection, "primary_conninfo", conninfo)
            _set(connection, "primary_slot_name", "")  # there is none for us over there
            connection.execute("select pg_reload_conf()")
            while not (there := _received(connection) >= end) and time.monotonic() < until_s:
                time.sleep(POLL_S)
            return there
        finally:
            connection.execute("alter system reset primary_conninfo")
            connection.execute("alter system reset primary_slot_name")
            connection.execute("select pg_reload_conf()")

    def _conninfo(self, present: str, source: DatabaseHost) -> str:
        """As Patroni made it, with the source's address, and a password file that knows it."""
        parts = {k: v for k, v in conninfo_to_dict(present).items() if k != "hostaddr"}
        parts |= {"host": str(source.address), "port": str(source.postgres_port)}
        passfile = parts.get("passfile")
        if passfile:
            password = _password(Path(str(passfile)), str(parts.get("user", "")))
            line = passfile_line(source, str(parts.get("user", "")), password)
            descriptor = os.open(self._passfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line)
            parts["passfile"] = str(self._passfile)
        return make_conninfo("", **parts)


def passfile_line(source: DatabaseHost, user: str, password: str) -> str:
    """For that host alone. ``password``: escaped already. The colons of an IPv6 address are."""
    host = str(source.address).replace(":", r"\:")
    return f"{host}:{source.postgres_port}:*:{user}:{password}\n"


def _password(passfile: Path, user: str) -> str:
    """As it stands in the file, escapes and all.

    Two lines while the replication roles turn, each for its role; ValueError without one.
    """
    for line in passfile.read_text(encoding="utf-8").splitlines():
        *_, of, password = _UNESCAPED_COLON.split(line, maxsplit=4)
        if of == user:
            return password
    raise ValueError(f"{passfile} has no password of {user}")


def _setting(connection: Connection, name: str) -> str:
    row = connection.execute("select current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row is not None else ""


def _set(connection: Connection, name: str, value: str) -> None:
    alter = sql.SQL("alter system set {} = {}")
    connection.execute(alter.format(sql.Identifier(name), sql.Literal(value)))


def _received(connection: Connection) -> Lsn:
    query = "select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    row = connection.execute(query).fetchone()
    return Lsn.parse(str(row[0])) if row is not None and row[0] is not None else Lsn(0)
