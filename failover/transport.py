"""How a wire between the parts is secured, and the names a host must prove on it. Pure.

Each wire goes from ``off`` to ``require`` in steps that can be taken host by host, in any order,
without an outage: a step changes either what is accepted or what is asked for, never both
(decision 0018).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePosixPath
from typing import Any

TLS_DIRECTORY = "/etc/failover/tls"
HOST_FILE = "host.pem"  # key, certificate and what leads from it to the authority, in one rename
AUTHORITY_FILE = "ca.pem"  # every authority that is trusted: two while one replaces the other


class Wire(StrEnum):
    OFF = "off"
    ACCEPT = "accept"  # servers take both, clients still come without
    USE = "use"  # servers take both, clients come with TLS and verify
    REQUIRE = "require"  # without TLS nobody is let in

    @property
    def served(self) -> bool:
        """Servers have a certificate and take TLS."""
        return self is not Wire.OFF

    @property
    def dialled(self) -> bool:
        """Clients come with TLS, and believe nobody who does not prove his name."""
        return self in (Wire.USE, Wire.REQUIRE)

    @property
    def required(self) -> bool:
        return self is Wire.REQUIRE


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a process finds what it proves itself with, and whom it believes."""

    directory: str = TLS_DIRECTORY

    @property
    def host_file(self) -> str:
        return str(PurePosixPath(self.directory, HOST_FILE))

    @property
    def authority_file(self) -> str:
        return str(PurePosixPath(self.directory, AUTHORITY_FILE))


PLACE = Identity()


@dataclass(frozen=True, slots=True)
class TransportSecurity:
    """One switch per wire, and where the files are on every host."""

    postgresql: Wire = Wire.OFF
    identity: Identity = PLACE

    @property
    def any(self) -> bool:
        """Hosts need certificates."""
        return self.postgresql.served


NO_TLS = TransportSecurity()


def libpq_parameters(authorities: str | None) -> dict[str, Any]:
    """How libpq is to dial: with TLS and the address verified; where ``None``, as it likes."""
    if authorities is None:
        return {}
    return {"sslmode": "verify-full", "sslrootcert": authorities}


@dataclass(frozen=True, slots=True)
class HostNames:
    """What the certificate of one host says. ``also``: where else it answers as itself."""

    site: str
    host: str
    address: IPv4Address | IPv6Address
    also: tuple[IPv4Address | IPv6Address, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return (self.address, *self.also)
