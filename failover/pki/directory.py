"""The authority's directory: its keys, and what every host gets.

    ca/current.key ca/current.pem    signs; the key is all that it takes to be believed everywhere
    ca/next.key ca/next.pem          is trusted already and signs nothing yet, while it takes over
    ca/previous.pem                  is trusted still; its key is gone
    SITE/HOST/etc/failover/tls/      what is copied to that host: host.pem (0600) and ca.pem

Invariant: a key that exists is never written over unasked, a file is replaced in one rename, and no
key is readable by anybody else at any instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from failover.durable import replace_file
from failover.pki.authority import (
    AUTHORITY_DAYS,
    HOST_DAYS,
    Authority,
    Certificate,
    Key,
    Unreadable,
    certificate_pem,
    issue,
    key_pem,
    new_authority,
    new_key,
    read_certificates,
    read_key,
    says,
    signed_by,
)
from failover.transport import AUTHORITY_FILE, HOST_FILE, HostNames

Found = TypeVar("Found")

RENEW_SHARE = 1 / 3  # of its life that is left


class PkiError(Exception):
    """What is not as it has to be, and where; ``todo`` says what to do."""

    def __init__(self, what: str, *, where: Path | str = "", todo: str = "") -> None:
        super().__init__(what)
        self.where = str(where)
        self.todo = todo


class Why(StrEnum):
    """Why a host got a new certificate."""

    NEW = "new"
    NAMES = "its names have changed"
    AUTHORITY = "another authority signs now"
    AGE = "its time is running out"
    ASKED = "asked for"


@dataclass(frozen=True, slots=True)
class Held:
    """What stands in a host's file."""

    key: Key
    certificate: Certificate


class Directory:
    """One group's authority. ``on_host``: where the files are on every host."""

    def __init__(self, path: Path, on_host: str) -> None:
        self.path = path
        self._on_host = on_host.lstrip("/")

    # ------------------------------------------------------------------ the authority

    def init(self, group: str, now: datetime, days: int = AUTHORITY_DAYS) -> bool:
        """Make the authority. False: there is one, and it is left as it is."""
        if self._certificate_file("current").exists():
            self.current()
            return False
        self._store("current", new_authority(group, 1, now, days))
        return True

    def current(self) -> Authority:
        """Who signs. PkiError where there is none, or where its key does not fit."""
        return self._authority("current")

    def trusted(self) -> tuple[Certificate, ...]:
        """Everybody who is believed, the one that signs first."""
        found = []
        for part in ("current", "next", "previous"):
            path = self._certificate_file(part)
            if path.exists():
                found.append(read(path, read_certificates)[0])
        if not found:
            raise self._no_authority()
        return tuple(found)

    def begin_change(self, group: str, now: datetime, days: int = AUTHORITY_DAYS) -> bool:
        """Make the next authority; it is trusted from now on. False: it is there."""
        self.current()
        if self._certificate_file("next").exists():
            return False
        if self._certificate_file("previous").exists():
            raise PkiError(
                "the last change of the authority is not finished",
                where=self._certificate_file("previous"),
                todo="`failover pki ca forget` once every host has a certificate of the new one",
            )
        number = 1 + max(_number(each) for each in self.trusted())
        self._store("next", new_authority(group, number, now, days))
        return True

    def switch(self, hosts: Sequence[HostNames]) -> None:
        """The next authority signs from now on; the one before is believed still, its key is gone.

        PkiError while there is a host whose file of the trusted does not have the next one: it
        would believe nobody with a new certificate.
        """
        if not self._certificate_file("next").exists():
            raise PkiError(
                "there is no next authority",
                where=self.path / "ca",
                todo="`failover pki ca next` makes one; give every host its ca.pem first",
            )
        begun = self._certificate_file("previous").exists()
        if not begun:
            self._trusted_by(hosts, self._authority("next").certificate)
            self._certificate_file("current").replace(self._certificate_file("previous"))
        # A crash in between leaves everybody believed who was, and this call goes on from there.
        if self._key_file("next").exists():
            self._key_file("next").replace(self._key_file("current"))
        self._certificate_file("next").replace(self._certificate_file("current"))

    def _trusted_by(self, hosts: Sequence[HostNames], authority: Certificate) -> None:
        files = [self.authority_file(names) for names in hosts]
        late = [
            path
            for path in files
            if path.exists() and authority not in read(path, read_certificates)
        ]
        if late:
            raise PkiError(
                f"{len(late)} hosts do not trust the next authority yet",
                where=late[0],
                todo="`failover pki issue`, copy every host's ca.pem to it, then this again",
            )

    def forget(self, hosts: Sequence[HostNames]) -> None:
        """The authority before is not believed any more. PkiError while it is anybody's."""
        previous = self._certificate_file("previous")
        if not previous.exists():
            raise PkiError("there is no authority to forget", where=self.path / "ca")
        before = read(previous, read_certificates)[0]
        held = ((names, self.held(names)) for names in hosts)
        still = [n.host for n, h in held if h is not None and signed_by(h.certificate, before)]
        if still:
            raise PkiError(
                f"it has signed what these hosts have: {', '.join(still)}",
                where=previous,
                todo="`failover pki issue`, copy the new files to them, then this again",
            )
        previous.unlink()

    # ------------------------------------------------------------------ hosts

    def issue(
        self,
        names: HostNames,
        now: datetime,
        *,
        days: int = HOST_DAYS,
        renew: bool = False,
        new_keys: bool = False,
    ) -> Why | None:
        """See that a host has what it needs. None: it had, but for the list of who is trusted.

        The key stays, unless ``new_keys`` asks for another.
        """
        authority = self.current()
        held = self.held(names)
        why = self._why(held, names, authority, now, asked=renew or new_keys)
        if why is not None:
            key = held.key if held is not None and not new_keys else new_key()
            certificate = issue(authority, names, key, now, days)
            _write(self.host_file(names), key_pem(key) + certificate_pem(certificate), 0o600)
        bundle = b"".join(certificate_pem(each) for each in self.trusted())
        self.authority_file(names).parent.mkdir(parents=True, exist_ok=True)
        if not _has(self.authority_file(names), bundle):
            _write(self.authority_file(names), bundle, 0o644)
        return why

    def _why(
        self,
        held: Held | None,
        names: HostNames,
        authority: Authority,
        now: datetime,
        *,
        asked: bool,
    ) -> Why | None:
        if held is None:
            return Why.NEW
        found = held.certificate
        life = found.not_valid_after_utc - found.not_valid_before_utc
        if asked:
            return Why.ASKED
        if not says(found, names):
            return Why.NAMES
        if not signed_by(found, authority.certificate):
            return Why.AUTHORITY
        return Why.AGE if found.not_valid_after_utc - now < life * RENEW_SHARE else None

    def held(self, names: HostNames) -> Held | None:
        """What a host has; None: nothing. PkiError where it cannot be read or does not fit."""
        path = self.host_file(names)
        if not path.exists():
            return None
        key, certificates = read(path, read_key), read(path, read_certificates)
        if certificates[0].public_key() != key.public_key():
            raise PkiError("its certificate is not that of its key", where=path)
        return Held(key, certificates[0])

    def host_file(self, names: HostNames) -> Path:
        return self.path / names.site / names.host / self._on_host / HOST_FILE

    def authority_file(self, names: HostNames) -> Path:
        return self.path / names.site / names.host / self._on_host / AUTHORITY_FILE

    # ------------------------------------------------------------------ files of the authority

    def _authority(self, part: str) -> Authority:
        certificate_file, key_file = self._certificate_file(part), self._key_file(part)
        if not certificate_file.exists():
            raise self._no_authority()
        if not key_file.exists():
            raise PkiError(
                "the authority's key is not there",
                where=key_file,
                todo="bring back the medium that it is kept on; it is needed only here",
            )
        certificate = read(certificate_file, read_certificates)[0]
        key = read(key_file, read_key)
        if certificate.public_key() != key.public_key():
            raise PkiError("it is not the key of the certificate beside it", where=key_file)
        return Authority(key, certificate)

    def _no_authority(self) -> PkiError:
        return PkiError(
            "there is no certificate authority",
            where=self.path / "ca",
            todo="`failover pki init` makes one",
        )

    def _store(self, part: str, authority: Authority) -> None:
        """The key first: a certificate without its key would be believed and could not sign."""
        key_file = self._key_file(part)
        if key_file.exists():
            raise PkiError(
                "there is a key without a certificate; it is not written over",
                where=key_file,
                todo="bring its certificate back, or move the key away",
            )
        _write(key_file, key_pem(authority.key), 0o600)
        _write(self._certificate_file(part), certificate_pem(authority.certificate), 0o644)

    def _certificate_file(self, part: str) -> Path:
        return self.path / "ca" / f"{part}.pem"

    def _key_file(self, part: str) -> Path:
        return self.path / "ca" / f"{part}.key"


def _number(certificate: Certificate) -> int:
    """The number in the name of an authority that was made here."""
    last = certificate.subject.rfc4514_string().rpartition(" ")[2]
    return int(last) if last.isascii() and last.isdigit() else 0


def _has(path: Path, data: bytes) -> bool:
    return path.exists() and path.read_bytes() == data


def read(path: Path, parse: Callable[[bytes], Found]) -> Found:
    """What is in a file of keys or certificates. PkiError where that cannot be read."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise PkiError(f"cannot be read: {error.strerror}", where=path) from None
    except Unreadable as error:
        raise PkiError(str(error), where=path) from None


def _write(path: Path, data: bytes, mode: int) -> None:
    """In one rename; nobody else can read it before or after."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, data, mode)
