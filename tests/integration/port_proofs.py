"""What clients of a lab have to prove themselves with, of each kind."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from port_wire import client_context

from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.reference.ports import Client


class Proofs:
    """``directory``: for what another authority signs."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.policy = lab.policy
        self._controller = lab.hosts(Role.CONTROLLER)[0]
        other = Directory(directory, self.policy.tls.directory)
        other.init(self.policy.group, datetime.now(UTC))
        names = next(n for n in host_names(self.policy) if n.host == self._controller.name)
        other.issue(names, datetime.now(UTC))
        self.other_authority = other.host_file(names)  # a controller's, by its names

    def secret(self, name: str) -> str:
        """Of a password's file, or of a key's."""
        return (self.lab.directory / "secrets" / name).read_text(encoding="utf-8").split()[0]

    @cached_property
    def secrets(self) -> tuple[bytes, ...]:
        """Every one of the lab: no answer to anybody may hold one. Whose it is may be told."""
        files = (self.lab.directory / "secrets").glob("*.*")
        secret = (file for file in files if file.suffix not in (".ids", ".role"))
        texts = (file.read_text(encoding="utf-8") for file in secret)
        words = (word for text in texts for word in text.split() if "_USERNAME=" not in word)
        return tuple(w.rpartition(":")[2].rpartition("=")[2].encode() for w in words)

    def context(self, client: Client) -> ssl.SSLContext | None:
        """With what this kind of client comes; None: without TLS."""
        if client is Client.NOBODY:
            return None
        if client is Client.NO_CERTIFICATE:
            return client_context(None)
        if client is Client.OTHER_AUTHORITY:
            return client_context(self.other_authority)
        return client_context(self._proof(self._controller))

    def _proof(self, host: LabHost) -> Path | None:
        """The group's certificate of a host; None where the lab has none, since nobody needs it."""
        if not self.policy.tls.any:
            return None
        place = PurePosixPath(self.policy.tls.directory).relative_to("/")
        return self.lab.directory / "pki" / host.site / host.name / place / "host.pem"
