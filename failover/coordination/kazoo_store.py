"""The real ensemble behind the ``Store`` protocol.

Every call is answered within ``limit_s`` or given up; then the socket is dropped, so that the
client dials another server: kazoo itself does not notice a black-holed server while it keeps
sending. A request that was given up and never sent is taken out of the queue again, so that it
cannot happen later, in another session. Nothing is retried here and kazoo's connection state proves
nothing: all writes are conditional.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    UnimplementedError,
)
from kazoo.security import ACL

from failover.coordination.keys import KeyRing
from failover.coordination.multi_read import MultiRead
from failover.coordination.store import FORBIDDEN, StoreForbidden, StoreUnavailable
from failover.endpoints import endpoint
from failover.znode import (
    Check,
    Committed,
    Conflict,
    Create,
    Delete,
    Op,
    OutcomeUnknown,
    Set,
    Transaction,
    Znode,
)

PATHS_PER_REQUEST_MAX = 200  # neither request nor answer comes near the megabyte of a packet

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (NoNodeError, "does not exist"),
    (BadVersionError, "has another version"),
    (NodeExistsError, "exists already"),
    (NotEmptyError, "has children"),
    (NoAuthError, FORBIDDEN),
)


@dataclass(frozen=True, slots=True)
class AclSeen:
    """One access list as it is. Digests are only told to whoever may change it."""

    acl: tuple[ACL, ...]
    version: int
    ephemeral: bool


class KazooStore:
    """A ``Store`` on one kazoo client. Usable from several threads; holds no lock while waiting."""

    def __init__(
        self,
        client: Any,
        *,
        servers: str,
        limit_s: float,
        drop_socket: Callable[[], None],
        keys: KeyRing | None = None,
    ) -> None:
        """``keys``: whose access lists what is made here gets; None: it is open."""
        self._client = client
        self._keys = keys
        self._servers = servers
        self._limit_s = limit_s
        self._drop_socket = drop_socket

    @property
    def session_id(self) -> int | None:
        identity = self._client.client_id
        return None if identity is None else identity[0]

    @property
    def connected_to(self) -> str | None:
        """The server this client talks to now, for humans; None while there is none."""
        try:
            host, port = self._client._connection._socket.getpeername()[:2]
        except (AttributeError, OSError):
            return None
        return endpoint(host, port)

    def read(self, path: str) -> Znode | None:
        return self.read_many((path,))[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, Znode | None]:
        """Several znodes in one round trip. Not a snapshot: each is read on its own."""
        self._need_connection()
        wanted = tuple(dict.fromkeys(paths))
        each = PATHS_PER_REQUEST_MAX
        asked = [self._ask(wanted[at : at + each]) for at in range(0, len(wanted), each)]
        until_s = time.monotonic() + self._limit_s
        found = (self._read(part, result, until_s) for part, result in asked)
        return {path: znode for part in found for path, znode in part.items()}

    def children(self, path: str) -> tuple[str, ...]:
        self._need_connection()
        result = self._client.get_children_async(path)
        try:
            names: Sequence[str] = self._answer(result, time.monotonic() + self._limit_s)
        except NoNodeError:
            return ()
        return tuple(sorted(names))

    def sync(self) -> None:
        self._need_connection()
        self._answer(self._client.sync_async("/"), time.monotonic() + self._limit_s)

    def commit(self, transaction: Transaction) -> Committed | Conflict | OutcomeUnknown:
        if not transaction:
            return Committed()
        if not self._client.connected:
            return OutcomeUnknown(f"not connected, so not sent (servers: {self._servers})")
        request = self._client.transaction()
        try:
            for op in transaction:
                _add(request, op, self._keys)
        except KeyError as error:
            return OutcomeUnknown(f"not sent: {error.args[0]}")
        try:
            results = self._answer(request.commit_async(), time.monotonic() + self._limit_s)
        except StoreUnavailable as error:
            return OutcomeUnknown(str(error))
        except KazooException as error:
            return OutcomeUnknown(f"ZooKeeper: {type(error).__name__} {error}".rstrip())
        return outcome_of(transaction, results)

    def acls_of(self, paths: Iterable[str]) -> dict[str, AclSeen | None]:
        """The access lists, all asked for at once; None: there is no such znode."""
        self._need_connection()
        asked = [(path, self._client.get_acls_async(path)) for path in paths]
        found: dict[str, AclSeen | None] = {}
        for path, result in asked:
            try:
                acls, stat = self._answer(result, time.monotonic() + self._limit_s)
            except NoNodeError:
                found[path] = None
            except StoreForbidden:
                raise StoreForbidden(f"{path} {FORBIDDEN}") from None
            else:
                found[path] = AclSeen(tuple(acls), stat.aversion, stat.ephemeralOwner != 0)
        return found

    def set_acl(self, path: str, acl: Sequence[ACL], version: int) -> bool:
        """False: somebody else has changed it, or it is gone. StoreForbidden, StoreUnavailable."""
        self._need_connection()
        result = self._client.set_acls_async(path, list(acl), version)
        try:
            self._answer(result, time.monotonic() + self._limit_s)
        except (NoNodeError, BadVersionError):
            return False
        except StoreForbidden:
            raise StoreForbidden(f"the access list of {path} {FORBIDDEN}") from None
        return True

    @property
    def keys(self) -> KeyRing | None:
        """What this process shows; None: nothing."""
        return self._keys

    def wake_on(self, path: str, callback: Callable[[], None]) -> None:
        """Call back once, from another thread, when the znode is made, changed or deleted.

        Also when the connection is lost or the watch could not be set. Only a reason to look
        again, never evidence.
        """
        asked = self._client.exists_async(path, watch=lambda _event: callback())
        asked.rawlink(lambda answer: None if answer.successful() else callback())

    def _need_connection(self) -> None:
        if not self._client.connected:
            raise StoreUnavailable(f"no connection to ZooKeeper; servers: {self._servers}")

    def _ask(self, paths: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
        result = self._client.handler.async_result()
        self._client._call(MultiRead(paths), result)
        return paths, result

    def _read(self, paths: tuple[str, ...], result: Any, until_s: float) -> dict[str, Znode | None]:
        answers = self._answer(result, until_s)
        if len(answers) != len(paths):
            raise StoreUnavailable(
                f"ZooKeeper answered for {len(answers)} of {len(paths)} znodes; "
                f"servers: {self._servers}"
            )
        return dict(zip(paths, map(self._znode, paths, answers), strict=True))

    def _znode(self, path: str, answer: Any) -> Znode | None:
        if isinstance(answer, NoNodeError):
            return None
        if isinstance(answer, NoAuthError):
            raise StoreForbidden(f"{path} {FORBIDDEN}: NoAuthError")
        if isinstance(answer, Exception):
            raise StoreUnavailable(f"{path} cannot be read: ZooKeeper: {type(answer).__name__}")
        data, stat = answer
        return Znode(path, data, stat.version, stat.ephemeralOwner, stat.numChildren)

    def _answer(self, result: Any, until_s: float) -> Any:
        """What ZooKeeper said; its refusal of one znode as kazoo's exception."""
        try:
            return result.get(timeout=max(0.0, until_s - time.monotonic()))
        except (NoNodeError, NodeExistsError, BadVersionError, NotEmptyError):
            raise
        except self._client.handler.timeout_exception:
            if not self._withdraw(result):
                self._drop_socket()
            raise StoreUnavailable(
                f"no answer from ZooKeeper within {self._limit_s:g} s; servers: {self._servers}"
            ) from None
        except NoAuthError:
            raise StoreForbidden(f"this {FORBIDDEN}") from None
        except UnimplementedError:
            raise StoreUnavailable(
                f"ZooKeeper is too old: it has to be 3.6 or later; servers: {self._servers}"
            ) from None
        except KazooException as error:
            raise StoreUnavailable(
                f"ZooKeeper connection lost ({type(error).__name__}); servers: {self._servers}"
            ) from None

    def _withdraw(self, result: Any) -> bool:
        """Take a request that was never sent out of the queue. False where it had been sent."""
        queue = self._client._queue
        for entry in list(queue):
            if entry[1] is result:
                try:
                    queue.remove(entry)
                except ValueError:  # sent in this very instant
                    return False
                return True
        return False


def _add(request: Any, op: Op, keys: KeyRing | None) -> None:
    match op:
        case Check(path, version):
            request.check(path, version)
        case Create(path, data, ephemeral, sequence):
            acl = keys.acl(path, ephemeral=ephemeral) if keys is not None else None
            request.create(path, data, acl=acl, ephemeral=ephemeral, sequence=sequence)
        case Delete(path, version):
            request.delete(path, version)
        case Set(path, data, version):
            if version < 0:
                raise ValueError(f"unconditional write of {path}")
            request.set_data(path, data, version)
        case _:
            assert_never(op)


def outcome_of(transaction: Transaction, results: Sequence[Any]) -> Committed | Conflict:
    """What kazoo's list of results means. It returns exceptions instead of raising them.

    Operations before the refused one carry RolledBackError, those after it RuntimeInconsistency.
    """
    for index, (op, result) in enumerate(zip(transaction, results, strict=True)):
        if isinstance(result, RolledBackError | RuntimeInconsistency):
            continue
        if isinstance(result, Exception):
            return Conflict(index, op, _reason(result))
    if any(isinstance(result, Exception) for result in results):
        return Conflict(0, transaction[0], "rolled back; ZooKeeper named no operation")
    created = (
        result for op, result in zip(transaction, results, strict=True) if isinstance(op, Create)
    )
    return Committed(tuple(created))


def _reason(error: Exception) -> str:
    for kind, text in _REASONS:
        if isinstance(error, kind):
            return text
    return f"refused by ZooKeeper: {type(error).__name__}"
