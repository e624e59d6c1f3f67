"""The keys that a process shows ZooKeeper, and the access lists of what it makes.

Files are read again when they have changed, and a new key is shown in the session that is open, so
that a key is replaced without a restart. Invariant: files that are no good leave what was read
before in force; where znodes are to be closed and it is not known for whom, none is made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from kazoo.security import ACL, Id

from failover.access import IDS_FILE, KEY_FILES, Role, key_file
from failover.access_lists import AccessList, AccessLists, names
from failover.policy import Policy

SCHEME = "digest"
LOOK_EVERY_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the files said. ``credentials``: name:secret, the newest first."""

    credentials: tuple[str, ...] = ()
    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by the name of the key


_Version = tuple[tuple[str, int, int], ...]


class KeyRing:
    """Of one process. ``role`` None: a command's, which shows every key that its user can read."""

    def __init__(self, policy: Policy, role: Role | None, *, makes_at: str | None = None) -> None:
        """``makes_at``: a client that is not ours gives all that it makes the list of this path."""
        self._directory = Path(policy.access.directory)
        self._file = key_file(role) if role is not None else None
        self._closed = policy.access.position.closed
        self._lists = AccessLists(policy)
        self._names = names(policy)
        self._read = _Read()
        self._version: _Version = ()
        self._told = ""
        self._makes_at = makes_at
        self._over = threading.Event()
        self._looking = threading.Lock()
        self.refresh()

    @property
    def credentials(self) -> tuple[str, ...]:
        """What is shown, the newest first."""
        return self._read.credentials

    @property
    def names(self) -> frozenset[str]:
        """Whose keys these are."""
        return frozenset(map(_name, self.credentials))

    @property
    def problem(self) -> str:
        """Why the files cannot be used; empty: they can."""
        return self._told

    def refresh(self) -> bool:
        """Look at the files. True: they say something new."""
        with self._looking:
            try:
                version = self._version_now()
                if version == self._version:
                    return False
                found = self._read_now()
            except (OSError, ValueError) as error:
                self._tell(str(error))
                return False
            changed = found != self._read
            self._version, self._read, self._told = version, found, ""
            return changed

    def show(self, client: Any) -> None:
        """Before a connection is made: it will show these keys and no others."""
        self.refresh()
        client.auth_data = {(SCHEME, each) for each in self.credentials}
        self._give_lists(client)

    def watch(self, client: Any) -> None:
        """From now on, until ``stop``, new keys are shown as they come."""
        thread = threading.Thread(target=self._watch, args=(client,), name="keys", daemon=True)
        thread.start()

    def stop(self) -> None:
        self._over.set()

    def _watch(self, client: Any) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.show_new(client)

    def show_new(self, client: Any) -> None:
        """In the session that is open. What was shown before stays shown in this connection."""
        if not self.refresh():
            return
        log.info("zookeeper_keys_changed", names=sorted({_name(c) for c in self.credentials}))
        for each in self.credentials:
            client.add_auth_async(SCHEME, each)
        self._give_lists(client)

    def _give_lists(self, client: Any) -> None:
        if self._makes_at is None:
            return
        try:
            client.default_acl = self.acl(self._makes_at, ephemeral=True)
        except KeyError as error:  # the ones before stay
            self._tell(error.args[0])

    # ------------------------------------------------------------------ access lists

    def acl(self, path: str, *, ephemeral: bool = False) -> list[ACL] | None:
        """For a znode that is made here; None: open. KeyError: it is not known for whom to close
        it, and the message says what is missing."""
        if not self._closed:
            return None
        wanted = self._lists.of(path, ephemeral=ephemeral)
        if wanted is None:
            raise KeyError(f"{path}: no access list is known for it")
        return self.written(wanted)

    def written(self, wanted: AccessList) -> list[ACL]:
        """As ZooKeeper has it: one line for each id of each key. KeyError as for ``acl``."""
        ids = self._read.ids
        for entry in wanted:
            if entry.who not in ids:
                where = self._directory / IDS_FILE
                raise KeyError(f"{where}: has no id of {entry.who}")
        return [
            ACL(int(entry.may), Id(SCHEME, each)) for entry in wanted for each in ids[entry.who]
        ]

    # ------------------------------------------------------------------ files

    def _paths(self) -> tuple[Path, ...]:
        if self._file is not None:
            return (self._directory / self._file, self._directory / IDS_FILE)
        keys = sorted(self._directory.glob(KEY_FILES.format("*")))
        return (*(path for path in keys if _readable(path)), self._directory / IDS_FILE)

    def _version_now(self) -> _Version:
        found = ((path, path.stat()) for path in self._paths())
        return tuple((path.name, stat.st_mtime_ns, stat.st_ino) for path, stat in found)

    def _read_now(self) -> _Read:
        *keys, ids = self._paths()
        credentials = tuple(line for path in keys for line in lines_of(path))
        if not credentials:
            raise ValueError(f"{self._directory}: no key that this user can read")
        by_name: dict[str, tuple[str, ...]] = {}
        for line in lines_of(ids):
            by_name[_name(line)] = (*by_name.get(_name(line), ()), line)
        return _Read(credentials, by_name)

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            log.error("zookeeper_keys_unusable", error=problem)
        self._told = problem


def ring_of(policy: Policy, role: Role | None) -> KeyRing | None:
    """For a process of this role; None: nothing is shown."""
    return KeyRing(policy, role) if policy.access.position.shown else None


def lines_of(path: Path) -> Iterable[str]:
    """``name:word``, one a line. OSError; ValueError where a line is not like that."""
    for line in path.read_text(encoding="utf-8").split():
        name, colon, word = line.partition(":")
        if not (name and colon and word):
            raise ValueError(f"{path}: a line that is no name:word")  # never shown: it may be a key
        yield line


def _name(line: str) -> str:
    return line.partition(":")[0]


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
