"""One customer: a database session, one transaction after the other, and what it was told.

Invariant: an attempt is ``acked`` only when the server answered COMMIT to COMMIT and said nothing
more; ``failed`` only when the transaction is known not to be committed; everything else that
happens once COMMIT was sent is ``indeterminate``. An id is never used twice.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import Diagnostic

from failover.clock import boottime_s
from failover.lab.workload.attempt import Attempt, Outcome, Recorder, Via
from failover.lab.workload.marketplace import INSTEAD, STATEMENTS, Kind, Purchase, pick
from failover.model import SiteName
from failover.policy import Policy
from failover.transport import libpq_parameters

# From one attempt that did not get through until the next. HAProxy turns away for next to nothing;
# a database host pays for every login that it refuses.
RETRY_AFTER_S = {Via.PROXY: (0.02, 0.05), Via.DIRECT: (0.05, 0.15)}
PAUSE_POLL_S = 0.02

# "canceling wait for synchronous replication": COMMIT is answered, and may yet be lost.
WARNING_SQLSTATE = "01000"

CONNECTION_SETTINGS: dict[str, Any] = {
    "connect_timeout": 2,  # the least that libpq knows
    "tcp_user_timeout": 2000,
    "keepalives": 1,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "gssencmode": "disable",
    "client_encoding": "utf8",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client connects."""

    host: str
    port: int
    authorities: str | None = None  # of the database behind it; None: it is not verified


@dataclass(frozen=True, slots=True)
class Login:
    dbname: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """One client. It goes through its targets in turn, from the first, whenever it is cut."""

    run: str
    name: str
    site: SiteName
    via: Via
    targets: tuple[Target, ...]
    login: Login
    interval_s: float  # between the starts of two transactions, when all is well
    seed: int
    pause_file: Path | None = None  # while it exists the client keeps its session and is idle


def connect(target: Target, login: Login, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A session in autocommit mode. psycopg.Error when there is none to be had."""
    return psycopg.connect(
        host=target.host,
        port=target.port,
        dbname=login.dbname,
        user=login.user,
        password=login.password,
        application_name=name,
        autocommit=True,
        **CONNECTION_SETTINGS,
        **libpq_parameters(target.authorities),
    )


def site_of(policy: Policy, address: str | None) -> SiteName | None:
    """The site in whose networks an address lies."""
    if address is None:
        return None
    for site in policy.sites:
        if any(ip_address(address) in network for network in site.networks):
            return site.name
    return None


class Session:
    """One connection, and the warnings that came on it."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], number: int) -> None:
        self.connection = connection
        self.number = number
        self.server: str | None = None
        self.backend_pid = connection.info.backend_pid
        self.warning: str | None = None
        self.xid: int | None = None  # of the transaction under way
        connection.add_notice_handler(self._notice)

    def _notice(self, notice: Diagnostic) -> None:
        if notice.sqlstate == WARNING_SQLSTATE:
            self.warning = notice.message_primary or "a warning without words"

    def close(self) -> None:
        with suppress(psycopg.Error):
            self.connection.close()


@dataclass(frozen=True, slots=True)
class Told:
    """The outcome of one attempt, before it is written down."""

    outcome: Outcome
    kind: Kind
    detail: str = ""


class Client:
    """Runs until told to stop. Call ``run`` in a thread of its own."""

    def __init__(
        self,
        settings: ClientSettings,
        recorder: Recorder,
        site_of_server: Callable[[str | None], SiteName | None],
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._site_of_server = site_of_server
        self._chance = random.Random(settings.seed)
        self._targets: Iterator[Target] = cycle(settings.targets)
        self._session: Session | None = None
        self._sessions = 0

    def run(self, stop: threading.Event) -> None:
        """One attempt after the other, each recorded, until ``stop`` is set."""
        due_s = boottime_s() + self._chance.uniform(0, self._settings.interval_s)
        while not stop.wait(max(0.0, due_s - boottime_s())):
            if self._paused():
                due_s = boottime_s() + PAUSE_POLL_S
                continue
            attempt = self._attempt()
            self._recorder.append(attempt)
            now_s = boottime_s()
            if attempt.outcome is Outcome.ACKED:
                due_s = max(due_s + self._settings.interval_s, now_s)
            else:
                due_s = now_s + self._chance.uniform(*RETRY_AFTER_S[self._settings.via])
        self._drop()

    def _paused(self) -> bool:
        return self._settings.pause_file is not None and self._settings.pause_file.exists()

    def _attempt(self) -> Attempt:
        """One transaction under a new id, with a new session where there is none."""
        transaction_id = str(uuid.uuid4())
        kind, purchase = pick(self._chance)
        started_s = boottime_s()
        session: Session | None = None
        try:
            session = self._session or self._open()
            told = self._transact(session, transaction_id, kind, purchase)
        except psycopg.Error as error:  # before COMMIT was sent: nothing can be committed
            told = Told(Outcome.FAILED, kind, _words(error))
        ended_s = boottime_s()
        if told.outcome is not Outcome.ACKED:
            self._drop()
        return self._written(transaction_id, session, told, started_s, ended_s)

    def _written(
        self,
        transaction_id: str,
        session: Session | None,
        told: Told,
        started_s: float,
        ended_s: float,
    ) -> Attempt:
        server = session.server if session else None
        return Attempt(
            id=transaction_id,
            run=self._settings.run,
            client=self._settings.name,
            site=self._settings.site,
            via=self._settings.via,
            kind=told.kind,
            started_s=round(started_s, 6),
            ended_s=round(ended_s, 6),
            outcome=told.outcome,
            server=server,
            server_site=self._site_of_server(server),
            backend_pid=session.backend_pid if session else None,
            session=self._sessions,
            detail=told.detail,
            xid=session.xid if session else None,
        )

    def _open(self) -> Session:
        target = next(self._targets)
        self._sessions += 1
        connection = connect(target, self._settings.login, self._settings.name)
        self._session = Session(connection, self._sessions)
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _transact(
        self, session: Session, transaction_id: str, kind: Kind, purchase: Purchase
    ) -> Told:
        """BEGIN, one statement, COMMIT. psycopg.Error only where COMMIT was not sent."""
        session.xid = None
        with session.connection.cursor() as cursor:
            cursor.execute("begin")
            for candidate in (kind, *INSTEAD):
                if self._execute(cursor, session, transaction_id, candidate, purchase):
                    return self._commit(cursor, session, candidate)
            return Told(Outcome.FAILED, kind, "nothing to do: the shop has no buyers")

    def _execute(
        self,
        cursor: psycopg.Cursor[tuple[Any, ...]],
        session: Session,
        transaction_id: str,
        kind: Kind,
        purchase: Purchase,
    ) -> bool:
        """Whether there was something to do for this kind of transaction."""
        parameters = {
            "id": transaction_id,
            "run": self._settings.run,
            "client": self._settings.name,
            "kind": kind.value,
            "buyer": purchase.buyer,
            "seller": purchase.seller,
            "amount": purchase.amount,
        }
        cursor.execute(STATEMENTS[kind], parameters)
        made, server, xid = cursor.fetchone() or (0, None, None)
        session.server, session.xid = server, xid
        return bool(made)

    def _commit(
        self, cursor: psycopg.Cursor[tuple[Any, ...]], session: Session, kind: Kind
    ) -> Told:
        session.warning = None
        try:
            cursor.execute("commit")
        except psycopg.errors.IntegrityError as error:
            return Told(Outcome.FAILED, kind, _words(error))
        except psycopg.Error as error:
            return Told(Outcome.INDETERMINATE, kind, _words(error))
        if cursor.statusmessage == "ROLLBACK":
            return Told(Outcome.FAILED, kind, "the server rolled back")
        if session.warning is not None:
            return Told(Outcome.INDETERMINATE, kind, session.warning)
        return Told(Outcome.ACKED, kind)


def _words(error: psycopg.Error) -> str:
    """The first line of an error, with its SQLSTATE where the server gave one."""
    first, _, _ = str(error).strip().partition("\n")
    return f"{error.sqlstate} {first}" if error.sqlstate else first[:200]
